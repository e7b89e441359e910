package idempotency

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency/internal/twins"
)

const (
	// fixedLease is the claim's lease where no runtime holds the message.
	fixedLease = 24 * time.Second
	// defaultVisibility stands in where the message does not know its queue's.
	defaultVisibility = 30 * time.Second
	// longestHold is SQS's: 12 hours from the receive.
	longestHold = 12 * time.Hour
	// extendBelow is how much of a hold must be left to claim without extending it
	// first, or a third of the visibility where that is less.
	extendBelow = 10 * time.Second
	// recordGrace is how long a completion is still tried once the handler's
	// context is cancelled: at the stop of the program the runtime keeps 5 s.
	recordGrace = 3 * time.Second
	// storeTries is how often a claim and a release are tried. Their token makes
	// the second try harmless where only the reply of the first was lost.
	storeTries = 2
)

// run is one run of the chain for one message: claim, handle, record.
// All it needs of the message is copied when it is made.
type run struct {
	mw         *Middleware
	m          *holdfast.Message // for hooks and for the handler only
	id         identity
	token      string
	visibility time.Duration
	margin     time.Duration
	doneTTL    time.Duration
	recordTTL  time.Duration
	lives      int   // attempts that end a life
	sent       int64 // when, in milliseconds; 0 where that is unknown
	receives   int
	attempts   int  // of this life, this run included
	solo       bool // claim alone
	inside     bool // counted among the runs of the process
	nested     bool // in a run of another middleware of this kind
	other      bool // under a key of its own because of a mismatch

	visible time.Time // of the last claim: the message's visibility then
	hold    hold      // of the claim
	handler handlerContext

	seat *twins.Seat   // the right to the key in this process
	done bool          // the key is completed
	rest time.Duration // for twins that wait here, after a failure
	// unclaimed: nothing ran because the store failed.
	unclaimed bool
}

func newRun(mw *Middleware, m *holdfast.Message, id identity) *run {
	r := &run{
		mw: mw, m: m, id: id, token: newToken(),
		visibility: m.Queue.Visibility,
		doneTTL:    mw.cfg.doneTTL(m.Queue),
		recordTTL:  mw.cfg.recordTTL(m.Queue),
		lives:      mw.cfg.maxAttempts(m.Queue),
		receives:   m.ReceiveCount,
	}
	if r.visibility <= 0 {
		r.visibility = defaultVisibility
	}
	if !m.SentAt.IsZero() {
		r.sent = m.SentAt.UnixMilli()
	}
	r.margin = mw.cfg.margin(r.visibility)
	return r
}

// newToken draws 96 bits.
func newToken() string {
	var b [12]byte
	rand.Read(b[:])
	return encode("", b[:])
}

// do lets the message through to its claim, where nothing makes it wait.
func (r *run) do(ctx context.Context, next holdfast.Handler) error {
	mw := r.mw
	lease, held := holdfast.LeaseFrom(ctx)
	if held {
		lease.SetKey(r.id.key)
	}
	past := mw.twins.Back(lease)
	switch past.Verdict {
	case twins.Done:
		return nil
	case twins.Spent:
		return r.later(fmt.Errorf("%w: it has been down for %v", ErrStore, time.Since(past.Since).Round(time.Second)))
	}
	if past.Token != "" {
		r.token = past.Token // its claim may have been made
	}
	reopened, why := mw.breaker.Open()
	if reopened != nil {
		why = fmt.Errorf("%w: claim of %s: %w", ErrStore, r.id.key, why)
		if mw.cfg.StoreDown == FailClosed {
			return r.waitForStore(lease, past, why)
		}
	}
	seat, wait := mw.twins.Enter(r.id.key, r.id.phash, lease)
	if wait != nil {
		return r.waitForTwin(wait)
	}
	r.seat = seat
	defer func() { seat.Leave(r.done, r.rest) }()
	if reopened != nil {
		return r.unprotected(ctx, next, why)
	}
	ticket, delay := mw.breaker.Admit(past.Verdict == twins.Turn)
	switch {
	case delay == 0:
		defer mw.breaker.Leave(ticket)
	case held && mw.cfg.StoreDown == FailClosed:
		return r.waitForTurn(lease, past, delay)
	}
	err := r.work(ctx, lease, next)
	switch {
	case !r.unclaimed:
		return err
	case mw.cfg.StoreDown == FailOpen:
		return r.unprotected(ctx, next, err)
	}
	return r.waitForStore(lease, past, err)
}

// work takes the message through the table of the protocol.
func (r *run) work(ctx context.Context, lease holdfast.Lease, next holdfast.Handler) (err error) {
	if lease != nil {
		r.visible = lease.Deadline()
		if time.Until(r.visible) < min(extendBelow, r.visibility/3) {
			if err := lease.Extend(ctx); err != nil {
				return r.later(fmt.Errorf("idempotency: extending the hold before the claim of %s: %w", r.id.key, err))
			}
			r.visible = time.Time{}
		}
	}
	reply, sent, err := r.claimOrWait(ctx, lease)
	if err != nil {
		return err
	}
	switch reply.Class {
	case ClassDone:
		r.done = true
		return nil
	case ClassBusy:
		return r.busy(lease, reply)
	case ClassMismatch:
		return holdfast.Permanent(fmt.Errorf("%w: %s", ErrMismatch, r.id.key))
	}

	r.handler.Parent, r.handler.claim = ctx, r.told(reply) //nolint:fatcontext // a run has one handler
	defer r.handler.Cancel(nil)
	h := newHold(r, lease, reply, sent)
	if r.isDead(reply) {
		return r.dead(ctx, h, reply)
	}
	if h.deadline.passed(time.Now()) {
		// The claim lapsed before its reply was read: the reply was lost, or slow, or
		// the process stood still. It must hold before anything runs under it.
		if lease != nil {
			h.visible = lease.Deadline()
		}
		switch class, err := h.extendNow(ctx); {
		case err != nil:
			return r.noClaim("extend", err)
		case class == ClassDone:
			r.done = true
			r.mw.cfg.Hooks.duplicate(DuplicateEvent{Message: r.m, Key: r.id.key})
			return nil
		case class == ClassOwn, class == ClassRestored:
			r.handler.claim.Fence, _ = h.current()
		case class == 0: // nor is the message hidden any more
			r.release(ctx, h, RefundAttempt)
			return r.later(fmt.Errorf("idempotency: the hold on the message ended before the claim of %s was answered", r.id.key))
		default:
			return fmt.Errorf("%w: claim of %s is %s", holdfast.ErrLeaseLost, r.id.key, class)
		}
	}
	h.keep(context.WithoutCancel(ctx))

	returned := false
	defer func() {
		if returned {
			return
		}
		over, lapsed := h.ended()
		h.stop()
		r.rest = r.backoff()
		class := r.release(ctx, h, ChargeAttempt)
		if !lapsed && over == 0 && class != ClassStolen {
			// A panic or a Goexit goes on to the runtime, which tells of it.
			return
		}
		// Under a lost claim nothing may be settled, and only an error says so.
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: claim of %s was lost: %w", holdfast.ErrLeaseLost, r.id.key,
				&holdfast.PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	err = next.Handle(&r.handler, r.m) //nolint:contextcheck // ctx is its parent
	returned = true
	return r.finish(ctx, h, err)
}

// told is what the handler learns of its claim.
func (r *run) told(reply ClaimReply) Claim {
	return Claim{
		Key:     r.id.key,
		Fence:   reply.Fence,
		Attempt: reply.Attempts,
		Partial: reply.Class == ClassTakeover || reply.Attempts > 1,
		Deaths:  reply.Deaths,
	}
}

// claim asks the store for the key. sent is the moment from which the lease is
// counted here.
func (r *run) claim(ctx context.Context, lease holdfast.Lease) (reply ClaimReply, sent time.Time, err error) {
	for try := 1; ; try++ {
		sent = time.Now()
		length, hard := fixedLease, longestHold
		if lease != nil {
			if try > 1 || r.visible.IsZero() {
				r.visible = lease.Deadline()
			}
			length = r.visible.Sub(sent) - r.margin
			if length < time.Millisecond {
				return reply, sent, r.later(fmt.Errorf("idempotency: the hold on the message ends in %v, too soon to claim %s",
					r.visible.Sub(sent), r.id.key))
			}
			hard = max(lease.Limit().Sub(sent), length)
		}
		reply, err = call(ctx, r.mw, r.mw.store.Claim, ClaimRequest{
			Key: r.id.key, Token: r.token, Lease: length, Hard: hard, TTL: r.recordTTL + length,
			PayloadHash: r.id.phash, Life: r.id.life, MaxAttempts: r.lives, Sent: r.sent, Alone: r.solo,
		})
		if err == nil {
			r.mw.cfg.Hooks.answered(r.m, r.id.key, reply)
			return reply, sent, nil
		}
		r.failed("claim", err)
		if errors.Is(err, ErrBadRecord) {
			return reply, sent, r.later(fmt.Errorf("%w: claim of %s: %w", ErrStore, r.id.key, err))
		}
		if try == storeTries || ctx.Err() != nil {
			return reply, sent, r.noClaim("claim", err)
		}
		sleep(ctx, jitter(100*time.Millisecond))
	}
}

// finish records how the handler ended and says what the runtime shall do.
func (r *run) finish(ctx context.Context, h *hold, result error) error {
	h.handled()
	defer h.stop()
	ended, lapsed := h.ended()
	if ended == ClassDone {
		// Someone else completed the key; the work is done whatever this run says.
		r.done = true
		return nil
	}
	verb := holdfast.Verb(result)
	if result == nil || discarded(result) {
		return r.complete(ctx, h, result)
	}
	// A lost claim settles nothing: the verbs of its handler must not be seen.
	lost := func(why string) error {
		return fmt.Errorf("%w: claim of %s %s; handler returned: %v", holdfast.ErrLeaseLost, r.id.key, why, result)
	}
	if ended == ClassStolen {
		return lost("was taken over")
	}
	charge := r.charge(ctx, verb)
	if lapsed || ended == ClassLost {
		// The handler was cancelled because the store was away: not its failure.
		charge = RefundAttempt
	}
	if charge == ChargeAttempt {
		r.rest = r.backoff()
		if r.usedUp(result) {
			charge = ResetAttempts
			result = holdfast.Permanent(fmt.Errorf("%w: %s: attempt %d of %d failed: %w", ErrPoison, r.id.key, r.attempts, r.lives, result))
			r.mw.cfg.Hooks.poisoned(PoisonedEvent{Message: r.m, Key: r.id.key, Attempts: r.attempts})
		}
	}
	h.stop()
	switch class := r.release(ctx, h, charge); {
	case class == ClassStolen:
		return lost("was taken over")
	case lapsed || ended == ClassLost:
		return lost("ran out")
	}
	return result
}

// discarded tells whether a handler says Discard.
func discarded(result error) bool {
	_, ok := holdfast.Verb(result).(*holdfast.DiscardError)
	return ok
}

// charge says what a handler's outcome, which is not a success, does to the attempts.
func (r *run) charge(ctx context.Context, verb error) Charge {
	switch v := verb.(type) {
	case *holdfast.PermanentError:
		return ResetAttempts
	case *holdfast.ParkError:
		return RefundAttempt
	case *holdfast.RetryAfterError:
		if v.Delay >= 0 && v.Delay <= longestHold {
			return RefundAttempt
		}
	default:
		if errors.Is(context.Cause(ctx), holdfast.ErrStopping) {
			return RefundAttempt
		}
	}
	return ChargeAttempt
}

// completion is the request that records the work as done.
func (r *run) completion(h *hold) CompleteRequest {
	fence, attempts := h.current()
	return CompleteRequest{
		Key: r.id.key, Token: r.token, Fence: fence, Attempts: attempts,
		PayloadHash: r.id.phash, Life: r.id.life, TTL: r.doneTTL,
	}
}

// complete records that the work is done, for as long as the message is held.
func (r *run) complete(ctx context.Context, h *hold, result error) error {
	// Neither the stop of the program nor a lost lease undoes the effect.
	op := context.WithoutCancel(ctx)
	var graceEnd time.Time
	for try := 0; ; try++ {
		request := r.completion(h)
		var reply CompleteReply
		reopened, err := r.mw.breaker.Open()
		if reopened == nil || try == 0 {
			if reply, err = call(op, r.mw, r.mw.store.Complete, request); err != nil {
				r.failed("complete", err)
			}
		}
		if err == nil {
			if r.mw.post != nil {
				// A completion of someone else's is not this run's to shorten:
				// the store goes by the token.
				r.mw.post.remember(r.m, request)
			}
			return r.completed(reply, h, result)
		}
		if r.mw.cfg.StoreDown == FailOpen && try+1 >= storeTries && !errors.Is(err, ErrBadRecord) {
			r.done = true
			r.mw.owe(request) //nolint:contextcheck // it outlives the message
			return result
		}
		if ctx.Err() != nil && graceEnd.IsZero() {
			graceEnd = time.Now().Add(recordGrace)
		}
		if errors.Is(err, ErrBadRecord) || !h.holds() || !graceEnd.IsZero() && !time.Now().Before(graceEnd) {
			return r.later(fmt.Errorf("%w: %s: %w", ErrUnrecorded, r.id.key, err))
		}
		sleep(op, jitter(min(50*time.Millisecond<<min(try, 10), time.Second)))
	}
}

// completed answers by the reply to a completion.
func (r *run) completed(reply CompleteReply, h *hold, result error) error {
	hooks := &r.mw.cfg.Hooks
	fence, _ := h.current()
	r.done = reply.Class != ClassStolen
	switch reply.Class {
	case ClassOwn:
		return result
	case ClassRestored:
		hooks.recordLost(RecordLostEvent{Message: r.m, Key: r.id.key, Fence: fence})
		return result
	}
	hooks.doubleExecution(DoubleExecutionEvent{Message: r.m, Key: r.id.key, Fence: fence, Newer: reply.Fence})
	if reply.Class == ClassDone {
		return nil
	}
	return fmt.Errorf("%w: %s was claimed by someone else before its completion was recorded", holdfast.ErrLeaseLost, r.id.key)
}

// release frees the key. Where the store does not answer the claim simply runs
// out, before the message is visible again. It returns 0 then.
func (r *run) release(ctx context.Context, h *hold, charge Charge) Class {
	op := context.WithoutCancel(ctx)
	fence, _ := h.current()
	for try := 1; ; try++ {
		reply, err := call(op, r.mw, r.mw.store.Release, ReleaseRequest{
			Key: r.id.key, Token: r.token, Fence: fence, TTL: r.recordTTL, Charge: charge,
		})
		if err == nil {
			return reply.Class
		}
		r.failed("release", err)
		if try == storeTries || errors.Is(err, ErrBadRecord) {
			return 0
		}
		sleep(op, jitter(100*time.Millisecond))
	}
}

func (r *run) failed(op string, err error) {
	r.mw.cfg.Hooks.storeFailed(StoreFailedEvent{Message: r.m, Key: r.id.key, Op: op, Err: err})
}

// noClaim notes that nothing ran because the store failed.
func (r *run) noClaim(op string, err error) error {
	r.unclaimed = true
	return fmt.Errorf("%w: %s of %s: %w", ErrStore, op, r.id.key, err)
}

// later has a message tried again for which its handler is not to blame, so without
// an attempt.
func (r *run) later(err error) error { return holdfast.RetryAfter(r.backoff(), err) }

// backoff grows with the receives of the message: 2 s doubled up to 2 min, of which
// half is drawn at random.
func (r *run) backoff() time.Duration {
	return jitter(min(2*time.Second<<min(max(r.receives-1, 0), 10), 2*time.Minute))
}

// jitter returns between half of d and d.
func jitter(d time.Duration) time.Duration {
	return d/2 + mathrand.N(d/2+1)
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
