package consumer_test

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// A change of visibility waits for the extensions under way, which may hang for longer
// than the hold lasts.
func TestChangeThatWaitsForAnExtension(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		visibility time.Duration
		fault      func(*sqstest.Server)
		took       time.Duration // by the first run
		calls      int           // extensions and changes
	}{
		{"a retry keeps its delay behind the third extension that hangs", 30 * time.Second, func(srv *sqstest.Server) {
			srv.Hang(extendAction, sqstest.Times(3))
		}, 27500 * time.Millisecond, 4},
		{"... and behind the first that does where the visibility is short", 5 * time.Second, func(srv *sqstest.Server) {
			srv.Hang(extendAction, sqstest.Times(1))
		}, 3 * time.Second, 2},
		{"an answer that comes after the change does not have it sent again", 5 * time.Second, func(srv *sqstest.Server) {
			srv.Delay(extendAction, 3*time.Second, sqstest.OnReply())
		}, 3 * time.Second, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(10))
				c.fault(srv)
				q.Send(t, "order")
				var r runLog
				k := start(t, srv, q, r.of(func(_ context.Context, m *holdfast.Message) error {
					if m.Attempt > 1 {
						return nil
					}
					time.Sleep(c.took)
					return holdfast.RetryAfter(5*time.Minute, errTest)
				}), consumer.Config{Visibility: c.visibility})
				until(t, 10*time.Minute, "done", empty(q))
				if all := r.all(); len(all) != 2 || all[1].began.Sub(all[0].end) < 5*time.Minute {
					t.Errorf("runs: %+v, want the second 5m after the first", all)
				}
				if n := srv.Calls(extendAction); n != c.calls {
					t.Errorf("%d extensions and changes, want %d", n, c.calls)
				}
				if s := k.Stats(); s.Retried != 1 || s.Unsettled != 0 {
					t.Errorf("%+v, want one retried", s)
				}
			})
		})
	}
	for _, c := range []struct {
		name      string
		cancelled time.Duration
		hung      int // extensions
	}{
		{"a stop gives back behind an extension that hangs until the hold ends", 18500 * time.Millisecond, 3},
		{"... and one that has not the time for that, sooner", 13 * time.Second, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(10))
				srv.Hang(extendAction, sqstest.Times(c.hung))
				q.Send(t, "order")
				r := start(t, srv, q, handle(untilCancelled), consumer.Config{StopTimeout: 10 * time.Second, PollGrace: -1})
				time.Sleep(c.cancelled)
				if err := r.stop(); err != nil {
					t.Errorf("Run returned %v", err)
				}
				if d := q.Depth(); d.Visible != 1 || r.Stats().GaveBack != 1 {
					t.Errorf("%+v, %+v, want the message given back", d, r.Stats())
				}
			})
		})
	}
	t.Run("a newer receipt that comes meanwhile gets the change", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(10))
			srv.Duplicate("orders", sqstest.Times(1))
			srv.Delay("ReceiveMessage", 16*time.Second, sqstest.After(1), sqstest.Times(1), sqstest.OnReply())
			srv.Delay(extendAction, 3*time.Second, sqstest.Times(1))
			id := q.Send(t, "order")
			var r runLog
			k := start(t, srv, q, r.of(func(_ context.Context, m *holdfast.Message) error {
				if m.Attempt > 2 {
					return nil
				}
				time.Sleep(15500 * time.Millisecond)
				return holdfast.RetryAfter(5*time.Minute, errTest)
			}), consumer.Config{})
			until(t, 10*time.Minute, "done", empty(q))
			if all := r.all(); len(all) != 2 || all[1].began.Sub(all[0].end) < 5*time.Minute || q.Receives(id) != 3 {
				t.Errorf("%d receives, runs: %+v, want the second 5m after the first", q.Receives(id), all)
			}
			if s := k.Stats(); s.Duplicates != 1 || s.Retried != 1 {
				t.Errorf("%+v, want one duplicate and one retried", s)
			}
		})
	})
}

func TestChangeThatIsTooLateIsNotSent(t *testing.T) {
	t.Parallel()
	t.Run("where all calls hung until the holds had ended", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			const messages, callsAtOnce = 100, 8
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(10))
			q.SendN(t, messages)
			srv.Hang(extendAction)
			began := time.Now()
			r := start(t, srv, q, handle(func(context.Context, *holdfast.Message) error {
				time.Sleep(time.Second)
				return holdfast.RetryAfter(5*time.Minute, errTest)
			}), consumer.Config{Visibility: 5 * time.Second, Concurrency: messages})
			until(t, 500*time.Millisecond, "received", func() bool { return r.Stats().Received == messages })
			srv.Hang("ReceiveMessage")
			time.Sleep(20 * time.Second)
			if calls := callsOf(srv, extendAction); len(calls) != callsAtOnce || calls[callsAtOnce-1].At.Sub(began) > 2*time.Second {
				t.Errorf("%d calls, want %d after a second and then none: %+v", len(calls), callsAtOnce, calls)
			}
			if s := r.Stats(); s.Unsettled != messages || s.Retried != 0 {
				t.Errorf("%+v, want all unsettled", s)
			}
		})
	})
	t.Run("where the hold was lost while the dead-letter queue did not answer", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(10))
			q.Send(t, "order")
			srv.Hang("ReceiveMessage", sqstest.After(1))
			srv.Fail(extendAction, sqstest.Throttle)
			srv.Delay("SendMessage", 4500*time.Millisecond)
			srv.Fail("SendMessage", sqstest.AccessDenied)
			began := time.Now()
			r := start(t, srv, q, handle(func(context.Context, *holdfast.Message) error { return holdfast.Permanent(errTest) }), consumer.Config{Visibility: 4 * time.Second})
			time.Sleep(20 * time.Second)
			for _, c := range callsOf(srv, extendAction) {
				if d := c.At.Sub(began); d > 3*time.Second {
					t.Errorf("a call after %v, when somebody else may have the message", d)
				}
			}
			if s := r.Stats(); s.LeasesLost != 1 || s.Unsettled != 1 {
				t.Errorf("%+v, want one lost and unsettled", s)
			}
		})
	})
}
