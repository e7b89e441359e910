package consumer_test

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

func TestRetryThatOvertakesItsReply(t *testing.T) {
	t.Parallel()
	t.Run("a message that is back before the reply to its give-back is run, and no receive is lost", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(10))
			srv.Delay("ChangeMessageVisibilityBatch", time.Second, sqstest.OnReply())
			id := q.Send(t, "x")
			var attempts []int
			settled := map[holdfast.Outcome]int{}
			r := start(t, srv, q, handle(func(_ context.Context, m *holdfast.Message) error {
				attempts = append(attempts, m.Attempt)
				if len(attempts) < 5 {
					return holdfast.RetryAfter(0, errTest)
				}
				return nil
			}), consumer.Config{Concurrency: 1, Hooks: holdfast.Hooks{Settled: func(e holdfast.SettledEvent) { settled[e.Outcome]++ }}})
			until(t, time.Minute, "done", empty(q))
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			if got := q.Receives(id); got != 5 || len(attempts) != 5 {
				t.Errorf("%d receives for runs %v, want one for each of 5", got, attempts)
			}
			if settled[holdfast.Retried] != 4 || settled[holdfast.Done] != 1 {
				t.Errorf("hooks were told %v, want 4 retried and 1 done", settled)
			}
			if n := r.Stats().Duplicates; n != 0 {
				t.Errorf("%d deliveries were taken for duplicates", n)
			}
		})
	})
}
