package idempotency

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency/internal/breaker"
	"github.com/holdfast-go/holdfast/idempotency/internal/twins"
	"github.com/holdfast-go/holdfast/internal/lazyctx"
)

// What happens to those that cannot claim now: duplicates of what is worked on, and
// everybody while the store is down.

// Closed implements holdfast.Gate: while the store is down nothing is received, and
// for five seconds after it is back receives begin gradually, unless StoreDown is
// FailOpen. Nor is anything received while a message that ended two processes runs
// alone in this one, or waits until it is alone (for a minute at a time).
func (mw *Middleware) Closed() (reopened <-chan struct{}, why error) {
	if mw.breaker == nil || mw.cfg.Mode == Observe {
		return nil, nil
	}
	if reopened := mw.cfg.Process.solo.Closed(); reopened != nil {
		return reopened, ErrAlone
	}
	if mw.cfg.StoreDown == FailOpen {
		return nil, nil
	}
	return mw.breaker.Closed()
}

// call makes one call of the store and tells the breaker how it went.
func call[Q, A any](ctx context.Context, mw *Middleware, f func(context.Context, Q) (A, error), request Q) (A, error) {
	sent := time.Now()
	op := &lazyctx.Context{Parent: ctx, Until: sent.Add(mw.cfg.StoreTimeout)}
	defer op.Cancel(nil)
	reply, err := f(op, request) //nolint:contextcheck // ctx is its parent
	switch {
	case err == nil, errors.Is(err, ErrBadRecord):
		mw.breaker.Succeeded()
	case ctx.Err() == nil: // else it was the caller who gave up
		mw.breaker.Failed(sent, err)
	}
	return reply, err
}

func (mw *Middleware) probe(ctx context.Context) error { return mw.store.Probe(ctx) }

// life is the context of what goes on beside the messages: it ends with the last
// consumer that was started with the middleware.
type life struct {
	mu        sync.Mutex // guards all below
	consumers int
	ctx       context.Context //nolint:containedctx // it is one that several others make up
	end       context.CancelFunc
}

// share has the life last as long as ctx, too.
func (l *life) share(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.consumers++; l.consumers == 1 {
		l.ctx, l.end = context.WithCancel(context.WithoutCancel(ctx))
	}
	context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.consumers--; l.consumers == 0 {
			l.end()
		}
	})
}

// context is without an end where no consumer was started: then none is used.
func (l *life) context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil {
		return context.Background()
	}
	return l.ctx
}

// storeUp hears that the store is back.
func (mw *Middleware) storeUp(down time.Duration) {
	mw.twins.Reopened(breaker.Ramp)
	mw.cfg.Hooks.storeUp(down)
	mw.pay()
}

// poll asks the store for keys that run elsewhere.
func (mw *Middleware) poll(keys []string) ([]twins.Answer, error) {
	if reopened, why := mw.breaker.Open(); reopened != nil {
		return nil, why
	}
	snapshots, err := call(mw.life.context(), mw, mw.store.Poll, keys)
	if err != nil {
		mw.cfg.Hooks.storeFailed(StoreFailedEvent{Op: "poll", Err: err})
		return nil, err
	}
	answers := make([]twins.Answer, len(snapshots))
	for i, s := range snapshots {
		switch s.State {
		case StateCompleted:
			answers[i] = twins.Answer{Done: true, Hash: s.PayloadHash}
		case StateInProgress:
			answers[i].Left = s.Left
		}
	}
	return answers, nil
}

// waitForTwin parks the message until the twin that runs in this process has ended.
func (r *run) waitForTwin(w *twins.Wait) error {
	why := fmt.Errorf("%w: %s, in this process", ErrBusy, r.id.key)
	r.mw.cfg.Hooks.parked(ParkedEvent{Message: r.m, Key: r.id.key, Here: true, Why: why})
	return holdfast.Park(w.Ready(), r.busyFallback(r.visibility, longestHold, r.receives, why))
}

// busy parks the message until the twin that runs elsewhere has ended.
func (r *run) busy(lease holdfast.Lease, reply ClaimReply) error {
	why := fmt.Errorf("%w: %s", ErrBusy, r.id.key)
	fallback := r.busyFallback(reply.Left, reply.HardLeft, reply.Duplicates, why)
	if lease == nil || r.seat == nil {
		return fallback
	}
	w := r.seat.Busy(lease, reply.Left)
	r.mw.cfg.Hooks.parked(ParkedEvent{Message: r.m, Key: r.id.key, Why: why})
	return holdfast.Park(w.Ready(), fallback)
}

// busyFallback is for a duplicate that cannot be parked. Each return costs a receive,
// so it stays away for longer each time, and at least until its twin's lease is
// over; but no longer than the twin can hold the key or SQS keeps the message.
func (r *run) busyFallback(left, hardLeft time.Duration, duplicates int, why error) error {
	most := longestHold
	if r.m.Queue.Retention > 0 && !r.m.SentAt.IsZero() {
		most = min(most, time.Until(r.m.SentAt.Add(r.m.Queue.Retention))-2*r.visibility)
	}
	d := max(left, min(hardLeft, r.visibility<<min(max(duplicates, 0), 12), most))
	return holdfast.RetryAfter(min(d+jitter(time.Second), longestHold), why)
}

// waitForStore parks a message that cannot claim because the store fails with err.
func (r *run) waitForStore(lease holdfast.Lease, past twins.Past, err error) error {
	budget := r.mw.cfg.OutageBudget
	if past.Since.IsZero() {
		past.Since = time.Now()
	}
	if lease == nil || time.Since(past.Since) >= budget {
		return r.later(err)
	}
	past.Verdict, past.Token = twins.Again, r.token
	var w *twins.Wait
	if reopened, _ := r.mw.breaker.Open(); reopened == nil {
		w = r.mw.twins.Pause(lease, jitter(500*time.Millisecond), past)
	} else {
		w = r.mw.twins.Outage(lease, budget, past)
		if reopened, _ = r.mw.breaker.Open(); reopened == nil { // just now
			r.mw.twins.Reopened(breaker.Ramp)
		}
	}
	r.mw.cfg.Hooks.parked(ParkedEvent{Message: r.m, Key: r.id.key, Why: err})
	return holdfast.Park(w.Ready(), r.later(err))
}

// waitForTurn parks a message for delay, after which its turn has come in the ramp
// behind an outage.
func (r *run) waitForTurn(lease holdfast.Lease, past twins.Past, delay time.Duration) error {
	why := fmt.Errorf("%w, and has just come back: work begins gradually", ErrStore)
	past.Verdict = twins.Turn
	w := r.mw.twins.Pause(lease, delay, past)
	r.mw.cfg.Hooks.parked(ParkedEvent{Message: r.m, Key: r.id.key, Why: why})
	return holdfast.Park(w.Ready(), holdfast.RetryAfter(delay, why))
}

// unprotected runs next without a claim, because of why.
func (r *run) unprotected(ctx context.Context, next holdfast.Handler, why error) error {
	r.mw.cfg.Hooks.unprotected(UnprotectedEvent{Message: r.m, Key: r.id.key, Why: why})
	result := next.Handle(context.WithValue(ctx, claimKey{}, &Claim{
		Key: r.id.key, Attempt: r.receives, Partial: r.receives > 1, Unprotected: true,
	}), r.m)
	if result == nil || discarded(result) {
		r.done = true
		// There is no fence to complete under. The record is only written where
		// there is none, and no claim comes after it.
		r.mw.owe(CompleteRequest{ //nolint:contextcheck // it outlives the message
			Key: r.id.key, Token: r.token, Fence: time.Now().UnixMicro(), Attempts: r.receives,
			PayloadHash: r.id.phash, Life: r.id.life, TTL: r.doneTTL,
		})
	}
	return result
}

// owed are completions to be recorded when the store is back.
type owed struct {
	mu   sync.Mutex // guards all below
	list []CompleteRequest
	busy bool
}

// mostOwed bounds what is remembered.
const mostOwed = 1024

// owe remembers a completion that could not be recorded, and records it as soon as
// the store takes it. What finds no room is forgotten, as FailOpen allows.
func (mw *Middleware) owe(c CompleteRequest) {
	mw.owed.mu.Lock()
	if len(mw.owed.list) < mostOwed {
		mw.owed.list = append(mw.owed.list, c)
	}
	mw.owed.mu.Unlock()
	if reopened, _ := mw.breaker.Open(); reopened == nil {
		mw.pay()
	}
}

// pay records what is owed. It ends with the first failure.
func (mw *Middleware) pay() {
	o := &mw.owed
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.busy {
		return
	}
	o.busy = true
	for len(o.list) > 0 {
		c := o.list[0]
		o.mu.Unlock()
		_, err := call(mw.life.context(), mw, mw.store.Complete, c)
		o.mu.Lock()
		if err != nil && !errors.Is(err, ErrBadRecord) {
			mw.cfg.Hooks.storeFailed(StoreFailedEvent{Key: c.Key, Op: "complete", Err: err})
			break
		}
		o.list = o.list[1:]
	}
	o.busy = false
}
