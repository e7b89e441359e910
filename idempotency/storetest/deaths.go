package storetest

import (
	"testing"

	"github.com/holdfast-go/holdfast/idempotency"
)

// deathCases are about claims whose process died: which of them are charged, and
// when the next must run alone.
var deathCases = []testCase{
	{"after two deaths a key is claimed alone or not at all", func(t *testing.T, s *suite) {
		s.die(t, s.claimOf("a"), idempotency.ClassNew)
		b := s.die(t, s.claimOf("b"), idempotency.ClassTakeover)
		equal(t, "Attempts of the second", b.Attempts, 1)
		equal(t, "Deaths before the second", b.Deaths, 1)
		s.unchanged(t, func() {
			for range 2 {
				r := s.claim(t, s.claimOf("c"), idempotency.ClassAlone)
				equal(t, "Fence", r.Fence, b.Fence)
				equal(t, "Attempts", r.Attempts, 0)
				equal(t, "Deaths", r.Deaths, 2)
				equal(t, "Left", r.Left, 0)
			}
		})
		s.lives(t, recordTTL)
		c := s.claimOf("c")
		c.Alone = true
		reply := s.claim(t, c, idempotency.ClassTakeover)
		equal(t, "Attempts", reply.Attempts, 1)
		equal(t, "Deaths", reply.Deaths, 2)
		if reply.Fence <= b.Fence {
			t.Errorf("fence went from %d to %d", b.Fence, reply.Fence)
		}
	}},
	{"a message that kills its process uses up its attempts alone, after two deaths", func(t *testing.T, s *suite) {
		s.die(t, s.claimOf("a"), idempotency.ClassNew)
		s.die(t, s.claimOf("b"), idempotency.ClassTakeover)
		for n := 1; n <= 6; n++ {
			r := s.claimOf(token())
			s.unchanged(t, func() { s.claim(t, r, idempotency.ClassAlone) })
			r.Alone = true
			reply := s.die(t, r, idempotency.ClassTakeover)
			equal(t, "Attempts", reply.Attempts, n)
			equal(t, "Deaths", reply.Deaths, n+1)
		}
	}},
	{"only a death alone is charged", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.release(t, a.release(idempotency.ChargeAttempt), idempotency.ClassOwn)
		equal(t, "Attempts after a failure", s.die(t, s.claimOf("b"), idempotency.ClassTakeover).Attempts, 2)
		c := s.claimOf("c")
		c.Alone = true
		equal(t, "Attempts after a death beside others", s.die(t, c, idempotency.ClassTakeover).Attempts, 2)
		d := s.claimOf("d")
		d.Alone = true
		equal(t, "Attempts after a death alone", s.claim(t, d, idempotency.ClassTakeover).Attempts, 3)
	}},
	{"a release ends the row of deaths", func(t *testing.T, s *suite) {
		for _, charge := range []idempotency.Charge{idempotency.ChargeAttempt, idempotency.RefundAttempt, idempotency.ResetAttempts} {
			s.key += "r"
			s.die(t, s.claimOf("a"), idempotency.ClassNew)
			s.die(t, s.claimOf("b"), idempotency.ClassTakeover)
			r := s.claimOf("c")
			r.Alone = true
			c := s.claims(t, r, idempotency.ClassTakeover)
			s.release(t, c.release(charge), idempotency.ClassOwn)
			equal(t, "Deaths", s.die(t, s.claimOf("d"), idempotency.ClassTakeover).Deaths, 0)
			equal(t, "Deaths", s.claim(t, s.claimOf("e"), idempotency.ClassTakeover).Deaths, 1)
		}
	}},
	{"whoever looks on while a claim is alive does not count as a death", func(t *testing.T, s *suite) {
		s.die(t, s.claimOf("a"), idempotency.ClassNew)
		s.claim(t, s.claimOf("b"), idempotency.ClassTakeover)
		for range 3 {
			r := s.claim(t, s.claimOf("c"), idempotency.ClassBusy)
			equal(t, "Deaths", r.Deaths, 1)
		}
		again := s.claim(t, s.claimOf("b"), idempotency.ClassOwn)
		equal(t, "Deaths", again.Deaths, 1)
	}},
	{"a mismatch and a completion come before the deaths", func(t *testing.T, s *suite) {
		s.die(t, s.claimOf("a"), idempotency.ClassNew)
		b := s.claims(t, s.claimOf("b"), idempotency.ClassTakeover)
		s.Lapse(t, s.key)
		other := s.claimOf("c")
		other.PayloadHash = "hash-b"
		s.claim(t, other, idempotency.ClassMismatch)
		s.complete(t, b.completion(), idempotency.ClassOwn)
		s.claim(t, s.claimOf("c"), idempotency.ClassDone)
	}},
	{"a restoring extension brings back deaths and solitude", func(t *testing.T, s *suite) {
		s.die(t, s.claimOf("a"), idempotency.ClassNew)
		s.die(t, s.claimOf("b"), idempotency.ClassTakeover)
		r := s.claimOf("c")
		r.Alone = true
		c := s.claims(t, r, idempotency.ClassTakeover)
		s.Lose(t, s.key)
		s.extend(t, c.extension(), idempotency.ClassRestored)
		equal(t, "Deaths", s.claim(t, s.claimOf("d"), idempotency.ClassBusy).Deaths, 2)
		s.Lapse(t, s.key)
		reply := s.claim(t, s.claimOf("d"), idempotency.ClassAlone)
		equal(t, "Attempts", reply.Attempts, 1) // charged: it was alone
		equal(t, "Deaths", reply.Deaths, 3)
	}},
	{"an extension keeps deaths and solitude", func(t *testing.T, s *suite) {
		s.die(t, s.claimOf("a"), idempotency.ClassNew)
		r := s.claimOf("b")
		r.Alone = true
		b := s.claims(t, r, idempotency.ClassTakeover)
		e := b.extension()
		e.Deaths, e.Alone = 9, false
		s.extend(t, e, idempotency.ClassOwn)
		s.Lapse(t, s.key)
		reply := s.claim(t, s.claimOf("c"), idempotency.ClassAlone)
		equal(t, "Attempts", reply.Attempts, 1)
		equal(t, "Deaths", reply.Deaths, 2)
	}},
}

// die makes a claim and has its lease lapse.
func (s *suite) die(t *testing.T, r idempotency.ClaimRequest, class idempotency.Class) idempotency.ClaimReply {
	t.Helper()
	reply := s.claim(t, r, class)
	s.Lapse(t, s.key)
	return reply
}
