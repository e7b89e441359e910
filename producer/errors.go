package producer

import (
	"errors"
	"fmt"
)

// ErrClosed is returned by Send and SendBatch after Close, and for what Close could
// not flush in its time.
var ErrClosed = errors.New("producer: closed")

// ErrUnconfirmed is wrapped where a message may or may not have been sent: the reply
// to a try was lost, or its sender's context ended while a call was under way. Send
// it again with the same Key or DeduplicationID, and it is done once.
var ErrUnconfirmed = errors.New("producer: the message may or may not have been sent")

// ConfigError is one field of Config, or argument of New, out of its bounds. New
// joins one for each.
type ConfigError struct {
	Field string
	Value any
	Bound string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("producer: %s is %v; it must be %s", e.Field, e.Value, e.Bound)
}

// MessageError is one field of a Message that the target would refuse. Nothing was
// sent. Send joins one for each.
type MessageError struct {
	Field string
	Value any
	Bound string
}

func (e *MessageError) Error() string {
	return fmt.Sprintf("producer: the message's %s is %v; it must be %s", e.Field, e.Value, e.Bound)
}

// SendError is a message that was not sent, or not surely. Err says why: the cause
// of its context, ErrClosed, what SQS or SNS answered to the last try.
type SendError struct {
	// Target is the queue or topic as it was given to New.
	Target string
	// Attempts is how often it was tried.
	Attempts int
	// Unconfirmed is set where a try may have been applied: errors.Is then finds
	// ErrUnconfirmed.
	Unconfirmed bool
	Err         error
}

func (e *SendError) Error() string {
	text := fmt.Sprintf("producer: not sent to %s in %d tries: %v", e.Target, e.Attempts, e.Err)
	if e.Unconfirmed {
		text += " (one of them may have been applied)"
	}
	return text
}

// Unwrap returns Err and, where it is unconfirmed, ErrUnconfirmed.
func (e *SendError) Unwrap() []error {
	if e.Unconfirmed {
		return []error{e.Err, ErrUnconfirmed}
	}
	return []error{e.Err}
}

// BatchError is returned by SendBatch where not all messages were sent; the results
// tell which. It unwraps to their errors.
type BatchError struct {
	// Failed is how many of Messages were not sent.
	Failed, Messages int
	errs             []error
}

func (e *BatchError) Error() string {
	return fmt.Sprintf("producer: %d of %d messages were not sent, the first because: %v", e.Failed, e.Messages, e.errs[0])
}

// Unwrap returns the errors of the messages that failed, in their order.
func (e *BatchError) Unwrap() []error { return e.errs }

// EntryError is what SQS or SNS answered for one message of a request that was
// accepted as a whole.
type EntryError struct {
	// Code and Message are the service's.
	Code, Message string
	// SenderFault tells that trying again is useless.
	SenderFault bool
}

func (e *EntryError) Error() string { return e.Code + ": " + e.Message }

// AccessError says that IAM, the target's policy or KMS denies the producer an
// action. It is not tried again: allow the action on the resource.
type AccessError struct {
	// Action is as IAM names it, for example sqs:SendMessage.
	Action string
	// Resource is the queue or topic.
	Resource string
	Err      error
}

func (e *AccessError) Error() string {
	return fmt.Sprintf("producer: %s is denied on %s: allow it in the policy of the producer's role, or renew its credentials: %v", e.Action, e.Resource, e.Err)
}

// Unwrap returns the error of the SDK.
func (e *AccessError) Unwrap() error { return e.Err }

// ClientError says that the client cannot make a request, and never will: its
// credentials are empty or refused where they come from (HTTP 4xx but 429, as for want
// of a role), it knows no endpoint, or it cannot encode or sign the message. Nothing was
// sent, and it is not tried again: look at the configuration of the client that New was
// given. All else that keeps it from making one, such as credentials that cannot be had
// just now, is tried again until Config.Timeout and told in a SendError: also where the
// last resort is EC2's metadata service and the machine is elsewhere, which looks like
// an instance whose network is not up yet.
type ClientError struct {
	// Action is as IAM names it, for example sqs:SendMessage.
	Action string
	Err    error
}

func (e *ClientError) Error() string {
	return fmt.Sprintf("producer: the client could not make a request for %s, and nothing was sent: look at its credentials and configuration: %v", e.Action, e.Err)
}

// Unwrap returns the error of the SDK.
func (e *ClientError) Unwrap() error { return e.Err }

// TargetError says that the queue or topic does not exist. It is not tried again.
type TargetError struct {
	Target string
	Region string
	Err    error
}

func (e *TargetError) Error() string {
	return fmt.Sprintf("producer: %q does not exist in region %q: create it, or check the name, the account and the region: %v", e.Target, e.Region, e.Err)
}

// Unwrap returns the error of the SDK.
func (e *TargetError) Unwrap() error { return e.Err }
