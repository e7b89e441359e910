package idempotency_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

// calls is how many calls the store had, polls and probes aside.
func (b *bundle) calls() int {
	n := 0
	for _, op := range []string{"claim", "extend", "complete", "release"} {
		n += b.store.count(op)
	}
	return n
}

// alongside runs f while a handler works on the message, and then lets that return
// result.
func (b *bundle) alongside(result error, f func()) error {
	b.t.Helper()
	return b.handle(b.t.Context(), message(), newLease(), func(context.Context, *holdfast.Message) error {
		f()
		return result
	})
}

func TestDuplicatesOfWhatRunsHere(t *testing.T) {
	t.Parallel()
	bubble(t, "wait without a call of the store, and are deleted when it is done", func(t *testing.T) {
		b := setup(t)
		leases := make([]*fakeLease, 5)
		parks := make([]*holdfast.ParkError, 5)
		err := b.alongside(nil, func() {
			before := b.calls()
			for i := range leases {
				leases[i] = newLease()
				called, err := b.runUnder(leases[i])
				if parks[i] = parked(t, err); called || ready(parks[i]) {
					t.Errorf("called is %v, ready is %v", called, ready(parks[i]))
				}
			}
			if b.calls() != before {
				t.Errorf("%d calls of the store", b.calls()-before)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		before := b.calls()
		for i, lease := range leases {
			if !ready(parks[i]) {
				t.Fatalf("duplicate %d still waits", i)
			}
			if called, err := b.runUnder(lease); called || err != nil {
				t.Errorf("duplicate %d: called is %v, returned %v", i, called, err)
			}
		}
		if b.calls() != before || b.store.count("poll") != 0 {
			t.Errorf("%d calls of the store", b.calls()-before)
		}
		if e := b.events.parked; len(e) != 5 || !e[0].Here || !errors.Is(e[0].Why, idempotency.ErrBusy) {
			t.Errorf("told %+v", e)
		}
	})
	bubble(t, "claim when it failed, after a backoff, one at a time", func(t *testing.T) {
		b := setup(t)
		first, second := newLease(), newLease()
		var p, q *holdfast.ParkError
		b.alongside(errHandler, func() {
			_, err := b.runUnder(first)
			p = parked(t, err)
			_, err = b.runUnder(second)
			q = parked(t, err)
		})
		failed := time.Now()
		<-p.Ready
		<-q.Ready
		if d := time.Since(failed); d < time.Second || d > 2*time.Second {
			t.Errorf("let go after %v, want 1 s to 2 s", d)
		}
		called, err := false, b.handle(t.Context(), message(), first, func(context.Context, *holdfast.Message) error {
			called, err := b.runUnder(second) //nolint:contextcheck // another message
			if parked(t, err); called {
				t.Error("two run at once")
			}
			return nil
		})
		if called || err != nil {
			t.Errorf("returned %v", err)
		}
		b.state(idempotency.StateCompleted, 2)
	})
	bubble(t, "claim at once when it gave up its turn, and when it panicked", func(t *testing.T) {
		b := setup(t)
		lease := newLease()
		var p *holdfast.ParkError
		b.alongside(holdfast.Park(make(chan struct{}), nil), func() {
			_, err := b.runUnder(lease)
			p = parked(t, err)
		})
		if !ready(p) {
			t.Error("it waits for one that is parked itself")
		}
		func() {
			defer func() { _ = recover() }()
			b.alongside(nil, func() {
				_, err := b.runUnder(lease)
				p = parked(t, err)
				panic("boom")
			})
		}()
		<-p.Ready
		if called, err := b.runUnder(lease); !called || err != nil {
			t.Errorf("called is %v, returned %v", called, err)
		}
	})
	bubble(t, "do not run beside a handler that lost its claim and heeds that", func(t *testing.T) {
		b := setup(t)
		lease, follower := newLease(), newLease()
		var p *holdfast.ParkError
		err := b.handle(t.Context(), message(), lease, func(ctx context.Context, m *holdfast.Message) error {
			_, err := b.runUnder(follower) //nolint:contextcheck // another message
			p = parked(t, err)
			<-ctx.Done()
			time.Sleep(5 * time.Second)
			if ready(p) {
				t.Error("let go beside the handler")
			}
			return nil
		})
		if !ready(p) {
			t.Errorf("it waits although the handler has returned %v", err)
		}
	})
	bubble(t, "with another payload are refused at once", func(t *testing.T) {
		b := setup(t, func(c *idempotency.Config) {
			c.Key = func(*holdfast.Message) (string, error) { return "k", nil }
		})
		b.alongside(nil, func() {
			m := message()
			m.Body = "other"
			if err := b.handle(t.Context(), m, newLease(), nil); !errors.Is(err, idempotency.ErrMismatch) {
				t.Errorf("returned %v", err)
			}
		})
	})
	bubble(t, "take a fallback that grows with their receives where they cannot be parked", func(t *testing.T) {
		b := setup(t)
		b.alongside(nil, func() {
			for receives, want := range map[int]time.Duration{1: time.Minute, 2: 2 * time.Minute, 8: 128 * time.Minute, 100: 12 * time.Hour} {
				m := message()
				m.ReceiveCount = receives
				b.fallback(m, want)
			}
			m := message()
			m.ReceiveCount, m.SentAt = 100, time.Now().Add(-m.Queue.Retention+2*time.Hour)
			b.fallback(m, 2*time.Hour-time.Minute)
			m.SentAt = time.Now().Add(-m.Queue.Retention + time.Minute)
			b.fallback(m, visibility)
		})
	})
	bubble(t, "without a runtime that could park them are put back", func(t *testing.T) {
		b := setup(t)
		b.alongside(nil, func() {
			err := b.mw.Wrap(holdfast.HandlerFunc(nil)).Handle(t.Context(), message())
			var retry *holdfast.RetryAfterError
			if !errors.As(err, &retry) || !errors.Is(err, idempotency.ErrBusy) {
				t.Errorf("returned %v", err)
			}
		})
	})
}

// fallback wants m to be parked with a RetryAfter of want and up to a second.
func (b *bundle) fallback(m *holdfast.Message, want time.Duration) {
	b.t.Helper()
	p := parked(b.t, b.handle(b.t.Context(), m, newLease(), nil))
	var retry *holdfast.RetryAfterError
	if !errors.As(p.Fallback, &retry) || !errors.Is(p.Fallback, idempotency.ErrBusy) {
		b.t.Fatalf("else %v, want RetryAfter with ErrBusy", p.Fallback)
	}
	if retry.Delay < want || retry.Delay > min(want+time.Second, 12*time.Hour) {
		b.t.Errorf("received %d times: retried after %v, want %v", m.ReceiveCount, retry.Delay, want)
	}
}

func TestDuplicatesOfWhatRunsElsewhere(t *testing.T) {
	t.Parallel()
	bubble(t, "wait at the cost of one claim and a poll now and then, and are deleted when it is done", func(t *testing.T) {
		b := setup(t)
		claim := b.other(t.Context(), idempotency.ClassNew)
		first, second := newLease(), newLease()
		called, err := b.runUnder(first)
		p := parked(t, err)
		calledToo, err := b.runUnder(second)
		q := parked(t, err)
		if called || calledToo || b.store.count("claim") != 1 {
			t.Errorf("called is %v and %v, %d claims, want one", called, calledToo, b.store.count("claim"))
		}
		time.Sleep(time.Second)
		b.otherDone(t.Context(), claim)
		<-p.Ready
		<-q.Ready
		before := b.calls()
		for _, lease := range []*fakeLease{first, second} {
			if called, err := b.runUnder(lease); called || err != nil {
				t.Errorf("called is %v, returned %v", called, err)
			}
		}
		if b.calls() != before || b.store.count("poll") != 1 {
			t.Errorf("%d calls and %d polls, want none and one", b.calls()-before, b.store.count("poll"))
		}
		if e := b.events.parked; len(e) != 2 || e[0].Here || !errors.Is(e[0].Why, idempotency.ErrBusy) {
			t.Errorf("told %+v", e)
		}
	})
	bubble(t, "claim here when its lease lapses, without another receive", func(t *testing.T) {
		b := setup(t)
		b.other(t.Context(), idempotency.ClassNew)
		lease := newLease()
		ctx, cancel := context.WithCancel(t.Context())
		go lease.heartbeat(ctx)
		began := time.Now()
		_, err := b.runUnder(lease)
		<-parked(t, err).Ready
		if d := time.Since(began); d < 24*time.Second || d > 24*time.Second+500*time.Millisecond {
			t.Errorf("ready after %v, want the lease of 24 s", d)
		}
		if called, err := b.runUnder(lease); !called || err != nil {
			t.Errorf("called is %v, returned %v", called, err)
		}
		cancel()
		b.state(idempotency.StateCompleted, 1) // a death is not charged at once
	})
	bubble(t, "claim here when it is freed", func(t *testing.T) {
		b := setup(t)
		claim := b.other(t.Context(), idempotency.ClassNew)
		lease := newLease()
		_, err := b.runUnder(lease)
		p := parked(t, err)
		if _, err := b.memory.Release(t.Context(), idempotency.ReleaseRequest{
			Key: b.key(), Token: "other", Fence: claim.Fence, TTL: time.Hour,
		}); err != nil {
			t.Fatal(err)
		}
		<-p.Ready
		if called, err := b.runUnder(lease); !called || err != nil {
			t.Errorf("called is %v, returned %v", called, err)
		}
	})
	bubble(t, "wait on through an outage", func(t *testing.T) {
		b := setup(t)
		claim := b.other(t.Context(), idempotency.ClassNew)
		lease := newLease()
		_, err := b.runUnder(lease)
		p := parked(t, err)
		b.outage()
		time.Sleep(10 * time.Minute)
		if ready(p) || b.store.count("poll") > 3 {
			t.Errorf("ready is %v, %d polls", ready(p), b.store.count("poll"))
		}
		b.up()
		b.otherDone(t.Context(), claim)
		<-p.Ready
		if called, err := b.runUnder(lease); called || err != nil {
			t.Errorf("called is %v, returned %v", called, err)
		}
	})
	bubble(t, "are polled no more once their hold is over", func(t *testing.T) {
		b := setup(t)
		b.other(t.Context(), idempotency.ClassNew)
		lease := newLease()
		_, err := b.runUnder(lease)
		parked(t, err)
		lease.lose()
		time.Sleep(time.Minute)
		if n := b.store.count("poll"); n > 0 {
			t.Errorf("%d polls", n)
		}
	})
	bubble(t, "take a fallback that grows with each time the key was found busy", func(t *testing.T) {
		for duplicates, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
			b := setup(t)
			b.other(t.Context(), idempotency.ClassNew)
			for range duplicates {
				if _, err := b.memory.Claim(t.Context(), request(b.key(), "third")); err != nil {
					t.Fatal(err)
				}
			}
			b.fallback(message(), want)
		}
	})
}
