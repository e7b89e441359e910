package envelope

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzScanReadsAsDecodeDoes(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { } `, `{"Type":"a"}`, `{"Type":"a","Type":"b"}`, `{"Type":"a",}`, `{"Type":"a"}}`, `{"Type" "a"}`, `{,}`,
		`{"Message":"a\n\"b\\"}`, `{"Message":"\u00e9"}`, `{"Message":""}`, `{"Replayed":true}`, `{"\u0054ype":"a"}`,
		`{"MessageAttributes":{}}`, `{"MessageAttributes":{"a":{}}}`, `{"MessageAttributes":{"a":{"Type":"String","Value":"b"}},"Type":"a"}`,
		`{"MessageAttributes":{"a":{"Type":"Binary","Value":"aGVsZA==","More":""},"a":{"Type":"x","Value":""}}}`,
		`{"MessageAttributes":{"a":{"Type":"String"`, `{"MessageAttributes":{"a":{"Type":"String","Value":"b"}}`,
		"{\"Type\":\"\xff\"}", "{\"Type\":\"\n\"}", `{"Type":"\`, `[]`, ``,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, ok := scan(body)
		if !ok {
			return // decode has the word
		}
		want, ok := decode(body)
		if !ok {
			t.Fatalf("scan took %q, decode does not", body)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(fields{})); diff != "" {
			t.Fatalf("%q (-decode +scan):\n%s", body, diff)
		}
	})
}

func TestScanTakesWhatSNSWrites(t *testing.T) {
	t.Parallel()
	// Without this test scan could leave everything to decode unnoticed.
	for _, body := range []string{
		`{ "Type" : "Notification", "Message" : "{\"a\":\"b\\n\"}", "Signature" : "x=" }`,
		`{"MessageAttributes":{"a":{"Type":"String","Value":"b"},"c":{"Type":"Binary","Value":"aGVsZA=="}},"Message":"é"}`,
		"\n{}\n",
	} {
		if _, ok := scan(body); !ok {
			t.Errorf("scan does not take %q", body)
		}
	}
}
