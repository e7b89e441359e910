package middleware

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast"
)

// longest is how long SQS lets a message be held: a run cannot take longer.
const longest = 12 * time.Hour

// Timeout gives each run of what it wraps d to finish, by the deadline of its
// context. The cause of that context is then an error that names d and wraps
// [holdfast.ErrHandlerTimeout], and so is the error of a run that returned one
// after the deadline. The message is tried again like after any error, unless the
// handler returns a verb.
//
// It bounds one handler, or the part of the chain that is listed after it, where
// the consumer's HandlerTimeout bounds them all; the shorter counts. A handler
// that does not heed its context runs on.
//
// d is more than 0 and at most 12 hours, the longest SQS lets a message be held;
// any other is an error of Validate. There is no default.
func Timeout(d time.Duration) holdfast.Middleware {
	return timeout{
		d:     d,
		cause: fmt.Errorf("middleware: Timeout: handler ran longer than %v: %w", d, holdfast.ErrHandlerTimeout),
	}
}

type timeout struct {
	d     time.Duration
	cause error
}

// Validate reports a d out of bounds.
func (t timeout) Validate() error {
	if t.d <= 0 || t.d > longest {
		return fmt.Errorf("middleware: Timeout: d is %v, want more than 0 and at most %v", t.d, longest)
	}
	return nil
}

// Wrap bounds the runs of next.
func (t timeout) Wrap(next holdfast.Handler) holdfast.Handler {
	return holdfast.HandlerFunc(func(ctx context.Context, m *holdfast.Message) error {
		ctx, cancel := context.WithTimeoutCause(ctx, t.d, t.cause)
		defer cancel()
		err := next.Handle(ctx, m)
		if err != nil && errors.Is(context.Cause(ctx), t.cause) {
			// Handlers return ctx.Err(), which does not say whose deadline it was.
			return fmt.Errorf("%w: %w", t.cause, err)
		}
		return err
	})
}
