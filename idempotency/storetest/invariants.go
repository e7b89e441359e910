package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/idempotency"
)

var invariantCases = []testCase{
	{"every call applied twice answers and leaves what one does", func(t *testing.T, s *suite) {
		twice := func(first, second func()) {
			t.Helper()
			first()
			s.unchanged(t, second)
		}
		var a *holder
		twice(
			func() { a = s.claims(t, s.claimOf("a"), idempotency.ClassNew) },
			func() { s.claim(t, s.claimOf("a"), idempotency.ClassOwn) })
		s.extend(t, a.extension(), idempotency.ClassOwn)
		s.extend(t, a.extension(), idempotency.ClassOwn)
		for _, charge := range []idempotency.Charge{idempotency.ChargeAttempt, idempotency.RefundAttempt, idempotency.ResetAttempts} {
			var left [2]int
			twice(
				func() { left[0] = s.release(t, a.release(charge), idempotency.ClassOwn).Attempts },
				func() { left[1] = s.release(t, a.release(charge), idempotency.ClassOwn).Attempts })
			equal(t, fmt.Sprintf("Attempts of the second release with charge %d", charge), left[1], left[0])
			tok := token()
			twice(
				func() { a = s.claims(t, s.claimOf(tok), idempotency.ClassTakeover) },
				func() { s.claim(t, s.claimOf(tok), idempotency.ClassOwn) })
		}
		twice(
			func() { s.complete(t, a.completion(), idempotency.ClassOwn) },
			func() { s.complete(t, a.completion(), idempotency.ClassOwn) })
		s.Lose(t, s.key)
		twice(
			func() { s.complete(t, a.completion(), idempotency.ClassRestored) },
			func() { s.complete(t, a.completion(), idempotency.ClassOwn) })
	}},
	{"a restored extension applied twice is the holder's own", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lose(t, s.key)
		s.extend(t, a.extension(), idempotency.ClassRestored)
		s.extend(t, a.extension(), idempotency.ClassOwn)
	}},
	{"a repetition renews the time to live", func(t *testing.T, s *suite) {
		// It shows that the record is written again, which WAIT needs.
		r := s.claimOf("a")
		a := s.claims(t, r, idempotency.ClassNew)
		r.TTL = 2 * recordTTL
		s.claim(t, r, idempotency.ClassOwn)
		s.lives(t, 2*recordTTL)
		done := a.completion()
		s.complete(t, done, idempotency.ClassOwn)
		done.TTL = doneTTL / 2
		s.complete(t, done, idempotency.ClassOwn)
		s.lives(t, doneTTL/2)

		s.key += ":free"
		a = s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		free := a.release(idempotency.RefundAttempt)
		s.release(t, free, idempotency.ClassOwn)
		free.TTL = recordTTL / 2
		s.release(t, free, idempotency.ClassOwn)
		s.lives(t, recordTTL/2)
	}},
	{"fences strictly grow, over takeovers, releases and lost records", func(t *testing.T, s *suite) {
		var last int64
		for n := range 60 {
			r := s.claimOf(token())
			reply, err := s.Store.Claim(t.Context(), r)
			if err != nil || !reply.Claimed() {
				t.Fatalf("claim %d: %v, %v", n, reply.Class, err)
			}
			if reply.Fence <= last {
				t.Fatalf("claim %d: fence went from %d to %d", n, last, reply.Fence)
			}
			last = reply.Fence
			switch n % 3 {
			case 0:
				s.Lapse(t, s.key)
			case 1:
				s.release(t, (&holder{r, reply}).release(idempotency.ChargeAttempt), idempotency.ClassOwn)
			case 2:
				s.Lose(t, s.key)
			}
		}
	}},
	{"the fence grows by one where the clock has not caught up", func(t *testing.T, s *suite) {
		// The holder's fence is an hour ahead, as after the clock was set back.
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lose(t, s.key)
		ahead := a.extension()
		ahead.Fence += 3600e6
		s.extend(t, ahead, idempotency.ClassRestored)
		s.Lapse(t, s.key)
		equal(t, "Fence", s.claim(t, s.claimOf("b"), idempotency.ClassTakeover).Fence, ahead.Fence+1)
	}},
	{"1,600 concurrent claims over 200 keys have 200 winners", func(t *testing.T, s *suite) {
		const keys, perKey = 200, 8
		var wg sync.WaitGroup
		replies := make([][perKey]idempotency.Class, keys)
		slots := make(chan struct{}, 64)
		for k := range keys {
			for n := range perKey {
				wg.Go(func() {
					slots <- struct{}{}
					defer func() { <-slots }()
					r := s.claimOf(token())
					r.Key = fmt.Sprintf("%s:%d", s.key, k)
					r.Lease = time.Hour // no machine is slow enough for it to lapse
					reply, err := s.Store.Claim(t.Context(), r)
					if err != nil {
						t.Errorf("claim: %v", err)
					}
					replies[k][n] = reply.Class
				})
			}
		}
		wg.Wait()
		for k, classes := range replies {
			count := map[idempotency.Class]int{}
			for _, c := range classes {
				count[c]++
			}
			if count[idempotency.ClassNew] != 1 || count[idempotency.ClassBusy] != perKey-1 {
				t.Errorf("key %d: %v, want one new and %d busy", k, count, perKey-1)
			}
		}
	}},
	{"every record has a time to live in every state", func(t *testing.T, s *suite) {
		mortal := func(what string) {
			t.Helper()
			if ttl := s.TTL(t, s.key); ttl <= 0 {
				t.Errorf("after %s the time to live is %v", what, ttl)
			}
		}
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		mortal("a claim")
		s.claim(t, s.claimOf("b"), idempotency.ClassBusy)
		mortal("a busy claim")
		s.claim(t, s.claimOf("a"), idempotency.ClassOwn)
		mortal("a repeated claim")
		s.extend(t, a.extension(), idempotency.ClassOwn)
		mortal("an extension")
		s.Lose(t, s.key)
		s.extend(t, a.extension(), idempotency.ClassRestored)
		mortal("a restoring extension")
		s.release(t, a.release(idempotency.ChargeAttempt), idempotency.ClassOwn)
		mortal("a release")
		a = s.claims(t, s.claimOf("c"), idempotency.ClassTakeover)
		mortal("a takeover")
		s.complete(t, a.completion(), idempotency.ClassOwn)
		mortal("a completion")
		s.Lose(t, s.key)
		s.complete(t, a.completion(), idempotency.ClassRestored)
		mortal("a restoring completion")
	}},
}
