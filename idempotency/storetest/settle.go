package storetest

import (
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/idempotency"
)

var extendCases = []testCase{
	{"the holder moves its lease", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		r := a.extension()
		r.Lease, r.TTL = time.Hour, 2*recordTTL
		reply := s.extend(t, r, idempotency.ClassOwn)
		equal(t, "Fence", reply.Fence, a.reply.Fence)
		near(t, "what the lease grew", time.Duration(a.reply.Deadline-reply.Deadline)*time.Millisecond, lease-time.Hour)
		near(t, "Left for others", s.claim(t, s.claimOf("b"), idempotency.ClassBusy).Left, time.Hour)
		s.lives(t, 2*recordTTL)
	}},
	{"a completion of another payload is not the holder's, once the record was lost", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lose(t, s.key)
		r := s.claimOf("b")
		r.PayloadHash = "another-hash"
		b := s.claims(t, r, idempotency.ClassNew)
		s.complete(t, b.completion(), idempotency.ClassOwn)
		s.unchanged(t, func() { s.extend(t, a.extension(), idempotency.ClassStolen) })
		s.unchanged(t, func() { s.complete(t, a.completion(), idempotency.ClassStolen) })
	}},
	{"an extension that arrives behind a later one does not shorten the lease", func(t *testing.T, s *suite) {
		// Its caller gave it up and was promised more since.
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		long, short := a.extension(), a.extension()
		long.Lease, short.Lease = lease, time.Millisecond
		promised := s.extend(t, long, idempotency.ClassOwn)
		equal(t, "Deadline", s.extend(t, short, idempotency.ClassOwn).Deadline, promised.Deadline)
		s.claim(t, s.claimOf("b"), idempotency.ClassBusy)
	}},
	{"an extension keeps attempts, duplicates, hash, life and hard end", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.claim(t, s.claimOf("b"), idempotency.ClassBusy)
		r := a.extension()
		r.Attempts, r.PayloadHash, r.Life, r.Hard = 9, "hash-b", "life-b", 1
		s.extend(t, r, idempotency.ClassOwn)
		busy := s.claim(t, s.claimOf("b"), idempotency.ClassBusy)
		equal(t, "Attempts", busy.Attempts, 1)
		equal(t, "Duplicates", busy.Duplicates, 2)
		equal(t, "Hard", busy.Hard, a.reply.Hard)
	}},
	{"a lapsed lease that nobody claimed is extended", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lapse(t, s.key)
		s.extend(t, a.extension(), idempotency.ClassOwn)
		s.claim(t, s.claimOf("b"), idempotency.ClassBusy)
	}},
	{"an overtaken holder is told and changes nothing", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lapse(t, s.key)
		b := s.claims(t, s.claimOf("b"), idempotency.ClassTakeover)
		s.unchanged(t, func() {
			equal(t, "Fence", s.extend(t, a.extension(), idempotency.ClassStolen).Fence, b.reply.Fence)
		})
	}},
	{"the right token with another fence is stolen, and the reverse", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.unchanged(t, func() {
			r := a.extension()
			r.Fence--
			s.extend(t, r, idempotency.ClassStolen)
			r = a.extension()
			r.Token = "b"
			s.extend(t, r, idempotency.ClassStolen)
		})
	}},
	{"a free key is not extended", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.release(t, a.release(idempotency.ChargeAttempt), idempotency.ClassOwn)
		s.unchanged(t, func() { s.extend(t, a.extension(), idempotency.ClassStolen) })
	}},
	{"a completed key is done, whoever completed it", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lapse(t, s.key)
		b := s.claims(t, s.claimOf("b"), idempotency.ClassTakeover)
		s.complete(t, b.completion(), idempotency.ClassOwn)
		s.unchanged(t, func() {
			s.extend(t, a.extension(), idempotency.ClassDone)
			s.extend(t, b.extension(), idempotency.ClassDone)
		})
	}},
	{"a record lost within the lease is written again under the same fence", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lose(t, s.key)
		reply := s.extend(t, a.extension(), idempotency.ClassRestored)
		equal(t, "Fence", reply.Fence, a.reply.Fence)
		busy := s.claim(t, s.claimOf("b"), idempotency.ClassBusy)
		equal(t, "Fence", busy.Fence, a.reply.Fence)
		equal(t, "Attempts", busy.Attempts, a.reply.Attempts)
		equal(t, "Hard", busy.Hard, a.reply.Hard)
		equal(t, "Deadline", busy.Deadline, reply.Deadline)
		other := s.claimOf("c")
		other.PayloadHash = "hash-b"
		s.claim(t, other, idempotency.ClassMismatch)
		s.lives(t, recordTTL)
		s.complete(t, a.completion(), idempotency.ClassOwn)
	}},
	{"a record lost past the last deadline is not written again", func(t *testing.T, s *suite) {
		// Someone else may have claimed after the deadline and been lost as well.
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lose(t, s.key)
		r := a.extension()
		r.LastDeadline -= idempotency.Instant(2 * lease.Milliseconds())
		equal(t, "Fence", s.extend(t, r, idempotency.ClassLost).Fence, a.reply.Fence)
		equal(t, "the record", s.Snapshot(t, s.key), "")
	}},
}

var completeCases = []testCase{
	{"the holder completes", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		equal(t, "Fence", s.complete(t, a.completion(), idempotency.ClassOwn).Fence, a.reply.Fence)
		s.claim(t, s.claimOf("b"), idempotency.ClassDone)
		s.lives(t, doneTTL)
	}},
	{"a completion under one's own token for another payload is not one's own", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.complete(t, a.completion(), idempotency.ClassOwn)
		s.unchanged(t, func() {
			r := a.completion()
			r.PayloadHash = "hash-b"
			s.complete(t, r, idempotency.ClassStolen)
		})
	}},
	{"a holder whose lease lapsed completes if nobody claimed since", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lapse(t, s.key)
		s.complete(t, a.completion(), idempotency.ClassOwn)
		s.claim(t, s.claimOf("b"), idempotency.ClassDone)
	}},
	{"an overtaken holder does not complete", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lapse(t, s.key)
		b := s.claims(t, s.claimOf("b"), idempotency.ClassTakeover)
		s.unchanged(t, func() {
			equal(t, "Fence", s.complete(t, a.completion(), idempotency.ClassStolen).Fence, b.reply.Fence)
		})
		s.complete(t, b.completion(), idempotency.ClassOwn)
		s.unchanged(t, func() { s.complete(t, a.completion(), idempotency.ClassDone) })
	}},
	{"the right token with another fence is stolen, and the reverse", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.unchanged(t, func() {
			r := a.completion()
			r.Fence--
			s.complete(t, r, idempotency.ClassStolen)
			r = a.completion()
			r.Token = "b"
			s.complete(t, r, idempotency.ClassStolen)
		})
	}},
	{"a released key is not completed by its former holder", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.release(t, a.release(idempotency.ChargeAttempt), idempotency.ClassOwn)
		s.unchanged(t, func() { s.complete(t, a.completion(), idempotency.ClassStolen) })
	}},
	{"a lost record is completed all the same", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lose(t, s.key)
		s.complete(t, a.completion(), idempotency.ClassRestored)
		equal(t, "Fence", s.claim(t, s.claimOf("b"), idempotency.ClassDone).Fence, a.reply.Fence)
		other := s.claimOf("c")
		other.PayloadHash = "hash-b"
		s.claim(t, other, idempotency.ClassMismatch)
		s.lives(t, doneTTL)
	}},
}

var releaseCases = []testCase{
	{"a charged attempt stays counted", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		r := a.release(idempotency.ChargeAttempt)
		r.TTL = recordTTL / 2
		reply := s.release(t, r, idempotency.ClassOwn)
		equal(t, "Attempts", reply.Attempts, 1)
		equal(t, "Fence", reply.Fence, a.reply.Fence)
		s.lives(t, recordTTL/2)
		equal(t, "Attempts of the next", s.claim(t, s.claimOf("b"), idempotency.ClassTakeover).Attempts, 2)
	}},
	{"a refunded attempt is not counted", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.release(t, a.release(idempotency.ChargeAttempt), idempotency.ClassOwn)
		b := s.claims(t, s.claimOf("b"), idempotency.ClassTakeover)
		equal(t, "Attempts", s.release(t, b.release(idempotency.RefundAttempt), idempotency.ClassOwn).Attempts, 1)
		equal(t, "Attempts of the next", s.claim(t, s.claimOf("c"), idempotency.ClassTakeover).Attempts, 2)
	}},
	{"a reset starts the count anew", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.release(t, a.release(idempotency.ChargeAttempt), idempotency.ClassOwn)
		b := s.claims(t, s.claimOf("b"), idempotency.ClassTakeover)
		equal(t, "Attempts", s.release(t, b.release(idempotency.ResetAttempts), idempotency.ClassOwn).Attempts, 0)
		equal(t, "Attempts of the next", s.claim(t, s.claimOf("c"), idempotency.ClassTakeover).Attempts, 1)
	}},
	{"a holder whose lease lapsed releases if nobody claimed since", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lapse(t, s.key)
		s.release(t, a.release(idempotency.ChargeAttempt), idempotency.ClassOwn)
	}},
	{"an overtaken holder releases nothing", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lapse(t, s.key)
		b := s.claims(t, s.claimOf("b"), idempotency.ClassTakeover)
		s.unchanged(t, func() {
			equal(t, "Fence", s.release(t, a.release(idempotency.ResetAttempts), idempotency.ClassStolen).Fence, b.reply.Fence)
		})
	}},
	{"the right token with another fence is stolen, and the reverse", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.unchanged(t, func() {
			r := a.release(idempotency.ChargeAttempt)
			r.Fence--
			s.release(t, r, idempotency.ClassStolen)
			r = a.release(idempotency.ChargeAttempt)
			r.Token = "b"
			s.release(t, r, idempotency.ClassStolen)
		})
	}},
	{"a completed key is not released, not even by its own holder", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.complete(t, a.completion(), idempotency.ClassOwn)
		s.unchanged(t, func() { s.release(t, a.release(idempotency.ChargeAttempt), idempotency.ClassStolen) })
	}},
	{"a lost record is not written by a release", func(t *testing.T, s *suite) {
		a := s.claims(t, s.claimOf("a"), idempotency.ClassNew)
		s.Lose(t, s.key)
		equal(t, "Fence", s.release(t, a.release(idempotency.ChargeAttempt), idempotency.ClassLost).Fence, a.reply.Fence)
		equal(t, "the record", s.Snapshot(t, s.key), "")
	}},
}
