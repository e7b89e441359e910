package consumer_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

const (
	listedTopic = "arn:aws:sns:us-east-1:000000000000:orders"
	otherTopic  = "arn:aws:sns:us-east-1:000000000000:others"
)

// snsEnvelope is what SNS writes to a queue that does not take raw messages.
func snsEnvelope(t *testing.T, typ, topic, message string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"Type": typ, "MessageId": "6b4e4b7e-0000-4000-8000-000000000001", "TopicArn": topic, "Subject": "new order", "Message": message,
		"Timestamp": "2026-11-23T17:00:00.123Z", "SignatureVersion": "1", "Signature": "c2lnbmVk",
		"MessageAttributes": map[string]any{
			"kind": map[string]string{"Type": "String", "Value": "paid"},
			"raw":  map[string]string{"Type": "Binary", "Value": "AQID"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// seen runs a consumer until the queue is empty and returns what handlers saw.
func seen(t *testing.T, srv *sqstest.Server, q *sqstest.Queue, cfg consumer.Config, h holdfast.Handler) (list []holdfast.Message) {
	t.Helper()
	var mu sync.Mutex
	start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
		mu.Lock()
		list = append(list, *m)
		mu.Unlock()
		return h.Handle(ctx, m)
	}), cfg)
	until(t, 10*time.Minute, "settled", empty(q))
	return list
}

func TestEnvelopes(t *testing.T) {
	t.Parallel()
	t.Run("of SNS are unwrapped to body, attributes and topic", envelopeUnwrapped)
	t.Run("are unwrapped again for each run", envelopeRerun)
	t.Run("are left alone where they come from a topic that is not listed", envelopeOtherTopic)
	t.Run("that are none are left alone", envelopeRaw)
	t.Run("are dead-lettered as they were received", envelopeDeadLettered)
	for _, typ := range []string{"SubscriptionConfirmation", "UnsubscribeConfirmation"} {
		t.Run("that are a "+typ+" never reach a handler and are dead-lettered with their cause", func(t *testing.T) {
			envelopeConfirmation(t, typ)
		})
	}
	t.Run("that ask to confirm a subscription do not set off the guard against bad deploys", manyConfirmations)
}

func envelopeUnwrapped(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, topics := range [][]string{nil, {otherTopic, listedTopic}} {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			id := q.Send(t, snsEnvelope(t, "Notification", listedTopic, `{"n":1}`), sqstest.StringAttribute("outer", "of SQS"))
			list := seen(t, srv, q, consumer.Config{Topics: topics}, nothing)
			if len(list) != 1 {
				t.Fatalf("%d runs, want one", len(list))
			}
			m := list[0]
			if m.Body != `{"n":1}` || m.ID != id {
				t.Errorf("message %s with body %q, want the SQS id %s and what was published", m.ID, m.Body, id)
			}
			attributes := map[string]holdfast.Attribute{"kind": {Type: "String", String: "paid"}, "raw": {Type: "Binary", Binary: []byte{1, 2, 3}}}
			if diff := cmp.Diff(attributes, m.Attributes); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			topic := holdfast.Topic{
				ARN: listedTopic, MessageID: "6b4e4b7e-0000-4000-8000-000000000001", Subject: "new order",
				PublishedAt: time.Date(2026, 11, 23, 17, 0, 0, 123e6, time.UTC),
			}
			if diff := cmp.Diff(topic, m.Topic); diff != "" {
				t.Errorf("topic (-want +got):\n%s", diff)
			}
		}
	})
}

func envelopeRerun(t *testing.T) {
	for _, name := range []string{"orders", "orders.fifo"} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, name)
				q.Send(t, snsEnvelope(t, "Notification", listedTopic, "inner"), sqstest.Group("g"))
				list := seen(t, srv, q, consumer.Config{}, handle(func(ctx context.Context, m *holdfast.Message) error {
					if m.Attempt < 3 {
						return errTest
					}
					return nil
				}))
				for i, m := range list {
					if m.Body != "inner" || m.Topic.ARN != listedTopic || m.Attr("kind") != "paid" {
						t.Errorf("run %d saw %q of %q, want it unwrapped", i+1, m.Body, m.Topic.ARN)
					}
				}
				if len(list) != 3 {
					t.Errorf("%d runs, want 3", len(list))
				}
			})
		})
	}
}

func envelopeOtherTopic(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		forged := snsEnvelope(t, "Notification", otherTopic, "inner")
		q.Send(t, forged, sqstest.StringAttribute("outer", "of SQS"))
		list := seen(t, srv, q, consumer.Config{Topics: []string{listedTopic}}, nothing)
		if len(list) != 1 || list[0].Body != forged || list[0].Topic != (holdfast.Topic{}) || list[0].Attr("outer") != "of SQS" || len(list[0].Attributes) != 1 {
			t.Errorf("the handler saw %+v, want the message as it came", list)
		}
	})
}

func envelopeRaw(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		whole := snsEnvelope(t, "Notification", listedTopic, "inner")
		bodies := map[string]bool{
			"plain text": true, `{"n":1}`: true, `{"Type":"Notification"}`: true,
			whole + " and more": true,
			strings.Replace(whole, `"Notification"`, `"notification"`, 1): true,
			strings.Replace(whole, "arn:aws:sns", "arn:aws:sqs", 1):       true,
			strings.Replace(whole, `"MessageId"`, `"messageId"`, 1):       true,
		}
		for body := range bodies {
			q.Send(t, body, sqstest.StringAttribute("outer", "of SQS"))
		}
		list := seen(t, srv, q, consumer.Config{}, nothing)
		for _, m := range list {
			if !bodies[m.Body] || m.Topic != (holdfast.Topic{}) || m.Attr("outer") != "of SQS" {
				t.Errorf("the handler saw %+v, want the message as it came", m)
			}
			delete(bodies, m.Body)
		}
		if len(bodies) > 0 {
			t.Errorf("no handler saw %v", bodies)
		}
	})
}

func envelopeDeadLettered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		q.Send(t, snsEnvelope(t, "Notification", listedTopic, "inner"), sqstest.StringAttribute("outer", "of SQS"))
		before := q.Messages()[0]
		if list := seen(t, srv, q, consumer.Config{}, refuse); len(list) != 1 || list[0].Body != "inner" {
			t.Errorf("the handler saw %+v, want it unwrapped", list)
		}
		dead := q.DLQ().Messages()[0]
		causeOf(t, dead)
		delete(dead.Attributes, consumer.CauseAttribute)
		if diff := cmp.Diff(before.Attributes, dead.Attributes); diff != "" || dead.Body != before.Body {
			t.Errorf("dead-lettered %q with attributes (-sent +dead):\n%s", dead.Body, diff)
		}
	})
}

func envelopeConfirmation(t *testing.T, typ string) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		// Also one that no listed topic sent: it is no work either.
		id := q.Send(t, snsEnvelope(t, typ, otherTopic, "You have chosen to subscribe"))
		before := q.Messages()[0]
		var rec told
		if list := seen(t, srv, q, consumer.Config{Topics: []string{listedTopic}, Hooks: rec.hooks()}, nothing); len(list) != 0 {
			t.Errorf("a handler saw %+v", list)
		}
		dead := q.DLQ().Messages()
		if len(dead) != 1 || dead[0].Body != before.Body {
			t.Fatalf("dead-letter queue holds %+v, want it as it came", dead)
		}
		if c := causeOf(t, dead[0]); c.Cause != "subscription-confirmation" || c.Message != id || c.Attempt != 1 || !strings.Contains(c.Error, "SubscribeURL") {
			t.Errorf("cause %+v, want subscription-confirmation on attempt 1, and what to do", c)
		}
		if told := rec.deadLetters(); len(told) != 1 || told[0].Cause != "subscription-confirmation" || told[0].Err != nil {
			t.Errorf("hooks were told %+v, want one dead-lettering", told)
		}
	})
}

func manyConfirmations(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		for range 50 {
			q.Send(t, snsEnvelope(t, "SubscriptionConfirmation", listedTopic, "x"))
		}
		r := start(t, srv, q, nothing, consumer.Config{})
		until(t, 5*time.Second, "settled", empty(q))
		synctest.Wait()
		if got := len(q.DLQ().Messages()); got != 50 || !r.Health().Ready {
			t.Errorf("%d dead-lettered, health %+v; want all 50 and ready", got, r.Health())
		}
	})
}

// events are what S3 writes: a notification, and the test that comes before all.
const (
	s3Event = `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-11-23T17:00:00.000Z","eventName":"ObjectCreated:Put",` +
		`"s3":{"bucket":{"name":"photos"},"object":{"key":"a.jpg","sequencer":"0055AED6DCD90281E5"}}}]}`
	s3TestEvent = `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-23T17:00:00.000Z","Bucket":"photos","RequestId":"5582815E1AEA5ADF","HostId":"8cLeGAmw098X5cv4"}`
)

func TestServiceEvents(t *testing.T) {
	t.Parallel()
	t.Run("have an id of their own, also inside an SNS envelope", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.Send(t, s3Event)
			q.Send(t, snsEnvelope(t, "Notification", listedTopic, s3Event))
			list := seen(t, srv, q, consumer.Config{}, nothing)
			want := holdfast.Event{Service: "S3", ID: "photos/a.jpg?event=ObjectCreated%3APut&sequencer=0055AED6DCD90281E5"}
			for _, m := range list {
				if m.Event != want || m.Body != s3Event {
					t.Errorf("event %+v of body %q, want %+v and the body as S3 wrote it", m.Event, m.Body, want)
				}
			}
			if len(list) != 2 {
				t.Errorf("%d runs, want 2", len(list))
			}
		})
	})
	t.Run("that only test whether they arrive are discarded and reach no handler", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(3))
			q.Send(t, s3TestEvent)
			q.Send(t, snsEnvelope(t, "Notification", listedTopic, s3TestEvent))
			var mu sync.Mutex
			var settled []holdfast.SettledEvent
			hooks := holdfast.Hooks{Settled: func(e holdfast.SettledEvent) {
				mu.Lock()
				defer mu.Unlock()
				settled = append(settled, e)
			}}
			if list := seen(t, srv, q, consumer.Config{Hooks: hooks}, nothing); len(list) != 0 {
				t.Errorf("a handler saw %+v", list)
			}
			synctest.Wait()
			for _, e := range settled {
				if e.Outcome != holdfast.Discarded || e.Message.ReceiveCount != 1 {
					t.Errorf("outcome %v on receive %d, want it discarded on the first", e.Outcome, e.Message.ReceiveCount)
				}
			}
			if dead := q.DLQ().Messages(); len(settled) != 2 || len(dead) != 0 {
				t.Errorf("%d settled and %d dead-lettered, want 2 and 0", len(settled), len(dead))
			}
		})
	})
}

func TestProbesNeverReachAHandler(t *testing.T) {
	t.Parallel()
	t.Run("and are dead-lettered as they came", probeDeadLettered)
	t.Run("and without a dead-letter queue are handed back while the consumer stays ready", probeHandedBack)
}

func probeDeadLettered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		for range 50 {
			q.Send(t, `{"n":1}`, sqstest.StringAttribute("holdfast-probe", "x"))
		}
		r := start(t, srv, q, handle(func(_ context.Context, m *holdfast.Message) error {
			t.Errorf("a handler saw %q", m.Body)
			return nil
		}), consumer.Config{})
		until(t, 10*time.Second, "settled", empty(q))
		dead := q.DLQ().Messages()
		if len(dead) != 50 || dead[0].Body != `{"n":1}` || dead[0].Attributes["holdfast-probe"].Text != "x" || causeOf(t, dead[0]).Cause != "probe" || !r.Health().Ready {
			t.Errorf("%d dead-lettered, the first %+v; health %+v", len(dead), dead, r.Health())
		}
	})
}

func probeHandedBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		id := q.Send(t, "x", sqstest.StringAttribute("holdfast-probe", "x"))
		r := start(t, srv, q, handle(func(_ context.Context, m *holdfast.Message) error {
			t.Errorf("a handler saw %q", m.Body)
			return nil
		}), consumer.Config{})
		time.Sleep(time.Minute)
		if n := q.Receives(id); n < 2 || len(q.Messages()) != 1 || !r.Health().Ready {
			t.Errorf("received %d times, %d on the queue, health %+v", n, len(q.Messages()), r.Health())
		}
	})
}
