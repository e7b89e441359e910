package holdfast

import (
	"fmt"
	"time"
)

// Permanent says that trying again is useless: the message goes to the
// dead-letter queue now, with err as its cause. A nil err is told as such.
func Permanent(err error) error { return &PermanentError{Err: err} }

// RetryAfter has the message tried again no sooner than after d, in place of the
// backoff, because of err. d is 0 to 12 hours and is rounded up to whole seconds
// on a standard queue. A d out of these bounds is treated as an ordinary error
// that names it. SQS hides a message for no more than 12 hours from its receive: where
// less than d is left of these, because the handler ran long, the message comes back
// when they end, and SettledEvent.Delay says so.
func RetryAfter(d time.Duration, err error) error { return &RetryAfterError{Delay: d, Err: err} }

// Discard deletes the message although nothing was done. reason is told to hooks.
func Discard(reason error) error { return &DiscardError{Reason: reason} }

// Park frees the handler's slot while the runtime keeps holding the message, and
// runs the whole chain again, under the same Lease, when ready is closed. It is
// how one waits for something without burning receives: a twin that runs
// elsewhere, a rate limit, a breaker.
//
// fallback is what settles the message where it cannot be parked: when MaxParked
// or HeldBytes is full or the 12 hours of its hold near their end. A nil fallback
// counts as an ordinary error. A parked message is given back when the consumer
// stops, and forgotten when its hold is lost.
func Park(ready <-chan struct{}, fallback error) error {
	return &ParkError{Ready: ready, Fallback: fallback}
}

// PermanentError is what Permanent returns.
type PermanentError struct{ Err error }

func (e *PermanentError) Error() string { return "permanent: " + text(e.Err) }
func (e *PermanentError) Unwrap() error { return e.Err }

// RetryAfterError is what RetryAfter returns.
type RetryAfterError struct {
	Delay time.Duration
	Err   error
}

func (e *RetryAfterError) Error() string {
	return fmt.Sprintf("retry after %v: %s", e.Delay, text(e.Err))
}
func (e *RetryAfterError) Unwrap() error { return e.Err }

// DiscardError is what Discard returns.
type DiscardError struct{ Reason error }

func (e *DiscardError) Error() string { return "discard: " + text(e.Reason) }
func (e *DiscardError) Unwrap() error { return e.Reason }

// ParkError is what Park returns. It does not unwrap to its fallback, which only
// the runtime may apply.
type ParkError struct {
	Ready    <-chan struct{}
	Fallback error
}

func (e *ParkError) Error() string { return "parked, else " + text(e.Fallback) }

func text(err error) string {
	if err == nil {
		return "no reason given"
	}
	return err.Error()
}

// Verb returns the outermost outcome verb in err's tree: a *PermanentError,
// *RetryAfterError, *DiscardError or *ParkError; nil where there is none. It is
// what the runtime goes by where verbs are nested.
func Verb(err error) error {
	switch e := err.(type) {
	case nil:
		return nil
	case *PermanentError, *RetryAfterError, *DiscardError, *ParkError:
		return err
	case interface{ Unwrap() error }:
		return Verb(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			if v := Verb(err); v != nil {
				return v
			}
		}
	}
	return nil
}
