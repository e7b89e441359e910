package consumer_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// asking notes how many messages each receive attempt asks for, and how often.
type asking struct {
	consumer.SQSAPI
	mu    sync.Mutex // guards asked
	asked map[string][]int32
}

func (a *asking) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	a.mu.Lock()
	id := aws.ToString(in.ReceiveRequestAttemptId)
	a.asked[id] = append(a.asked[id], in.MaxNumberOfMessages)
	a.mu.Unlock()
	return a.SQSAPI.ReceiveMessage(ctx, in, o...)
}

// repeated counts the attempts that were repeated, all with the same number.
func (a *asking) repeated(t *testing.T) (n int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, list := range a.asked {
		if len(list) > 1 {
			n++
		}
		for _, asked := range list {
			if asked != list[0] {
				t.Errorf("one attempt asked for %v messages", list)
			}
		}
	}
	return n
}

func TestNoGroupIsStrandedByLostReplies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		concurrency, pollers int
	}{{50, 8}, {10, 3}, {3, 1}} {
		t.Run(fmt.Sprintf("replies to %d pollers are lost for 60 ms: each receive is repeated, by whomever", c.pollers), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders.fifo")
				var ids []string
				for i := range 4000 {
					ids = append(ids, q.Send(t, "{}", sqstest.Group(fmt.Sprint(i/10))))
				}
				srv.Delay("ReceiveMessage", 20*time.Millisecond)
				retryless := srv.SQS(func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} })
				client := &asking{SQSAPI: retryless, asked: make(map[string][]int32)}
				r := startWith(t, client, q, sleeper(20*time.Millisecond), consumer.Config{Concurrency: c.concurrency})
				until(t, time.Minute, "all pollers", func() bool { return r.Stats().Pollers >= c.pollers })
				lost := srv.DropReply("ReceiveMessage")
				time.Sleep(60 * time.Millisecond)
				lost.Stop()
				from := time.Now()
				held := 0
				until(t, 5*time.Minute, "drained", func() bool {
					held = max(held, r.Stats().Held)
					return empty(q)()
				})
				twice := 0
				for _, id := range ids {
					if q.Receives(id) > 1 {
						twice++
					}
				}
				failed := r.Stats().PollErrors
				t.Logf("%d receives failed, drained after %v, %d messages received twice", failed, time.Since(from), twice)
				if twice > 0 {
					t.Errorf("%d messages were received twice: their groups stood still until their visibility ended", twice)
				}
				if n := client.repeated(t); failed == 0 || n == 0 {
					t.Errorf("%d receives failed, %d were repeated", failed, n)
				}
				if most := 10 * c.concurrency; held > most {
					t.Errorf("%d messages were held, want at most %d", held, most)
				}
			})
		})
	}
	t.Run("a receive is repeated with the number that it asked for at first, though there is room for more", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo")
			q.SendN(t, 7, sqstest.Group("slow"))
			client := &asking{SQSAPI: srv.SQS(func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} }), asked: make(map[string][]int32)}
			var failed atomic.Bool
			r := startWith(t, client, q, handle(func(_ context.Context, m *holdfast.Message) error {
				if m.GroupID == "slow" && failed.CompareAndSwap(false, true) {
					return holdfast.RetryAfter(5*time.Second, errTest)
				}
				return nil
			}), consumer.Config{Concurrency: 1, Prefetch: 1, MaxParked: -1})
			until(t, time.Second, "seven are held", func() bool { return r.Stats().Held == 7 && r.Stats().Waiting == 7 })
			lost := srv.DropReply("ReceiveMessage")
			for i := range 20 {
				q.Send(t, "{}", sqstest.Group(fmt.Sprint(i)))
			}
			until(t, time.Minute, "nothing is held", func() bool { return r.Stats().Held == 0 })
			time.Sleep(5 * time.Second)
			lost.Stop()
			until(t, 15*time.Second, "drained", empty(q))
			client.mu.Lock()
			several := make(map[int32]bool)
			for _, list := range client.asked {
				several[list[0]] = true
			}
			client.mu.Unlock()
			if client.repeated(t) == 0 || len(several) < 2 {
				t.Errorf("attempts asked for %v", client.asked)
			}
		})
	})
}
