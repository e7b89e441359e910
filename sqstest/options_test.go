package sqstest_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

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

func TestPolicySpreadHidesANewPolicyFromSNS(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.PolicySpread(time.Minute))
		topic := srv.Topic(t, "events")
		policy := `{"Statement":{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*"}}`
		early := srv.Queue(t, "early", sqstest.QueueAttribute("Policy", policy))
		late := srv.Queue(t, "late")
		topic.Subscribe(t, early, sqstest.NoPermission())
		topic.Subscribe(t, late, sqstest.NoPermission())
		time.Sleep(30 * time.Second)
		if _, err := srv.SQS().SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &late.URL, Attributes: map[string]string{"Policy": policy}}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []struct{ early, late int }{{0, 0}, {1, 0}, {2, 1}} {
			topic.Publish(t, "x")
			if e, l := len(early.Messages()), len(late.Messages()); e != want.early || l != want.late {
				t.Errorf("after %v: %d and %d messages, want %d and %d", time.Now(), e, l, want.early, want.late)
			}
			time.Sleep(30 * time.Second)
		}
	})
}
