package holdfast

import "context"

// Handler works on messages. It is the delivery contract:
//
//   - Handle is called with a message that is held: nobody else receives it
//     while its visibility timeout lasts, and the runtime extends that as long
//     as Handle runs.
//   - Returning nil deletes the message. Any other error keeps it and has it
//     tried again after a backoff, unless it is one of the verbs [Permanent],
//     [RetryAfter], [Discard] and [Park], wrapped or not.
//   - A panic, and runtime.Goexit, count as an error ([PanicError]). They never
//     end the process.
//   - ctx is cancelled when the hold is lost (cause [ErrLeaseLost]), when the
//     handler takes longer than its timeout ([ErrHandlerTimeout]) and when the
//     program stops and the drain is over ([ErrStopping]). Handlers must heed it:
//     what returns after ErrLeaseLost settles nothing.
//   - The same message may come again after Handle returned nil: SQS delivers at
//     least once, and a crash between the effect and the delete repeats it.
//
// Handle is called from many goroutines at once, for different messages.
type Handler interface {
	Handle(ctx context.Context, m *Message) error
}

// HandlerFunc lets a function be a Handler.
type HandlerFunc func(ctx context.Context, m *Message) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, m *Message) error { return f(ctx, m) }

// Middleware wraps handlers. Beyond Wrap the runtime looks for [Validator],
// [Starter], [Settler], [Confirmer] and [Gate] on the value in its list, so one value can
// bring all that a concern needs.
type Middleware interface {
	Wrap(next Handler) Handler
}

// MiddlewareFunc lets a function be a Middleware.
type MiddlewareFunc func(next Handler) Handler

// Wrap calls f.
func (f MiddlewareFunc) Wrap(next Handler) Handler { return f(next) }

// Chain wraps h in the middleware. The first listed is outermost: it sees the
// message first and the error last.
func Chain(h Handler, mw ...Middleware) Handler {
	for i := len(mw) - 1; i >= 0; i-- {
		h = mw[i].Wrap(h)
	}
	return h
}

// Validator is a middleware that can tell a wrong configuration. The consumer's
// constructor calls Validate and joins its error with its own; it does no I/O.
type Validator interface {
	Validate() error
}

// Starter is a middleware with checks or work at start. Run calls Start once,
// in the order of the list, with the queue as it was read from SQS and before
// the first receive. An error ends Run with it, and so does a panic.
//
// ctx ends when the consumer is stopped before Start has returned, with the cause
// ErrStopping: return then. Once Start has returned, ctx lives until the consumer has
// stopped, its drain included: what Start begins in the background ends with it.
type Starter interface {
	Start(ctx context.Context, q Queue) error
}

// Confirmer is a middleware that confirms subscriptions. The runtime calls it where
// SNS asks to confirm one, which handlers never see; the first in the list that
// confirms is the last that is asked. What nobody confirms is dead-lettered. Package
// fanout has one.
type Confirmer interface {
	// Confirm is given the message as it was received. true deletes it. An error
	// has it tried again after a backoff, unless it is Permanent: then it is
	// dead-lettered. Safe for concurrent use.
	Confirm(ctx context.Context, m *Message) (confirmed bool, err error)
}

// Settler is a middleware that is told what became of a message, after SQS
// confirmed it. err is nil when the message was deleted because it was done or
// discarded; else it is what the message was given back or dead-lettered for.
// Settled is called once per delivery at most (never where nothing could be
// settled), from the goroutine that settles: it must be quick and not block.
type Settler interface {
	Settled(m *Message, err error)
}

// Gate is a condition for receiving: a store that is down, a pause, a breaker.
// The runtime asks Closed before each receive and issues none while a gate is
// closed. Messages already held are not affected. Safe for concurrent use.
type Gate interface {
	// Closed returns a nil channel while the gate is open. Otherwise it returns
	// a channel that is closed when receiving may go on, and why it may not now.
	Closed() (reopened <-chan struct{}, why error)
}
