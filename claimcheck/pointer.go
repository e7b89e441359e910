package claimcheck

import (
	"encoding/json"
	"strings"

	"github.com/holdfast-go/holdfast"
)

// The classes by which AWS's extended clients mark pointers: the one that they write
// now and the one that they wrote first.
const (
	pointerClass = "software.amazon.payloadoffloading.PayloadS3Pointer"
	legacyClass  = "com.amazon.sqs.javamessaging.MessageS3Pointer"
)

// pointer names an object of S3.
type pointer struct {
	Bucket string `json:"s3BucketName"`
	Key    string `json:"s3Key"`
}

// String is the pointer as a message's body.
func (p pointer) String() string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	// Strings can always be encoded.
	_ = e.Encode([]any{pointerClass, p})
	return strings.TrimSuffix(b.String(), "\n")
}

// pointerOf returns the pointer that m is. It is one only where both the attribute
// and the form of the body say so.
func pointerOf(m *holdfast.Message) (pointer, bool) {
	for _, name := range []string{SizeAttribute, LegacySizeAttribute} {
		if strings.HasPrefix(m.Attributes[name].Type, "Number") {
			return parsePointer(m.Body)
		}
	}
	return pointer{}, false
}

func parsePointer(body string) (p pointer, ok bool) {
	start := strings.TrimLeft(body, " \t\r\n")
	if !strings.HasPrefix(start, "[") || !strings.Contains(start, "S3Pointer") {
		return pointer{}, false
	}
	var parts []json.RawMessage
	var class string
	var fields map[string]any // and no struct, whose keys match in any case
	if json.Unmarshal([]byte(body), &parts) != nil || len(parts) != 2 ||
		json.Unmarshal(parts[0], &class) != nil || class != pointerClass && class != legacyClass ||
		json.Unmarshal(parts[1], &fields) != nil {
		return pointer{}, false
	}
	p.Bucket, _ = fields["s3BucketName"].(string)
	p.Key, _ = fields["s3Key"].(string)
	if p.Bucket == "" || p.Key == "" {
		return pointer{}, false
	}
	return p, true
}
