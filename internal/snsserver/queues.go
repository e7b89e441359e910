package snsserver

// Queues is what SNS needs of SQS. It is asked under the server's lock: it must
// neither call the server nor wait for anything.
type Queues interface {
	// Policy returns the access policy of the queue with that ARN, "" where it
	// has none; exists is false where there is no such queue.
	Policy(queueARN string) (document string, exists bool)
	// Send puts a message on the queue by the rules of SendMessage, whoever may
	// send to it. An error that is a *RefusedError, or wraps one, is what AWS calls a
	// client-side error: no retry cures it. Every other error is server-side.
	Send(queueARN string, m QueueMessage) error
}

// QueueMessage is a message on its way into a queue.
type QueueMessage struct {
	Body string
	// Attributes are those of raw delivery; an envelope carries its own.
	Attributes map[string]Attribute
	// Group is the MessageGroupId, "" for none; Dedup is the
	// MessageDeduplicationId and set for FIFO queues only.
	Group, Dedup string
	// TraceHeader is the AWSTraceHeader.
	TraceHeader string
	// Sender is the SenderId: that of SNS.
	Sender string
}

// Attribute is a message attribute.
type Attribute struct {
	// Type is String, String.Array, Number or Binary, with an optional label.
	Type string
	// Text is the value of all types but Binary.
	Text   string
	Binary []byte
}

// RefusedError is a client-side error of a delivery.
type RefusedError struct{ Code, Message string }

// Error implements error.
func (r *RefusedError) Error() string { return r.Code + ": " + r.Message }

// senderID is the SenderId of every message that SNS sends on AWS.
const senderID = "AIDAIT2UOQQY3AUEKVGXU"

// noQueues stands in where a server is made without SQS.
type noQueues struct{}

func (noQueues) Policy(string) (string, bool) { return "", false }

func (noQueues) Send(string, QueueMessage) error { return errQueueGone }

var errQueueGone = &RefusedError{Code: "AWS.SimpleQueueService.NonExistentQueue", Message: "The specified queue does not exist."}
