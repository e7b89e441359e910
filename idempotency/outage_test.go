package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

// parked wants err to be Park.
func parked(t *testing.T, err error) *holdfast.ParkError {
	t.Helper()
	park, ok := holdfast.Verb(err).(*holdfast.ParkError)
	if !ok {
		t.Fatalf("returned %v, want Park", err)
	}
	return park
}

// ready tells whether a parked message may run again.
func ready(p *holdfast.ParkError) bool {
	synctest.Wait()
	select {
	case <-p.Ready:
		return true
	default:
		return false
	}
}

// runUnder handles message under lease with a handler that returns at once.
func (b *bundle) runUnder(lease *fakeLease) (called bool, err error) {
	b.t.Helper()
	err = b.handle(b.t.Context(), message(), lease, func(context.Context, *holdfast.Message) error {
		called = true
		return nil
	})
	return called, err
}

// down makes every call of the store fail.
func (b *bundle) down() { b.store.set(func(string) error { return errDown }, nil) }

// up ends that.
func (b *bundle) up() { b.store.set(nil, nil) }

// outage makes the breaker open, by the claims of another message.
func (b *bundle) outage() {
	b.t.Helper()
	b.down()
	for range 2 {
		m := message()
		m.ID = "other"
		parked(b.t, b.handle(b.t.Context(), m, newLease(), nil))
	}
	if reopened, _ := b.mw.Closed(); reopened == nil {
		b.t.Fatal("the gate is open although the store is down")
	}
}

// isOpen tells whether receives may be issued.
func (b *bundle) isOpen() bool { c, _ := b.mw.Closed(); return c == nil }

func TestOutageOfTheStore(t *testing.T) {
	t.Parallel()
	bubble(t, "closes the gate, and opens it gradually when the store is back", func(t *testing.T) {
		b := setup(t)
		b.outage()
		_, why := b.mw.Closed()
		if !errors.Is(why, errDown) {
			t.Errorf("the gate says %v", why)
		}
		calls := b.store.count("claim")
		time.Sleep(10 * time.Minute)
		if b.isOpen() || b.store.count("claim") != calls {
			t.Errorf("open is %v, %d more claims", b.isOpen(), b.store.count("claim")-calls)
		}
		b.up()
		back := time.Now()
		for !b.isOpen() {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(back); took > 3*time.Second {
			t.Errorf("open %v after the store was back", took)
		}
		synctest.Wait() // for the hook
		if e := b.events; len(e.down) != 1 || !errors.Is(e.down[0].Err, errDown) || len(e.up) != 1 || e.up[0].Down < 10*time.Minute {
			t.Errorf("told %+v and %+v", e.down, e.up)
		}
	})
	bubble(t, "parks what is in hand without a call, and has it claim when the store is back", func(t *testing.T) {
		b := setup(t)
		b.outage()
		calls := b.store.count("claim")
		lease := newLease()
		called, err := b.runUnder(lease)
		p := parked(t, err)
		if called || b.store.count("claim") != calls {
			t.Errorf("called is %v, with %d claims", called, b.store.count("claim")-calls)
		}
		if e := b.events.parked; len(e) != 3 || e[2].Here || !errors.Is(e[2].Why, idempotency.ErrStore) || e[2].Key != b.key() {
			t.Errorf("told %+v", e)
		}
		time.Sleep(50 * time.Second)
		if ready(p) {
			t.Fatal("it does not wait")
		}
		b.up()
		<-p.Ready
		if called, err := b.runUnder(lease); !called || err != nil {
			t.Errorf("called is %v, returned %v", called, err)
		}
		b.state(idempotency.StateCompleted, 1)
	})
	bubble(t, "is waited for until the budget is spent, then the message goes back with a backoff", func(t *testing.T) {
		b := setup(t, func(c *idempotency.Config) { c.OutageBudget = 10 * time.Second })
		b.outage()
		lease := newLease()
		began := time.Now()
		var last error
		for {
			_, last = b.runUnder(lease)
			p, ok := holdfast.Verb(last).(*holdfast.ParkError)
			if !ok {
				break
			}
			<-p.Ready
		}
		var retry *holdfast.RetryAfterError
		if !errors.As(last, &retry) || !errors.Is(last, idempotency.ErrStore) || time.Since(began) != 10*time.Second {
			t.Errorf("returned %v after %v", last, time.Since(began))
		}
	})
	bubble(t, "of one key alone spends the budget too, though the store answers others", func(t *testing.T) {
		b := setup(t)
		key := b.key()
		b.store.failKey(key)
		lease := newLease()
		began := time.Now()
		for {
			_, err := b.runUnder(lease)
			p, ok := holdfast.Verb(err).(*holdfast.ParkError)
			if !ok {
				break
			}
			m := message()
			m.ID = fmt.Sprint(time.Since(began))
			if err := b.handle(t.Context(), m, newLease(), sleeper(0)); err != nil {
				t.Fatal(err)
			}
			<-p.Ready
		}
		if took := time.Since(began); took < time.Minute || took > 62*time.Second || len(b.events.down) != 0 {
			t.Errorf("given back after %v, with %d outages", took, len(b.events.down))
		}
	})
	bubble(t, "keeps the token of a claim whose reply was lost", func(t *testing.T) {
		b := setup(t)
		b.store.set(nil, func(string) error { return errDown }) // applied, and not answered
		lease := newLease()
		_, err := b.runUnder(lease)
		p := parked(t, err)
		b.up()
		<-p.Ready
		if called, err := b.runUnder(lease); !called || err != nil {
			t.Errorf("called is %v, returned %v: it waits for itself", called, err)
		}
		b.state(idempotency.StateCompleted, 1)
	})
	bubble(t, "ends with as many at work at once as the ramp admits", func(t *testing.T) {
		b := setup(t)
		const n = 100
		work := func(run func(i int, lease *fakeLease)) {
			for i := range n {
				go run(i, newLease())
			}
		}
		m := func(i int) *holdfast.Message { m := message(); m.ID = fmt.Sprint(i); return m }
		work(func(i int, lease *fakeLease) { b.handle(t.Context(), m(i), lease, sleeper(20*time.Second)) })
		time.Sleep(time.Minute)
		b.outage()
		b.up()
		reopened, _ := b.mw.Closed()
		<-reopened
		began := time.Now()
		var at []time.Duration // when each began
		work(func(i int, lease *fakeLease) {
			for {
				err := b.handle(t.Context(), m(n+i), lease, func(ctx context.Context, _ *holdfast.Message) error {
					b.events.mu.Lock()
					at = append(at, time.Since(began))
					b.events.mu.Unlock()
					return sleeper(20*time.Second)(ctx, nil)
				})
				p, ok := holdfast.Verb(err).(*holdfast.ParkError)
				if !ok {
					return
				}
				<-p.Ready
			}
		})
		synctest.Wait()
		if b.isOpen() {
			t.Error("the gate is open while messages wait for their turn")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(at) != n {
			t.Fatalf("%d of %d were at work", len(at), n)
		}
		for i, d := range at {
			if limit := 1 + int(100*d/(5*time.Second)); i+1 > limit+1 {
				t.Errorf("%d at work after %v", i+1, d)
			}
		}
		if last := at[n-1]; last > 5*time.Second {
			t.Errorf("the last began after %v", last)
		}
	})
	bubble(t, "is not probed when no consumer is left", func(t *testing.T) {
		b := setup(t)
		ctx, stop := context.WithCancel(t.Context())
		if err := b.mw.Start(ctx, message().Queue); err != nil {
			t.Fatal(err)
		}
		b.outage()
		stop()
		time.Sleep(time.Minute)
		n := b.store.count("probe")
		time.Sleep(time.Hour)
		if got := b.store.count("probe"); got != n {
			t.Errorf("%d more probes in an hour", got-n)
		}
	})
}

func TestHandlersInAnOutage(t *testing.T) {
	t.Parallel()
	// during runs a handler for work through an outage that begins after 1 s and
	// lasts for away, while its message is extended.
	during := func(b *bundle, work, away time.Duration, inside func(ctx context.Context, lease *fakeLease)) (time.Duration, error) {
		lease := newLease()
		ctx, cancel := context.WithCancel(b.t.Context())
		defer cancel()
		go lease.heartbeat(ctx)
		began := time.Now()
		err := b.handle(b.t.Context(), message(), lease, func(ctx context.Context, m *holdfast.Message) error {
			go func() {
				time.Sleep(time.Second)
				b.down()
				if inside != nil {
					inside(ctx, lease)
				}
				time.Sleep(away)
				b.up()
			}()
			return sleeper(work)(ctx, m)
		})
		return time.Since(began), err
	}
	bubble(t, "go on past their lease while SQS hides their message", func(t *testing.T) {
		b := setup(t)
		if took, err := during(b, 3*time.Minute, 100*time.Second, nil); err != nil {
			t.Errorf("returned %v after %v", err, took)
		}
		b.state(idempotency.StateCompleted, 1)
		if len(b.events.lost) != 0 {
			t.Errorf("told %+v", b.events.lost)
		}
	})
	bubble(t, "are cancelled when the grace is over", func(t *testing.T) {
		b := setup(t, func(c *idempotency.Config) { c.OutageGrace = 30 * time.Second })
		took, err := during(b, time.Hour, 10*time.Minute, nil)
		if took < 54*time.Second || took > 57*time.Second || !errors.Is(err, holdfast.ErrLeaseLost) {
			t.Errorf("returned %v after %v, want ErrLeaseLost after 24 s and 30 s", err, took)
		}
		time.Sleep(10 * time.Minute)
	})
	bubble(t, "are cancelled at once in the grace when their visibility is lost", func(t *testing.T) {
		b := setup(t)
		took, err := during(b, time.Hour, time.Hour, func(_ context.Context, lease *fakeLease) {
			time.Sleep(50*time.Second - time.Second)
			lease.lose()
		})
		if took < 50*time.Second || took > 52*time.Second || !errors.Is(err, holdfast.ErrLeaseLost) {
			t.Errorf("returned %v after %v, want ErrLeaseLost after 50 s", err, took)
		}
		time.Sleep(time.Hour)
	})
	bubble(t, "are cancelled when a twin took the key meanwhile", func(t *testing.T) {
		b := setup(t)
		took, err := during(b, time.Hour, 40*time.Second, func(ctx context.Context, _ *fakeLease) {
			go func() {
				time.Sleep(30 * time.Second) // the lease has lapsed
				b.other(ctx, idempotency.ClassTakeover)
			}()
		})
		if took < 40*time.Second || took > 46*time.Second || !errors.Is(err, holdfast.ErrLeaseLost) {
			t.Errorf("returned %v after %v, want ErrLeaseLost when the store was back", err, took)
		}
	})
	bubble(t, "claim anew where the failover lost their record", func(t *testing.T) {
		b := setup(t)
		var first int64
		took, err := during(b, 3*time.Minute, 40*time.Second, func(context.Context, *fakeLease) {
			r, _ := b.record()
			first = r.Fence
			b.memory.Delete(b.key())
		})
		if err != nil {
			t.Errorf("returned %v after %v", err, took)
		}
		b.state(idempotency.StateCompleted, 1)
		if r, _ := b.record(); r.Fence <= first || len(b.events.recordLost) != 1 {
			t.Errorf("fence %d after %d, %d lost records told", r.Fence, first, len(b.events.recordLost))
		}
	})
	bubble(t, "end where the record was lost and a twin had the key meanwhile", func(t *testing.T) {
		b := setup(t)
		began := time.Now()
		_, err := during(b, time.Hour, 40*time.Second, func(ctx context.Context, _ *fakeLease) {
			b.memory.Delete(b.key())
			go func() {
				time.Sleep(39 * time.Second)
				b.store.set(func(op string) error {
					if time.Since(began) < 41*time.Second {
						return errDown
					}
					return nil
				}, func(op string) error {
					if op != "extend" || b.memory.Len() > 0 {
						return nil
					}
					// Between the answer that the record is gone and the new claim.
					claim := b.other(ctx, idempotency.ClassNew)
					_, err := b.memory.Release(ctx, idempotency.ReleaseRequest{
						Key: b.key(), Token: "other", Fence: claim.Fence, TTL: time.Hour,
					})
					return err
				})
				time.Sleep(time.Minute)
			}()
			time.Sleep(2 * time.Minute)
		})
		if !errors.Is(err, holdfast.ErrLeaseLost) {
			t.Errorf("returned %v", err)
		}
		b.state(idempotency.StateFree, 1)
		time.Sleep(time.Hour)
	})
	bubble(t, "run on beyond all leases where that is the policy", func(t *testing.T) {
		b := setup(t, func(c *idempotency.Config) { c.LeaseLost = idempotency.RunOn })
		if took, err := during(b, 20*time.Minute, 10*time.Minute, nil); err != nil {
			t.Errorf("returned %v after %v", err, took)
		}
		b.state(idempotency.StateCompleted, 1)
	})
	bubble(t, "run on until the key is taken over", func(t *testing.T) {
		b := setup(t, func(c *idempotency.Config) { c.LeaseLost = idempotency.RunOn })
		took, err := during(b, time.Hour, 10*time.Minute, func(ctx context.Context, _ *fakeLease) {
			go func() {
				time.Sleep(5 * time.Minute)
				b.other(ctx, idempotency.ClassTakeover)
			}()
		})
		if took > 11*time.Minute || !errors.Is(err, holdfast.ErrLeaseLost) {
			t.Errorf("returned %v after %v", err, took)
		}
	})
	bubble(t, "that are done wait for the store with their completion", func(t *testing.T) {
		b := setup(t)
		took, err := during(b, 10*time.Second, 10*time.Minute, nil)
		if err != nil || took < 10*time.Minute || took > 10*time.Minute+10*time.Second {
			t.Errorf("returned %v after %v", err, took)
		}
		b.state(idempotency.StateCompleted, 1)
		if n := b.store.count("complete"); n > 4 {
			t.Errorf("%d completions were tried: the breaker knows better", n)
		}
	})
}

func TestFailOpen(t *testing.T) {
	t.Parallel()
	open := func(c *idempotency.Config) { c.StoreDown = idempotency.FailOpen }
	bubble(t, "runs without a claim, says so, and records completions afterwards", func(t *testing.T) {
		b := setup(t, open)
		b.down()
		for i := range 20 {
			m := message()
			m.ID, m.ReceiveCount = fmt.Sprint(i), 3
			var claim idempotency.Claim
			err := b.handle(t.Context(), m, newLease(), func(ctx context.Context, _ *holdfast.Message) error {
				claim, _ = idempotency.FromContext(ctx)
				return nil
			})
			if err != nil || !claim.Unprotected || claim.Fence != 0 || claim.Attempt != 3 || !claim.Partial || claim.Key == "" {
				t.Errorf("message %d: claim %+v, returned %v", i, claim, err)
			}
			if !b.isOpen() {
				t.Error("the gate is closed")
			}
		}
		if n := len(b.events.unprotected); n != 20 || !errors.Is(b.events.unprotected[19].Why, idempotency.ErrStore) {
			t.Errorf("%d unprotected runs were told", n)
		}
		if n := b.store.count("claim"); n > 4 {
			t.Errorf("%d claims were tried", n)
		}
		b.up()
		time.Sleep(time.Minute)
		if n := b.memory.Len(); n != 20 {
			t.Errorf("%d of 20 completions are recorded", n)
		}
		m := message()
		m.ID = "7"
		if err := b.handle(t.Context(), m, newLease(), nil); err != nil {
			t.Errorf("a duplicate: %v", err)
		}
	})
	bubble(t, "still runs one of a key at a time in this process", func(t *testing.T) {
		b := setup(t, open)
		b.down()
		err := b.handle(t.Context(), message(), newLease(), func(context.Context, *holdfast.Message) error {
			called, err := b.run(nil) //nolint:contextcheck // another message
			if p := parked(t, err); called || ready(p) {
				t.Error("it runs twice at once")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		b.up()
		time.Sleep(time.Minute)
	})
	bubble(t, "deletes what was done under a claim and cannot be recorded", func(t *testing.T) {
		b := setup(t, open)
		called, err := b.runWith(func(context.Context) error { b.down(); return nil })
		if !called || err != nil {
			t.Errorf("called is %v, returned %v", called, err)
		}
		b.up()
		time.Sleep(time.Minute)
		b.state(idempotency.StateCompleted, 1)
	})
	bubble(t, "keeps what fails", func(t *testing.T) {
		b := setup(t, open)
		b.down()
		if called, err := b.run(errHandler); !called || !errors.Is(err, errHandler) {
			t.Errorf("called is %v, returned %v", called, err)
		}
		b.up()
		time.Sleep(time.Minute)
		if n := b.memory.Len(); n != 0 {
			t.Errorf("%d records", n)
		}
	})
}
