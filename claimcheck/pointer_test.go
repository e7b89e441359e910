package claimcheck

import (
	"encoding/json"
	"testing"
)

func TestPointersAreOnlyWhatTheyAre(t *testing.T) {
	t.Parallel()
	const good = `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k<&>"}]`
	if p, ok := parsePointer(good); !ok || p != (pointer{"b", "k<&>"}) || p.String() != good {
		t.Errorf("%s was read as %+v, %v", good, p, ok)
	}
	for _, body := range []string{
		"", "[]", "S3Pointer", `["S3Pointer"]`, `["S3Pointer",{"s3BucketName":"b","s3Key":"k"}]`, good + " x", good[:len(good)-1],
		`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b"}]`,
		`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3key":"k"}]`,
		`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":1,"s3Key":"k"}]`,
		`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k"},1]`,
		`{"a":` + good + `}`,
	} {
		if p, ok := parsePointer(body); ok {
			t.Errorf("%q was read as %+v", body, p)
		}
	}
}

func FuzzPointer(f *testing.F) {
	for _, seed := range []string{"", pointer{"b", "k"}.String(), pointer{"b\n", "\u2028<é>"}.String(), `["com.amazon.sqs.javamessaging.MessageS3Pointer",{"s3Key":"k","s3BucketName":"b","more":1}]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		p, ok := parsePointer(body)
		if !ok {
			return
		}
		var parts []any
		if err := json.Unmarshal([]byte(body), &parts); err != nil || len(parts) != 2 {
			t.Fatalf("%q is no list of two: %v", body, err)
		}
		if again, ok := parsePointer(p.String()); !ok || again != p {
			t.Fatalf("%+v, written anew %+v, %v", p, again, ok)
		}
	})
}
