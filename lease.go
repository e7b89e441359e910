package holdfast

import (
	"context"
	"time"
)

// Lease is the hold on a message: its visibility timeout in SQS, which the
// runtime extends at half its length for as long as the handler runs. A handler
// finds it in its context ([LeaseFrom]); a middleware that has a lock of its own
// on the message, as idempotency has its claim, moves that lock along by OnRenew.
// Safe for concurrent use.
type Lease interface {
	// Deadline is the moment up to which SQS surely hides the message if it is
	// not extended again. It is reckoned on the safe side: from the headers of a
	// receive's reply less one second, from the request of an extension.
	Deadline() time.Time
	// Limit is when the 12 hours are over that SQS lets one receive be held.
	Limit() time.Time
	// Done is closed when the hold has ended: lost, or the message settled.
	Done() <-chan struct{}
	// Err is nil while the hold lasts. Afterwards it says why it ended, wrapping
	// ErrLeaseLost where it was lost.
	Err() error
	// Extend extends the hold now instead of at half its length. It returns nil
	// once SQS confirmed it and the hold lasts; an error that wraps ErrLeaseLost is
	// final. Whoever calls it meanwhile shares the call. When ctx ends it returns
	// context.Cause(ctx), and the hold may still be extended, unless ctx had ended before.
	Extend(ctx context.Context) error
	// OnRenew has f called after each confirmed extension with the new deadline,
	// and one last time with lost non-nil (it wraps ErrLeaseLost) when SQS no
	// longer holds the message. f must not block: it is called from the goroutine
	// that extends all messages.
	//
	// Whoever registers f takes over the decision what a lost hold means: the
	// runtime then leaves the handler's context alone, and f's owner cancels it
	// when its own lock ends. stop takes f back.
	OnRenew(f func(deadline time.Time, lost error)) (stop func())
	// SetKey names the message by its idempotency key in InFlight.
	SetKey(key string)
}

type contextKey struct{}

// carrier answers for the message and its lease in one context value.
type carrier struct {
	context.Context
	message *Message
	lease   Lease
}

func (c *carrier) Value(key any) any {
	if _, ok := key.(contextKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// NewContext returns a context that carries m and its lease for [MessageFrom] and
// [LeaseFrom]. The runtime calls it before the chain; tests of middleware may.
func NewContext(ctx context.Context, m *Message, l Lease) context.Context {
	return &carrier{Context: ctx, message: m, lease: l}
}

// LeaseFrom returns the lease under which a handler runs; ok is false in a
// context that no runtime made.
func LeaseFrom(ctx context.Context) (l Lease, ok bool) {
	c, ok := ctx.Value(contextKey{}).(*carrier)
	if !ok || c.lease == nil {
		return nil, false
	}
	return c.lease, true
}

// MessageFrom returns the message that a handler works on; ok is false in a
// context that no runtime made.
func MessageFrom(ctx context.Context) (m *Message, ok bool) {
	c, ok := ctx.Value(contextKey{}).(*carrier)
	if !ok || c.message == nil {
		return nil, false
	}
	return c.message, true
}
