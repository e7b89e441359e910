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

// leaseLost says why a hold ended before its message was settled.
func leaseLost(why string, err error) error {
	if err == nil {
		return fmt.Errorf("%w: %s", holdfast.ErrLeaseLost, why)
	}
	return fmt.Errorf("%w: %s: %w", holdfast.ErrLeaseLost, why, err)
}
