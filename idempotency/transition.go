package idempotency

import "time"

// The four transitions, free of any store: each takes the record as it is (nil
// where there is none) and the time, and returns the reply and the record as it
// must be written (nil: leave it alone). The scripts of redisstore are the same
// in Lua, and storetest holds both to one behaviour.

// clock is one reading of a store's clock.
type clock struct {
	micros int64
}

func (c clock) millis() Instant { return Instant(c.micros / 1000) }

func (c clock) after(d time.Duration) Instant { return c.millis() + Instant(d.Milliseconds()) }

func (c clock) left(deadline Instant) time.Duration {
	return time.Duration(max(deadline-c.millis(), 0)) * time.Millisecond
}

// written says how a transition writes its record.
type written struct {
	record *Record
	ttl    time.Duration
	// keep leaves the time to live as it is.
	keep bool
}

func claim(v *Record, now clock, r ClaimRequest) (ClaimReply, written) {
	class, fence, attempts := ClassNew, int64(0), 0
	if v != nil {
		// Before any look at the state: a completed key must not answer for a
		// payload that was never worked on.
		if r.PayloadHash != "" && v.PayloadHash != "" && r.PayloadHash != v.PayloadHash {
			return ClaimReply{Class: ClassMismatch, Fence: v.Fence}, written{}
		}
		if v.State == StateCompleted {
			return ClaimReply{Class: ClassDone, Fence: v.Fence}, written{}
		}
		class, fence, attempts = ClassTakeover, v.Fence, v.Attempts
		if v.State == StateInProgress {
			reply := ClaimReply{
				Fence: v.Fence, Attempts: v.Attempts,
				Left: now.left(v.Deadline), HardLeft: now.left(v.Hard),
				Deadline: v.Deadline, Hard: v.Hard,
			}
			if v.Token == r.Token {
				reply.Class = ClassOwn
				return reply, written{record: v, ttl: r.TTL}
			}
			if reply.Left > 0 {
				busy := *v
				busy.Duplicates++
				reply.Class, reply.Duplicates = ClassBusy, busy.Duplicates
				return reply, written{record: &busy, keep: true}
			}
		}
		if r.MaxAttempts > 0 && attempts >= r.MaxAttempts && v.Life != r.Life {
			attempts = 0
		}
	}
	next := Record{
		State:       StateInProgress,
		Fence:       max(fence+1, now.micros),
		Attempts:    attempts + 1,
		Deadline:    now.after(r.Lease),
		Token:       r.Token,
		PayloadHash: r.PayloadHash,
		Life:        r.Life,
		Hard:        now.after(r.Hard),
	}
	return ClaimReply{
		Class: class, Fence: next.Fence, Attempts: next.Attempts,
		Left: now.left(next.Deadline), HardLeft: now.left(next.Hard),
		Deadline: next.Deadline, Hard: next.Hard,
	}, written{record: &next, ttl: r.TTL}
}

func extend(v *Record, now clock, r ExtendRequest) (ExtendReply, written) {
	if v == nil {
		if now.millis() > r.LastDeadline {
			return ExtendReply{Class: ClassLost, Fence: r.Fence}, written{}
		}
		next := Record{
			State: StateInProgress, Fence: r.Fence, Attempts: r.Attempts,
			Deadline: now.after(r.Lease), Token: r.Token,
			PayloadHash: r.PayloadHash, Life: r.Life, Hard: r.Hard,
		}
		return ExtendReply{Class: ClassRestored, Fence: r.Fence, Deadline: next.Deadline},
			written{record: &next, ttl: r.TTL}
	}
	if v.State == StateCompleted {
		return ExtendReply{Class: ClassDone, Fence: v.Fence}, written{}
	}
	if v.State != StateInProgress || v.Token != r.Token || v.Fence != r.Fence {
		return ExtendReply{Class: ClassStolen, Fence: v.Fence}, written{}
	}
	next := *v
	next.Deadline = now.after(r.Lease)
	return ExtendReply{Class: ClassOwn, Fence: next.Fence, Deadline: next.Deadline},
		written{record: &next, ttl: r.TTL}
}

func complete(v *Record, r CompleteRequest) (CompleteReply, written) {
	next := Record{
		State: StateCompleted, Fence: r.Fence, Attempts: r.Attempts,
		Token: r.Token, PayloadHash: r.PayloadHash, Life: r.Life,
	}
	switch {
	case v == nil:
		return CompleteReply{Class: ClassRestored, Fence: r.Fence}, written{record: &next, ttl: r.TTL}
	case v.State == StateCompleted && v.Token == r.Token:
		return CompleteReply{Class: ClassOwn, Fence: v.Fence}, written{record: v, ttl: r.TTL}
	case v.State == StateCompleted:
		return CompleteReply{Class: ClassDone, Fence: v.Fence}, written{}
	case v.State != StateInProgress || v.Token != r.Token || v.Fence != r.Fence:
		return CompleteReply{Class: ClassStolen, Fence: v.Fence}, written{}
	}
	next.Attempts, next.PayloadHash, next.Life = v.Attempts, v.PayloadHash, v.Life
	return CompleteReply{Class: ClassOwn, Fence: next.Fence}, written{record: &next, ttl: r.TTL}
}

func release(v *Record, r ReleaseRequest) (ReleaseReply, written) {
	if v == nil {
		return ReleaseReply{Class: ClassLost, Fence: r.Fence}, written{}
	}
	if v.State == StateCompleted || v.Token != r.Token || v.Fence != r.Fence {
		return ReleaseReply{Class: ClassStolen, Fence: v.Fence}, written{}
	}
	next := *v
	if v.State == StateInProgress {
		next.State, next.Deadline, next.Hard = StateFree, 0, 0
		switch r.Charge {
		case RefundAttempt:
			next.Attempts = max(next.Attempts-1, 0)
		case ResetAttempts:
			next.Attempts = 0
		}
	}
	return ReleaseReply{Class: ClassOwn, Fence: next.Fence, Attempts: next.Attempts},
		written{record: &next, ttl: r.TTL}
}
