package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

// bubble runs f in a synctest bubble as a parallel subtest.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, f)
	})
}

var errHandler = errors.New("card declined")

func TestClaimReplies(t *testing.T) {
	t.Parallel()
	bubble(t, "a new key runs, is completed and its message deleted", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		var claim idempotency.Claim
		err := b.handle(t.Context(), message(), lease, func(ctx context.Context, _ *holdfast.Message) error {
			var ok bool
			if claim, ok = idempotency.FromContext(ctx); !ok {
				t.Error("there is no claim in the handler's context")
			}
			b.state(idempotency.StateInProgress, 1)
			return nil
		})
		if err != nil {
			t.Errorf("returned %v", err)
		}
		b.state(idempotency.StateCompleted, 1)
		r, _ := b.record()
		want := idempotency.Claim{Key: b.key(), Fence: r.Fence, Attempt: 1}
		if claim != want {
			t.Errorf("claim is %+v, want %+v", claim, want)
		}
		if lease.key != b.key() {
			t.Errorf("the lease was given the key %q, want %q", lease.key, b.key())
		}
		if lease.hooks() != 0 {
			t.Error("OnRenew was not taken back")
		}
	})
	bubble(t, "a key taken over runs and may be partially done", func(t *testing.T) {
		b := setup(t)
		b.other(t.Context(), idempotency.ClassNew)
		time.Sleep(24 * time.Second)
		called := false
		err := b.handle(t.Context(), message(), newLease(), func(ctx context.Context, _ *holdfast.Message) error {
			called = true
			if c, _ := idempotency.FromContext(ctx); !c.Partial || c.Attempt != 1 {
				t.Errorf("claim is %+v, want attempt 1 (a death is not charged), partial", c)
			}
			return nil
		})
		if !called || err != nil {
			t.Errorf("called is %v, returned %v", called, err)
		}
		b.state(idempotency.StateCompleted, 1)
	})
	bubble(t, "a key that is done is deleted without a run", func(t *testing.T) {
		b := setup(t)
		b.otherDone(t.Context(), b.other(t.Context(), idempotency.ClassNew))
		if called, err := b.run(nil); called || err != nil {
			t.Errorf("called is %v, returned %v; want neither", called, err)
		}
	})
	bubble(t, "a key with another payload is dead-lettered without a run", func(t *testing.T) {
		b := setup(t, func(c *idempotency.Config) { c.KeyAttribute = "key" })
		m := message()
		m.Attributes = map[string]holdfast.Attribute{"key": {Type: "String", String: "k"}}
		ok := func(context.Context, *holdfast.Message) error { return nil }
		if err := b.handle(t.Context(), m, newLease(), ok); err != nil {
			t.Fatal(err)
		}
		m.Body = `{"order":2}`
		err := b.handle(t.Context(), m, newLease(), func(context.Context, *holdfast.Message) error {
			t.Error("the handler was called")
			return nil
		})
		var permanent *holdfast.PermanentError
		if !errors.As(err, &permanent) || !errors.Is(err, idempotency.ErrMismatch) {
			t.Errorf("returned %v, want Permanent with ErrMismatch", err)
		}
	})
	bubble(t, "without the payload check another payload is a duplicate", func(t *testing.T) {
		b := setup(t, func(c *idempotency.Config) { c.SkipPayloadCheck = true })
		b.run(nil)
		m := message()
		m.Body = "other"
		if err := b.handle(t.Context(), m, newLease(), nil); err != nil {
			t.Errorf("returned %v", err)
		}
		if r, _ := b.record(); r.PayloadHash != "" {
			t.Errorf("payload hash is %q", r.PayloadHash)
		}
	})
	bubble(t, "a store that fails lets nothing run", func(t *testing.T) {
		b := setup(t)
		b.store.set(func(string) error { return errDown }, nil)
		called, err := b.run(nil)
		var retry *holdfast.RetryAfterError
		err = parked(t, err).Fallback
		if called || !errors.As(err, &retry) || !errors.Is(err, idempotency.ErrStore) || !errors.Is(err, errDown) {
			t.Fatalf("called is %v, else %v; want RetryAfter with ErrStore and the cause", called, err)
		}
		if retry.Delay < time.Second || retry.Delay > 2*time.Second {
			t.Errorf("delay is %v, want 1s to 2s", retry.Delay)
		}
		if len(b.events.storeFailed) != 2 {
			t.Errorf("%d failures were told, want 2", len(b.events.storeFailed))
		}
	})
	bubble(t, "a claim whose reply was lost is claimed again under the same fence", func(t *testing.T) {
		b := setup(t)
		lost := false
		b.store.set(nil, func(op string) error {
			if op == "claim" && !lost {
				lost = true
				return errDown
			}
			return nil
		})
		if called, err := b.run(nil); !called || err != nil {
			t.Errorf("called is %v, returned %v", called, err)
		}
		b.state(idempotency.StateCompleted, 1)
		if c := b.events.claimed; len(c) != 1 || c[0].Class != idempotency.ClassOwn {
			t.Errorf("claims were %+v, want one own", c)
		}
	})
	bubble(t, "a record of a later version lets nothing run", func(t *testing.T) {
		b := setup(t)
		b.memory.Claim(t.Context(), request(b.key(), "a"))
		b.memory.SetRaw(b.key(), "2|whatever")
		called, err := b.run(nil)
		if called || !errors.Is(err, idempotency.ErrBadRecord) || !errors.Is(err, idempotency.ErrStore) {
			t.Errorf("called is %v, returned %v", called, err)
		}
	})
}

func TestHandlerOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		err      error
		state    idempotency.State
		attempts int
	}{
		{"nil is completed", nil, idempotency.StateCompleted, 1},
		{"Discard is completed", holdfast.Discard(errHandler), idempotency.StateCompleted, 1},
		{"a wrapped Discard is completed", fmt.Errorf("late: %w", holdfast.Discard(errHandler)), idempotency.StateCompleted, 1},
		{"an error frees the key and counts", errHandler, idempotency.StateFree, 1},
		{"a decode error frees the key and counts", &holdfast.DecodeError{Type: "T", Err: errHandler}, idempotency.StateFree, 1},
		{"Permanent frees the key and starts the count anew", holdfast.Permanent(errHandler), idempotency.StateFree, 0},
		{"RetryAfter frees the key and does not count", holdfast.RetryAfter(time.Minute, errHandler), idempotency.StateFree, 0},
		{"RetryAfter out of bounds is an error like any", holdfast.RetryAfter(13*time.Hour, errHandler), idempotency.StateFree, 1},
		{"Park frees the key and does not count", holdfast.Park(nil, errHandler), idempotency.StateFree, 0},
		{"joined errors with a verb follow the verb", errors.Join(errHandler, holdfast.Permanent(errHandler)), idempotency.StateFree, 0},
		{"the outer verb counts", holdfast.RetryAfter(time.Minute, holdfast.Discard(errHandler)), idempotency.StateFree, 0},
	} {
		bubble(t, c.name, func(t *testing.T) {
			b := setup(t)
			called, err := b.run(c.err)
			if !called || err != c.err {
				t.Errorf("called is %v, returned %v; want the handler's %v as it is", called, err, c.err)
			}
			b.state(c.state, c.attempts)
			r, _ := b.record()
			_, ttl, _ := b.memory.Raw(b.key())
			want := 4 * 24 * time.Hour
			if r.State == idempotency.StateCompleted {
				want = 2*want + 14*24*time.Hour + time.Hour
			}
			if ttl != want {
				t.Errorf("time to live is %v, want %v", ttl, want)
			}
		})
	}
	bubble(t, "the next delivery after a failure runs, the next after a success does not", func(t *testing.T) {
		b := setup(t)
		b.run(errHandler)
		if called, _ := b.run(nil); !called {
			t.Error("the delivery after the failure was not run")
		}
		if called, _ := b.run(nil); called {
			t.Error("the delivery after the success was run")
		}
	})
	bubble(t, "a panic frees the key and goes on", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		func() {
			defer func() {
				if r := recover(); r != "boom" {
					t.Errorf("recovered %v, want boom", r)
				}
			}()
			b.handle(t.Context(), message(), lease, func(context.Context, *holdfast.Message) error { panic("boom") })
		}()
		b.state(idempotency.StateFree, 1)
		if lease.hooks() != 0 {
			t.Error("OnRenew was not taken back")
		}
	})
	bubble(t, "Goexit frees the key and goes on", func(t *testing.T) {
		b := setup(t)
		ended := make(chan bool)
		go func() {
			defer close(ended)
			b.handle(t.Context(), message(), newLease(), func(context.Context, *holdfast.Message) error {
				runtime.Goexit()
				return nil
			})
			ended <- true
		}()
		if <-ended {
			t.Error("Goexit did not end the goroutine")
		}
		b.state(idempotency.StateFree, 1)
	})
	bubble(t, "a run cut short by the stop is not counted", func(t *testing.T) {
		b := setup(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		err := b.handle(ctx, message(), newLease(), func(ctx context.Context, _ *holdfast.Message) error {
			cancel(holdfast.ErrStopping)
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), holdfast.ErrStopping) {
				t.Errorf("cause is %v", context.Cause(ctx))
			}
			return ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("returned %v", err)
		}
		b.state(idempotency.StateFree, 0)
	})
	bubble(t, "a run cut short by its timeout is counted", func(t *testing.T) {
		b := setup(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		b.handle(ctx, message(), newLease(), func(ctx context.Context, _ *holdfast.Message) error {
			cancel(holdfast.ErrHandlerTimeout)
			return ctx.Err()
		})
		b.state(idempotency.StateFree, 1)
	})
	bubble(t, "work done during the stop is completed", func(t *testing.T) {
		b := setup(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		err := b.handle(ctx, message(), newLease(), func(context.Context, *holdfast.Message) error {
			cancel(holdfast.ErrStopping)
			return nil
		})
		if err != nil {
			t.Errorf("returned %v", err)
		}
		b.state(idempotency.StateCompleted, 1)
	})
}
