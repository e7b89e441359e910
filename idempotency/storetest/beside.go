package storetest

import (
	"errors"
	"testing"

	"github.com/holdfast-go/holdfast/idempotency"
)

// besideCases are about the methods that are not part of the protocol.
var besideCases = []testCase{
	{"a poll answers one snapshot per key, in their order, and changes nothing", func(t *testing.T, s *suite) {
		base := s.key
		key := func(name string) string { s.key = base + ":" + name; return s.key }
		held, done, free, lapsed, foreign, none := key("held"), key("done"), key("free"), key("lapsed"), key("foreign"), key("none")
		s.key = held
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.key = done
		s.complete(t, s.claims(t, s.claimOf("a"), idempotency.ClassNew).completion(), idempotency.ClassOwn)
		s.key = free
		s.release(t, s.claims(t, s.claimOf("a"), idempotency.ClassNew).release(idempotency.ChargeAttempt), idempotency.ClassOwn)
		s.key = lapsed
		s.die(t, s.claimOf("a"), idempotency.ClassNew)
		s.key = foreign
		s.claim(t, s.claimOf("a"), idempotency.ClassNew)
		s.Foreign(t, foreign)

		keys := []string{none, held, done, foreign, free, lapsed, held}
		before := map[string]string{}
		for _, k := range keys {
			before[k] = s.Snapshot(t, k)
		}
		got, err := s.Store.Poll(t.Context(), keys)
		if err != nil || len(got) != len(keys) {
			t.Fatalf("poll of %d keys answered %d, %v", len(keys), len(got), err)
		}
		for _, k := range keys {
			if after := s.Snapshot(t, k); after != before[k] {
				t.Errorf("the record of %s was changed:\nfrom %q\nto   %q", k, before[k], after)
			}
		}
		equal(t, "a key without a record", got[0], idempotency.Snapshot{})
		equal(t, "the state of a key in progress", got[1].State, idempotency.StateInProgress)
		equal(t, "its fence", got[1].Fence, a.reply.Fence)
		equal(t, "its attempts", got[1].Attempts, 1)
		equal(t, "its token", got[1].Token, "a")
		near(t, "its lease", got[1].Left, lease)
		near(t, "its hard end", got[1].HardLeft, hard)
		near(t, "its time to live", got[1].TTL, recordTTL)
		equal(t, "the state of a completed key", got[2].State, idempotency.StateCompleted)
		near(t, "its time to live", got[2].TTL, doneTTL)
		if !errors.Is(got[3].Err, idempotency.ErrBadRecord) || got[3].State != 0 {
			t.Errorf("a record of a later version is %+v, want an Err wrapping ErrBadRecord", got[3])
		}
		equal(t, "the state of a released key", got[4].State, idempotency.StateFree)
		equal(t, "the state of a lapsed key", got[5].State, idempotency.StateInProgress)
		equal(t, "what is left of it", got[5].Left, 0)
		equal(t, "the same key again", got[6].Record, got[1].Record)
	}},
	{"a poll of no keys answers none, one of an empty key is refused", func(t *testing.T, s *suite) {
		got, err := s.Store.Poll(t.Context(), nil)
		if len(got) != 0 || err != nil {
			t.Errorf("poll of no keys answered %v, %v", got, err)
		}
		if _, err := s.Store.Poll(t.Context(), []string{s.key, ""}); err == nil {
			t.Error("poll of an empty key was accepted")
		}
	}},
	{"a forgotten key is new, and its former holder is told", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.complete(t, a.completion(), idempotency.ClassOwn)
		for _, want := range []bool{true, false} {
			if existed, err := s.Store.Forget(t.Context(), s.key); existed != want || err != nil {
				t.Errorf("forget answered %v, %v; want %v", existed, err, want)
			}
		}
		b := s.claims(t, s.claimOf("b"), idempotency.ClassNew)
		if b.reply.Fence <= a.reply.Fence {
			t.Errorf("fence went from %d to %d", a.reply.Fence, b.reply.Fence)
		}
		s.unchanged(t, func() { s.extend(t, a.extension(), idempotency.ClassStolen) })
	}},
	{"a record that cannot be read can be forgotten", func(t *testing.T, s *suite) {
		s.claim(t, s.claimOf("a"), idempotency.ClassNew)
		s.Foreign(t, s.key)
		if existed, err := s.Store.Forget(t.Context(), s.key); !existed || err != nil {
			t.Errorf("forget answered %v, %v", existed, err)
		}
		s.claim(t, s.claimOf("b"), idempotency.ClassNew)
	}},
	{"a store that takes writes passes the probe", func(t *testing.T, s *suite) {
		for range 2 {
			if err := s.Store.Probe(t.Context()); err != nil {
				t.Errorf("probe: %v", err)
			}
		}
		equal(t, "the record", s.Snapshot(t, s.key), "")
	}},
}
