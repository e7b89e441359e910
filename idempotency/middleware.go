package idempotency

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency/internal/breaker"
	"github.com/holdfast-go/holdfast/idempotency/internal/recent"
	"github.com/holdfast-go/holdfast/idempotency/internal/twins"
	"github.com/holdfast-go/holdfast/internal/lazyctx"
)

// Middleware makes the handlers behind it run once per key; see the package
// documentation for what that means. Make one with New; the zero value answers
// every message with an error. Safe for concurrent use.
//
// It is to be listed inside of middleware that retries or limits, and outside of
// what only wraps the work, such as a timeout.
type Middleware struct {
	store  Store
	cfg    Config
	prefix string
	err    error
	post   *postDelete // nil without a PostDeleteTTL
	recent *recent.Set // completed keys

	breaker *breaker.Breaker
	twins   *twins.Table
	owed    owed
	life    life
}

var (
	_ holdfast.Middleware = (*Middleware)(nil)
	_ holdfast.Validator  = (*Middleware)(nil)
	_ holdfast.Starter    = (*Middleware)(nil)
	_ holdfast.Settler    = (*Middleware)(nil)
	_ holdfast.Gate       = (*Middleware)(nil)
)

// New returns a middleware that keeps its claims in store. It does no I/O. What is
// wrong with cfg is told by Validate, which the consumer's constructor calls.
// Nothing of cfg is shared with another Middleware on the same store.
func New(store Store, cfg Config) *Middleware {
	cfg = cfg.withDefaults()
	mw := &Middleware{store: store, cfg: cfg, prefix: cfg.Prefix + ":" + cfg.Consumer + ":"}
	mw.recent = recent.New(cfg.LocalDone, localLife)
	if cfg.PostDeleteTTL > 0 {
		mw.post = newPostDelete()
	}
	mw.twins = twins.New(mw.poll)
	mw.breaker = breaker.New(breaker.Config{
		Probe: mw.probe, Timeout: cfg.StoreTimeout, Life: mw.life.context,
		Down: cfg.Hooks.storeDown, Up: mw.storeUp,
	})
	mw.err = cfg.validate()
	if store == nil {
		mw.err = errors.Join(errors.New("idempotency: New: store is nil"), mw.err)
	} else if v, ok := store.(holdfast.Validator); ok {
		mw.err = errors.Join(v.Validate(), mw.err)
	}
	return mw
}

// Validate returns all that is wrong with the configuration and the store, joined.
func (mw *Middleware) Validate() error {
	if mw.store == nil && mw.err == nil {
		return errors.New("idempotency: the middleware was not made with New")
	}
	return mw.err
}

// Start checks the configuration against the queue and the store's server, as Check
// does: it returns the errors, joined, and logs the warnings. With a PostDeleteTTL it starts a goroutine that ends with ctx.
func (mw *Middleware) Start(ctx context.Context, q holdfast.Queue) error {
	if err := mw.Validate(); err != nil {
		return err
	}
	if s, ok := mw.store.(holdfast.Starter); ok {
		if err := s.Start(ctx, q); err != nil {
			return err
		}
	}
	findings, err := mw.check(ctx, q)
	if err != nil {
		// The store may be away just now, which must not keep a worker from starting.
		mw.cfg.Logger.Warn("idempotency: the store could not be checked", "queue", q.Name, "error", err)
	}
	if err := mw.startErr(q, findings); err != nil {
		return err
	}
	if mw.post != nil {
		go mw.shorten(ctx)
	}
	mw.life.share(ctx)
	return nil
}

// Settled shortens the memory of a key to Config.PostDeleteTTL, where that is set,
// once SQS confirmed that its message is deleted. It does not block.
func (mw *Middleware) Settled(m *holdfast.Message, err error) {
	if mw.post != nil {
		mw.post.settled(m, err)
	}
}

// Wrap returns a handler that claims the key of each message, runs next under the
// claim, and records how it ended:
//
//   - A key that is done already: nil, so that the duplicate is deleted.
//   - A key that is worked on, here or elsewhere: Park until that has ended. Where
//     the runtime cannot park, RetryAfter some part of what the holder can take,
//     wrapping ErrBusy.
//   - A key that was used for another payload: Permanent, wrapping ErrMismatch,
//     unless Config.Mismatch says otherwise.
//   - A message that ended two processes: Park until nothing else runs in this one.
//     One whose attempts are used up: Permanent, wrapping ErrPoison.
//   - A store that fails: Park until it is back, else RetryAfter some seconds,
//     wrapping ErrStore. next is not called without a claim, unless Config.StoreDown
//     says so.
//   - next returned nil or Discard: recorded as done, then returned as it is. Where
//     someone else took the key over, an error wrapping holdfast.ErrLeaseLost;
//     where it could not be recorded, one wrapping ErrUnrecorded.
//   - next returned another error, or panicked: the key is freed. Park, RetryAfter
//     and a run cut short by the stop of the program are not counted as attempts;
//     Permanent starts the count anew. The last attempt that fails is answered by
//     Permanent, wrapping ErrPoison and the error.
//
// next's context carries the Claim (FromContext) and is cancelled with cause
// holdfast.ErrLeaseLost when the claim ends before next does.
func (mw *Middleware) Wrap(next holdfast.Handler) holdfast.Handler {
	return holdfast.HandlerFunc(func(ctx context.Context, m *holdfast.Message) error {
		if err := mw.Validate(); err != nil {
			return err
		}
		id, err := mw.identify(m)
		if errors.Is(err, errUnkeyed) {
			mw.cfg.Hooks.unkeyed(UnkeyedEvent{Message: m, Why: err})
			return next.Handle(ctx, m)
		}
		if err != nil {
			return err
		}
		r := newRun(mw, m, id)
		if mw.cfg.Mode == Observe {
			return r.observe(ctx, next)
		}
		if mw.knownDone(id) {
			mw.cfg.Hooks.duplicate(DuplicateEvent{Message: m, Key: id.key, Here: true})
			return nil
		}
		if wait := r.enter(ctx); wait != nil {
			return r.waitForProcess(wait, "waits until another message has run alone")
		}
		defer r.leave()
		err = r.do(ctx, next)
		if r.done {
			mw.recent.Add(r.id.key, r.id.phash, r.remembered())
		}
		return err
	})
}

// localLife is how long a completed key is remembered here at most.
const localLife = 10 * time.Minute

// knownDone tells whether the work was done here, or found done, a short while ago.
func (mw *Middleware) knownDone(id identity) bool {
	hash, ok := mw.recent.Get(id.key)
	return ok && (hash == "" || id.phash == "" || hash == id.phash)
}

// remembered is how long the store surely remembers a completion.
func (r *run) remembered() time.Duration {
	if r.mw.post != nil {
		return min(r.doneTTL, r.mw.cfg.PostDeleteTTL)
	}
	return r.doneTTL
}

// KeyOf returns the key in the store of the work of m, for Inspect and Forget: of a
// message as it was received, or of one made with what the key is taken from. Its
// error is that of a handler whose message has no key.
func (mw *Middleware) KeyOf(m *holdfast.Message) (string, error) {
	id, err := mw.identify(m)
	return id.key, err
}

// Inspect returns what the store knows of key (Middleware.KeyOf, Claim.Key, the
// hooks); its State is 0 where that is nothing. It changes nothing.
func Inspect(ctx context.Context, store Store, key string) (Snapshot, error) {
	snapshots, err := store.Poll(ctx, []string{key})
	if err != nil {
		return Snapshot{}, err
	}
	return snapshots[0], snapshots[0].Err
}

// Forget deletes what the store knows of key, so that its work is done once more by
// the next message that has it, and reports whether that was anything. Workers that
// did the work, or found it done, in the last 10 minutes remember it on their own
// (Config.LocalDone). A handler that is at it goes on, and records its end; to forget
// its claim gives the key away, and only the fence protects then.
func Forget(ctx context.Context, store Store, key string) (existed bool, err error) {
	return store.Forget(ctx, key)
}

// Claim is what a handler can know of the claim it runs under.
type Claim struct {
	// Key is the key in the store: the same for every delivery of the same work,
	// so it serves as an idempotency key towards other systems. At most 152
	// characters.
	Key string
	// Unprotected is set where the store does not answer and the handler runs all the
	// same (FailOpen): Fence is 0 then, Attempt is the receive count of the message,
	// and another delivery may be at work.
	Unprotected bool
	// Fence is greater than that of every earlier claim of the key. A system that
	// refuses writes with a smaller fence than it has seen is safe from handlers
	// that were overtaken while they were frozen. Less than 2^53.
	Fence int64
	// Attempt counts the claims of the key, from 1. Runs that were parked or cut
	// short by a shutdown are not counted, nor those that ended with their process
	// unless they were alone in it.
	Attempt int
	// Partial tells that an earlier run began and did not complete: a part of its
	// effects may be there.
	Partial bool
	// Deaths counts the claims in a row before this one that ended with their process.
	// From 2 on the handler runs alone in its process.
	Deaths int
}

type claimKey struct{}

// FromContext returns the claim that a handler runs under; ok is false in a
// context that this middleware did not make.
func FromContext(ctx context.Context) (c Claim, ok bool) {
	told, ok := ctx.Value(claimKey{}).(*Claim)
	if !ok {
		return Claim{}, false
	}
	return *told, true
}

// handlerContext is the context of a handler that runs under a claim.
type handlerContext struct {
	lazyctx.Context
	claim Claim
}

// Value implements context.Context.
func (c *handlerContext) Value(key any) any {
	if key == (claimKey{}) {
		return &c.claim
	}
	return c.Context.Value(key)
}

// observe claims and records as ever, and runs next whatever is found.
func (r *run) observe(ctx context.Context, next holdfast.Handler) (err error) {
	lease, held := holdfast.LeaseFrom(ctx)
	if held {
		lease.SetKey(r.id.key)
	}
	if reopened, _ := r.mw.breaker.Open(); reopened != nil {
		return next.Handle(ctx, r.m)
	}
	reply, sent, claimErr := r.claim(ctx, lease)
	if claimErr != nil || !reply.Claimed() || reply.Left <= 0 {
		return next.Handle(ctx, r.m)
	}
	// Without the lease of the message, so that its loss stays the runtime's business.
	h := newHold(r, nil, reply, sent)
	h.keep(context.WithoutCancel(ctx))
	defer h.stop()
	returned := false
	defer func() {
		if !returned {
			h.stop()
			r.release(ctx, h, ChargeAttempt)
		}
	}()
	told := r.told(reply)
	err = next.Handle(context.WithValue(ctx, claimKey{}, &told), r.m)
	returned = true
	h.handled()
	if err != nil && !discarded(err) {
		h.stop()
		r.release(ctx, h, r.charge(ctx, holdfast.Verb(err)))
		return err
	}
	request := r.completion(h)
	done, completeErr := call(context.WithoutCancel(ctx), r.mw, r.mw.store.Complete, request)
	if completeErr != nil {
		r.failed("complete", completeErr)
		return err
	}
	if r.mw.post != nil {
		r.mw.post.remember(r.m, request)
	}
	_ = r.completed(done, h, nil) // for the hooks
	return err
}
