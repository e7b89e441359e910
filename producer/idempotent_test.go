package producer_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// done runs a consumer with idempotency until the queue is empty, and returns how
// often each body's work was done.
func done(t *testing.T, srv *sqstest.Server, q *sqstest.Queue, store idempotency.Store) map[string]int {
	t.Helper()
	var mu sync.Mutex
	work := make(map[string]int)
	c, err := consumer.New(srv.SQS(), q.URL, holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
		mu.Lock()
		defer mu.Unlock()
		work[m.Body]++
		return nil
	}), consumer.Config{Middleware: []holdfast.Middleware{
		idempotency.New(store, idempotency.Config{Consumer: "billing", KeyAttribute: producer.KeyAttribute}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	for q.Depth() != (sqstest.Depth{}) {
		time.Sleep(time.Second)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return work
}

// The same message sent twice, by two processes even, is done once.
func TestSentTwiceIsDoneOnce(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"queue", "queue.fifo", "topic", "topic raw", "topic.fifo"} {
		t.Run("by way of a "+name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				suffix := ""
				if strings.HasSuffix(name, ".fifo") {
					suffix = ".fifo"
				}
				q := srv.Queue(t, "billing"+suffix)
				var topic *sqstest.Topic
				if strings.HasPrefix(name, "topic") {
					topic = srv.Topic(t, "orders"+suffix)
					if name == "topic raw" {
						topic.Subscribe(t, q, sqstest.Raw())
					} else {
						topic.Subscribe(t, q)
					}
				}
				sender := func() *producer.Producer {
					if topic != nil {
						return toTopic(t, srv, topic)
					}
					return to(t, srv, q, producer.Config{})
				}
				store := idempotency.NewMemoryStore()
				want := make(map[string]int)
				for try := range 3 {
					p := sender()
					for i := range 5 {
						body := fmt.Sprintf("order-%d", i)
						want[body] = 1
						if err := p.Send(t.Context(), producer.Message{Body: body, Key: body, GroupID: "g"}); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(time.Second)
					if n := q.Depth().Visible; suffix != "" && try == 1 && n != 5 {
						t.Errorf("%d messages on the queue, want 5: within five minutes the second ones do not even arrive", n)
					}
					if try == 1 {
						time.Sleep(10 * time.Minute) // the third comes when no deduplication id is known
					}
				}
				if diff := cmp.Diff(want, done(t, srv, q, store)); diff != "" {
					t.Errorf("work done (-want +got):\n%s", diff)
				}
			})
		})
	}
	t.Run("when replies to the producer are lost", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "billing")
			srv.DropReply("SendMessageBatch", sqstest.Probability(0.5, 1))
			p := to(t, srv, q, producer.Config{})
			msgs, want := texts(100), make(map[string]int)
			for i := range msgs {
				msgs[i].Key = "order-" + msgs[i].Body
				want[msgs[i].Body] = 1
			}
			if _, err := p.SendBatch(t.Context(), msgs); err != nil {
				t.Fatal(err)
			}
			if n := q.Depth().Visible; n <= 100 {
				t.Errorf("%d messages on the queue: no reply was lost", n)
			}
			if diff := cmp.Diff(want, done(t, srv, q, idempotency.NewMemoryStore())); diff != "" {
				t.Errorf("work done (-want +got):\n%s", diff)
			}
		})
	})
}
