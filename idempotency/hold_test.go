package idempotency_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

// sleeper is a handler that works for d, or until its context is cancelled.
func sleeper(d time.Duration) func(context.Context, *holdfast.Message) error {
	return func(ctx context.Context, _ *holdfast.Message) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// lapse ends the lease of the message's record in the store only.
func (b *bundle) lapse() {
	b.t.Helper()
	r, ok := b.record()
	if !ok {
		b.t.Fatal("there is no record")
	}
	r.Deadline = 1
	b.memory.SetRaw(b.key(), r.String())
}

func TestLeaseFollowsVisibility(t *testing.T) {
	t.Parallel()
	bubble(t, "the claim ends a margin before the visibility", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		b.handle(t.Context(), message(), lease, func(context.Context, *holdfast.Message) error {
			r, _ := b.record()
			if got, want := int64(r.Deadline), lease.Deadline().Add(-5*time.Second).UnixMilli(); got != want {
				t.Errorf("claim ends at %d, want %d", got, want)
			}
			if got, want := int64(r.Hard), lease.Limit().UnixMilli(); got != want {
				t.Errorf("hard end is %d, want the limit of the hold %d", got, want)
			}
			return nil
		})
		if lease.extends != 0 {
			t.Error("a fresh hold was extended")
		}
	})
	bubble(t, "the margin is never more than a sixth of the visibility", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		m := message()
		m.Queue.Visibility = 12 * time.Second
		lease.deadline = time.Now().Add(11 * time.Second)
		b.handle(t.Context(), m, lease, func(context.Context, *holdfast.Message) error {
			r, _ := b.record()
			if got, want := int64(r.Deadline), time.Now().Add(9*time.Second).UnixMilli(); got != want {
				t.Errorf("claim ends at %d, want %d", got, want)
			}
			return nil
		})
	})
	for _, c := range []struct {
		name    string
		left    time.Duration
		extends int
	}{
		{"with 10 s left the hold is not extended first", 10 * time.Second, 0},
		{"with less than 10 s left the hold is extended first", 10*time.Second - 1, 1},
	} {
		bubble(t, c.name, func(t *testing.T) {
			b := setup(t)
			lease := newLease()
			lease.deadline = time.Now().Add(c.left)
			if err := b.handle(t.Context(), message(), lease, sleeper(0)); err != nil {
				t.Errorf("returned %v", err)
			}
			if lease.extends != c.extends {
				t.Errorf("the hold was extended %d times, want %d", lease.extends, c.extends)
			}
			want := time.Until(lease.Deadline()) - 5*time.Second
			if got := b.store.claims[0].Lease; got != want {
				t.Errorf("lease is %v, want %v", got, want)
			}
		})
	}
	bubble(t, "a hold that cannot be extended first is not claimed", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		lease.deadline, lease.extend = time.Now().Add(time.Second), holdfast.ErrLeaseLost
		err := b.handle(t.Context(), message(), lease, nil)
		if !errors.Is(err, holdfast.ErrLeaseLost) || b.store.count("claim") != 0 {
			t.Errorf("returned %v after %d claims", err, b.store.count("claim"))
		}
	})
	bubble(t, "a short handler extends nothing", func(t *testing.T) {
		b := setup(t)
		b.handle(t.Context(), message(), newLease(), sleeper(14*time.Second))
		if n := b.store.count("extend"); n != 0 {
			t.Errorf("%d extensions", n)
		}
	})
	bubble(t, "a long handler keeps its claim with each renewal", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		ctx, cancel := context.WithCancel(t.Context())
		go lease.heartbeat(ctx)
		err := b.handle(t.Context(), message(), lease, func(ctx context.Context, m *holdfast.Message) error {
			for range 7200 / 10 {
				time.Sleep(10 * time.Second)
				if ctx.Err() != nil {
					t.Fatalf("cancelled: %v", context.Cause(ctx))
				}
				synctest.Wait()
				r, _ := b.record()
				if end, visible := int64(r.Deadline), lease.Deadline().Add(-5*time.Second).UnixMilli(); end != visible {
					t.Fatalf("claim ends at %d, want %d", end, visible)
				}
			}
			b.other(ctx, idempotency.ClassBusy)
			return nil
		})
		cancel()
		if err != nil {
			t.Errorf("returned %v", err)
		}
		b.state(idempotency.StateCompleted, 1)
		if n := b.store.count("extend"); n != 7200/15 && n != 7200/15-1 {
			t.Errorf("%d extensions in 2 h, want one per 15 s", n)
		}
	})
	bubble(t, "extensions are single flight", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		running, most := 0, 0
		b.store.set(func(op string) error { // called under the fake's lock
			if op == "extend" {
				running++
				most = max(most, running)
			}
			return nil
		}, nil)
		slow := &slowExtend{Store: b.store, d: 900 * time.Millisecond, ended: func() {
			b.store.mu.Lock()
			running--
			b.store.mu.Unlock()
		}}
		b.mw = idempotency.New(slow, idempotency.Config{Consumer: "orders"})
		b.handle(t.Context(), message(), lease, func(context.Context, *holdfast.Message) error {
			for range 20 {
				lease.renew()
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			r, _ := b.record()
			if end, visible := int64(r.Deadline), lease.Deadline().Add(-5*time.Second).UnixMilli(); end > visible+900 || end < visible {
				t.Errorf("claim ends at %d, want that of the newest renewal %d", end, visible)
			}
			return nil
		})
		if n := b.store.count("extend"); most != 1 || n > 4 {
			t.Errorf("%d extensions, %d at once; want few, one at a time", n, most)
		}
	})
	bubble(t, "visibility lost under a living handler keeps the claim alone", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		err := b.handle(t.Context(), message(), lease, func(ctx context.Context, m *holdfast.Message) error {
			lease.lose()
			for range 60 {
				time.Sleep(10 * time.Second)
				if ctx.Err() != nil {
					t.Fatalf("cancelled: %v", context.Cause(ctx))
				}
				b.other(ctx, idempotency.ClassBusy)
			}
			return nil
		})
		if err != nil {
			t.Errorf("returned %v", err)
		}
		b.state(idempotency.StateCompleted, 1)
		if n := b.store.count("extend"); n < 600/25 || n > 600/10 {
			t.Errorf("%d extensions in 10 min", n)
		}
	})
	bubble(t, "a lost hold that a newer receive revives is followed again", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		err := b.handle(t.Context(), message(), lease, func(ctx context.Context, m *holdfast.Message) error {
			lease.lose()
			time.Sleep(time.Minute)
			lease.renew()
			synctest.Wait()
			r, _ := b.record()
			if end, visible := int64(r.Deadline), lease.Deadline().Add(-5*time.Second).UnixMilli(); end != visible {
				t.Errorf("claim ends at %d, want %d", end, visible)
			}
			n := b.store.count("extend")
			time.Sleep(24 * time.Second)
			if more := b.store.count("extend") - n; more != 0 {
				t.Errorf("%d extensions without a renewal", more)
			}
			return nil
		})
		if err != nil {
			t.Errorf("returned %v", err)
		}
	})
	bubble(t, "without a runtime the claim is kept by itself", func(t *testing.T) {
		b := setup(t)
		m := message()
		err := b.mw.Wrap(holdfast.HandlerFunc(func(ctx context.Context, m *holdfast.Message) error {
			for range 60 {
				time.Sleep(10 * time.Second)
				if ctx.Err() != nil {
					t.Fatalf("cancelled: %v", context.Cause(ctx))
				}
				b.other(ctx, idempotency.ClassBusy)
			}
			return nil
		})).Handle(t.Context(), m)
		if err != nil {
			t.Errorf("returned %v", err)
		}
		if got := b.store.claims[0].Lease; got != 24*time.Second {
			t.Errorf("lease is %v, want 24s", got)
		}
		b.state(idempotency.StateCompleted, 1)
	})
}

// slowExtend takes d for each extension.
type slowExtend struct {
	idempotency.Store
	d     time.Duration
	ended func()
}

func (s *slowExtend) Extend(ctx context.Context, r idempotency.ExtendRequest) (idempotency.ExtendReply, error) {
	defer s.ended()
	reply, err := s.Store.Extend(ctx, r)
	time.Sleep(s.d)
	return reply, err
}

func TestLostClaims(t *testing.T) {
	t.Parallel()
	// late has the process stand still for d between the claim and its reply.
	late := func(b *bundle, d time.Duration, meanwhile func()) {
		b.store.set(nil, func(op string) error {
			if op == "claim" {
				time.Sleep(d)
				meanwhile()
			}
			return nil
		})
	}
	bubble(t, "a claim that lapsed before its reply was read is extended before anything runs", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		late(b, 25*time.Second, lease.renew)
		err := b.handle(t.Context(), message(), lease, func(context.Context, *holdfast.Message) error {
			if r, _ := b.record(); int64(r.Deadline) <= time.Now().UnixMilli() {
				t.Errorf("runs under a claim that ended at %d, now is %d", r.Deadline, time.Now().UnixMilli())
			}
			return nil
		})
		if err != nil || b.store.count("extend") != 1 {
			t.Errorf("returned %v after %d extensions", err, b.store.count("extend"))
		}
	})
	bubble(t, "nothing runs where someone else has claimed by then", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		late(b, 25*time.Second, func() { b.other(t.Context(), idempotency.ClassTakeover); lease.renew() })
		err := b.handle(t.Context(), message(), lease, func(context.Context, *holdfast.Message) error {
			t.Error("the handler was called")
			return nil
		})
		if !errors.Is(err, holdfast.ErrLeaseLost) {
			t.Errorf("returned %v, want ErrLeaseLost", err)
		}
	})
	bubble(t, "where someone else has completed by then it is a duplicate, and no handler's claim is lost", func(t *testing.T) {
		var duplicates atomic.Int32
		b := setup(t, func(c *idempotency.Config) {
			c.Hooks.Duplicate = func(idempotency.DuplicateEvent) { duplicates.Add(1) }
		})
		lease := newLease()
		late(b, 25*time.Second, func() {
			b.otherDone(t.Context(), b.other(t.Context(), idempotency.ClassTakeover))
			lease.renew()
		})
		err := b.handle(t.Context(), message(), lease, func(context.Context, *holdfast.Message) error {
			t.Error("the handler was called")
			return nil
		})
		if err != nil || duplicates.Load() != 1 {
			t.Errorf("returned %v, %d duplicates told", err, duplicates.Load())
		}
		if len(b.events.doubleExecution)+len(b.events.lost) != 0 {
			t.Errorf("told %+v and %+v", b.events.doubleExecution, b.events.lost)
		}
	})
	bubble(t, "nothing runs where the message is not hidden any more, and nothing is charged", func(t *testing.T) {
		b := setup(t)
		late(b, 25*time.Second, func() {})
		err := b.handle(t.Context(), message(), newLease(), func(context.Context, *holdfast.Message) error {
			t.Error("the handler was called")
			return nil
		})
		var retry *holdfast.RetryAfterError
		if !errors.As(err, &retry) {
			t.Errorf("returned %v, want RetryAfter", err)
		}
		b.state(idempotency.StateFree, 0)
	})
	bubble(t, "a lease that is not renewed cancels the handler at the client's deadline", func(t *testing.T) {
		b := setup(t)
		start := time.Now()
		err := b.handle(t.Context(), message(), newLease(), sleeper(time.Hour))
		if ran := time.Since(start); ran != 24*time.Second {
			t.Errorf("cancelled after %v, want 24s", ran)
		}
		if !errors.Is(err, holdfast.ErrLeaseLost) {
			t.Errorf("returned %v, want ErrLeaseLost", err)
		}
		// Nobody else claimed it: it is free at once, and the store's absence is
		// not the handler's failure.
		b.state(idempotency.StateFree, 0)
		synctest.Wait() // the handler is cancelled before the hook is called
		if len(b.events.lost) != 1 {
			t.Errorf("%d losses were told, want 1", len(b.events.lost))
		}
	})
	bubble(t, "a lease counts from the request of its extension, however late the answer", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		b.store.set(nil, func(op string) error {
			if op == "extend" {
				time.Sleep(900 * time.Millisecond)
			}
			return nil
		})
		start := time.Now()
		time.AfterFunc(15*time.Second, lease.renew) // once: until 45 s, so the claim until 40 s
		err := b.handle(t.Context(), message(), lease, sleeper(time.Hour))
		if ran := time.Since(start); ran != 40*time.Second || !errors.Is(err, holdfast.ErrLeaseLost) {
			t.Errorf("cancelled after %v with %v, want 40s and ErrLeaseLost", ran, err)
		}
	})
	bubble(t, "the cause is ErrLeaseLost itself", func(t *testing.T) {
		b := setup(t)
		b.handle(t.Context(), message(), newLease(), func(ctx context.Context, _ *holdfast.Message) error {
			<-ctx.Done()
			if context.Cause(ctx) != holdfast.ErrLeaseLost {
				t.Errorf("cause is %v", context.Cause(ctx))
			}
			return nil
		})
	})
	bubble(t, "a store that is away for one lease cancels the handler where that is strict", func(t *testing.T) {
		b := setup(t, func(c *idempotency.Config) { c.StrictLease = true })
		lease := newLease()
		ctx, cancel := context.WithCancel(t.Context())
		go lease.heartbeat(ctx)
		start := time.Now()
		err := b.handle(t.Context(), message(), lease, func(ctx context.Context, m *holdfast.Message) error {
			b.store.set(func(string) error { return errDown }, nil)
			return sleeper(time.Hour)(ctx, m)
		})
		cancel()
		if ran := time.Since(start); ran < 24*time.Second || ran > 27*time.Second {
			t.Errorf("returned after %v, want 24s and what the release took", ran)
		}
		if !errors.Is(err, holdfast.ErrLeaseLost) {
			t.Errorf("returned %v, want ErrLeaseLost", err)
		}
	})
	bubble(t, "a store that is away for a moment cancels nothing", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		ctx, cancel := context.WithCancel(t.Context())
		go lease.heartbeat(ctx)
		err := b.handle(t.Context(), message(), lease, func(ctx context.Context, m *holdfast.Message) error {
			b.store.set(func(string) error { return errDown }, nil)
			time.Sleep(22 * time.Second)
			b.store.set(nil, nil)
			return sleeper(time.Hour)(ctx, m)
		})
		cancel()
		if err != nil {
			t.Errorf("returned %v", err)
		}
	})
	bubble(t, "a claim stolen while this process was paused cancels at once and settles nothing", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		err := b.handle(t.Context(), message(), lease, func(ctx context.Context, m *holdfast.Message) error {
			b.lapse()
			b.other(ctx, idempotency.ClassTakeover)
			lease.renew()
			synctest.Wait()
			if context.Cause(ctx) != holdfast.ErrLeaseLost {
				t.Errorf("cause is %v", context.Cause(ctx))
			}
			return holdfast.Permanent(errHandler)
		})
		var permanent *holdfast.PermanentError
		if !errors.Is(err, holdfast.ErrLeaseLost) || errors.As(err, &permanent) {
			t.Errorf("returned %v, want ErrLeaseLost and no verb", err)
		}
		b.state(idempotency.StateInProgress, 1)
		if len(b.events.lost) != 1 || b.store.count("release") != 0 {
			t.Errorf("%d losses told, %d releases", len(b.events.lost), b.store.count("release"))
		}
	})
	bubble(t, "a handler that is done after its claim was stolen is not deleted", func(t *testing.T) {
		b := setup(t)
		_, err := b.runWith(func(ctx context.Context) error {
			b.lapse()
			b.other(ctx, idempotency.ClassTakeover)
			return nil
		})
		if !errors.Is(err, holdfast.ErrLeaseLost) {
			t.Errorf("returned %v, want ErrLeaseLost", err)
		}
		b.state(idempotency.StateInProgress, 1)
		if e := b.events.doubleExecution; len(e) != 1 || e[0].Newer <= e[0].Fence {
			t.Errorf("double executions told: %+v", e)
		}
	})
	bubble(t, "a handler that fails after its claim was stolen settles nothing", func(t *testing.T) {
		b := setup(t)
		_, err := b.runWith(func(ctx context.Context) error {
			b.lapse()
			b.other(ctx, idempotency.ClassTakeover)
			return holdfast.Permanent(errHandler)
		})
		var permanent *holdfast.PermanentError
		if !errors.Is(err, holdfast.ErrLeaseLost) || errors.As(err, &permanent) {
			t.Errorf("returned %v, want ErrLeaseLost and no verb", err)
		}
		b.state(idempotency.StateInProgress, 1)
	})
	bubble(t, "a key that someone else completed meanwhile is done, however this run ends", func(t *testing.T) {
		for _, result := range []error{nil, errHandler, holdfast.Permanent(errHandler)} {
			b := setup(t)
			lease := newLease()
			err := b.handle(t.Context(), message(), lease, func(ctx context.Context, m *holdfast.Message) error {
				b.lapse()
				b.otherDone(ctx, b.other(ctx, idempotency.ClassTakeover))
				lease.renew()
				synctest.Wait()
				if context.Cause(ctx) != holdfast.ErrLeaseLost {
					t.Errorf("cause is %v", context.Cause(ctx))
				}
				return result
			})
			if err != nil {
				t.Errorf("handler returned %v, chain %v; want nil", result, err)
			}
			if len(b.events.doubleExecution) != 1 {
				t.Errorf("%d double executions were told, want 1", len(b.events.doubleExecution))
			}
		}
	})
	bubble(t, "a completion that finds the key completed by another is done", func(t *testing.T) {
		b := setup(t)
		_, err := b.runWith(func(ctx context.Context) error {
			b.lapse()
			b.otherDone(ctx, b.other(ctx, idempotency.ClassTakeover))
			return nil
		})
		if err != nil || len(b.events.doubleExecution) != 1 {
			t.Errorf("returned %v, %d double executions told", err, len(b.events.doubleExecution))
		}
	})
	bubble(t, "a lapsed claim that nobody took is still completed", func(t *testing.T) {
		b := setup(t)
		_, err := b.runWith(func(context.Context) error {
			time.Sleep(28 * time.Second)
			return nil
		})
		if err != nil {
			t.Errorf("returned %v", err)
		}
		b.state(idempotency.StateCompleted, 1)
	})
	bubble(t, "a record lost within the lease is written again by the next renewal", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		err := b.handle(t.Context(), message(), lease, func(ctx context.Context, _ *holdfast.Message) error {
			b.memory.Delete(b.key())
			lease.renew()
			synctest.Wait()
			b.other(ctx, idempotency.ClassBusy)
			return ctx.Err()
		})
		if err != nil || len(b.events.recordLost) != 1 {
			t.Errorf("returned %v, %d lost records told", err, len(b.events.recordLost))
		}
		b.state(idempotency.StateCompleted, 1)
	})
	bubble(t, "a record lost at the end is completed all the same", func(t *testing.T) {
		b := setup(t)
		_, err := b.runWith(func(context.Context) error { b.memory.Delete(b.key()); return nil })
		if err != nil || len(b.events.recordLost) != 1 {
			t.Errorf("returned %v, %d lost records told", err, len(b.events.recordLost))
		}
		b.state(idempotency.StateCompleted, 1)
	})
	bubble(t, "a record lost past the deadline is not written again and ends the claim", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		_, err := false, b.handle(t.Context(), message(), lease, func(ctx context.Context, _ *holdfast.Message) error {
			time.Sleep(26 * time.Second) // deaf to its context
			b.memory.Delete(b.key())
			lease.renew()
			synctest.Wait()
			if _, ok := b.record(); ok {
				t.Error("the record was written again")
			}
			return errHandler
		})
		if !errors.Is(err, holdfast.ErrLeaseLost) {
			t.Errorf("returned %v, want ErrLeaseLost", err)
		}
	})
	bubble(t, "a lapsed own claim is extended before it runs", func(t *testing.T) {
		b := setup(t)
		tries := 0
		b.store.set(nil, func(op string) error {
			if tries++; op == "claim" && tries == 1 {
				b.lapse()
				return errDown
			}
			return nil
		})
		called, err := b.runWith(func(ctx context.Context) error {
			b.other(ctx, idempotency.ClassBusy)
			return nil
		})
		if !called || err != nil || b.store.count("extend") != 1 {
			t.Errorf("called is %v, returned %v, %d extensions", called, err, b.store.count("extend"))
		}
	})
	bubble(t, "a lapsed own claim that cannot be extended is not run", func(t *testing.T) {
		b := setup(t)
		tries := 0
		b.store.set(func(op string) error {
			if op == "extend" {
				return errDown
			}
			return nil
		}, func(op string) error {
			if tries++; op == "claim" && tries == 1 {
				b.lapse()
				return errDown
			}
			return nil
		})
		called, err := b.run(nil)
		if err := parked(t, err).Fallback; called || !errors.Is(err, idempotency.ErrStore) {
			t.Errorf("called is %v, else %v", called, err)
		}
	})
}

// runWith handles a fresh delivery of message with f.
func (b *bundle) runWith(f func(context.Context) error) (called bool, err error) {
	b.t.Helper()
	err = b.handle(b.t.Context(), message(), newLease(), func(ctx context.Context, _ *holdfast.Message) error {
		called = true
		return f(ctx)
	})
	return called, err
}

func TestUnrecordedCompletion(t *testing.T) {
	t.Parallel()
	down := func(op string) error {
		if op == "complete" {
			return errDown
		}
		return nil
	}
	bubble(t, "a completion is retried until the store is back", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		ctx, cancel := context.WithCancel(t.Context())
		go lease.heartbeat(ctx)
		b.store.set(down, nil)
		time.AfterFunc(10*time.Minute, func() { b.store.set(nil, nil) })
		err := b.handle(t.Context(), message(), lease, sleeper(0))
		cancel()
		if err != nil {
			t.Errorf("returned %v", err)
		}
		b.state(idempotency.StateCompleted, 1)
	})
	bubble(t, "a completion whose reply was lost is recorded once", func(t *testing.T) {
		b := setup(t)
		n := 0
		b.store.set(nil, func(op string) error {
			if n++; op == "complete" && n == 2 {
				return errDown
			}
			return nil
		})
		if _, err := b.run(nil); err != nil || b.store.count("complete") != 2 {
			t.Errorf("returned %v after %d completions", err, b.store.count("complete"))
		}
		if len(b.events.doubleExecution) != 0 {
			t.Error("it was taken for a double execution")
		}
	})
	bubble(t, "when the hold ends first the message stays and says why", func(t *testing.T) {
		for _, result := range []error{nil, holdfast.Discard(errHandler)} {
			b := setup(t)
			b.store.set(down, nil)
			start := time.Now()
			_, err := b.run(result)
			var discard *holdfast.DiscardError
			if !errors.Is(err, idempotency.ErrUnrecorded) || !errors.Is(err, errDown) || errors.As(err, &discard) {
				t.Errorf("returned %v, want ErrUnrecorded with the cause and no verb", err)
			}
			if took := time.Since(start); took < 29*time.Second || took > 31*time.Second {
				t.Errorf("gave up after %v, want the 29s of the hold", took)
			}
			synctest.Wait()
			if n := len(b.events.lost); n != 0 {
				t.Errorf("%d losses were told of a handler that had returned", n)
			}
		}
	})
	bubble(t, "the stop of the program leaves it 3 s", func(t *testing.T) {
		b := setup(t)
		b.store.set(down, nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		err := b.handle(ctx, message(), newLease(), func(context.Context, *holdfast.Message) error {
			cancel(holdfast.ErrStopping)
			return nil
		})
		if took := time.Since(start); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("gave up after %v", took)
		}
		if !errors.Is(err, idempotency.ErrUnrecorded) {
			t.Errorf("returned %v", err)
		}
	})
	bubble(t, "a lost visibility does not keep it from being recorded", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		b.store.set(down, nil)
		time.AfterFunc(10*time.Second, func() { b.store.set(nil, nil) })
		err := b.handle(t.Context(), message(), lease, func(context.Context, *holdfast.Message) error {
			lease.lose()
			return nil
		})
		if err != nil {
			t.Errorf("returned %v", err)
		}
		b.state(idempotency.StateCompleted, 1)
	})
	bubble(t, "a release that fails returns the handler's error", func(t *testing.T) {
		b := setup(t)
		b.store.set(func(op string) error {
			if op == "release" {
				return errDown
			}
			return nil
		}, nil)
		if _, err := b.run(errHandler); err != errHandler {
			t.Errorf("returned %v", err)
		}
		if n := b.store.count("release"); n != 2 {
			t.Errorf("%d releases, want 2", n)
		}
	})
}
