package holdfast

import "time"

// Message is one delivery of one SQS message.
//
// The runtime makes it and gives it to one handler at a time, so reading it
// needs no lock. A handler must not keep it, or write to it, after it returned.
// What the runtime itself needs to settle the message (receipt handle, the body
// as received) is kept elsewhere: a handler that changes a Message changes
// nothing about what is retried or dead-lettered.
type Message struct {
	// ID is the SQS message id. It stays the same over redeliveries, but a
	// message moved back from a dead-letter queue has a new one.
	ID string
	// Body is the payload: the SQS body or, where the message came in an SNS
	// envelope, the SNS message inside it. At most 1 MiB.
	Body string
	// Attributes are the message attributes: those of the SQS message or, where
	// it came in an SNS envelope, those of the envelope. Nil where there are none.
	Attributes map[string]Attribute

	// GroupID is the MessageGroupId: the order group on a FIFO queue, the tenant
	// on a fair standard queue, else empty.
	GroupID string
	// DeduplicationID is the MessageDeduplicationId of a FIFO queue's message.
	DeduplicationID string
	// SequenceNumber is the place in the order of a FIFO queue's message.
	SequenceNumber string
	// TraceHeader is the AWSTraceHeader (X-Ray), empty where none was sent.
	TraceHeader string

	// ReceiveCount is SQS's ApproximateReceiveCount of this delivery, from 1.
	ReceiveCount int
	// Attempt counts the runs of the handler for this message, from 1:
	// ReceiveCount and, on a FIFO queue, the runs repeated here without a new
	// receive. A run that was parked is not counted. One that a shutdown cut short
	// is, since the next receive is counted by SQS: only the attempts of a claim are
	// free of it (idempotency.Claim.Attempt).
	Attempt int
	// SentAt is when the message was sent to the queue, in SQS's milliseconds.
	SentAt time.Time
	// FirstReceivedAt is when SQS first delivered it, in SQS's milliseconds.
	FirstReceivedAt time.Time
	// ReceivedAt is when this delivery began to arrive here, on this machine's clock.
	ReceivedAt time.Time

	// Queue is where the message came from.
	Queue Queue
	// Topic says which SNS topic the message came through, where it came in an
	// SNS envelope that was unwrapped; else it is the zero Topic.
	Topic Topic
	// Event says which event of EventBridge or S3 the body is, where it is one;
	// else it is the zero Event. The body is left as the service wrote it.
	Event Event
}

// Attribute is one message attribute.
type Attribute struct {
	// Type is the SQS data type: String, Number or Binary, with an optional
	// label as in "Number.int". SNS envelopes bring String.Array as well.
	Type string
	// String is the value where Type is not Binary.
	String string
	// Binary is the value where Type is Binary.
	Binary []byte
}

// Attr returns the string value of the attribute name, or "" where the message
// has none of that name.
func (m *Message) Attr(name string) string { return m.Attributes[name].String }

// Topic is what an SNS envelope tells beside the message in it.
type Topic struct {
	// ARN is the topic. Anyone who may send to the queue can forge it, unless
	// the consumer lists the topics it trusts and the queue's policy lets only
	// those send.
	ARN string
	// MessageID is the SNS message id. It is the same over SNS's retries, over
	// replays of an archive and over redrives.
	MessageID string
	// Subject is the optional subject.
	Subject string
	// PublishedAt is the time in the envelope.
	PublishedAt time.Time
}

// Event names the event that a body tells of. It is the same for each message that
// tells of that event, however often the service sends it and by whatever way.
type Event struct {
	// Service is "EventBridge" or "S3". Anyone who may send to the queue can forge
	// an event, unless the queue's policy lets only that service send.
	Service string
	// ID is the id that EventBridge gave the event or, for a notification of S3,
	// made of bucket, key, name of the event, sequencer and version.
	ID string
}

// Queue describes a queue to middleware at start and in each Message.
// It is a value: copy it freely. Attributes is shared and must not be written.
type Queue struct {
	// Name, URL and ARN identify the queue.
	Name, URL, ARN string
	// FIFO tells a FIFO queue from a standard one.
	FIFO bool
	// Retention is MessageRetentionPeriod: 60 s to 14 days, 4 days unless set.
	Retention time.Duration
	// MaxReceiveCount is that of the redrive policy; 0 where there is none.
	MaxReceiveCount int
	// DeadLetterARN is the dead-letter queue of the redrive policy; empty where
	// there is none.
	DeadLetterARN string
	// DeadLetterRetention is the retention of the dead-letter queue; 0 where there is
	// none, or where its attributes may not be read (sqs:GetQueueAttributes).
	DeadLetterRetention time.Duration
	// Visibility is the visibility timeout that the consumer asks for on each
	// receive (not the queue's own default).
	Visibility time.Duration
	// Attributes are the queue's attributes as GetQueueAttributes returned them.
	Attributes map[string]string
}
