package consumer_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/sqstest"
)

// brittle is the kind of error that is often returned as a nil pointer by mistake.
type brittle struct{ cause error }

func (e *brittle) Error() string { return "brittle: " + e.cause.Error() }
func (e *brittle) Unwrap() error { return e.cause }

func TestErrorsThatPanic(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"a nil pointer as an error":               (*brittle)(nil),
		"a nil pointer inside of Permanent":       holdfast.Permanent((*brittle)(nil)),
		"an error whose text panics":              holdfast.Permanent(&brittle{}),
		"a fallback that is a nil pointer":        holdfast.Park(nil, (*brittle)(nil)),
		"a nil pointer joined with another error": errors.Join(errTest, (*brittle)(nil)),
	} {
		t.Run(name+" counts as a panic of the handler", func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(2))
				q.Send(t, "order")
				r := start(t, srv, q, handle(func(context.Context, *holdfast.Message) error { return err }), consumer.Config{})
				until(t, time.Minute, "dead-lettered", func() bool { return q.DLQ().Depth().Visible == 1 && empty(q)() })
				if n := r.Stats().Panics; n == 0 {
					t.Error("no panic was counted")
				}
			})
		})
	}
}

func TestReceiptThatIsReplacedWhileItSettles(t *testing.T) {
	t.Parallel()
	t.Run("a delete that fails for its old receipt is repeated with the newer one", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(10))
			// The message is received again while its first delete is under way.
			srv.Delay("ReceiveMessage", time.Second, sqstest.After(1), sqstest.Times(1))
			srv.Delay("DeleteMessageBatch", 3*time.Second, sqstest.Times(1))
			srv.FailEntries("DeleteMessageBatch", "ReceiptHandleIsInvalid", true, sqstest.Times(1))
			srv.Duplicate("orders", sqstest.Times(1))
			id := q.Send(t, "order")
			var runs atomic.Int32
			r := start(t, srv, q, handle(func(context.Context, *holdfast.Message) error { runs.Add(1); return nil }), consumer.Config{})
			until(t, 2*time.Minute, "done", empty(q))
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			if n := q.Receives(id); n != 2 {
				t.Fatalf("received %d times, want twice", n)
			}
			if s := r.Stats(); runs.Load() != 1 || s.Unsettled != 0 || s.Duplicates != 1 {
				t.Errorf("%d runs, %+v; want one run, a duplicate, and none unsettled", runs.Load(), s)
			}
		})
	})
}

func TestThrottledEntries(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"RequestThrottled", "ThrottlingException", "KMS.ThrottlingException", "KmsThrottled"} {
		t.Run(code+" of an entry is tried again, whoever is said to be at fault", func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(10))
				srv.FailEntries("ChangeMessageVisibilityBatch", code, true, sqstest.Times(2))
				srv.FailEntries("DeleteMessageBatch", code, true, sqstest.Times(2))
				id := q.Send(t, "order")
				r := start(t, srv, q, handle(func(ctx context.Context, _ *holdfast.Message) error {
					return workFor(ctx, 40*time.Second)
				}), consumer.Config{})
				until(t, 3*time.Minute, "done", empty(q))
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				if s := r.Stats(); q.Receives(id) != 1 || s.LeasesLost != 0 || s.Done != 1 {
					t.Errorf("received %d times, %+v", q.Receives(id), s)
				}
			})
		})
	}
}

func TestHooksSeeTheRunTheyAreToldOf(t *testing.T) {
	t.Parallel()
	t.Run("a message does not run again before Finished has returned", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo", sqstest.DLQ(10))
			q.Send(t, "order", sqstest.Group("a"))
			q.Send(t, "order", sqstest.Group("b")) // its worker is idle when a is to run again
			var inHook atomic.Bool
			var runs, overlaps atomic.Int32
			start(t, srv, q, handle(func(_ context.Context, m *holdfast.Message) error {
				if m.GroupID == "b" {
					time.Sleep(time.Millisecond)
					return nil
				}
				if inHook.Load() {
					overlaps.Add(1)
				}
				if runs.Add(1) < 3 {
					return holdfast.RetryAfter(2*time.Millisecond, errTest)
				}
				return nil
			}), consumer.Config{Hooks: holdfast.Hooks{Finished: func(e holdfast.FinishedEvent) {
				if e.Message.GroupID == "a" {
					inHook.Store(true)
					time.Sleep(5 * time.Millisecond)
					inHook.Store(false)
				}
			}}})
			until(t, time.Minute, "done", empty(q))
			if overlaps.Load() > 0 {
				t.Errorf("%d runs began while the hook looked at the one before", overlaps.Load())
			}
		})
	})
}

func TestDeadLetterOfARedelivered(t *testing.T) {
	t.Parallel()
	t.Run("a message redelivered while its copy is sent is no race", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(100))
			srv.Duplicate("orders", sqstest.Times(50))
			q.SendN(t, 50)
			start(t, srv, q, handle(func(context.Context, *holdfast.Message) error { return holdfast.Permanent(errTest) }), consumer.Config{DeadLetterShare: -1})
			until(t, time.Minute, "dead-lettered", func() bool { return empty(q)() })
		})
	})
}

// silentGate is a gate that does not say why it is closed.
type silentGate struct {
	holdfast.Middleware
	reopened chan struct{}
}

func (g silentGate) Closed() (<-chan struct{}, error) {
	select {
	case <-g.reopened:
		return nil, nil
	default:
		return g.reopened, nil
	}
}

func TestGateThatDoesNotSayWhy(t *testing.T) {
	t.Parallel()
	t.Run("the probes answer all the same", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			gate := silentGate{holdfast.MiddlewareFunc(func(h holdfast.Handler) holdfast.Handler { return h }), make(chan struct{})}
			r := start(t, srv, q, nothing, consumer.Config{Middleware: []holdfast.Middleware{gate}})
			time.Sleep(time.Second)
			w := httptest.NewRecorder()
			r.LiveHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/live", nil))
			if w.Code != 200 {
				t.Errorf("live is %d: %s", w.Code, w.Body)
			}
			close(gate.reopened)
			until(t, time.Second, "healthy", healthy(r))
		})
	})
}

// panickingGate is a gate that panics so many times.
type panickingGate struct {
	holdfast.Middleware
	left *atomic.Int32
}

func (g panickingGate) Closed() (<-chan struct{}, error) {
	if g.left.Add(-1) >= 0 {
		panic("no gate")
	}
	return nil, nil
}

func TestGateThatPanics(t *testing.T) {
	t.Parallel()
	t.Run("it counts as closed, health says so, and receiving goes on when it answers", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.Send(t, "order")
			gate := panickingGate{holdfast.MiddlewareFunc(func(h holdfast.Handler) holdfast.Handler { return h }), new(atomic.Int32)}
			gate.left.Store(3)
			r := start(t, srv, q, nothing, consumer.Config{Middleware: []holdfast.Middleware{gate}})
			until(t, 500*time.Millisecond, "seen in health", func() bool { _, ok := problemOf(r, "gate"); return ok })
			if n := srv.Calls("ReceiveMessage"); n != 0 {
				t.Errorf("%d receives while the gate panicked", n)
			}
			until(t, 10*time.Second, "done", empty(q))
			until(t, time.Second, "healthy", healthy(r))
		})
	})
}

func TestFailedGroupsLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	t.Run("with one slot, a group that waits out its backoff holds back itself alone", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo", sqstest.DLQ(10))
			bad := q.SendN(t, 10, sqstest.Group("bad"))
			var done effects
			r := start(t, srv, q, handle(func(_ context.Context, m *holdfast.Message) error {
				if m.GroupID == "bad" {
					return holdfast.RetryAfter(10*time.Minute, errTest)
				}
				done.add(m.GroupID)
				return nil
			}), consumer.Config{Concurrency: 1})
			until(t, time.Minute, "the bad group waits", func() bool { return r.Stats().Held == 10 })
			q.SendN(t, 5, sqstest.Group("good"))
			until(t, time.Minute, "the other group is done", func() bool { return done.count("good") == 5 })
			if n := r.Stats().Held; n != 10 {
				t.Errorf("%d held, want the bad group's 10", n)
			}
			if n := q.Receives(bad[5]); n != 1 {
				t.Errorf("a follower was received %d times", n)
			}
		})
	})
}

func TestHungExtensionsOfMany(t *testing.T) {
	t.Parallel()
	t.Run("with more calls hung than can be under way, every handler is cancelled before its message is back", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(100))
			srv.Hang("ChangeMessageVisibilityBatch")
			var longest, runs atomic.Int64
			start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				runs.Add(1)
				<-ctx.Done()
				for took := int64(time.Since(m.ReceivedAt)); ; {
					if old := longest.Load(); took <= old || longest.CompareAndSwap(old, took) {
						return ctx.Err()
					}
				}
			}), consumer.Config{Concurrency: 2000})
			for range 200 {
				q.SendN(t, 10)
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(15 * time.Second)
			if took := time.Duration(longest.Load()); took == 0 || took > 28500*time.Millisecond {
				t.Errorf("of %d handlers one was cancelled %v after its message came, which is back after 30 s; want 28 s", runs.Load(), took)
			}
		})
	})
}

func TestClaimBesideAnExtension(t *testing.T) {
	t.Parallel()
	t.Run("an extension confirmed while the key is claimed moves the claim along", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(10))
			once := idempotency.New(slowClaims{idempotency.NewMemoryStore(), 900 * time.Millisecond}, idempotency.Config{Consumer: "orders"})
			// The claim begins shortly before the hold is extended, at half of its 30 s.
			wait := holdfast.MiddlewareFunc(func(next holdfast.Handler) holdfast.Handler {
				return handle(func(ctx context.Context, m *holdfast.Message) error {
					time.Sleep(14500 * time.Millisecond)
					return next.Handle(ctx, m)
				})
			})
			id := q.Send(t, "order")
			var runs runLog
			r := start(t, srv, q, runs.of(func(ctx context.Context, _ *holdfast.Message) error {
				return workFor(ctx, 14*time.Second)
			}), consumer.Config{Middleware: []holdfast.Middleware{wait, once}})
			until(t, 3*time.Minute, "done", empty(q))
			if all := runs.all(); len(all) != 1 || all[0].cause != nil || q.Receives(id) != 1 {
				t.Errorf("%d receives, %+v; want one run that is not cancelled: its hold was extended in time (%+v)", q.Receives(id), all, r.Stats())
			}
		})
	})
}

// slowClaims is a store whose claims take a while.
type slowClaims struct {
	idempotency.Store
	take time.Duration
}

func (s slowClaims) Claim(ctx context.Context, r idempotency.ClaimRequest) (idempotency.ClaimReply, error) {
	reply, err := s.Store.Claim(ctx, r)
	time.Sleep(s.take)
	return reply, err
}
