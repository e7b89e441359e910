package consumer_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// slowAtFirst is an HTTP client whose first replies come with slow bodies.
type slowAtFirst struct {
	slowBodies
	left *atomic.Int32
}

func (c slowAtFirst) Do(r *http.Request) (*http.Response, error) {
	if c.left.Add(-1) >= 0 {
		return c.slowBodies.Do(r)
	}
	return c.next.Do(r)
}

func TestNothingBeginsUnderALeaseThatIsOver(t *testing.T) {
	t.Parallel()
	// startSlow starts a consumer whose first receives take longer than its visibility.
	startSlow := func(t *testing.T, srv *sqstest.Server, q *sqstest.Queue, h holdfast.Handler, receives int32, cfg consumer.Config) *running {
		left := new(atomic.Int32)
		left.Store(receives)
		client := srv.SQS(func(o *sqs.Options) {
			o.HTTPClient = slowAtFirst{slowBodies{srv.HTTPClient(), 6 * time.Second}, left}
		})
		cfg.Visibility, cfg.Settle = 5*time.Second, srv.SQS()
		return startWith(t, client, q, h, cfg)
	}
	// early fails the test where a run begins under a lease that is over.
	early := func(t *testing.T, ctx context.Context) {
		t.Helper()
		if lease, _ := holdfast.LeaseFrom(ctx); time.Until(lease.Deadline()) <= 0 {
			t.Errorf("a run begins %v after its lease ended", time.Since(lease.Deadline()))
		}
	}
	t.Run("what a receive brought that took longer is lost, told, and run when it comes again", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(1000))
			q.SendN(t, 10)
			var lost, before atomic.Int32
			r := startSlow(t, srv, q, handle(func(ctx context.Context, _ *holdfast.Message) error {
				early(t, ctx)
				return nil
			}), 4, consumer.Config{Concurrency: 1, Hooks: holdfast.Hooks{
				Received: func(holdfast.ReceivedEvent) { before.Add(1) },
				LeaseLost: func(e holdfast.LeaseLostEvent) {
					if lost.Add(1); lost.Load() > before.Load() {
						t.Errorf("%s is lost before it was received", e.Message.ID)
					}
				},
			}})
			until(t, 30*time.Second, "seen in health", func() bool { return problem(r, "slow-receive") != nil })
			if s := r.Stats(); s.Done != 0 || lost.Load() != int32(s.Received) {
				t.Errorf("%d lost: %+v", lost.Load(), s)
			}
			until(t, time.Minute, "done", empty(q))
			if s := r.Stats(); s.Done != 10 || s.LeasesLost != int64(lost.Load()) || problem(r, "slow-receive") != nil {
				t.Errorf("%d lost, %v: %+v", lost.Load(), r.Health().Problems, s)
			}
		})
	})
	t.Run("a group stays in order", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo", sqstest.DLQ(1000))
			want := q.SendN(t, 15, sqstest.Group("a"))
			var runs effects
			startSlow(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				early(t, ctx)
				runs.add(m.ID)
				return nil
			}), 1, consumer.Config{})
			until(t, time.Minute, "done", empty(q))
			if diff := cmp.Diff(want, runs.all()); diff != "" {
				t.Errorf("runs (-want +got):\n%s", diff)
			}
		})
	})
	t.Run("nor does what waited for a slot until its hold had ended, which the heartbeat has not seen yet", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo", sqstest.DLQ(1000))
			srv.Hang(extendAction)
			srv.Delay("ReceiveMessage", time.Second, sqstest.After(1), sqstest.Times(1)) // it brings two
			var runs atomic.Int32
			r := start(t, srv, q, handle(func(ctx context.Context, _ *holdfast.Message) error {
				runs.Add(1)
				early(t, ctx)
				time.Sleep(35 * time.Second)
				return nil
			}), consumer.Config{Concurrency: 2, Hooks: holdfast.Hooks{
				LeaseLost: func(holdfast.LeaseLostEvent) { time.Sleep(10 * time.Second) },
			}})
			q.Send(t, "runs", sqstest.Group("a"))
			time.Sleep(500 * time.Millisecond)
			q.Send(t, "runs", sqstest.Group("b"))
			q.Send(t, "waits", sqstest.Group("c")) // until the first is done
			until(t, time.Second, "received", func() bool { return r.Stats().Received == 3 })
			srv.Hang("ReceiveMessage")
			time.Sleep(34500 * time.Millisecond)
			if s := r.Stats(); s.Received != 3 || runs.Load() != 2 || s.Held != 1 {
				t.Errorf("%d runs, %+v, want two, and the third message lost when a slot was free", runs.Load(), s)
			}
			time.Sleep(time.Minute)
		})
	})
}
