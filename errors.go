package holdfast

import (
	"errors"
	"fmt"
)

// ErrLeaseLost is the cause of a handler's context when its hold on the message,
// or its claim, is lost: someone else may have the message now. The handler must
// stop. A chain that returns an error wrapping it settles nothing, and so does
// whatever returns after the runtime itself lost the hold.
var ErrLeaseLost = errors.New("holdfast: lease lost")

// ErrHandlerTimeout is the cause of a handler's context when the handler ran
// longer than the consumer's HandlerTimeout. The message is tried again.
var ErrHandlerTimeout = errors.New("holdfast: handler timeout")

// ErrStopping is the cause of a handler's context when the program stops and the
// drain is over. The message is given back at once, with no backoff, whatever the
// handler returns. Its next receive is one more that SQS counts (Message.Attempt); the
// attempts of a claim leave such a run out (idempotency.Claim.Attempt).
var ErrStopping = errors.New("holdfast: stopping")

// PanicError is what a handler's panic, or its runtime.Goexit, becomes. Hooks
// and middleware see it as the handler's error.
type PanicError struct {
	// Value is what was given to panic; nil for Goexit.
	Value any
	// Goexit tells that the handler ended its goroutine by runtime.Goexit.
	Goexit bool
	// Stack is the stack of the panic.
	Stack []byte
}

func (e *PanicError) Error() string {
	if e.Goexit {
		return "holdfast: handler called runtime.Goexit"
	}
	return fmt.Sprintf("holdfast: handler panicked: %v", e.Value)
}

// Unwrap returns the value of the panic where it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// DecodeError is returned by handlers made by [JSON] for a body that cannot be
// decoded. The runtime tries such a message a second time, because a deploy may
// be under way that can read it, and dead-letters it on its third attempt.
type DecodeError struct {
	// Type is the Go type that was wanted.
	Type string
	// Err is the decoder's error.
	Err error
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("cannot decode body as %s: %v", e.Type, e.Err)
}

// Unwrap returns the decoder's error.
func (e *DecodeError) Unwrap() error { return e.Err }

// RouteError is returned by a [Mux] for a message without a route. It is treated
// like a DecodeError: dead-lettered on the third attempt.
type RouteError struct {
	// Route is the message's route, empty where it has none.
	Route string
}

func (e *RouteError) Error() string {
	if e.Route == "" {
		return "message has no route"
	}
	return fmt.Sprintf("no handler for route %q", e.Route)
}
