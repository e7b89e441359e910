package idempotency

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// The four transitions, free of any store: each takes the record as it is (nil
// where there is none) and the time, and returns the reply and the record as it
// must be written (nil: leave it alone). The scripts of redisstore are the same
// in Lua, and storetest holds both to one behaviour. Behind them stand the checks
// of their requests.

// aloneAfter is how many claims in a row may die before the next must run alone.
const aloneAfter = 2

// sentSkew is by how much, in milliseconds, the clocks of SQS and of the store may
// differ for a message that was moved back to be told from an old copy.
const sentSkew = 60_000

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
	class, fence, attempts, deaths := ClassNew, int64(0), 0, 0
	if v != nil {
		// Before any look at the state: a completed key must not answer for a
		// payload that was never worked on.
		if mismatch(v, r.PayloadHash) {
			return ClaimReply{Class: ClassMismatch, Fence: v.Fence}, written{}
		}
		if v.State == StateCompleted {
			return ClaimReply{Class: ClassDone, Fence: v.Fence}, written{}
		}
		class, fence, attempts = ClassTakeover, v.Fence, v.Attempts
		if v.State == StateInProgress {
			if v.Token == r.Token {
				return holder(ClassOwn, v, now), written{record: v, ttl: r.TTL}
			}
			if now.left(v.Deadline) > 0 {
				busy := *v
				busy.Duplicates++
				return holder(ClassBusy, &busy, now), written{record: &busy, keep: true}
			}
			// Its process died, or was cut off. Only who ran alone surely died of
			// itself.
			deaths = v.Deaths + 1
			if !v.Alone {
				attempts = max(attempts-1, 0)
			}
		}
		// Another message id on a key that has used up its attempts, sent after the last
		// claim: the message was dead-lettered and moved back.
		if r.MaxAttempts > 0 && attempts >= r.MaxAttempts && v.Life != r.Life && sentSince(v, r.Sent) {
			attempts, deaths = 0, 0
		}
		if deaths >= aloneAfter && !r.Alone {
			return ClaimReply{Class: ClassAlone, Fence: fence, Attempts: attempts, Deaths: deaths}, written{}
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
		Deaths:      deaths,
		Alone:       r.Alone,
	}
	return holder(class, &next, now), written{record: &next, ttl: r.TTL}
}

// sentSince tells whether a message was sent after the last claim of the record, as
// far as clocks tell. A fence is the time of its claim in microseconds.
func sentSince(v *Record, sent int64) bool {
	return sent == 0 || sent+sentSkew > v.Fence/1000
}

// mismatch tells whether the record is of another payload than hash. To the holder of
// a claim that is possible once its record was lost: what was completed under the
// key is then not its work, and its message must not be taken for done.
func mismatch(v *Record, hash string) bool {
	return hash != "" && v.PayloadHash != "" && hash != v.PayloadHash
}

// holder is what is told of whoever holds the key.
func holder(class Class, v *Record, now clock) ClaimReply {
	return ClaimReply{
		Class: class, Fence: v.Fence, Attempts: v.Attempts, Deaths: v.Deaths, Duplicates: v.Duplicates,
		Left: now.left(v.Deadline), HardLeft: now.left(v.Hard),
		Deadline: v.Deadline, Hard: v.Hard,
	}
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
			Deaths: r.Deaths, Alone: r.Alone,
		}
		return ExtendReply{Class: ClassRestored, Fence: r.Fence, Deadline: next.Deadline},
			written{record: &next, ttl: r.TTL}
	}
	if v.State == StateCompleted && !mismatch(v, r.PayloadHash) {
		return ExtendReply{Class: ClassDone, Fence: v.Fence}, written{}
	}
	if v.State != StateInProgress || v.Token != r.Token || v.Fence != r.Fence {
		return ExtendReply{Class: ClassStolen, Fence: v.Fence}, written{}
	}
	next := *v
	// A request that was given up long ago may arrive behind a newer one: it must
	// not shorten what the holder was promised.
	next.Deadline = max(v.Deadline, now.after(r.Lease))
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
	case v.State == StateCompleted && v.Token == r.Token && !mismatch(v, r.PayloadHash):
		return CompleteReply{Class: ClassOwn, Fence: v.Fence}, written{record: v, ttl: r.TTL}
	case v.State == StateCompleted && !mismatch(v, r.PayloadHash):
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
		next.State, next.Deadline, next.Hard, next.Deaths, next.Alone = StateFree, 0, 0, 0, false
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

// Validate returns all that is wrong with the request, joined. Stores call it
// before they do anything.
func (r ClaimRequest) Validate() error {
	c := checker{key: r.Key}
	c.identity(r.Token, r.PayloadHash, r.Life)
	c.lease(r.Lease, r.TTL)
	if r.Hard < r.Lease {
		c.bad("Hard", r.Hard, "at least Lease")
	}
	c.count("MaxAttempts", int64(r.MaxAttempts))
	c.count("Sent", r.Sent)
	return c.joined("claim")
}

// Validate returns all that is wrong with the request, joined.
func (r ExtendRequest) Validate() error {
	c := checker{key: r.Key}
	c.identity(r.Token, r.PayloadHash, r.Life)
	c.lease(r.Lease, r.TTL)
	c.fence(r.Fence)
	c.count("Attempts", int64(r.Attempts))
	c.count("Deaths", int64(r.Deaths))
	if r.Hard <= 0 {
		c.bad("Hard", r.Hard, "the Hard of the claim's reply")
	}
	if r.LastDeadline <= 0 {
		c.bad("LastDeadline", r.LastDeadline, "the Deadline of the last reply")
	}
	return c.joined("extend")
}

// Validate returns all that is wrong with the request, joined.
func (r CompleteRequest) Validate() error {
	c := checker{key: r.Key}
	c.identity(r.Token, r.PayloadHash, r.Life)
	c.fence(r.Fence)
	c.count("Attempts", int64(r.Attempts))
	c.ttl(r.TTL)
	return c.joined("complete")
}

// Validate returns all that is wrong with the request, joined.
func (r ReleaseRequest) Validate() error {
	c := checker{key: r.Key}
	c.identity(r.Token, "", "")
	c.fence(r.Fence)
	c.ttl(r.TTL)
	if r.Charge > ResetAttempts {
		c.bad("Charge", r.Charge, "one of the Charge constants")
	}
	return c.joined("release")
}

// pollErr is what is wrong with the keys of a Poll.
func pollErr(keys []string) error {
	for i, key := range keys {
		if key == "" {
			return fmt.Errorf("idempotency: poll: key %d is empty", i)
		}
	}
	return nil
}

// checker gathers the problems of one request. Nothing is formatted, and so nothing
// allocated, for a request without any: every call of a store goes through here.
type checker struct {
	key  string
	errs []error
}

func (c *checker) bad(field string, value any, bound string) {
	c.errs = append(c.errs, fmt.Errorf("%s is %v, must be %s", field, value, bound))
}

func (c *checker) identity(token, hash, life string) {
	const words = "made of letters, digits, '-' and '_'"
	if c.key == "" {
		c.bad("Key", `""`, "set")
	}
	if token == "" || !word(token) {
		c.bad("Token", strconv.Quote(token), "set and "+words)
	}
	if !word(hash) {
		c.bad("PayloadHash", strconv.Quote(hash), words)
	}
	if !word(life) {
		c.bad("Life", strconv.Quote(life), words)
	}
}

func (c *checker) lease(lease, ttl time.Duration) {
	if lease < time.Millisecond {
		c.bad("Lease", lease, "at least 1ms")
	}
	if ttl <= lease {
		c.bad("TTL", ttl, "more than Lease")
	}
}

func (c *checker) ttl(ttl time.Duration) {
	if ttl < time.Millisecond {
		c.bad("TTL", ttl, "at least 1ms")
	}
}

func (c *checker) count(field string, n int64) {
	if n < 0 {
		c.bad(field, n, "0 or more")
	}
}

// fence has an upper bound because Lua's numbers are exact only below 2^53.
func (c *checker) fence(fence int64) {
	if fence <= 0 || fence >= 1<<53 {
		c.bad("Fence", fence, "that of the claim's reply (1 to 2^53-1)")
	}
}

func (c *checker) joined(call string) error {
	if len(c.errs) == 0 {
		return nil
	}
	return fmt.Errorf("idempotency: %s %q: %w", call, c.key, errors.Join(c.errs...))
}

// word reports whether s fits into a field of a packed record.
func word(s string) bool {
	for i := range len(s) {
		if !wordBytes[s[i]] {
			return false
		}
	}
	return true
}

// wordBytes are the bytes of a word: base64url's.
var wordBytes = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		t[c] = true
	}
	return t
}()
