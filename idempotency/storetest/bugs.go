package storetest

import (
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/idempotency"
)

// bugCases are bugs that other libraries had, told as this contract would show
// them. Numbers are those of Powertools for AWS Lambda where no other is named.
// What a store cannot show (a key computed again from a changed payload, settings
// captured once) is tested with the middleware.
var bugCases = []testCase{
	{"python 8386 and ts 5678: a live record is never taken for an orphan", func(t *testing.T, s *suite) {
		// There a record without an expiry counted as abandoned. Here a claim
		// cannot be made without a lease, and stays busy for all of it.
		r := s.claimOf("a")
		r.Lease = 0
		if _, err := s.Store.Claim(t.Context(), r); err == nil {
			t.Error("a claim without a lease was accepted")
		}
		s.claim(t, s.claimOf("a"), idempotency.ClassNew)
		s.claim(t, s.claimOf("b"), idempotency.ClassBusy)
	}},
	{"ts 5714: three callers that saw a lapsed record do not run twice", func(t *testing.T, s *suite) {
		// There the record was read, then overwritten unconditionally: a slow
		// caller overwrote what a fast one had completed meanwhile.
		for round := range 20 {
			s.key += "r"
			s.claim(t, s.claimOf("dead"), idempotency.ClassNew)
			s.Lapse(t, s.key)
			var wg sync.WaitGroup
			var mu sync.Mutex
			var ran int
			for range 3 {
				wg.Go(func() {
					r := s.claimOf(token())
					reply, err := s.Store.Claim(t.Context(), r)
					if err != nil {
						t.Errorf("claim: %v", err)
						return
					}
					if !reply.Claimed() {
						return
					}
					mu.Lock()
					ran++
					mu.Unlock()
					done, err := s.Store.Complete(t.Context(), (&holder{r, reply}).completion())
					if err != nil || done.Class != idempotency.ClassOwn {
						t.Errorf("complete: %v, %v", done.Class, err)
					}
				})
			}
			wg.Wait()
			if ran != 1 {
				t.Fatalf("round %d: %d callers ran", round, ran)
			}
			s.claim(t, s.claimOf("late"), idempotency.ClassDone)
		}
	}},
	{"ts 5675: a rejected duplicate cannot free the owner's claim", func(t *testing.T, s *suite) {
		s.claim(t, s.claimOf("owner"), idempotency.ClassNew)
		busy := s.claim(t, s.claimOf("duplicate"), idempotency.ClassBusy)
		rejected := &holder{s.claimOf("duplicate"), busy}
		s.unchanged(t, func() {
			s.release(t, rejected.release(idempotency.ChargeAttempt), idempotency.ClassStolen)
		})
		s.claim(t, s.claimOf("third"), idempotency.ClassBusy)
	}},
	{"ts 5676: a rejected duplicate cannot free a completed key", func(t *testing.T, s *suite) {
		owner := s.claims(t, s.claimOf("owner"), idempotency.ClassNew)
		s.complete(t, owner.completion(), idempotency.ClassOwn)
		done := s.claim(t, s.claimOf("duplicate"), idempotency.ClassDone)
		rejected := &holder{s.claimOf("duplicate"), done}
		s.unchanged(t, func() {
			s.release(t, rejected.release(idempotency.ChargeAttempt), idempotency.ClassStolen)
		})
	}},
	{"ts 5705: a completion keeps the payload hash", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		r := a.completion()
		r.PayloadHash = ""
		s.complete(t, r, idempotency.ClassOwn)
		s.claim(t, s.claimOf("same"), idempotency.ClassDone)
		other := s.claimOf("other")
		other.PayloadHash = "hash-b"
		s.claim(t, other, idempotency.ClassMismatch)
	}},
	{"python 3821: a completed key does not answer for another payload", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.complete(t, a.completion(), idempotency.ClassOwn)
		other := s.claimOf("b")
		other.PayloadHash = "hash-b"
		s.claim(t, other, idempotency.ClassMismatch)
	}},
	{"python 4759: nothing left of a lease is not an absent lease", func(t *testing.T, s *suite) {
		// There a remaining time of 0 was read as "none given".
		r := s.claimOf("a")
		r.Lease = 500 * time.Microsecond // 0 in milliseconds
		if _, err := s.Store.Claim(t.Context(), r); err == nil {
			t.Error("a lease that rounds to 0 was accepted")
		}
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		e := a.extension()
		e.Lease = 0
		if _, err := s.Store.Extend(t.Context(), e); err == nil {
			t.Error("an extension by 0 was accepted")
		}
		s.Lapse(t, s.key)
		equal(t, "Left", s.claim(t, s.claimOf("a"), idempotency.ClassOwn).Left, 0)
		s.claim(t, s.claimOf("b"), idempotency.ClassTakeover)
	}},
	{"python 1181 and 2567, redis-py 554: no claim without a time to live", func(t *testing.T, s *suite) {
		r := s.claimOf("a")
		r.TTL = 0
		if _, err := s.Store.Claim(t.Context(), r); err == nil {
			t.Error("a claim without a time to live was accepted")
		}
		s.claim(t, s.claimOf("a"), idempotency.ClassNew)
		s.lives(t, recordTTL)
	}},
	{"idempot-js 182: of two racers one wins", func(t *testing.T, s *suite) {
		var wg sync.WaitGroup
		classes := make([]idempotency.Class, 2)
		for i := range classes {
			wg.Go(func() {
				reply, err := s.Store.Claim(t.Context(), s.claimOf(token()))
				if err != nil {
					t.Errorf("claim: %v", err)
				}
				classes[i] = reply.Class
			})
		}
		wg.Wait()
		if (classes[0] == idempotency.ClassNew) == (classes[1] == idempotency.ClassNew) {
			t.Errorf("the racers were answered %v", classes)
		}
	}},
	{"autumn 2551, Truxify 4634: an expired owner does not delete the next one's lock", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lapse(t, s.key)
		s.claim(t, s.claimOf("b"), idempotency.ClassTakeover)
		s.unchanged(t, func() { s.release(t, a.release(idempotency.ChargeAttempt), idempotency.ClassStolen) })
		s.claim(t, s.claimOf("c"), idempotency.ClassBusy)
	}},
	{"Truxify 11508: between claim and completion the key is never free", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.claim(t, s.claimOf("b"), idempotency.ClassBusy)
		s.complete(t, a.completion(), idempotency.ClassOwn)
		s.claim(t, s.claimOf("b"), idempotency.ClassDone)
	}},
	{"redislock and go-redis: a claim sent again does not find itself busy", func(t *testing.T, s *suite) {
		// The client repeats a command whose reply was lost.
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		again := s.claim(t, s.claimOf("a"), idempotency.ClassOwn)
		equal(t, "Fence", again.Fence, a.reply.Fence)
	}},
}
