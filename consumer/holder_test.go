package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/sqstest"
)

// runLog records the runs of a handler.
type runLog struct {
	mu   sync.Mutex // guards list
	list []aRun
}

type aRun struct {
	id         string
	began, end time.Time
	cause      error // of the context, when the run ended
}

// of makes a handler that records and does as f says.
func (r *runLog) of(f func(ctx context.Context, m *holdfast.Message) error) holdfast.Handler {
	return handle(func(ctx context.Context, m *holdfast.Message) error {
		r.mu.Lock()
		i := len(r.list)
		r.list = append(r.list, aRun{id: m.ID, began: time.Now()})
		r.mu.Unlock()
		defer func() {
			r.mu.Lock()
			r.list[i].end, r.list[i].cause = time.Now(), context.Cause(ctx)
			r.mu.Unlock()
		}()
		return f(ctx, m)
	})
}

func (r *runLog) all() []aRun {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

// ended returns the run of number n, counted from 0, once it has ended.
func (r *runLog) ended(t *testing.T, n int, limit time.Duration) aRun {
	t.Helper()
	until(t, limit, fmt.Sprintf("run %d has ended", n), func() bool {
		all := r.all()
		return len(all) > n && !all[n].end.IsZero()
	})
	return r.all()[n]
}

// workFor lasts d, or until ctx ends.
func workFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// untilCancelled works for ever.
func untilCancelled(ctx context.Context, _ *holdfast.Message) error {
	<-ctx.Done()
	return ctx.Err()
}

// callsOf returns the log's calls of an action.
func callsOf(srv *sqstest.Server, action string) (list []sqstest.Call) {
	for _, c := range srv.Log() {
		if c.Action == action {
			list = append(list, c)
		}
	}
	return list
}

const extendAction = "ChangeMessageVisibilityBatch"

func TestOneHolderKeepsItsMessages(t *testing.T) {
	t.Parallel()
	t.Run("a handler of 2 h on 30 s of visibility is received once", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(3))
			id := q.Send(t, "order")
			var r runLog
			h := r.of(func(ctx context.Context, _ *holdfast.Message) error { return workFor(ctx, 2*time.Hour) })
			cfg := consumer.Config{HandlerTimeout: 3 * time.Hour}
			a := start(t, srv, q, h, cfg)
			b := start(t, srv, q, h, cfg) // would get it if it were visible
			for range 2*60*60 - 1 {
				time.Sleep(time.Second)
				if m, ok := q.Message(id); !ok || m.State != sqstest.InFlight {
					t.Fatalf("the message is %q in its handler", m.State)
				}
			}
			until(t, time.Minute, "done", empty(q))
			if all := r.all(); len(all) != 1 || all[0].cause != nil {
				t.Errorf("runs: %+v, want one, not cancelled", all)
			}
			if n := q.Receives(id); n != 1 {
				t.Errorf("received %d times, want once", n)
			}
			// At half of each hold, and no more than that.
			if n := len(callsOf(srv, extendAction)); n < 470 || n > 500 {
				t.Errorf("%d extensions, want about 480", n)
			}
			if lost := a.Stats().LeasesLost + b.Stats().LeasesLost; lost != 0 {
				t.Errorf("%d leases lost", lost)
			}
		})
	})
	t.Run("an answer that comes late puts off no extension", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(3))
			srv.Delay(extendAction, 4*time.Second, sqstest.OnReply())
			q.Send(t, "order")
			var r runLog
			start(t, srv, q, r.of(func(ctx context.Context, _ *holdfast.Message) error { return workFor(ctx, 5*time.Minute) }), consumer.Config{})
			until(t, 10*time.Minute, "done", empty(q))
			calls := callsOf(srv, extendAction)
			for i := 2; i < len(calls); i++ {
				// A claim ends 5 s before the hold, so half of what the answer leaves is late.
				if d := calls[i].At.Sub(calls[i-1].At); d > 15*time.Second {
					t.Errorf("extension %d came %v after the one before, want half of 30s", i, d)
				}
			}
			if len(calls) < 19 {
				t.Errorf("%d extensions in 5 minutes", len(calls))
			}
		})
	})
	t.Run("5,000 parked messages never lapse while extensions end out of order", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			const messages = 5000
			srv := sqstest.New(t, sqstest.NoHistory(), sqstest.LogLimit(1))
			q := srv.Queue(t, "orders", sqstest.DLQ(3))
			srv.Delay(extendAction, 2*time.Millisecond, sqstest.OnReply())
			srv.Delay(extendAction, 7*time.Millisecond, sqstest.OnReply(), sqstest.Probability(0.5, 1))
			q.SendN(t, messages)
			never := make(chan struct{})
			r := start(t, srv, q, handle(func(context.Context, *holdfast.Message) error {
				return holdfast.Park(never, errTest)
			}), consumer.Config{MaxParked: messages})
			until(t, 10*time.Second, "all parked", func() bool { return r.Stats().Parked == messages })
			for range 65 {
				time.Sleep(time.Second)
				if d := q.Depth(); d.InFlight != messages {
					t.Fatalf("%+v, want all in flight", d)
				}
			}
			s := r.Stats()
			if s.Parked != messages || s.LeasesLost != 0 {
				t.Errorf("%d parked, %d leases lost, want all parked still", s.Parked, s.LeasesLost)
			}
			// At 15, 30, 45 and 60 s, ten per call.
			if s.ExtendCalls < 4*messages/10 || s.ExtendCalls > 5*messages/10 {
				t.Errorf("%d extension calls, want about %d", s.ExtendCalls, 4*messages/10)
			}
		})
	})
	for _, c := range []struct {
		name  string
		fault float64
		fill  float64 // entries per call at least
	}{
		{"500 held messages are extended in batches of 10 and never lapse", 0, 10},
		{"500 held messages never lapse under 30 % throttling either", 0.3, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				const messages = 500
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(3))
				srv.Delay("", 15*time.Millisecond)
				if c.fault > 0 {
					srv.Fail(extendAction, sqstest.Throttle, sqstest.Probability(c.fault, 7))
				}
				ids := q.SendN(t, messages)
				var r runLog
				a := start(t, srv, q, r.of(func(ctx context.Context, _ *holdfast.Message) error {
					return workFor(ctx, 4*time.Minute)
				}), consumer.Config{Concurrency: messages})
				until(t, 10*time.Second, "all run", func() bool { return a.Stats().Running == messages })
				for range 4*60 - 15 {
					time.Sleep(time.Second)
					if d := q.Depth(); d.InFlight != messages {
						t.Fatalf("%+v, want all in flight", d)
					}
				}
				until(t, time.Minute, "done", empty(q))
				for _, id := range ids {
					if n := q.Receives(id); n != 1 {
						t.Fatalf("message %s was received %d times", id, n)
					}
				}
				for _, run := range r.all() {
					if run.cause != nil {
						t.Fatalf("a handler was cancelled: %v", run.cause)
					}
				}
				n, entries, failed := 0, 0, 0
				for _, call := range callsOf(srv, extendAction) {
					n++
					entries += call.Entries
					if call.Err != "" {
						failed++
					}
				}
				if fill := float64(entries) / float64(n); fill < c.fill {
					t.Errorf("%.2f messages per extension, want %v", fill, c.fill)
				}
				if c.fault > 0 && float64(failed) < 0.2*float64(n) {
					t.Errorf("%d of %d extensions were throttled: the test shows nothing", failed, n)
				}
				// 16 half holds of 50 calls; each failed one is made again.
				if most := 850 + failed; n > most {
					t.Errorf("%d extensions, want at most %d", n, most)
				}
				if s := a.Stats(); s.LeasesLost != 0 {
					t.Errorf("%d leases lost", s.LeasesLost)
				}
			})
		})
	}
	for _, visibility := range []time.Duration{2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second, 7 * time.Second} {
		t.Run(fmt.Sprintf("a visibility of %v outlasts a handler of a minute", visibility), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(3))
				srv.Delay("", 20*time.Millisecond)
				id := q.Send(t, "order")
				var r runLog
				start(t, srv, q, r.of(func(ctx context.Context, _ *holdfast.Message) error {
					return workFor(ctx, time.Minute)
				}), consumer.Config{Visibility: visibility})
				until(t, 2*time.Minute, "done", empty(q))
				if all := r.all(); len(all) != 1 || all[0].cause != nil || q.Receives(id) != 1 {
					t.Errorf("received %d times, runs: %+v", q.Receives(id), all)
				}
			})
		})
	}
}

// returns is what handlers can say after they lost their lease.
var returns = map[string]func() error{
	"nil":        func() error { return nil },
	"an error":   func() error { return errTest },
	"Permanent":  func() error { return holdfast.Permanent(errTest) },
	"Discard":    func() error { return holdfast.Discard(errTest) },
	"RetryAfter": func() error { return holdfast.RetryAfter(time.Second, errTest) },
	"Park":       func() error { return holdfast.Park(make(chan struct{}), errTest) },
	"a panic":    func() error { panic("test") },
}

// settlingCalls counts the calls that settle anything, where no hold is extended.
func settlingCalls(srv *sqstest.Server) int {
	return srv.Calls("DeleteMessageBatch") + srv.Calls("SendMessage") + srv.Calls("ChangeMessageVisibilityBatch")
}

func TestOneHolderLosesAReceipt(t *testing.T) {
	t.Parallel()
	for what, say := range returns {
		t.Run("the handler is cancelled with ErrLeaseLost and settles nothing by "+what, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(3))
				srv.FailEntries(extendAction, "ReceiptHandleIsInvalid", true, sqstest.Times(1))
				id := q.Send(t, "order")
				var r runLog
				var told atomic.Pointer[holdfast.LeaseLostEvent]
				var settled atomic.Int64
				began := time.Now()
				c := start(t, srv, q, r.of(func(ctx context.Context, m *holdfast.Message) error {
					if m.Attempt > 1 {
						return nil
					}
					<-ctx.Done()
					_ = workFor(context.WithoutCancel(ctx), 100*time.Millisecond)
					return say()
				}), consumer.Config{Hooks: holdfast.Hooks{
					LeaseLost: func(e holdfast.LeaseLostEvent) { told.Store(&e) },
					Settled:   func(holdfast.SettledEvent) { settled.Add(1) },
				}})
				run := r.ended(t, 0, 20*time.Second)
				if !errors.Is(run.cause, holdfast.ErrLeaseLost) {
					t.Errorf("cause is %v, want ErrLeaseLost", run.cause)
				}
				if e := told.Load(); e == nil || e.Message.ID != id || !errors.Is(e.Err, holdfast.ErrLeaseLost) {
					t.Errorf("LeaseLost was told %+v", e)
				}
				// Until it comes back by itself nothing is done about it.
				time.Sleep(time.Until(began.Add(29900 * time.Millisecond)))
				if n := settlingCalls(srv); n != 1 || settled.Load() != 0 {
					t.Errorf("%d calls beyond the one extension, %d messages told as settled", n-1, settled.Load())
				}
				if s := c.Stats(); s.Unsettled != 1 || s.LeasesLost != 1 || s.Held != 0 {
					t.Errorf("%+v, want 1 unsettled, 1 lost, none held", s)
				}
				until(t, 2*time.Second, "done on the next delivery", empty(q))
				if n := q.Receives(id); n != 2 {
					t.Errorf("received %d times, want twice", n)
				}
			})
		})
	}
	t.Run("a receipt made stale by a delivery elsewhere cancels the older handler", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(3))
			id := q.Send(t, "order")
			srv.Duplicate("orders", sqstest.Times(1))
			var r, s runLog
			// One slot, so it does not poll while it works.
			start(t, srv, q, r.of(untilCancelled), consumer.Config{Concurrency: 1, Prefetch: 1})
			until(t, time.Second, "it runs", func() bool { return len(r.all()) == 1 })
			start(t, srv, q, s.of(func(ctx context.Context, _ *holdfast.Message) error { return workFor(ctx, 40*time.Second) }), consumer.Config{})
			run := r.ended(t, 0, 20*time.Second)
			if !errors.Is(run.cause, holdfast.ErrLeaseLost) {
				t.Errorf("cause is %v, want ErrLeaseLost", run.cause)
			}
			until(t, time.Minute, "the newer holder is done", empty(q))
			if all := s.all(); len(all) != 1 || all[0].cause != nil {
				t.Errorf("runs of the newer holder: %+v, want one, not cancelled", all)
			}
			if n := q.Receives(id); n != 2 {
				t.Errorf("received %d times, want twice", n)
			}
		})
	})
	for why, fault := range map[string]func(*sqstest.Server) *sqstest.Injected{
		"throttling":   func(srv *sqstest.Server) *sqstest.Injected { return srv.Fail(extendAction, sqstest.Throttle) },
		"hung calls":   func(srv *sqstest.Server) *sqstest.Injected { return srv.Hang(extendAction) },
		"a denial":     func(srv *sqstest.Server) *sqstest.Injected { return srv.Fail(extendAction, sqstest.AccessDenied) },
		"slow answers": func(srv *sqstest.Server) *sqstest.Injected { return srv.Delay(extendAction, 20*time.Second) },
	} {
		t.Run("a hold that cannot be extended for "+why+" ends before anyone else may start", func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(3))
				fault(srv)
				q.Send(t, "order")
				var r, s runLog
				start(t, srv, q, r.of(untilCancelled), consumer.Config{Concurrency: 1, Prefetch: 1})
				until(t, time.Second, "it runs", func() bool { return len(r.all()) == 1 })
				start(t, srv, q, s.of(func(context.Context, *holdfast.Message) error { return nil }), consumer.Config{})
				run := r.ended(t, 0, time.Minute)
				if !errors.Is(run.cause, holdfast.ErrLeaseLost) {
					t.Errorf("cause is %v, want ErrLeaseLost", run.cause)
				}
				next := s.ended(t, 0, time.Minute)
				if ahead := next.began.Sub(run.end); ahead < 1900*time.Millisecond || ahead > 3*time.Second {
					t.Errorf("cancelled %v ahead of the next run, want 2 s to 3 s", ahead)
				}
			})
		})
	}
	t.Run("a message redelivered to a deaf handler runs again when that returns", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(3))
			srv.FailEntries(extendAction, "ReceiptHandleIsInvalid", true, sqstest.Times(1))
			id := q.Send(t, "order")
			var r runLog
			start(t, srv, q, r.of(func(ctx context.Context, _ *holdfast.Message) error {
				return workFor(context.WithoutCancel(ctx), 50*time.Second)
			}), consumer.Config{})
			run := r.ended(t, 0, time.Minute)
			if !errors.Is(run.cause, holdfast.ErrLeaseLost) {
				t.Errorf("cause is %v, want ErrLeaseLost", run.cause)
			}
			if n := len(q.Deleted()); n != 0 {
				t.Errorf("deleted by a run that had lost its lease")
			}
			second := r.ended(t, 1, 2*time.Minute)
			if second.began.Before(run.end) {
				t.Error("two handlers ran at once in one process")
			}
			until(t, time.Second, "done", empty(q))
			if n := q.Receives(id); n != 2 {
				t.Errorf("received %d times, want twice", n)
			}
		})
	})
}

// thief is a store that lets a test take claims over by force.
type thief struct {
	*idempotency.MemoryStore
	mu     sync.Mutex // guards victim and fence
	victim idempotency.ClaimRequest
	fence  int64
}

func (s *thief) Claim(ctx context.Context, r idempotency.ClaimRequest) (idempotency.ClaimReply, error) {
	reply, err := s.MemoryStore.Claim(ctx, r)
	if err == nil && reply.Claimed() {
		s.mu.Lock()
		s.victim, s.fence = r, reply.Fence
		s.mu.Unlock()
	}
	return reply, err
}

// steal makes the newest claim another's, and returns how the other completes.
func (s *thief) steal(t *testing.T) (complete func()) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, v := context.Background(), s.victim
	_, err := s.Release(ctx, idempotency.ReleaseRequest{Key: v.Key, Token: v.Token, Fence: s.fence, TTL: v.TTL})
	if err != nil {
		t.Fatal(err)
	}
	v.Token = "thief"
	reply, err := s.MemoryStore.Claim(ctx, v)
	if err != nil || reply.Class != idempotency.ClassTakeover {
		t.Fatalf("the claim was not stolen: %v, %v", reply.Class, err)
	}
	return func() {
		_, err := s.Complete(ctx, idempotency.CompleteRequest{Key: v.Key, Token: v.Token, Fence: reply.Fence, TTL: time.Hour, Attempts: 1})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestOneHolderLosesAClaim(t *testing.T) {
	t.Parallel()
	for what, say := range returns {
		t.Run("a stolen claim cancels the handler, which settles nothing by "+what, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(5))
				id := q.Send(t, "order")
				store := &thief{MemoryStore: idempotency.NewMemoryStore()}
				var r runLog
				c := start(t, srv, q, r.of(func(ctx context.Context, _ *holdfast.Message) error {
					<-ctx.Done()
					return say()
				}), consumer.Config{Middleware: []holdfast.Middleware{
					idempotency.New(store, idempotency.Config{Consumer: "orders", Process: new(idempotency.Process)}),
				}})
				until(t, time.Second, "it runs", func() bool { return len(r.all()) == 1 })
				complete := store.steal(t)
				run := r.ended(t, 0, 20*time.Second)
				if !errors.Is(run.cause, holdfast.ErrLeaseLost) {
					t.Errorf("cause is %v, want ErrLeaseLost", run.cause)
				}
				complete()
				time.Sleep(25 * time.Second)
				// One call is the extension that found the claim stolen.
				if n := settlingCalls(srv); n != 1 || len(q.Deleted()) != 0 || len(q.DLQ().Messages()) != 0 {
					t.Errorf("%d calls beyond the extension; deleted: %v", n-1, q.Deleted())
				}
				if s := c.Stats(); s.Unsettled != 1 || s.Held != 0 {
					t.Errorf("%+v, want 1 unsettled, none held", s)
				}
				until(t, 30*time.Second, "the next delivery finds it done", empty(q))
				if n := len(r.all()); n != 1 {
					t.Errorf("%d runs, want 1", n)
				}
				if got := q.Deleted(); len(got) != 1 || got[0] != id {
					t.Errorf("deleted: %v", got)
				}
			})
		})
	}
	t.Run("a claim that cannot be extended is lost before anyone else may have it", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(5))
			id := q.Send(t, "order")
			store := idempotency.NewMemoryStore()
			config := func(p *process) consumer.Config {
				return consumer.Config{Concurrency: 1, Prefetch: 1, Middleware: []holdfast.Middleware{
					idempotency.New(processStore{p, store}, idempotency.Config{Consumer: "orders", StrictLease: true, Process: new(idempotency.Process)}),
				}}
			}
			var r, s runLog
			// The store, and nothing else, is out of its reach after the claim.
			cut := newProcess(t, srv, "before extend")
			start(t, srv, q, r.of(func(ctx context.Context, _ *holdfast.Message) error {
				<-ctx.Done()
				return ctx.Err()
			}), config(cut))
			until(t, time.Second, "it runs", func() bool { return len(r.all()) == 1 })
			b := newProcess(t, srv, "")
			start(t, srv, q, s.of(func(ctx context.Context, _ *holdfast.Message) error { return workFor(ctx, 40*time.Second) }), config(b))
			run := r.ended(t, 0, time.Minute)
			if !errors.Is(run.cause, holdfast.ErrLeaseLost) {
				t.Errorf("cause is %v, want ErrLeaseLost", run.cause)
			}
			next := s.ended(t, 0, 3*time.Minute)
			if next.began.Before(run.end) || next.cause != nil {
				t.Errorf("the next run began %v after the end of the first, cause %v", next.began.Sub(run.end), next.cause)
			}
			until(t, time.Second, "done", empty(q))
			if got := q.Deleted(); len(got) != 1 || got[0] != id {
				t.Errorf("deleted: %v", got)
			}
		})
	})
	t.Run("a claim outlives a lost visibility: the copy waits and is not run", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(20))
			// Every extension of the first holder fails from the start on.
			lost := srv.FailEntries(extendAction, "ReceiptHandleIsInvalid", true, sqstest.Times(1))
			q.Send(t, "order")
			mw := idempotency.New(idempotency.NewMemoryStore(), idempotency.Config{Consumer: "orders", Process: new(idempotency.Process)})
			cfg := consumer.Config{Concurrency: 1, Prefetch: 1, Middleware: []holdfast.Middleware{mw}}
			var r runLog
			h := r.of(func(ctx context.Context, _ *holdfast.Message) error { return workFor(ctx, 2*time.Minute) })
			a := start(t, srv, q, h, cfg)
			until(t, time.Second, "it runs", func() bool { return len(r.all()) == 1 })
			b := start(t, srv, q, h, cfg)
			until(t, 5*time.Minute, "done", empty(q))
			if all := r.all(); len(all) != 1 || all[0].cause != nil {
				t.Errorf("runs: %+v, want one, not cancelled", all)
			}
			if lost.Hits() != 1 || a.Stats().LeasesLost != 1 {
				t.Errorf("%d extensions failed, %d leases lost, want 1 and 1", lost.Hits(), a.Stats().LeasesLost)
			}
			if b.Stats().Received == 0 {
				t.Error("the copy was not received elsewhere: the test shows nothing")
			}
		})
	})
}

func TestOneHolderAtTwelveHours(t *testing.T) {
	t.Parallel()
	for _, visibility := range []time.Duration{30 * time.Second, 2 * time.Minute, 5 * time.Hour, 12 * time.Hour} {
		t.Run(fmt.Sprintf("the cap ends in a cancelled handler, not in errors, with a visibility of %v", visibility), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t, sqstest.LogLimit(-1))
				q := srv.Queue(t, "orders", sqstest.DLQ(3))
				srv.Delay("", 20*time.Millisecond)
				id := q.Send(t, "order")
				var r runLog
				var failed, extended, lately atomic.Int64
				began := time.Now()
				c := start(t, srv, q, r.of(untilCancelled), consumer.Config{
					HandlerTimeout: -1, Visibility: visibility, Hooks: holdfast.Hooks{Extended: func(e holdfast.ExtendedEvent) {
						extended.Add(1)
						failed.Add(int64(e.Failed))
						if time.Since(began) > 12*time.Hour-time.Minute && time.Since(began) < 12*time.Hour {
							lately.Add(1)
						}
					}},
				})
				time.Sleep(12*time.Hour - 20*time.Second)
				if n := len(r.all()); n != 1 || c.Stats().LeasesLost != 0 {
					t.Fatalf("%d runs, %d leases lost before the 12 hours are over", n, c.Stats().LeasesLost)
				}
				run := r.ended(t, 0, time.Minute)
				if !errors.Is(run.cause, holdfast.ErrLeaseLost) {
					t.Errorf("cause is %v, want ErrLeaseLost", run.cause)
				}
				if left := began.Add(12 * time.Hour).Sub(run.end); left < time.Second || left > 15*time.Second {
					t.Errorf("cancelled %v before the 12 hours were over, want 1 s to 15 s", left)
				}
				if failed.Load() != 0 {
					t.Errorf("%d extensions failed: more was asked for than was left", failed.Load())
				}
				if lately.Load() > 20 {
					t.Errorf("%d extensions in the last minute", lately.Load())
				}
				if most := int64(12*time.Hour/(visibility/2)) * 11 / 10; extended.Load() > most+5 {
					t.Errorf("%d extensions, want %d at most", extended.Load(), most)
				}
				if n := len(q.Deleted()); n != 0 {
					t.Error("the message was deleted")
				}
				until(t, 20*time.Second, "it is received again", func() bool { return q.Receives(id) == 2 })
			})
		})
	}
}

func TestOneHolderTakesOverAfterACrash(t *testing.T) {
	t.Parallel()
	for _, claims := range []bool{false, true} {
		for _, after := range []time.Duration{10 * time.Second, 20 * time.Second, 5 * time.Minute} {
			name := fmt.Sprintf("after %v, as soon as the visibility ends", after)
			if claims {
				name += ", and the claim is free by then"
			}
			t.Run(name, func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					srv := sqstest.New(t)
					q := srv.Queue(t, "orders", sqstest.DLQ(5))
					id := q.Send(t, "order")
					store := idempotency.NewMemoryStore()
					config := func(p *process) (cfg consumer.Config) {
						if claims {
							cfg.Middleware = []holdfast.Middleware{idempotency.New(processStore{p, store}, idempotency.Config{Consumer: "orders", Process: new(idempotency.Process)})}
						}
						return cfg
					}
					first, second := newProcess(t, srv, ""), newProcess(t, srv, "")
					first.run(q, handle(untilCancelled), config(first))
					time.Sleep(after)
					first.die()
					m, _ := q.Message(id)
					if left := time.Until(m.VisibleAt); left > 30*time.Second {
						t.Errorf("the message is hidden for another %v, want 30 s at most", left)
					}
					var r runLog
					second.run(q, r.of(func(context.Context, *holdfast.Message) error { return nil }), config(second))
					run := r.ended(t, 0, time.Minute)
					if late := run.began.Sub(m.VisibleAt); late < 0 || late > 50*time.Millisecond {
						t.Errorf("taken over %v after the visibility ended", late)
					}
					until(t, time.Second, "done", empty(q))
					if n := q.Receives(id); n != 2 {
						t.Errorf("received %d times, want twice", n)
					}
				})
			})
		}
	}
}

func TestOneHolderHandsItsNewerReceipt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		took   time.Duration
		result error
		job    func(*sqstest.Server) // what else happens
	}{
		{name: "to a running handler, whose hold and delete use it", took: 2 * time.Minute},
		{name: "to a message whose delete is under way, which is deleted again", job: func(srv *sqstest.Server) {
			// SQS has handed out the newer receipt, of which nobody has heard here
			// yet, and takes the older one without deleting anything.
			srv.Delay("ReceiveMessage", time.Second, sqstest.After(1), sqstest.Times(1), sqstest.OnReply())
			srv.Delay("DeleteMessageBatch", 2*time.Second, sqstest.Times(1), sqstest.OnReply())
		}},
		{name: "while an extension with the older one is under way", took: 2 * time.Minute, job: func(srv *sqstest.Server) {
			// The copy arrives while the extension is under way.
			srv.Delay("ReceiveMessage", 16*time.Second, sqstest.After(1), sqstest.Times(1), sqstest.OnReply())
			srv.Delay(extendAction, 3*time.Second, sqstest.Times(1))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(5))
				id := q.Send(t, "order")
				srv.Duplicate("orders", sqstest.Times(1))
				if c.job != nil {
					c.job(srv)
				}
				var r runLog
				k := start(t, srv, q, r.of(func(ctx context.Context, _ *holdfast.Message) error {
					if err := workFor(ctx, c.took); err != nil {
						return err
					}
					return c.result
				}), consumer.Config{})
				until(t, 5*time.Minute, "done", empty(q))
				time.Sleep(time.Minute)
				if all := r.all(); len(all) != 1 || all[0].cause != nil {
					t.Errorf("runs: %+v, want one, not cancelled", all)
				}
				if n := q.Receives(id); n != 2 {
					t.Errorf("received %d times, want twice", n)
				}
				if s := k.Stats(); s.Received != 1 || s.Duplicates != 1 || s.Done != 1 || s.LeasesLost != 0 || s.Unsettled != 0 {
					t.Errorf("%+v, want 1 received, 1 duplicate, 1 done and nothing lost", s)
				}
				if got := q.Deleted(); len(got) != 1 || got[0] != id {
					t.Errorf("deleted: %v", got)
				}
			})
		})
	}
}

// lenient is a client whose SQS takes every extension, without effect where the receipt
// is old.
type lenient struct{ consumer.SQSAPI }

func (c lenient) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, opts ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	out, err := c.SQSAPI.ChangeMessageVisibilityBatch(ctx, in, opts...)
	if err == nil {
		for _, e := range out.Failed {
			out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: e.Id})
		}
		out.Failed = nil
	}
	return out, err
}

func TestOneHolderIsNotHeldByAnOlderReceipt(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(5))
		id := q.Send(t, "order")
		// A newer receipt is given out at 10 s and read at 18 s. Meanwhile the older one is
		// used for an extension, which is confirmed at 19 s.
		srv.Duplicate("orders", sqstest.Times(1))
		srv.Delay("ReceiveMessage", 10*time.Second, sqstest.After(1), sqstest.Times(1))
		srv.Delay(extendAction, 4*time.Second, sqstest.Times(1), sqstest.OnReply())
		var polls atomic.Int32
		client := srv.SQS(func(o *sqs.Options) {
			o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
				if polls.Add(1) == 2 {
					return slowBodies{srv.HTTPClient(), 8 * time.Second}.Do(r)
				}
				return srv.HTTPClient().Do(r)
			})
		})
		began := time.Now()
		r := startWith(t, client, q, handle(func(ctx context.Context, _ *holdfast.Message) error {
			lease, _ := holdfast.LeaseFrom(ctx)
			for time.Since(began) < time.Minute {
				time.Sleep(500 * time.Millisecond)
				if m, _ := q.Message(id); lease.Deadline().After(m.VisibleAt) {
					t.Errorf("after %v the lease is to end %v after the visibility", time.Since(began), lease.Deadline().Sub(m.VisibleAt))
				}
			}
			return nil
		}), consumer.Config{Settle: lenient{srv.SQS()}})
		until(t, 2*time.Minute, "done", empty(q))
		if s := r.Stats(); s.Duplicates != 1 || s.LeasesLost != 0 || q.Receives(id) != 2 {
			t.Errorf("%d receives, %+v", q.Receives(id), s)
		}
		calls := callsOf(srv, extendAction)
		if len(calls) < 2 || calls[1].At.Sub(began) > 21*time.Second {
			t.Errorf("calls: %+v, want the newer receipt used right after the older one", calls)
		}
	})
}

// slowBodies is an HTTP client whose replies come at once, but with bodies that take
// their time, as ten messages of 1 MiB do on a slow link.
type slowBodies struct {
	next *http.Client
	time time.Duration
}

func (c slowBodies) Do(r *http.Request) (*http.Response, error) {
	res, err := c.next.Do(r)
	if err == nil {
		res.Body = &slowBody{ReadCloser: res.Body, wait: c.time}
	}
	return res, err
}

type slowBody struct {
	io.ReadCloser
	wait time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	time.Sleep(b.wait)
	b.wait = 0
	return b.ReadCloser.Read(p)
}

func TestOneHolderCountsFromTheHeadersOfAReceive(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(3))
		id := q.Send(t, "order")
		client := srv.SQS(func(o *sqs.Options) { o.HTTPClient = slowBodies{srv.HTTPClient(), 10 * time.Second} }) // less than half a hold: it is not extended yet
		var leases, arrivals []time.Time
		began := time.Now()
		c, err := consumer.New(client, q.URL, handle(func(ctx context.Context, m *holdfast.Message) error {
			lease, _ := holdfast.LeaseFrom(ctx)
			leases, arrivals = append(leases, lease.Deadline()), append(arrivals, m.ReceivedAt)
			return nil
		}), consumer.Config{Settle: srv.SQS()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }()
		until(t, time.Minute, "received", func() bool { return q.Receives(id) == 1 })
		m, _ := q.Message(id)
		until(t, time.Minute, "done", empty(q))
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if len(leases) != 1 || time.Since(began) < 10*time.Second {
			t.Fatalf("%d runs in %v, want one after 10s", len(leases), time.Since(began))
		}
		if late := leases[0].Sub(m.VisibleAt); late != -time.Second {
			t.Errorf("the lease is to end %v after the visibility, want a second before", late)
		}
		if !arrivals[0].Equal(m.FirstReceivedAt) {
			t.Errorf("it arrived at %v, want %v", arrivals[0], m.FirstReceivedAt)
		}
	})
}

func TestOneHolderNearlyLostSparesTheOthersOfItsBatch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(3))
		// The first is to be extended at 15 s, and again after 5 s each, as nothing is
		// answered. By the third call it has 2.5 s left, and the others join.
		srv.Delay(extendAction, 3*time.Second, sqstest.After(2), sqstest.Times(1))
		srv.Hang(extendAction, sqstest.Times(2))
		first := q.Send(t, "first")
		var r runLog
		var failed atomic.Int64
		began := time.Now()
		c := start(t, srv, q, r.of(func(ctx context.Context, m *holdfast.Message) error {
			if m.Attempt > 1 {
				return nil
			}
			return workFor(ctx, time.Minute)
		}), consumer.Config{Hooks: holdfast.Hooks{Extended: func(e holdfast.ExtendedEvent) { failed.Add(int64(e.Failed)) }}})
		time.Sleep(13 * time.Second)
		others := q.SendN(t, 9)
		lost := r.ended(t, 0, 20*time.Second)
		if d := lost.end.Sub(began); lost.id != first || d != 28*time.Second || !errors.Is(lost.cause, holdfast.ErrLeaseLost) {
			t.Errorf("%s was cancelled after %v by %v, want the first a second before its visibility ends", lost.id, d, lost.cause)
		}
		until(t, 5*time.Minute, "done", empty(q))
		if n := failed.Load(); n != 2 {
			t.Errorf("%d extensions failed, want the two of the first that were not answered", n)
		}
		for _, id := range others {
			if n := q.Receives(id); n != 1 {
				t.Errorf("%s was received %d times", id, n)
			}
		}
		if n := c.Stats().LeasesLost; n != 1 {
			t.Errorf("%d leases lost", n)
		}
	})
}

// A handler can leave a goroutine behind that extends its lease. What becomes of the
// message must not be undone by an extension that is applied after it.
func TestOneHolderExtendsOnDemand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		patient bool // the caller of Extend waits for it
	}{
		{"a retry waits for an extension that a handler asked for", true},
		{"... also where the caller did not", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(3))
				srv.Delay(extendAction, 500*time.Millisecond, sqstest.Times(1))
				q.Send(t, "order")
				extended := make(chan error, 1)
				var r runLog
				began := time.Now()
				start(t, srv, q, r.of(func(ctx context.Context, m *holdfast.Message) error {
					if m.Attempt > 1 {
						return nil
					}
					if c.patient {
						ctx = context.WithoutCancel(ctx)
					}
					lease, _ := holdfast.LeaseFrom(ctx)
					go func() { extended <- lease.Extend(ctx) }()
					time.Sleep(100 * time.Millisecond)
					return holdfast.RetryAfter(5*time.Minute, errTest)
				}), consumer.Config{})
				until(t, 10*time.Minute, "done", empty(q))
				if all := r.all(); len(all) != 2 || all[1].began.Sub(all[0].end) < 5*time.Minute {
					t.Errorf("runs: %+v, want the second 5m after the first", all)
				}
				calls := callsOf(srv, extendAction)
				if len(calls) != 2 || calls[0].Err != "" || calls[1].At.Sub(began) < 500*time.Millisecond {
					t.Errorf("calls: %+v, want an extension that is confirmed and then a change", calls)
				}
				if err := <-extended; c.patient != (err == nil) {
					t.Errorf("Extend returned %v", err)
				}
			})
		})
	}
	t.Run("all who ask while it is under way share a call", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			srv.Delay(extendAction, time.Second, sqstest.Times(1))
			q.Send(t, "order")
			start(t, srv, q, handle(func(ctx context.Context, _ *holdfast.Message) error {
				lease, _ := holdfast.LeaseFrom(ctx)
				var asked sync.WaitGroup
				for range 5 {
					asked.Go(func() {
						if err := lease.Extend(ctx); err != nil {
							t.Errorf("Extend: %v", err)
						}
					})
					time.Sleep(100 * time.Millisecond)
				}
				asked.Wait()
				if n := srv.Calls(extendAction); n != 1 {
					t.Errorf("%d calls", n)
				}
				time.Sleep(time.Second) // there is something to gain again
				if err := lease.Extend(ctx); err != nil || srv.Calls(extendAction) != 2 {
					t.Errorf("the next Extend returned %v after %d calls, want a call of its own", err, srv.Calls(extendAction))
				}
				return nil
			}), consumer.Config{})
			until(t, time.Minute, "done", empty(q))
		})
	})
	t.Run("it asks for nothing when its context has ended", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.Send(t, "order")
			start(t, srv, q, handle(func(ctx context.Context, _ *holdfast.Message) error {
				lease, _ := holdfast.LeaseFrom(ctx)
				time.Sleep(time.Second)
				ended, end := context.WithCancelCause(ctx)
				end(errTest)
				for range 100 {
					if err := lease.Extend(ended); !errors.Is(err, errTest) {
						t.Errorf("Extend: %v", err)
					}
				}
				return nil
			}), consumer.Config{})
			until(t, time.Minute, "done", empty(q))
			if n := srv.Calls(extendAction); n != 0 {
				t.Errorf("%d calls", n)
			}
		})
	})
	t.Run("it is refused where the hold is lost, or settled, before SQS confirms it", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(10))
			failing := srv.FailEntries(extendAction, "InternalError", false)
			q.Send(t, "order")
			lost, settled := make(chan error, 1), make(chan error, 1)
			start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				lease, _ := holdfast.LeaseFrom(ctx)
				if m.Attempt > 1 {
					go func() { settled <- lease.Extend(context.WithoutCancel(ctx)) }()
					time.Sleep(10 * time.Millisecond)
					return nil
				}
				time.Sleep(27900 * time.Millisecond) // it is lost a tenth of a second later
				failing.Stop()
				srv.Delay(extendAction, 500*time.Millisecond, sqstest.OnReply())
				lost <- lease.Extend(context.WithoutCancel(ctx))
				return errTest
			}), consumer.Config{})
			until(t, 10*time.Minute, "done", empty(q))
			if err := <-lost; !errors.Is(err, holdfast.ErrLeaseLost) {
				t.Errorf("Extend of a hold that was lost: %v", err)
			}
			if err := <-settled; !errors.Is(err, holdfast.ErrLeaseLost) {
				t.Errorf("Extend of a hold that was settled: %v", err)
			}
		})
	})
	t.Run("it tells the deadline, what is lost and what is settled", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			srv.FailEntries(extendAction, "ReceiptHandleIsInvalid", true, sqstest.After(1))
			q.Send(t, "order")
			var lease holdfast.Lease
			r := start(t, srv, q, handle(func(ctx context.Context, _ *holdfast.Message) error {
				lease, _ = holdfast.LeaseFrom(ctx)
				time.Sleep(10 * time.Second)
				if err := lease.Extend(ctx); err != nil {
					t.Errorf("Extend: %v", err)
				}
				if left := time.Until(lease.Deadline()); left != 30*time.Second {
					t.Errorf("%v are left after it", left)
				}
				time.Sleep(time.Second)
				if err := lease.Extend(ctx); !errors.Is(err, holdfast.ErrLeaseLost) || !errors.Is(context.Cause(ctx), holdfast.ErrLeaseLost) {
					t.Errorf("Extend of a hold that is gone: %v, the context ended by %v", err, context.Cause(ctx))
				}
				return nil
			}), consumer.Config{})
			until(t, time.Minute, "lost", func() bool { return r.Stats().LeasesLost == 1 })
			if err := lease.Extend(t.Context()); !errors.Is(err, holdfast.ErrLeaseLost) {
				t.Errorf("Extend of a hold that has ended: %v", err)
			}
		})
	})
}

func TestOneHolderTellsItsRenewer(t *testing.T) {
	t.Parallel()
	type renewal struct {
		at, deadline time.Time
		lost         error
	}
	setup := func(t *testing.T, took time.Duration) (srv *sqstest.Server, q *sqstest.Queue, r *runLog, renewals func() []renewal, k *running) {
		srv = sqstest.New(t)
		q = srv.Queue(t, "orders", sqstest.DLQ(5))
		r = &runLog{}
		var mu sync.Mutex
		var list []renewal
		k = start(t, srv, q, r.of(func(ctx context.Context, _ *holdfast.Message) error {
			lease, _ := holdfast.LeaseFrom(ctx)
			stop := lease.OnRenew(func(deadline time.Time, lost error) {
				mu.Lock()
				defer mu.Unlock()
				list = append(list, renewal{time.Now(), deadline, lost})
			})
			defer stop()
			return workFor(ctx, took)
		}), consumer.Config{})
		return srv, q, r, func() []renewal { mu.Lock(); defer mu.Unlock(); return slices.Clone(list) }, k
	}
	t.Run("of each extension, with its deadline", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv, q, _, renewals, _ := setup(t, 100*time.Second)
			// The visibility runs from when SQS set it, not from when we hear of that.
			srv.Delay(extendAction, 2*time.Second, sqstest.OnReply())
			id := q.Send(t, "order")
			for range 95 {
				time.Sleep(time.Second)
				all := renewals()
				m, _ := q.Message(id)
				if len(all) > 0 && all[len(all)-1].deadline.After(m.VisibleAt) {
					t.Fatalf("the renewer was told %v, SQS hides the message until %v", all[len(all)-1].deadline, m.VisibleAt)
				}
			}
			until(t, time.Minute, "done", empty(q))
			all := renewals()
			if len(all) < 6 || len(all) > 7 {
				t.Errorf("%d renewals in 100 s, want 6", len(all))
			}
			for _, n := range all {
				if n.lost != nil || n.deadline.Sub(n.at) != 28*time.Second {
					t.Errorf("renewal: %+v", n)
				}
			}
		})
	})
	t.Run("of the loss, and does not cancel its handler", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv, q, r, renewals, k := setup(t, 25*time.Second)
			srv.FailEntries(extendAction, "ReceiptHandleIsInvalid", true, sqstest.Times(1))
			id := q.Send(t, "order")
			until(t, time.Minute, "done", empty(q))
			if all := r.all(); len(all) != 1 || all[0].cause != nil {
				t.Errorf("runs: %+v, want one, not cancelled", all)
			}
			all := renewals()
			if len(all) != 1 || !errors.Is(all[0].lost, holdfast.ErrLeaseLost) || !all[0].deadline.IsZero() {
				t.Errorf("renewals: %+v, want the loss alone", all)
			}
			if s := k.Stats(); s.LeasesLost != 1 || q.Receives(id) != 1 {
				t.Errorf("%d leases lost, %d receives, want 1 and 1", s.LeasesLost, q.Receives(id))
			}
		})
	})
	t.Run("of a newer receipt after the loss, under which the message is held again", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv, q, r, renewals, _ := setup(t, 70*time.Second)
			srv.FailEntries(extendAction, "ReceiptHandleIsInvalid", true, sqstest.Times(1))
			id := q.Send(t, "order")
			until(t, 2*time.Minute, "done", empty(q))
			if all := r.all(); len(all) != 1 || all[0].cause != nil {
				t.Errorf("runs: %+v, want one, not cancelled", all)
			}
			all := renewals()
			if len(all) < 4 || all[0].lost == nil {
				t.Fatalf("renewals: %+v, want the loss and then more", all)
			}
			// The newer receipt hides the message from when it arrived.
			if back := all[1]; back.lost != nil || back.deadline.Sub(back.at) != 29*time.Second {
				t.Errorf("told %+v when the message came back", back)
			}
			for _, n := range all[2:] {
				if n.lost != nil || n.deadline.Sub(n.at) != 30*time.Second {
					t.Errorf("renewal: %+v", n)
				}
			}
			if n := q.Receives(id); n != 2 {
				t.Errorf("received %d times, want twice", n)
			}
		})
	})
	t.Run("not beyond its run", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			// A renewer that was not taken back must not decide for the run after it.
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo", sqstest.DLQ(5))
			q.Send(t, "order", sqstest.Group("a"))
			var r runLog
			start(t, srv, q, r.of(func(ctx context.Context, m *holdfast.Message) error {
				if m.Attempt == 1 {
					lease, _ := holdfast.LeaseFrom(ctx)
					lease.OnRenew(func(time.Time, error) {})
					return errTest
				}
				return untilCancelled(ctx, m)
			}), consumer.Config{})
			until(t, time.Minute, "it runs again", func() bool { return len(r.all()) == 2 })
			srv.FailEntries(extendAction, "ReceiptHandleIsInvalid", true, sqstest.Times(1))
			if run := r.ended(t, 1, time.Minute); !errors.Is(run.cause, holdfast.ErrLeaseLost) {
				t.Errorf("cause is %v, want ErrLeaseLost", run.cause)
			}
		})
	})
}
