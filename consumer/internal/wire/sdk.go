// Package wire is the queue in the runtime's own terms, on the SDK's client. It
// alone knows the SDK's types: what it hands on are messages of the root package,
// results by place, and faults. A leaner wire for the hot calls can replace it
// without the runtime being touched.
package wire

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/internal/queueref"
)

// Limits of SQS.
const (
	MaxBatch      = 10      // entries per call [SQS quotas]
	MaxMessage    = 1 << 20 // bytes of body and attributes [SendMessage]
	maxAttributes = 10      // message attributes [SendMessage]
)

// Delivery is what came with one message of one receive.
type Delivery struct {
	Handle string
	// Size is the message's, in bytes as SQS counts them.
	Size int
	// Origin is the message as it was received, for Message and DeadLetter.
	Origin *Origin
}

// Origin is a message as it was received. Origins of one receive lie side by side
// in memory: Release lets go of what one holds.
type Origin types.Message

// Release forgets the message, so that its body does not stay in memory as long as
// any other of its receive.
func (o *Origin) Release() { *o = Origin{} }

// SDK is the transport on the SDK's client. Batch calls take up to MaxBatch
// entries and put one result per entry into results; their own error concerns the
// call as a whole. Safe for concurrent use once Open has returned.
type SDK struct {
	// Name is the queue's name, URL or ARN.
	Name string
	// Region is the client's, where it is known.
	Region string
	// Poll receives, Settle does all else.
	Poll, Settle API
	// Visibility is what each receive asks for.
	Visibility time.Duration
	// CauseAttribute is the attribute that DeadLetter adds.
	CauseAttribute string

	opened atomic.Pointer[opened]
}

// opened is what open found. It is replaced as a whole, never changed.
type opened struct {
	queue  holdfast.Queue
	dlqURL string
	asked  []types.MessageSystemAttributeName
}

// API is what is called of the SDK's client: consumer.SQSAPI.
type API interface {
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// Open finds the queue and reads its attributes. It may be called again, to see
// what has changed.
func (t *SDK) Open(ctx context.Context) (holdfast.Queue, error) {
	q, err := queueref.Parse(t.Name)
	if err != nil {
		return q, err
	}
	if q.URL == "" {
		in := &sqs.GetQueueUrlInput{QueueName: &q.Name}
		if q.ARN != "" {
			in.QueueOwnerAWSAccountId = aws.String(strings.Split(q.ARN, ":")[4])
		}
		out, err := t.Settle.GetQueueUrl(ctx, in)
		if err != nil {
			return q, &CallError{"sqs:GetQueueUrl", queueref.ARN(q, t.Region), err}
		}
		q.URL = aws.ToString(out.QueueUrl)
	}
	return t.read(ctx, q)
}

// Reread reads the attributes of the queue that Open found.
func (t *SDK) Reread(ctx context.Context) (holdfast.Queue, error) {
	q, err := queueref.Parse(t.Name)
	if err != nil {
		return q, err
	}
	q.URL = t.opened.Load().queue.URL
	return t.read(ctx, q)
}

func (t *SDK) read(ctx context.Context, q holdfast.Queue) (holdfast.Queue, error) {
	out, err := t.Settle.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &q.URL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		return q, &CallError{"sqs:GetQueueAttributes", queueref.ARN(q, t.Region), err}
	}
	if err := queueref.ReadAttributes(&q, out.Attributes); err != nil {
		return q, err
	}
	q.Visibility = t.Visibility
	o := &opened{queue: q, asked: systemAttributes}
	if q.DeadLetterARN != "" {
		// The dead-letter queue is in the account and region of its source.
		o.dlqURL = queueref.Sibling(q.URL, q.DeadLetterARN)
		q.DeadLetterRetention = t.deadLetterRetention(ctx, o.dlqURL)
		o.queue = q
	}
	if q.FIFO {
		o.asked = fifoAttributes
	}
	t.opened.Store(o)
	return q, nil
}

// deadLetterRetention reads the retention of the dead-letter queue, once while that
// is the same queue. It is good to know but not needed: 0 where it may not be read.
func (t *SDK) deadLetterRetention(ctx context.Context, url string) time.Duration {
	if o := t.opened.Load(); o != nil && o.dlqURL == url {
		return o.queue.DeadLetterRetention
	}
	out, err := t.Settle.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameMessageRetentionPeriod},
	})
	if err != nil {
		return 0
	}
	seconds := number(out.Attributes[string(types.QueueAttributeNameMessageRetentionPeriod)])
	return time.Duration(max(0, seconds)) * time.Second
}

// The system attributes to ask for: each costs bytes and time, so no others.
var (
	systemAttributes = []types.MessageSystemAttributeName{
		types.MessageSystemAttributeNameApproximateReceiveCount,
		types.MessageSystemAttributeNameSentTimestamp,
		types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp,
		types.MessageSystemAttributeNameMessageGroupId,
		types.MessageSystemAttributeNameAWSTraceHeader,
	}
	fifoAttributes = append(systemAttributes[:len(systemAttributes):len(systemAttributes)],
		types.MessageSystemAttributeNameMessageDeduplicationId, types.MessageSystemAttributeNameSequenceNumber)
)

// CallError is the failure of a named call.
type CallError struct {
	// Action is as IAM names it.
	Action string
	// Resource is the ARN of the queue, as far as it is known.
	Resource string
	Err      error
}

func (e *CallError) Error() string { return e.Action + " on " + e.Resource + ": " + e.Err.Error() }

// Unwrap returns the error of the SDK.
func (e *CallError) Unwrap() error { return e.Err }

// Probe calls with a handle that SQS cannot know: where the call is permitted it
// answers that the handle is invalid.
func (t *SDK) Probe(ctx context.Context) error {
	handle := aws.String("holdfast-permission-check")
	_, err := t.Settle.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &t.opened.Load().queue.URL, ReceiptHandle: handle, VisibilityTimeout: 0})
	if err != nil && Classify(err) == Denied {
		return &CallError{"sqs:ChangeMessageVisibility", t.opened.Load().queue.ARN, err}
	}
	_, err = t.Settle.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &t.opened.Load().queue.URL, ReceiptHandle: handle})
	if err != nil && Classify(err) == Denied {
		return &CallError{"sqs:DeleteMessage", t.opened.Load().queue.ARN, err}
	}
	return nil
}

// Receive is one receive of up to most messages. It asks room for a place for each,
// in order, and writes the message there. attempt is the ReceiveRequestAttemptId,
// empty for none. at is when the reply began to arrive: reading ten messages of 1 MiB
// can take longer than anyone would allow for.
func (t *SDK) Receive(ctx context.Context, most int, wait time.Duration, attempt string, room func() *holdfast.Message) (ds []Delivery, at time.Time, err error) {
	in := &sqs.ReceiveMessageInput{
		QueueUrl:                    &t.opened.Load().queue.URL,
		MaxNumberOfMessages:         int32(most),
		WaitTimeSeconds:             int32(wait / time.Second),
		VisibilityTimeout:           int32(t.Visibility / time.Second),
		MessageSystemAttributeNames: t.opened.Load().asked,
		MessageAttributeNames:       allAttributes,
	}
	if attempt != "" {
		in.ReceiveRequestAttemptId = &attempt
	}
	out, err := t.Poll.ReceiveMessage(ctx, in)
	if err != nil {
		return nil, time.Time{}, err
	}
	at, ok := awsmiddleware.GetResponseAt(out.ResultMetadata) // with the headers
	if !ok {
		at = time.Now() // no client of the SDK
	}
	ds = make([]Delivery, len(out.Messages))
	for i := range out.Messages {
		m := &out.Messages[i]
		t.Message((*Origin)(m), room())
		ds[i] = Delivery{Handle: aws.ToString(m.ReceiptHandle), Size: sizeOf(m), Origin: (*Origin)(m)}
	}
	return ds, at, nil
}

var allAttributes = []string{"All"}

// Depth tells how many messages of the queue are visible and how many in flight,
// about.
func (t *SDK) Depth(ctx context.Context) (visible, inFlight int, err error) {
	out, err := t.Settle.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &t.opened.Load().queue.URL,
		AttributeNames: []types.QueueAttributeName{
			types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		},
	})
	if err != nil {
		return 0, 0, err
	}
	visible, err = strconv.Atoi(out.Attributes[string(types.QueueAttributeNameApproximateNumberOfMessages)])
	if err != nil {
		return 0, 0, err
	}
	inFlight, err = strconv.Atoi(out.Attributes[string(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible)])
	return visible, inFlight, err
}

// Message writes the message of an origin to msg.
func (t *SDK) Message(m *Origin, msg *holdfast.Message) {
	*msg = holdfast.Message{
		ID: aws.ToString(m.MessageId), Body: aws.ToString(m.Body), Queue: t.opened.Load().queue,
		GroupID:         m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)],
		DeduplicationID: m.Attributes[string(types.MessageSystemAttributeNameMessageDeduplicationId)],
		SequenceNumber:  m.Attributes[string(types.MessageSystemAttributeNameSequenceNumber)],
		TraceHeader:     m.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)],
		SentAt:          millis(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)]),
		FirstReceivedAt: millis(m.Attributes[string(types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp)]),
	}
	// A count that is missing or no number counts as the first delivery.
	msg.ReceiveCount = max(1, number(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)]))
	if len(m.MessageAttributes) > 0 {
		msg.Attributes = make(map[string]holdfast.Attribute, len(m.MessageAttributes))
		for name, v := range m.MessageAttributes {
			msg.Attributes[name] = holdfast.Attribute{Type: aws.ToString(v.DataType), String: aws.ToString(v.StringValue), Binary: bytes.Clone(v.BinaryValue)}
		}
	}
}

// number reads a number of a size that can be counted on from; 0 where there is none.
func number(s string) int {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0
	}
	return int(n)
}

// lastMillis is beyond the year 5000: later times do not fit into every format.
const lastMillis = 100_000_000_000_000

// millis reads a time in milliseconds since 1970, as SQS tells times; the zero time
// where it is missing or none that SQS can mean.
func millis(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || n > lastMillis {
		return time.Time{}
	}
	return time.UnixMilli(n)
}

// sizeOf is the size of a message as SQS counts it: body and, for each attribute,
// name, type and value.
func sizeOf(m *types.Message) int {
	n := len(aws.ToString(m.Body))
	for name, v := range m.MessageAttributes {
		n += len(name) + len(aws.ToString(v.DataType)) + len(aws.ToString(v.StringValue)) + len(v.BinaryValue)
	}
	return n
}

// entryIDs are the ids of batch entries: their places, never message ids, which
// could be the same twice.
var entryIDs = func() (ids [MaxBatch]*string) {
	for i := range ids {
		ids[i] = aws.String(strconv.Itoa(i))
	}
	return ids
}()

// Delete deletes messages.
func (t *SDK) Delete(ctx context.Context, handles []string, results []error) error {
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &t.opened.Load().queue.URL, Entries: make([]types.DeleteMessageBatchRequestEntry, len(handles))}
	for i := range handles {
		in.Entries[i] = types.DeleteMessageBatchRequestEntry{Id: entryIDs[i], ReceiptHandle: &handles[i]}
	}
	out, err := t.Settle.DeleteMessageBatch(ctx, in)
	if err != nil {
		return err
	}
	a := expect(results)
	for i := range out.Successful {
		a.ok(out.Successful[i].Id)
	}
	a.failed(out.Failed)
	return nil
}

// Extend sets the visibility of messages, in seconds from now.
func (t *SDK) Extend(ctx context.Context, handles []string, visibility []int32, results []error) error {
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &t.opened.Load().queue.URL, Entries: make([]types.ChangeMessageVisibilityBatchRequestEntry, len(handles))}
	for i := range handles {
		in.Entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{Id: entryIDs[i], ReceiptHandle: &handles[i], VisibilityTimeout: visibility[i]}
	}
	out, err := t.Settle.ChangeMessageVisibilityBatch(ctx, in)
	if err != nil {
		return err
	}
	a := expect(results)
	for i := range out.Successful {
		a.ok(out.Successful[i].Id)
	}
	a.failed(out.Failed)
	return nil
}

// answers collects the results of a batch call: an entry that is in neither list
// is not confirmed.
type answers []error

func expect(results []error) answers {
	for i := range results {
		results[i] = errUnanswered
	}
	return results
}

func (a answers) ok(id *string) { a.set(id, nil) }

func (a answers) failed(entries []types.BatchResultErrorEntry) {
	for i := range entries {
		e := &entries[i]
		a.set(e.Id, &entryError{code: aws.ToString(e.Code), message: aws.ToString(e.Message), senderFault: e.SenderFault})
	}
}

func (a answers) set(id *string, err error) {
	if i, e := strconv.Atoi(aws.ToString(id)); e == nil && i >= 0 && i < len(a) {
		a[i] = err
	}
}

// ErrNoDeadLetterQueue is returned by DeadLetter where the queue has none: it was taken
// away since it was last asked for.
var ErrNoDeadLetterQueue error = &entryError{code: "NoDeadLetterQueue", message: "the queue has no dead-letter queue any more", senderFault: true}

// DeadLetter sends a copy of a received message to the dead-letter queue, whose ARN it
// returns, with cause as an attribute; dropped tells that there was no room for that.
func (t *SDK) DeadLetter(ctx context.Context, m *Origin, cause string) (to string, dropped bool, err error) {
	now := t.opened.Load()
	if now.dlqURL == "" {
		return "", false, ErrNoDeadLetterQueue
	}
	in := &sqs.SendMessageInput{QueueUrl: &now.dlqURL, MessageBody: m.Body, MessageAttributes: make(map[string]types.MessageAttributeValue, len(m.MessageAttributes)+1)}
	for name, v := range m.MessageAttributes {
		if name != t.CauseAttribute {
			in.MessageAttributes[name] = v
		}
	}
	size := sizeOf(&types.Message{Body: m.Body, MessageAttributes: in.MessageAttributes})
	if len(in.MessageAttributes) < maxAttributes && size+len(t.CauseAttribute)+len("String")+len(cause) <= MaxMessage {
		in.MessageAttributes[t.CauseAttribute] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &cause}
	} else {
		dropped = true
	}
	if group := m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]; group != "" {
		in.MessageGroupId = &group
	}
	if now.queue.FIFO {
		in.MessageDeduplicationId = m.MessageId
	}
	if trace := m.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)]; trace != "" {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: aws.String("String"), StringValue: &trace},
		}
	}
	_, err = t.Settle.SendMessage(ctx, in)
	return now.queue.DeadLetterARN, dropped, err
}
