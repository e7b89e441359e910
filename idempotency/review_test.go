package idempotency_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

func TestHoldThatIsTooShortToClaim(t *testing.T) {
	t.Parallel()
	throttled := errors.New("throttled")
	for name, change := range map[string]func(*fakeLease){
		"cannot be extended first":         func(l *fakeLease) { l.deadline, l.extend = time.Now().Add(8*time.Second), throttled },
		"is as good as over when extended": func(l *fakeLease) { l.limit = time.Now() },
	} {
		t.Run("a message whose hold "+name+" costs no attempt, as its handler never ran", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				lease := newLease()
				change(lease)
				var l holdfast.Lease = lease
				if lease.extend == nil {
					l = shortLease{lease}
				}
				err := b.handle(t.Context(), message(), l, func(context.Context, *holdfast.Message) error {
					t.Error("the handler was called")
					return nil
				})
				if v, ok := holdfast.Verb(err).(*holdfast.RetryAfterError); !ok || v.Delay <= 0 || v.Delay > 2*time.Second {
					t.Errorf("got %v, want RetryAfter up to 2s", err)
				}
				if _, ok := b.record(); ok {
					t.Error("the key was claimed")
				}
			})
		})
	}
}

// shortLease is a hold that an extension does not make longer.
type shortLease struct{ *fakeLease }

func (shortLease) Deadline() time.Time          { return time.Now().Add(3 * time.Second) }
func (shortLease) Extend(context.Context) error { return nil }

func TestExtensionThatEndsAfterTheCompletion(t *testing.T) {
	t.Parallel()
	t.Run("an extension that finds the run's own completion is no double execution", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setup(t)
			b.store.Store = slowStore{b.memory}
			lease := newLease()
			err := b.handle(t.Context(), message(), lease, func(context.Context, *holdfast.Message) error {
				lease.renew() // the claim follows, and is on its way when the handler returns
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			b.events.mu.Lock()
			defer b.events.mu.Unlock()
			if n := len(b.events.doubleExecution); n != 0 {
				t.Errorf("%d double executions were told of, want none", n)
			}
			b.state(idempotency.StateCompleted, 1)
		})
	})
}

// slowStore is a store whose extensions are late to arrive and whose completions are
// late to be confirmed.
type slowStore struct{ *idempotency.MemoryStore }

func (s slowStore) Extend(ctx context.Context, r idempotency.ExtendRequest) (idempotency.ExtendReply, error) {
	time.Sleep(200 * time.Millisecond)
	return s.MemoryStore.Extend(ctx, r)
}

func (s slowStore) Complete(ctx context.Context, r idempotency.CompleteRequest) (idempotency.CompleteReply, error) {
	reply, err := s.MemoryStore.Complete(ctx, r)
	time.Sleep(500 * time.Millisecond)
	return reply, err
}
