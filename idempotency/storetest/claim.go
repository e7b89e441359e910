package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/idempotency"
)

var claimCases = []testCase{
	{"the first claim of a key is new", func(t *testing.T, s *suite) {
		r := s.claim(t, s.claimOf("a"), idempotency.ClassNew)
		near(t, "Left", r.Left, lease)
		near(t, "HardLeft", r.HardLeft, hard)
		equal(t, "Attempts", r.Attempts, 1)
		equal(t, "Duplicates", r.Duplicates, 0)
		equal(t, "Hard - Deadline", time.Duration(r.Hard-r.Deadline)*time.Millisecond, hard-lease)
		if r.Fence < 1e15 || r.Fence >= 1<<53 {
			t.Errorf("fence is %d, want microseconds since 1970", r.Fence)
		}
		s.lives(t, recordTTL)
	}},
	{"the same token again owns the same claim", func(t *testing.T, s *suite) {
		first := s.claim(t, s.claimOf("a"), idempotency.ClassNew)
		s.unchanged(t, func() {
			again := s.claim(t, s.claimOf("a"), idempotency.ClassOwn)
			equal(t, "Fence", again.Fence, first.Fence)
			equal(t, "Attempts", again.Attempts, 1)
			equal(t, "Deadline", again.Deadline, first.Deadline)
			equal(t, "Hard", again.Hard, first.Hard)
			near(t, "Left", again.Left, lease)
		})
		s.lives(t, recordTTL)
	}},
	{"the same token owns a lapsed claim with nothing left", func(t *testing.T, s *suite) {
		first := s.claim(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lapse(t, s.key)
		again := s.claim(t, s.claimOf("a"), idempotency.ClassOwn)
		equal(t, "Fence", again.Fence, first.Fence)
		equal(t, "Left", again.Left, 0)
	}},
	{"another token finds it busy, and is counted", func(t *testing.T, s *suite) {
		first := s.claim(t, s.claimOf("a"), idempotency.ClassNew)
		other := s.claimOf("b")
		other.TTL = time.Hour
		for n := 1; n <= 3; n++ {
			r := s.claim(t, other, idempotency.ClassBusy)
			equal(t, "Fence", r.Fence, first.Fence)
			equal(t, "Attempts", r.Attempts, 1)
			equal(t, "Duplicates", r.Duplicates, n)
			equal(t, "Deadline", r.Deadline, first.Deadline)
			near(t, "Left", r.Left, lease)
			near(t, "HardLeft", r.HardLeft, hard)
		}
		// A loser must not shorten the life of the winner's record.
		s.lives(t, recordTTL)
	}},
	{"a lapsed lease is taken over", func(t *testing.T, s *suite) {
		first := s.claim(t, s.claimOf("a"), idempotency.ClassNew)
		s.claim(t, s.claimOf("b"), idempotency.ClassBusy)
		s.Lapse(t, s.key)
		r := s.claim(t, s.claimOf("b"), idempotency.ClassTakeover)
		equal(t, "Attempts", r.Attempts, 1) // the dead one is not charged
		equal(t, "Deaths", r.Deaths, 1)
		equal(t, "Duplicates", r.Duplicates, 0)
		near(t, "Left", r.Left, lease)
		if r.Fence <= first.Fence {
			t.Errorf("fence went from %d to %d", first.Fence, r.Fence)
		}
		s.lives(t, recordTTL)
	}},
	{"a released key is taken over", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.release(t, a.release(idempotency.ChargeAttempt), idempotency.ClassOwn)
		r := s.claim(t, s.claimOf("b"), idempotency.ClassTakeover)
		equal(t, "Attempts", r.Attempts, 2)
		if r.Fence <= a.reply.Fence {
			t.Errorf("fence went from %d to %d", a.reply.Fence, r.Fence)
		}
	}},
	{"a completed key stays done for every token and life", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.complete(t, a.completion(), idempotency.ClassOwn)
		s.unchanged(t, func() {
			for _, r := range []idempotency.ClaimRequest{s.claimOf("a"), s.claimOf("b")} {
				r.Life, r.MaxAttempts = "life-b", 1
				reply := s.claim(t, r, idempotency.ClassDone)
				equal(t, "Fence", reply.Fence, a.reply.Fence)
			}
		})
		s.lives(t, doneTTL)
	}},
	{"another payload is a mismatch in every state", func(t *testing.T, s *suite) {
		other := s.claimOf("b")
		other.PayloadHash = "hash-b"
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		mismatch := func() {
			t.Helper()
			s.unchanged(t, func() {
				r := s.claim(t, other, idempotency.ClassMismatch)
				equal(t, "Fence", r.Fence, a.reply.Fence)
			})
		}
		mismatch()
		s.Lapse(t, s.key)
		mismatch()
		s.release(t, a.release(idempotency.ChargeAttempt), idempotency.ClassOwn)
		mismatch()
		a = s.claims(t, s.claimOf("c"), idempotency.ClassTakeover)
		s.complete(t, a.completion(), idempotency.ClassOwn)
		mismatch()
	}},
	{"an empty payload hash on either side is not compared", func(t *testing.T, s *suite) {
		without := s.claimOf("b")
		without.PayloadHash = ""
		s.claim(t, s.claimOf("a"), idempotency.ClassNew)
		s.claim(t, without, idempotency.ClassBusy)
		s.Lapse(t, s.key)
		s.claim(t, without, idempotency.ClassTakeover)
		s.claim(t, s.claimOf("c"), idempotency.ClassBusy)
	}},
	{"a redrive after used-up attempts is a new life", func(t *testing.T, s *suite) {
		// Each delivery of the first life dies; SQS dead-letters the message.
		r := s.claimOf("0")
		r.Alone = true
		for n, class := 1, idempotency.ClassNew; n <= r.MaxAttempts; n, class = n+1, idempotency.ClassTakeover {
			r.Token = token()
			equal(t, "Attempts", s.claim(t, r, class).Attempts, n)
			s.Lapse(t, s.key)
		}
		r.Token, r.Life, r.Alone = token(), "life-b", false
		reply := s.claim(t, r, idempotency.ClassTakeover)
		equal(t, "Attempts after a redrive", reply.Attempts, 1)
		equal(t, "Deaths after a redrive", reply.Deaths, 0)
	}},
	{"a redrive after a free record with used-up attempts is a new life", func(t *testing.T, s *suite) {
		r := s.claimOf("a")
		r.MaxAttempts = 1
		a := s.claims(t, r, idempotency.ClassNew)
		s.release(t, a.release(idempotency.ChargeAttempt), idempotency.ClassOwn)
		r.Token, r.Life = "b", "life-b"
		equal(t, "Attempts", s.claim(t, r, idempotency.ClassTakeover).Attempts, 1)
	}},
	{"a copy that was sent before the last claim is no new life", func(t *testing.T, s *suite) {
		r := s.claimOf("a")
		r.MaxAttempts, r.Alone = 1, true
		claimed := s.claim(t, r, idempotency.ClassNew).Fence / 1000
		s.Lapse(t, s.key)
		r.Token, r.Life, r.Sent = "b", "life-b", claimed-60_001
		reply := s.claim(t, r, idempotency.ClassTakeover)
		equal(t, "Attempts of a copy", reply.Attempts, 2)
		equal(t, "Deaths of a copy", reply.Deaths, 1)
		s.Lapse(t, s.key)
		// Clocks may differ.
		r.Token, r.Life, r.Sent = "c", "life-c", reply.Fence/1000-50_000
		equal(t, "Attempts of what was sent since", s.claim(t, r, idempotency.ClassTakeover).Attempts, 1)
	}},
	{"neither the same life, nor attempts left, nor no limit start anew", func(t *testing.T, s *suite) {
		r := s.claimOf("a")
		r.MaxAttempts, r.Alone = 1, true
		s.claim(t, r, idempotency.ClassNew)
		s.Lapse(t, s.key)
		r.Token = "b"
		equal(t, "Attempts of the same life", s.claim(t, r, idempotency.ClassTakeover).Attempts, 2)
		s.Lapse(t, s.key)
		r.Token, r.Life, r.MaxAttempts = "c", "life-b", 3
		equal(t, "Attempts below the limit", s.claim(t, r, idempotency.ClassTakeover).Attempts, 3)
		s.Lapse(t, s.key)
		r.Token, r.Life, r.MaxAttempts = "d", "life-c", 0
		equal(t, "Attempts without a limit", s.claim(t, r, idempotency.ClassTakeover).Attempts, 4)
	}},
	{"a live holder is not a new life", func(t *testing.T, s *suite) {
		r := s.claimOf("a")
		r.MaxAttempts = 1
		s.claim(t, r, idempotency.ClassNew)
		r.Token, r.Life = "b", "life-b"
		equal(t, "Attempts", s.claim(t, r, idempotency.ClassBusy).Attempts, 1)
	}},
	{"a record of a later version is an error and is left alone", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Foreign(t, s.key)
		s.unchanged(t, func() {
			_, claimErr := s.Store.Claim(t.Context(), s.claimOf("b"))
			_, extendErr := s.Store.Extend(t.Context(), a.extension())
			_, completeErr := s.Store.Complete(t.Context(), a.completion())
			_, releaseErr := s.Store.Release(t.Context(), a.release(idempotency.ChargeAttempt))
			for op, err := range map[string]error{
				"claim": claimErr, "extend": extendErr, "complete": completeErr, "release": releaseErr,
			} {
				if !errors.Is(err, idempotency.ErrBadRecord) {
					t.Errorf("%s returned %v, want an error wrapping ErrBadRecord", op, err)
				}
			}
		})
	}},
	{"requests out of bounds are refused before anything is done", func(t *testing.T, s *suite) {
		_, claimErr := s.Store.Claim(t.Context(), idempotency.ClaimRequest{Key: s.key})
		_, extendErr := s.Store.Extend(t.Context(), idempotency.ExtendRequest{Key: s.key})
		_, completeErr := s.Store.Complete(t.Context(), idempotency.CompleteRequest{Key: s.key})
		_, releaseErr := s.Store.Release(t.Context(), idempotency.ReleaseRequest{Key: s.key})
		for op, err := range map[string]error{
			"claim": claimErr, "extend": extendErr, "complete": completeErr, "release": releaseErr,
		} {
			if err == nil {
				t.Errorf("%s of an empty request returned no error", op)
			}
		}
		equal(t, "the record", s.Snapshot(t, s.key), "")
	}},
}
