package idempotency

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast"
)

// hold keeps a claim while its handler runs: it moves the claim along with the
// message's visibility, and cancels the handler when the claim ends.
//
// A short handler costs it one timer and no goroutine.
type hold struct {
	r     *run
	lease holdfast.Lease // nil where no runtime holds the message

	mu       sync.Mutex    // guards all below
	done     chan struct{} // closed by stop; made for who waits
	fence    int64
	attempts int
	deaths   int
	solo     bool // claimed alone
	hard     Instant
	deadline deadline  // the claim's end, by this machine's clocks
	last     Instant   // the same, by the store's clock
	visible  time.Time // the message's visibility as last renewed
	// alone: the message's visibility is gone, or nobody holds it, so the claim is
	// extended by a period of its own for as long as the handler lives.
	alone    bool
	renewAt  time.Time // when alone: the next extension
	wanted   bool      // an extension is wanted
	busy     bool      // the goroutine that extends is running
	silent   bool      // the last extension was not answered
	lapsed   bool      // the deadline has passed without an extension
	over     Class     // ClassStolen, ClassDone or ClassLost once the store said so
	returned bool      // the handler has returned
	stopped  bool
	timer    *time.Timer
	unhook   func()
}

// deadline is a moment on both clocks. A suspended machine stops the monotonic
// clock and a wall clock can be set back, so the earlier one counts.
type deadline struct {
	mono, wall time.Time
}

func deadlineAt(sent time.Time, lease time.Duration) deadline {
	return deadline{mono: sent.Add(lease), wall: sent.Round(0).Add(lease)}
}

func (d deadline) passed(now time.Time) bool {
	return !now.Before(d.mono) || !now.Round(0).Before(d.wall)
}

// left is how long until the deadline passes, by the clock that is further on.
func (d deadline) left(now time.Time) time.Duration {
	return min(d.mono.Sub(now), d.wall.Sub(now.Round(0)))
}

// newHold makes the hold of a run, which has one at most.
func newHold(r *run, lease holdfast.Lease, reply ClaimReply, sent time.Time) *hold {
	h := &r.hold
	h.r, h.lease = r, lease
	h.fence, h.attempts, h.deaths, h.solo, h.hard = reply.Fence, reply.Attempts, reply.Deaths, r.solo, reply.Hard
	h.deadline, h.last = deadlineAt(sent, reply.Left), reply.Deadline
	if lease == nil {
		h.alone, h.renewAt = true, sent.Add(reply.Left/2)
	} else {
		h.visible = r.visible
	}
	return h
}

// keep begins to keep the claim. ctx is not cancelled by anyone.
func (h *hold) keep(ctx context.Context) {
	h.mu.Lock()
	h.timer = time.AfterFunc(h.untilTick(time.Now()), func() { h.tick(ctx) })
	h.mu.Unlock()
	if h.lease == nil {
		return
	}
	unhook := h.lease.OnRenew(func(visible time.Time, lost error) { h.renewed(ctx, visible, lost) })
	visible := h.lease.Deadline()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unhook = unhook
	if claimed := h.deadline.mono.Add(h.r.margin); !h.alone && visible.Sub(claimed) > h.r.margin {
		// An extension was confirmed while the key was claimed. The next one may be
		// further off than the end of the claim.
		h.visible = visible
		h.want(ctx)
	}
}

// stop ends it. An extension under way goes on by itself and is ignored. It may
// be called twice.
func (h *hold) stop() {
	h.mu.Lock()
	if h.stopped {
		h.mu.Unlock()
		return
	}
	h.stopped = true
	h.timer.Stop()
	unhook := h.unhook
	if h.done != nil {
		close(h.done)
	}
	h.mu.Unlock()
	if unhook != nil {
		unhook()
	}
}

// handled notes that the handler returned: from now on a lost claim is told by
// the store's answers alone.
func (h *hold) handled() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.returned = true
}

// current returns the fence of the claim and its count of attempts.
func (h *hold) current() (fence int64, attempts int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fence, h.attempts
}

// ended returns what the store said of the claim's end, 0 where it did not, and
// whether the claim ran out.
func (h *hold) ended() (over Class, lapsed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over, h.lapsed
}

// holds reports whether the claim or the message is still held.
func (h *hold) holds() bool {
	now := time.Now()
	if h.lease != nil && h.lease.Err() == nil && now.Before(h.lease.Deadline()) {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over == 0 && !h.deadline.passed(now)
}

// renewed hears of each extension of the visibility, and of its loss.
func (h *hold) renewed(ctx context.Context, visible time.Time, lost error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if lost != nil {
		// Mutual exclusion is worth more than the receive it costs: the copy that
		// SQS delivers now finds the key busy.
		h.alone = true
		h.timer.Reset(h.untilTick(time.Now())) // this may have ended a grace
	} else {
		// A newer receive of the message can also bring a lost hold back.
		h.alone, h.visible = false, visible
	}
	h.want(ctx)
}

// want has the claim extended by the one goroutine per message that does so. mu
// is held.
func (h *hold) want(ctx context.Context) {
	if h.stopped || h.over != 0 {
		return
	}
	h.wanted = true
	if !h.busy {
		h.busy = true
		if h.done == nil {
			h.done = make(chan struct{})
		}
		go h.extendAll(ctx)
	}
}

// extendAll extends until nothing is wanted any more.
func (h *hold) extendAll(ctx context.Context) {
	for failures := 0; ; {
		h.mu.Lock()
		if !h.wanted || h.stopped || h.over != 0 {
			h.busy = false
			h.mu.Unlock()
			return
		}
		h.wanted = false
		h.mu.Unlock()
		if _, err := h.extendNow(ctx); err == nil {
			failures = 0
			continue
		}
		h.mu.Lock()
		h.wanted = true
		h.mu.Unlock()
		pause := jitter(min(100*time.Millisecond<<min(failures, 10), time.Second))
		reopened, _ := h.r.mw.breaker.Open()
		if reopened != nil {
			pause = jitter(10 * time.Second) // the breaker knows sooner
		}
		failures++
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-reopened:
			failures = 1
		case <-h.done:
		}
		wait.Stop()
	}
}

// extendNow makes one extension and takes note of the answer.
func (h *hold) extendNow(ctx context.Context) (Class, error) {
	h.mu.Lock()
	sent := time.Now()
	length := h.length(sent)
	request := ExtendRequest{
		Key: h.r.id.key, Token: h.r.token, Lease: length, TTL: h.r.recordTTL + length,
		PayloadHash: h.r.id.phash, Life: h.r.id.life,
		Fence: h.fence, Attempts: h.attempts, Deaths: h.deaths, Alone: h.solo, Hard: h.hard, LastDeadline: h.last,
	}
	h.mu.Unlock()
	if length < time.Millisecond {
		// The visibility is as good as over. Its next renewal, or its loss, asks
		// again.
		return 0, nil
	}
	reply, err := call(ctx, h.r.mw, h.r.mw.store.Extend, request)
	if err == nil && reply.Class == ClassLost && h.inGrace(time.Now()) {
		sent = time.Now()
		reply, err = h.reclaim(ctx, request)
	}
	if err != nil {
		h.r.failed("extend", err)
		h.mu.Lock()
		h.silent = true
		h.mu.Unlock()
		return 0, err
	}
	h.answered(reply, sent, length)
	return reply.Class, nil
}

// reclaim makes the claim anew whose record is gone although its lease has lapsed,
// as after a failover that took longer. While SQS hides the message nobody else
// works on it, unless it has a twin: should that have claimed meanwhile, it keeps
// the key.
func (h *hold) reclaim(ctx context.Context, e ExtendRequest) (reply ExtendReply, err error) {
	c, err := call(ctx, h.r.mw, h.r.mw.store.Claim, ClaimRequest{
		Key: e.Key, Token: e.Token, Lease: e.Lease, TTL: e.TTL, PayloadHash: e.PayloadHash, Life: e.Life,
		Hard: max(time.Until(h.lease.Limit()), e.Lease), MaxAttempts: h.r.lives, Sent: h.r.sent, Alone: h.r.solo,
	})
	if err != nil {
		return reply, err
	}
	reply = ExtendReply{Class: ClassStolen, Fence: c.Fence}
	switch c.Class {
	case ClassNew, ClassOwn:
		h.mu.Lock()
		h.fence, h.hard = c.Fence, c.Hard
		h.mu.Unlock()
		reply.Class, reply.Deadline = ClassRestored, c.Deadline
	case ClassTakeover:
		// A twin claimed after the loss, and has ended: its word counts.
		h.mu.Lock()
		h.fence = c.Fence
		h.mu.Unlock()
		h.r.release(ctx, h, RefundAttempt)
	case ClassDone:
		reply.Class = ClassDone
	}
	return reply, nil
}

// inGrace tells whether the handler goes on and SQS surely hides its message.
func (h *hold) inGrace(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.lapsed && h.hidden(now) > 0
}

// hidden is how long SQS surely hides the message from now, by its last renewal.
// mu is held.
func (h *hold) hidden(now time.Time) time.Duration {
	if h.lease == nil || h.alone {
		return 0
	}
	return deadlineAt(h.visible, 0).left(now)
}

// left is how long the handler may go on from now if nothing changes. mu is held.
//
// Unreachable is not stolen: while SQS hides the message nobody else receives it, so
// a store that does not answer is given more time than the lease.
func (h *hold) left(now time.Time) time.Duration {
	left := h.deadline.left(now)
	cfg := &h.r.mw.cfg
	if left <= 0 && h.silent && !cfg.StrictLease {
		left = min(left+cfg.OutageGrace, h.hidden(now))
	}
	if cfg.LeaseLost == RunOn {
		left = max(left, time.Second) // the completion will tell
	}
	return left
}

// answered takes note of the answer to an extension of length sent at sent.
func (h *hold) answered(reply ExtendReply, sent time.Time, length time.Duration) {
	h.mu.Lock()
	if h.stopped {
		h.mu.Unlock()
		return
	}
	h.silent = false
	why := ""
	switch reply.Class {
	case ClassOwn, ClassRestored:
		h.deadline, h.last = deadlineAt(sent, length), reply.Deadline
		h.renewAt = sent.Add(length / 2)
		if h.timer != nil {
			h.timer.Reset(h.untilTick(time.Now()))
		}
	case ClassDone:
		why = "was completed by someone else"
	case ClassStolen:
		why = "was taken over"
	case ClassLost:
		why = "ran out, and its record is gone"
	}
	if why != "" {
		h.over = reply.Class
	}
	// Before keep no handler runs that could lose its claim, or be one of two.
	runs := h.timer != nil && !h.returned
	tell := why != "" && !h.lapsed && runs
	// Once the handler has returned, the completion found may be this run's own:
	// the reply to that one tells whose it is.
	double := reply.Class == ClassDone && runs
	fence := h.fence
	h.mu.Unlock()

	// Hooks are never called under the lock.
	hooks := &h.r.mw.cfg.Hooks
	switch {
	case reply.Class == ClassRestored:
		hooks.recordLost(RecordLostEvent{Message: h.r.m, Key: h.r.id.key, Fence: fence})
	case double:
		hooks.doubleExecution(DoubleExecutionEvent{
			Message: h.r.m, Key: h.r.id.key, Fence: fence, Newer: reply.Fence,
		})
	}
	if tell {
		h.end(why)
	}
}

// length is how long the claim may last from now. mu is held.
func (h *hold) length(now time.Time) time.Duration {
	switch {
	case h.lease == nil:
		return fixedLease
	case h.alone:
		return h.r.visibility - h.r.margin
	}
	return h.visible.Sub(now) - h.r.margin
}

// tick watches the deadline, and when alone renews in time.
func (h *hold) tick(ctx context.Context) {
	h.mu.Lock()
	if h.stopped || h.over != 0 {
		h.mu.Unlock()
		return
	}
	now := time.Now()
	tell := false
	if !h.lapsed && h.left(now) <= 0 {
		h.lapsed, tell = true, !h.returned
	}
	if h.alone && !now.Before(h.renewAt) {
		h.want(ctx)
	}
	if !h.lapsed || h.alone {
		h.timer.Reset(h.untilTick(now))
	}
	h.mu.Unlock()
	if tell {
		h.end("ran out before it could be extended")
	}
}

// untilTick is the time to the next look at the clocks. The wall clock may jump,
// as after a suspension, so it is looked at eight times per lease. mu is held.
func (h *hold) untilTick(now time.Time) time.Duration {
	d := max(h.length(now)/8, time.Second)
	if !h.lapsed {
		d = min(d, h.left(now))
	}
	if h.alone && now.Before(h.renewAt) {
		d = min(d, h.renewAt.Sub(now))
	}
	return max(d, time.Millisecond)
}

// end cancels the handler, once.
func (h *hold) end(why string) {
	h.r.handler.Cancel(holdfast.ErrLeaseLost)
	h.r.seat.Lost()
	fence, _ := h.current()
	h.r.mw.cfg.Hooks.lost(LostEvent{
		Message: h.r.m, Key: h.r.id.key, Fence: fence,
		Err: fmt.Errorf("%w: claim of %s %s", holdfast.ErrLeaseLost, h.r.id.key, why),
	})
}
