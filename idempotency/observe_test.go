package idempotency_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

func TestObserveSuppressesNothing(t *testing.T) {
	t.Parallel()
	observing := func(c *idempotency.Config) { c.Mode = idempotency.Observe }
	// runs wants the handler to be called and its error to come back as it is.
	runs := func(t *testing.T, b *bundle, what string) {
		t.Helper()
		for _, want := range []error{errHandler, holdfast.Permanent(errHandler), nil} {
			if called, err := b.run(want); !called || err != want {
				t.Errorf("%s: called is %v, returned %v, want %v", what, called, err, want)
			}
		}
	}
	bubble(t, "new work is recorded, duplicates are told and run", func(t *testing.T) {
		var told []idempotency.DuplicateEvent
		b := setup(t, observing, func(c *idempotency.Config) {
			c.Hooks.Duplicate = func(e idempotency.DuplicateEvent) { told = append(told, e) }
		})
		runs(t, b, "new")
		b.state(idempotency.StateCompleted, 1)
		runs(t, b, "a duplicate")
		if len(told) != 3 {
			t.Errorf("told of %d duplicates, want 3", len(told))
		}
	})
	bubble(t, "busy keys, other payloads and dead claims are told and run", func(t *testing.T) {
		busy, mismatch := 0, 0
		b := setup(t, observing, func(c *idempotency.Config) {
			c.Hooks.Busy = func(idempotency.BusyEvent) { busy++ }
			c.Hooks.Mismatch = func(idempotency.MismatchEvent) { mismatch++ }
		})
		b.other(t.Context(), idempotency.ClassNew)
		runs(t, b, "busy")
		b.lapse()
		b.die("d2", false)
		runs(t, b, "dead twice")
		b.memory.Delete(b.key())
		r := request(b.key(), "other")
		r.PayloadHash = "another"
		b.memory.Claim(t.Context(), r)
		runs(t, b, "another payload")
		if busy != 3 || mismatch != 3 {
			t.Errorf("told of %d busy, %d mismatches, want 3 each", busy, mismatch)
		}
	})
	bubble(t, "used-up attempts dead-letter nothing", func(t *testing.T) {
		b := setup(t, observing, func(c *idempotency.Config) { c.MaxAttempts = 1 })
		for range 5 {
			if called, err := b.run(errHandler); !called || err != errHandler {
				t.Errorf("called is %v, returned %v", called, err)
			}
		}
		b.state(idempotency.StateFree, 5)
	})
	bubble(t, "a store that is down stops nothing and closes no gate", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer func() { cancel(); synctest.Wait() }()
		b := setup(t, observing)
		if err := b.mw.Start(ctx, message().Queue); err != nil {
			t.Fatal(err)
		}
		b.store.set(func(string) error { return errDown }, nil)
		for range 3 {
			runs(t, b, "store down")
		}
		if reopened, _ := b.mw.Closed(); reopened != nil {
			t.Error("the gate is closed")
		}
		if len(b.events.storeFailed) == 0 {
			t.Error("nobody was told")
		}
	})
	bubble(t, "a claim that is taken over cancels nothing and is told", func(t *testing.T) {
		b := setup(t, observing)
		lease := newLease()
		err := b.handle(t.Context(), message(), lease, func(ctx context.Context, _ *holdfast.Message) error {
			if lease.hooks() != 0 {
				t.Error("it has taken over what a lost hold means")
			}
			b.lapse()
			b.other(ctx, idempotency.ClassTakeover)
			time.Sleep(time.Minute)
			return ctx.Err()
		})
		if err != nil {
			t.Errorf("returned %v", err)
		}
		if len(b.events.doubleExecution) != 1 {
			t.Errorf("told of %d double executions, want 1", len(b.events.doubleExecution))
		}
	})
	bubble(t, "a long handler keeps its claim, a panic frees it", func(t *testing.T) {
		b := setup(t, observing)
		err := b.handle(t.Context(), message(), newLease(), func(ctx context.Context, _ *holdfast.Message) error {
			time.Sleep(time.Hour)
			b.state(idempotency.StateInProgress, 1)
			if r, _ := b.memory.Poll(ctx, []string{b.key()}); r[0].Left <= 0 {
				t.Error("the claim lapsed")
			}
			return errHandler
		})
		if err != errHandler {
			t.Errorf("returned %v", err)
		}
		func() {
			defer func() {
				if v := recover(); v != "boom" {
					t.Errorf("recovered %v", v)
				}
			}()
			b.handle(t.Context(), message(), newLease(), func(context.Context, *holdfast.Message) error { panic("boom") })
		}()
		b.state(idempotency.StateFree, 2)
	})
}
