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

// alone gives the bundle a process of its own, as every bubble needs where runs wait
// for each other.
func alone(c *idempotency.Config) { c.Process = new(idempotency.Process) }

// byBody names the work by the payload, which a redrive leaves.
func byBody(c *idempotency.Config) {
	c.Key = func(m *holdfast.Message) (string, error) { return m.Body, nil }
}

// die has a claim of message made in another process, which ends under it.
func (b *bundle) die(token string, alone bool) {
	b.t.Helper()
	r := request(b.key(), token)
	r.Alone, r.Life = alone, b.mw.LifeOf(message())
	reply, err := b.memory.Claim(b.t.Context(), r)
	if err != nil || !reply.Claimed() {
		b.t.Fatalf("claim of the process that dies: %v, %v", reply.Class, err)
	}
	b.lapse()
}

func TestPoison(t *testing.T) {
	t.Parallel()
	bubble(t, "a handler that fails each time uses up the attempts, and the last failure dead-letters", func(t *testing.T) {
		var told []idempotency.PoisonedEvent
		b := setup(t, alone, func(c *idempotency.Config) {
			c.MaxAttempts = 7
			c.Hooks.Poisoned = func(e idempotency.PoisonedEvent) { told = append(told, e) }
		})
		for n := 1; n <= 7; n++ { // maxReceiveCount is 10
			called, err := b.run(errHandler)
			var permanent *holdfast.PermanentError
			last := n == 7
			if !called || errors.As(err, &permanent) != last || errors.Is(err, idempotency.ErrPoison) != last || !errors.Is(err, errHandler) {
				t.Fatalf("attempt %d: called is %v, returned %v", n, called, err)
			}
			if !last {
				b.state(idempotency.StateFree, n)
			}
		}
		b.state(idempotency.StateFree, 0) // never done: a redrive begins anew
		if len(told) != 1 || told[0].Attempts != 7 {
			t.Errorf("told %+v", told)
		}
	})
	bubble(t, "parks, waits and stops are no attempts", func(t *testing.T) {
		b := setup(t, alone, func(c *idempotency.Config) { c.MaxAttempts = 1 })
		for range 20 {
			if _, err := b.run(holdfast.RetryAfter(time.Second, errHandler)); errors.Is(err, idempotency.ErrPoison) {
				t.Fatalf("returned %v", err)
			}
		}
		if _, err := b.run(errHandler); !errors.Is(err, idempotency.ErrPoison) {
			t.Errorf("returned %v", err)
		}
	})
	bubble(t, "unless a number is asked for, failures are left to the runtime and its last receive", func(t *testing.T) {
		b := setup(t, alone)
		for n := 1; n <= 10; n++ {
			if called, err := b.run(errHandler); !called || err != errHandler {
				t.Fatalf("attempt %d: called is %v, returned %v", n, called, err)
			}
		}
		// Deaths are bounded all the same.
		b = setup(t, alone)
		b.die("d1", false)
		b.die("d2", false)
		for range 7 {
			b.die(idempotency.NewToken(), true)
		}
		if called, err := b.run(nil); called || !errors.Is(err, idempotency.ErrPoison) {
			t.Errorf("called is %v, returned %v", called, err)
		}
	})
	bubble(t, "what cannot be decoded is the runtime's to tell", func(t *testing.T) {
		b := setup(t, alone, func(c *idempotency.Config) { c.MaxAttempts = 1 })
		undecodable := &holdfast.DecodeError{Err: errHandler}
		if _, err := b.run(undecodable); err != error(undecodable) {
			t.Errorf("returned %v", err)
		}
	})
	bubble(t, "Native leaves the message to SQS", func(t *testing.T) {
		b := setup(t, alone, func(c *idempotency.Config) { c.MaxAttempts, c.Poison = 2, idempotency.Native })
		for n := 1; n <= 5; n++ {
			if called, err := b.run(errHandler); !called || err != errHandler {
				t.Fatalf("attempt %d: called is %v, returned %v", n, called, err)
			}
		}
		b.state(idempotency.StateFree, 5)
	})
	bubble(t, "where the record is lost the receives are counted", func(t *testing.T) {
		b := setup(t, alone, func(c *idempotency.Config) { c.MaxAttempts = 7 })
		m := message()
		m.ReceiveCount = 7
		err := b.handle(t.Context(), m, newLease(), func(context.Context, *holdfast.Message) error { return errHandler })
		if !errors.Is(err, idempotency.ErrPoison) {
			t.Errorf("returned %v", err)
		}
	})
	bubble(t, "a message that ended its process alone too often is dead-lettered without a run", func(t *testing.T) {
		var told []idempotency.PoisonedEvent
		b := setup(t, alone, byBody, func(c *idempotency.Config) {
			c.MaxAttempts = 3
			c.Hooks.Poisoned = func(e idempotency.PoisonedEvent) { told = append(told, e) }
		})
		b.die("d1", false)
		b.die("d2", false)
		for _, token := range []string{"d3", "d4", "d5"} {
			b.die(token, true)
		}
		called, err := b.run(nil)
		var permanent *holdfast.PermanentError
		if called || !errors.As(err, &permanent) || !errors.Is(err, idempotency.ErrPoison) {
			t.Errorf("called is %v, returned %v", called, err)
		}
		b.state(idempotency.StateFree, 0)
		if len(told) != 1 || told[0].Attempts != 3 || told[0].Deaths != 5 {
			t.Errorf("told %+v", told)
		}
		// A redrive is a new life.
		m := message()
		m.ID = "m-2"
		if err := b.handle(t.Context(), m, newLease(), sleeper(0)); err != nil {
			t.Errorf("after a redrive: returned %v", err)
		}
	})
	bubble(t, "a message that SQS dead-lettered begins a new life when it is moved back", func(t *testing.T) {
		b := setup(t, alone, byBody, func(c *idempotency.Config) { c.MaxAttempts, c.Poison = 3, idempotency.Native })
		for range 5 {
			b.run(errHandler)
		}
		m := message()
		m.ID = "m-2"
		err := b.handle(t.Context(), m, newLease(), func(ctx context.Context, _ *holdfast.Message) error {
			if c, _ := idempotency.FromContext(ctx); c.Attempt != 1 || !c.Partial {
				t.Errorf("claim is %+v, want attempt 1, partial", c)
			}
			return nil
		})
		if err != nil {
			t.Errorf("returned %v", err)
		}
	})
	bubble(t, "a second copy under the same key is no new life", func(t *testing.T) {
		b := setup(t, alone, byBody, func(c *idempotency.Config) { c.MaxAttempts, c.Poison = 3, idempotency.Native })
		sent := time.Now()
		time.Sleep(time.Hour)
		for range 5 {
			b.run(errHandler)
		}
		attempt := func(id string, sent time.Time) (n int) {
			m := message()
			m.ID, m.SentAt = id, sent
			err := b.handle(t.Context(), m, newLease(), func(ctx context.Context, _ *holdfast.Message) error {
				c, _ := idempotency.FromContext(ctx)
				n = c.Attempt
				return errHandler
			})
			if err != errHandler {
				t.Errorf("returned %v", err)
			}
			return n
		}
		// Else two copies of a message that ends its process would take turns for ever.
		if n := attempt("m-2", sent); n != 6 {
			t.Errorf("a copy of the same age has attempt %d, want 6", n)
		}
		time.Sleep(time.Second)
		if n := attempt("m-3", time.Now()); n != 1 {
			t.Errorf("a message sent since has attempt %d, want 1", n)
		}
	})
}

func TestAlone(t *testing.T) {
	t.Parallel()
	// long handles another message until the returned function is called.
	long := func(b *bundle, id string) (end func()) {
		m, release, done := message(), make(chan struct{}), make(chan struct{})
		m.ID = id
		go func() {
			defer close(done)
			if err := b.handle(b.t.Context(), m, nil, func(context.Context, *holdfast.Message) error { <-release; return nil }); err != nil {
				b.t.Errorf("the neighbour returned %v", err)
			}
		}()
		synctest.Wait()
		return func() { close(release); <-done; synctest.Wait() }
	}
	parked := func(t *testing.T, err error) <-chan struct{} {
		t.Helper()
		park, ok := holdfast.Verb(err).(*holdfast.ParkError)
		if !ok || !errors.Is(park.Fallback, idempotency.ErrAlone) {
			t.Fatalf("returned %v, want Park with ErrAlone", err)
		}
		return park.Ready
	}
	isOpen := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return false
		default:
			return true
		}
	}
	bubble(t, "after two deaths a message waits until its process is idle, and runs alone", func(t *testing.T) {
		b := setup(t, alone)
		b.die("d1", false)
		b.die("d2", false)
		end := long(b, "m-2")
		lease := newLease()
		elsewhere := t.Context() // not under the claim
		called, err := false, error(nil)
		try := func() {
			err = b.handle(t.Context(), message(), lease, func(ctx context.Context, _ *holdfast.Message) error { //nolint:contextcheck // what it starts is not its own
				called = true
				if c, _ := idempotency.FromContext(ctx); c.Deaths != 2 || c.Attempt != 1 || !c.Partial {
					t.Errorf("claim is %+v, want attempt 1 after 2 deaths", c)
				}
				if r, _ := b.record(); !r.Alone {
					t.Error("the record does not say that it runs alone")
				}
				// Newcomers wait, and nothing is received meanwhile.
				m := message()
				m.ID = "m-3"
				wait := parked(t, b.handle(elsewhere, m, newLease(), nil))
				if reopened, why := b.mw.Closed(); reopened == nil || !errors.Is(why, idempotency.ErrAlone) {
					t.Errorf("the gate is open: %v", why)
				}
				time.Sleep(20 * time.Second)
				if !isOpen(wait) {
					t.Error("a newcomer was let go")
				}
				return nil
			})
		}
		try()
		ready := parked(t, err)
		if called {
			t.Fatal("it was called beside another")
		}
		if reopened, _ := b.mw.Closed(); reopened == nil {
			t.Error("the gate is open while it waits")
		}
		end()
		if isOpen(ready) {
			t.Fatal("it is not let go once it is alone")
		}
		claims := b.store.count("claim")
		try()
		if !called || err != nil || b.store.count("claim") != claims+1 {
			t.Errorf("called is %v, returned %v, with %d claims", called, err, b.store.count("claim")-claims)
		}
		if reopened, _ := b.mw.Closed(); reopened != nil {
			t.Error("the gate stays closed")
		}
		b.state(idempotency.StateCompleted, 1)
		long(b, "m-4")()
	})
	bubble(t, "a handler that does not end keeps the others out for a minute, not for ever", func(t *testing.T) {
		b := setup(t, alone)
		b.die("d1", false)
		b.die("d2", false)
		end := long(b, "m-2")
		lease := newLease()
		ready := parked(t, b.handle(t.Context(), message(), lease, nil))
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		long(b, "m-3")() // runs
		if !isOpen(ready) {
			t.Error("it was let go beside another")
		}
		end()
	})
	bubble(t, "one whose hold was lost while it waited holds up nobody", func(t *testing.T) {
		b := setup(t, alone)
		b.die("d1", false)
		b.die("d2", false)
		end := long(b, "m-2")
		lease := newLease()
		parked(t, b.handle(t.Context(), message(), lease, nil))
		lease.lose()
		long(b, "m-3")()
		end()
	})
	bubble(t, "runs inside of another middleware do not wait for themselves", func(t *testing.T) {
		b := setup(t, alone)
		b.die("d1", false)
		b.die("d2", false)
		outer := idempotency.New(idempotency.NewMemoryStore(), idempotency.Config{Consumer: "outer", Process: new(idempotency.Process)})
		ran := false
		h := outer.Wrap(b.mw.Wrap(holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error { ran = true; return nil })))
		m := message()
		if err := h.Handle(holdfast.NewContext(t.Context(), m, newLease()), m); err != nil || !ran {
			t.Errorf("ran is %v, returned %v", ran, err)
		}
	})
}

func TestMismatchPolicies(t *testing.T) {
	t.Parallel()
	policy := func(p idempotency.Mismatch) func(*idempotency.Config) {
		return func(c *idempotency.Config) { c.KeyAttribute, c.Mismatch, c.LocalDone = "k", p, -1 }
	}
	deliver := func(b *bundle, body string) (ran bool, err error) {
		m := message()
		m.Body, m.Attributes = body, map[string]holdfast.Attribute{"k": str("1")}
		err = b.handle(b.t.Context(), m, newLease(), func(context.Context, *holdfast.Message) error { ran = true; return nil })
		return ran, err
	}
	for _, c := range []struct {
		name   string
		policy idempotency.Mismatch
		runs   []bool // of the payloads a, b, b, a
		reject bool
	}{
		{"RejectMismatch dead-letters the other payload", idempotency.RejectMismatch, []bool{true, false, false, false}, true},
		{"RunMismatch runs it once, as other work", idempotency.RunMismatch, []bool{true, true, false, false}, false},
		{"IgnoreMismatch takes it for a duplicate", idempotency.IgnoreMismatch, []bool{true, false, false, false}, false},
	} {
		bubble(t, c.name, func(t *testing.T) {
			told := 0
			b := setup(t, policy(c.policy), func(c *idempotency.Config) {
				c.Hooks.Mismatch = func(idempotency.MismatchEvent) { told++ }
			})
			for n, body := range []string{"a", "b", "b", "a"} {
				ran, err := deliver(b, body)
				var permanent *holdfast.PermanentError
				if ran != c.runs[n] || errors.Is(err, idempotency.ErrMismatch) != (c.reject && body == "b") || (err != nil) != errors.As(err, &permanent) {
					t.Errorf("delivery %d, of payload %s: ran is %v, returned %v", n, body, ran, err)
				}
			}
			if told != 2 {
				t.Errorf("told of %d mismatches, want 2", told)
			}
		})
	}
}

func TestCompletedKeysAreRememberedHere(t *testing.T) {
	t.Parallel()
	bubble(t, "a duplicate of what was done here costs no round trip", func(t *testing.T) {
		var told []idempotency.DuplicateEvent
		b := setup(t, func(c *idempotency.Config) {
			c.Hooks.Duplicate = func(e idempotency.DuplicateEvent) { told = append(told, e) }
		})
		b.run(nil)
		claims := b.store.count("claim")
		for range 3 {
			if called, err := b.run(nil); called || err != nil {
				t.Errorf("called is %v, returned %v", called, err)
			}
		}
		if n := b.store.count("claim"); n != claims {
			t.Errorf("duplicates cost %d claims", n-claims)
		}
		if len(told) != 3 || !told[0].Here || told[0].Key != b.key() {
			t.Errorf("told %+v", told)
		}
		time.Sleep(10 * time.Minute)
		if called, err := b.run(nil); called || err != nil || b.store.count("claim") != claims+1 {
			t.Errorf("after 10 minutes: called is %v, returned %v, %d claims", called, err, b.store.count("claim")-claims)
		}
		if told[3].Here {
			t.Error("it is remembered for more than 10 minutes")
		}
	})
	bubble(t, "not another payload, not a failure, and not where it is not wanted", func(t *testing.T) {
		b := setup(t)
		b.run(nil)
		m := message()
		m.Body = "other"
		if err := b.handle(t.Context(), m, newLease(), nil); !errors.Is(err, idempotency.ErrMismatch) {
			t.Errorf("another payload: returned %v", err)
		}
		b = setup(t)
		b.run(errHandler)
		if called, _ := b.run(nil); !called {
			t.Error("a failure counts as done")
		}
		b = setup(t, func(c *idempotency.Config) { c.LocalDone = -1 })
		b.run(nil)
		b.run(nil)
		if n := b.store.count("claim"); n != 2 {
			t.Errorf("%d claims, want 2", n)
		}
	})
	bubble(t, "no longer than the store remembers it", func(t *testing.T) {
		b := setup(t, func(c *idempotency.Config) { c.PostDeleteTTL = time.Minute })
		b.run(nil)
		time.Sleep(time.Minute)
		b.run(nil)
		if n := b.store.count("claim"); n != 2 {
			t.Errorf("%d claims, want 2", n)
		}
	})
}

func TestInspectAndForget(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *idempotency.Config) { c.KeyAttribute, c.LocalDone = "order-id", -1 })
	m := message()
	m.Attributes = map[string]holdfast.Attribute{"order-id": str("7")}
	// What an operator has is the order id.
	key, err := b.mw.KeyOf(&holdfast.Message{Attributes: m.Attributes})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := idempotency.Inspect(t.Context(), b.store, key); err != nil || s.State != 0 {
		t.Errorf("before: %+v, %v", s, err)
	}
	runs := 0
	deliver := func() {
		t.Helper()
		if err := b.handle(t.Context(), m, newLease(), func(context.Context, *holdfast.Message) error { runs++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	deliver()
	if s, err := idempotency.Inspect(t.Context(), b.store, key); err != nil || s.State != idempotency.StateCompleted || s.Attempts != 1 {
		t.Errorf("after: %+v, %v", s, err)
	}
	deliver()
	for _, want := range []bool{true, false} {
		if existed, err := idempotency.Forget(t.Context(), b.store, key); err != nil || existed != want {
			t.Errorf("Forget answered %v, %v; want %v", existed, err, want)
		}
	}
	deliver()
	if runs != 2 {
		t.Errorf("ran %d times, want 2: once, and once more after Forget", runs)
	}
	b.memory.SetRaw(key, "2|P|later")
	if _, err := idempotency.Inspect(t.Context(), b.store, key); !errors.Is(err, idempotency.ErrBadRecord) {
		t.Errorf("of a record of a later version: %v", err)
	}
}
