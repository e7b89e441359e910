package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

func TestDeletes(t *testing.T) {
	t.Parallel()
	t.Run("saturated they cost 0.1 calls per message", func(t *testing.T) {
		for name, h := range map[string]holdfast.Handler{"5 ms": sleeper(5 * time.Millisecond), "no-op": nothing, "uneven": handle(func(ctx context.Context, m *holdfast.Message) error {
			return nap(ctx, time.Duration(1+m.Body[len(m.Body)-2]%10)*4*time.Millisecond)
		})} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					srv := sqstest.New(t)
					q := srv.Queue(t, "orders")
					srv.Delay("ReceiveMessage", 2*time.Millisecond)
					srv.Delay("DeleteMessageBatch", 2*time.Millisecond)
					q.SendN(t, 3000)
					start(t, srv, q, h, consumer.Config{Concurrency: 100})
					until(t, time.Minute, "the queue is drained", empty(q))
					if n := srv.Calls("DeleteMessageBatch"); n > 315 {
						t.Errorf("%d calls for 3000 messages; want 0.1 each, but for the last few", n)
					}
				})
			})
		}
	})
	t.Run("a lone message is deleted at once when nothing else runs", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.Send(t, "{}")
			var finished time.Time
			start(t, srv, q, handle(func(context.Context, *holdfast.Message) error {
				time.Sleep(time.Second)
				finished = time.Now()
				return nil
			}), consumer.Config{DeleteLinger: time.Second})
			until(t, time.Minute, "it is deleted", empty(q))
			if late := q.Deletions()[0].At.Sub(finished); late != 0 {
				t.Errorf("deleted %v after its handler", late)
			}
		})
	})
	t.Run("while others run a lone one lingers no longer than DeleteLinger", func(t *testing.T) {
		for _, linger := range []time.Duration{0, 200 * time.Millisecond, time.Second, -1} {
			t.Run(fmt.Sprint(linger), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					want := linger
					switch linger {
					case 0:
						want = 50 * time.Millisecond // the default
					case -1:
						want = 0
					}
					srv := sqstest.New(t)
					q := srv.Queue(t, "orders")
					q.Send(t, "long")
					q.Send(t, "short")
					var finished time.Time
					start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
						if m.Body == "long" {
							return nap(ctx, time.Minute)
						}
						finished = time.Now()
						return nil
					}), consumer.Config{DeleteLinger: linger})
					until(t, 2*time.Minute, "both are deleted", empty(q))
					d := q.Deletions()[0]
					if late := d.At.Sub(finished); d.Body != "short" || late != want {
						t.Errorf("%s was deleted %v after its handler; want %v", d.Body, late, want)
					}
				})
			})
		}
	})
	t.Run("entries that fail are tried again, alone, until they are deleted", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			ids := q.SendN(t, 300)
			failing := srv.FailEntries("DeleteMessageBatch", "InternalError", false, sqstest.Every(3))
			var settled effects
			cfg := consumer.Config{}
			cfg.Hooks.Settled = func(e holdfast.SettledEvent) { settled.add(e.Message.ID) }
			r := start(t, srv, q, nothing, cfg)
			until(t, time.Minute, "the queue is drained", empty(q))
			if failing.Hits() < 100 {
				t.Fatalf("%d entries failed: this shows nothing", failing.Hits())
			}
			for _, id := range ids {
				if n := settled.count(id); n != 1 || q.Receives(id) != 1 {
					t.Errorf("%s was told settled %d times and received %d times", id, n, q.Receives(id))
				}
			}
			entries := 0
			for _, c := range srv.Log() {
				if c.Action == "DeleteMessageBatch" {
					entries += c.Entries
				}
			}
			if want := 300 + failing.Hits(); entries != want {
				t.Errorf("%d entries sent; want each once and the %d that failed again: %d", entries, failing.Hits(), want)
			}
			if s := r.Stats(); s.Done != 300 || s.Unsettled != 0 {
				t.Errorf("Stats is %+v", s)
			}
		})
	})
	t.Run("a sender's fault is reported, not repeated, and the message comes back", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.SendN(t, 10)
			srv.FailEntries("DeleteMessageBatch", "ReceiptHandleIsInvalid", true, sqstest.After(4), sqstest.Times(1))
			var mu sync.Mutex
			var lost []holdfast.LeaseLostEvent
			cfg := consumer.Config{}
			cfg.Hooks.LeaseLost = func(e holdfast.LeaseLostEvent) {
				mu.Lock()
				defer mu.Unlock()
				lost = append(lost, e)
			}
			r := start(t, srv, q, nothing, cfg)
			time.Sleep(10 * time.Second)
			if n := srv.Calls("DeleteMessageBatch"); n != 1 {
				t.Errorf("%d calls; a sender's fault is no better the second time", n)
			}
			mu.Lock()
			if len(lost) != 1 || !errors.Is(lost[0].Err, holdfast.ErrLeaseLost) {
				t.Fatalf("hooks were told %+v; want one lost", lost)
			}
			id := lost[0].Message.ID
			mu.Unlock()
			if _, there := q.Message(id); !there {
				t.Errorf("%s was told lost but is deleted", id)
			}
			if s := r.Stats(); s.Unsettled != 1 || s.Done != 9 || s.Held != 0 {
				t.Errorf("Stats is %+v", s)
			}
			until(t, time.Minute, "it came back and is done", empty(q))
			if n := q.Receives(id); n != 2 {
				t.Errorf("received %d times", n)
			}
		})
	})
	t.Run("a call that fails is repeated as one, and shows in Health when it goes on", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.SendN(t, 100)
			throttled := srv.Fail("DeleteMessageBatch", sqstest.Throttle)
			r := start(t, srv, q, nothing, consumer.Config{Concurrency: 100})
			time.Sleep(time.Minute)
			if problem(r, "settle") == nil || r.Health().Ready {
				t.Errorf("Health is %+v", r.Health())
			}
			// Ten batches, each tried again every 2.5 to 5 s at last.
			if n := srv.Calls("DeleteMessageBatch"); n < 100 || n > 300 {
				t.Errorf("%d calls in a minute for ten batches", n)
			}
			throttled.Stop()
			until(t, 10*time.Second, "the queue is drained", empty(q))
			if h := r.Health(); !h.Ready {
				t.Errorf("Health is %+v", h)
			}
		})
	})
	t.Run("on FIFO they do not linger, and completions during a delete share the next", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo")
			for i := range 12 {
				q.Send(t, fmt.Sprint(i), sqstest.Group(fmt.Sprint(i)))
			}
			srv.Delay("DeleteMessageBatch", 100*time.Millisecond)
			start(t, srv, q, handle(func(_ context.Context, m *holdfast.Message) error {
				var n int
				if _, err := fmt.Sscan(m.Body, &n); err != nil {
					return err
				}
				time.Sleep(time.Second + time.Duration(n)*5*time.Millisecond)
				return nil
			}), consumer.Config{Concurrency: 20, DeleteLinger: time.Second})
			began := time.Now()
			until(t, time.Minute, "all are deleted", empty(q))
			var calls []sqstest.Call
			for _, c := range srv.Log() {
				if c.Action == "DeleteMessageBatch" {
					calls = append(calls, c)
				}
			}
			// Two are under way at once; the ten that end meanwhile share the third.
			if len(calls) != 3 || calls[0].Entries != 1 || calls[1].Entries != 1 || calls[2].Entries != 10 {
				t.Fatalf("calls %+v", calls)
			}
			if late := calls[0].At.Sub(began.Add(time.Second)); late > time.Millisecond {
				t.Errorf("the first lingered %v", late)
			}
			if late := calls[2].At.Sub(calls[0].At.Add(calls[0].Took)); late > time.Millisecond {
				t.Errorf("the last went %v after the first had ended", late)
			}
		})
	})
}
