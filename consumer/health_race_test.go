package consumer_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// stalling is a client of which one receive is denied, with an error that takes until
// goOn to be looked at: so long the runtime deals with that failure while other receives
// succeed.
type stalling struct {
	consumer.SQSAPI
	next   atomic.Bool // fails
	looked atomic.Bool // at the error
	goOn   chan struct{}
}

type stallingError struct{ c *stalling }

func (e *stallingError) Error() string                 { return "denied" }
func (e *stallingError) ErrorCode() string             { return "AccessDeniedException" }
func (e *stallingError) ErrorMessage() string          { return "denied" }
func (e *stallingError) ErrorFault() smithy.ErrorFault { return smithy.FaultClient }

// As is called by errors.As.
func (e *stallingError) As(any) bool {
	if e.c.looked.CompareAndSwap(false, true) {
		<-e.c.goOn
	}
	return false
}

func (c *stalling) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if c.next.CompareAndSwap(true, false) {
		return nil, &stallingError{c}
	}
	return c.SQSAPI.ReceiveMessage(ctx, in, o...)
}

func TestHealthTurnsGreenAfterAFailureThatWasNotedLate(t *testing.T) {
	t.Parallel()
	t.Run("a receive that succeeds later shows that all is well", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			srv.Delay("ReceiveMessage", 20*time.Millisecond)
			q.SendN(t, 5000)
			client := &stalling{SQSAPI: srv.SQS(), goOn: make(chan struct{})}
			goOn := sync.OnceFunc(func() { close(client.goOn) })
			r := startWith(t, client, q, sleeper(200*time.Millisecond), consumer.Config{Concurrency: 100})
			defer goOn() // else the stop would wait for it
			until(t, time.Minute, "several pollers", func() bool { return r.Stats().Pollers > 3 })
			client.next.Store(true)
			until(t, time.Minute, "one receive failed", func() bool { return client.looked.Load() })
			before := r.Stats().Polls
			until(t, time.Minute, "others succeeded", func() bool { return r.Stats().Polls > before+1 })
			goOn()
			until(t, time.Minute, "all is done", empty(q))
			time.Sleep(time.Minute)
			if !healthy(r)() {
				t.Errorf("%d receives later health is %+v", r.Stats().Polls-before, r.Health())
			}
		})
	})
}

func TestAbandonedHandlersAreCountedInHealthAsTheyAre(t *testing.T) {
	t.Parallel()
	t.Run("one that returns while the watchdog tells of it leaves the consumer live", func(t *testing.T) {
		t.Parallel()
		c, err := consumer.New(offline(t), "orders", nothing, consumer.Config{Concurrency: 1})
		if err != nil {
			t.Fatal(err)
		}
		for range 20_000 {
			var both sync.WaitGroup
			both.Go(func() { consumer.Abandoned(c, 1) })
			both.Go(func() { consumer.Abandoned(c, -1) })
			both.Wait()
			if h := c.Health(); !h.Live || len(h.Problems) > 0 {
				t.Fatalf("health is %+v with nothing abandoned", h)
			}
		}
	})
}
