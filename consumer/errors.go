package consumer

import (
	"errors"
	"fmt"

	"github.com/holdfast-go/holdfast"
)

// ErrRunTwice is returned by a second call of Run: a Consumer runs once.
var ErrRunTwice = errors.New("consumer: Run was called before")

// ConfigError is one field of Config, or argument of New, out of its bounds. New
// joins one for each; nothing runs.
type ConfigError struct {
	Field string
	Value any
	Bound string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("consumer: %s is %v; it must be %s", e.Field, e.Value, e.Bound)
}

// AccessError says that IAM, or the queue's policy, denies the consumer an
// action. Run returns it when it finds so at start; later it shows in Health.
// Allow the action on the resource in the policy of the consumer's role.
type AccessError struct {
	// Action is as IAM names it, for example sqs:DeleteMessage.
	Action string
	// Resource is the ARN of the queue.
	Resource string
	Err      error
}

func (e *AccessError) Error() string {
	return fmt.Sprintf("consumer: %s is denied on %s: allow it in the policy of the consumer's role, or renew its credentials: %v", e.Action, e.Resource, e.Err)
}

// Unwrap returns the error of the SDK.
func (e *AccessError) Unwrap() error { return e.Err }

// QueueError says that the queue does not exist. Run returns it when it finds so
// at start; later it shows in Health, and the consumer goes on when the queue is
// made again.
type QueueError struct {
	Queue  string
	Region string
	Err    error
}

func (e *QueueError) Error() string {
	return fmt.Sprintf("consumer: queue %q does not exist in region %q: create it, or check the name, the account and the region: %v", e.Queue, e.Region, e.Err)
}

// Unwrap returns the error of the SDK.
func (e *QueueError) Unwrap() error { return e.Err }

// StopError is returned by Run where the stop was not clean: handlers that did
// not heed their context still run, or messages could not be settled in time.
// Nothing is lost: those messages come back when their visibility ends.
type StopError struct {
	// Handlers is how many handlers still run.
	Handlers int
	// Unsettled is how many messages were neither deleted nor given back.
	Unsettled int
}

func (e *StopError) Error() string {
	return fmt.Sprintf("consumer: stopped with %d handlers still running and %d messages unsettled; they come back when their visibility ends", e.Handlers, e.Unsettled)
}

// lostError is why a hold ended before its message was settled.
type lostError struct {
	why string
	err error
}

func (e *lostError) Error() string {
	if e.err == nil {
		return holdfast.ErrLeaseLost.Error() + ": " + e.why
	}
	return holdfast.ErrLeaseLost.Error() + ": " + e.why + ": " + e.err.Error()
}

func (e *lostError) Unwrap() []error {
	if e.err == nil {
		return []error{holdfast.ErrLeaseLost}
	}
	return []error{holdfast.ErrLeaseLost, e.err}
}

// entryError is one entry's failure inside a batch call that succeeded.
type entryError struct {
	code, message string
	senderFault   bool
}

func (e *entryError) Error() string { return e.code + ": " + e.message }

// errUnanswered is an entry that SQS named neither successful nor failed.
var errUnanswered = errors.New("consumer: SQS did not answer for this entry")

// fault is what an error from SQS means for the runtime. The transport makes it,
// since it alone knows the SDK's types.
type fault uint8

const (
	// transient errors mend themselves: throttling, 5xx, broken connections,
	// timeouts and all that is not known better.
	transient fault = iota
	// denied: access or KMS denied, credentials missing or expired. An operator
	// must act, or credentials be refreshed; trying goes on, slowly.
	denied
	// missing: the queue does not exist.
	missing
	// stale: the receipt handle is no longer good, the message is not in flight,
	// or its 12 hours are over. Final for this hold, harmless for the consumer.
	stale
	// overLimit: too many messages in flight.
	overLimit
	// rejected: the request itself is wrong, as for a message too large.
	rejected
)

// slow tells faults that call for the slow backoff and a red health at once.
func (f fault) slow() bool { return f == denied || f == missing }
