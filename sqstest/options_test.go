package sqstest_test

import (
	"encoding/json"
	"testing"

	"github.com/holdfast-go/holdfast/sqstest"
)

// envelopeOf publishes to a topic with opts and returns what arrives at its queue.
func envelopeOf(t *testing.T, srv *sqstest.Server, opts ...sqstest.TopicOption) (e struct{ SignatureVersion, Signature string }) {
	t.Helper()
	q := srv.Queue(t, "q")
	topic := srv.Topic(t, "events", opts...)
	topic.Subscribe(t, q)
	topic.Publish(t, "x")
	bodies := onQueue(q)
	if len(bodies) != 1 {
		t.Fatalf("%d messages arrived, want 1", len(bodies))
	}
	if err := json.Unmarshal([]byte(bodies[0]), &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTopicAttributeSetsItAtTheStart(t *testing.T) {
	t.Parallel()
	if e := envelopeOf(t, sqstest.New(t)); e.SignatureVersion != "1" {
		t.Errorf("version %q without the attribute, want 1", e.SignatureVersion)
	}
	if e := envelopeOf(t, sqstest.New(t), sqstest.TopicAttribute("SignatureVersion", "2")); e.SignatureVersion != "2" {
		t.Errorf("version %q with the attribute, want 2", e.SignatureVersion)
	}
}

func TestNoSignatureWritesAPlaceholder(t *testing.T) {
	t.Parallel()
	signed, placeholder := envelopeOf(t, sqstest.New(t)), envelopeOf(t, sqstest.New(t, sqstest.NoSignature()))
	// A signature of an RSA key of 1024 bits is 172 characters in base64.
	if len(signed.Signature) != 172 || placeholder.Signature == "" || len(placeholder.Signature) == 172 {
		t.Errorf("signatures %q and %q", signed.Signature, placeholder.Signature)
	}
}
