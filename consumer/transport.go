package consumer

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/internal/queueref"
)

// transport is the queue in the runtime's own terms. The adapter on the SDK's
// client is one; no type of the SDK goes past it. Batch calls take up to ten
// entries and put one result per entry into results; their own error concerns the
// call as a whole.
type transport interface {
	// open finds the queue and reads its attributes.
	open(ctx context.Context) (holdfast.Queue, error)
	// probe tries the calls that settle with a made-up handle, to find out
	// whether they are permitted.
	probe(ctx context.Context) error
	receive(ctx context.Context, most int, wait, visibility time.Duration, attempt string) ([]delivery, error)
	delete(ctx context.Context, handles []string, results []error) error
	extend(ctx context.Context, handles []string, seconds []int32, results []error) error
	// deadLetter sends a copy of a received message to the dead-letter queue.
	// dropped tells that there was no room for the cause.
	deadLetter(ctx context.Context, origin any, cause string) (dropped bool, err error)
	// message makes the message of an origin anew.
	message(origin any) holdfast.Message
	classify(err error) fault
}

// delivery is one message of one receive.
type delivery struct {
	msg          holdfast.Message
	handle       string
	size         int
	confirmation bool
	origin       any
}

// sdkTransport is the transport on the SDK's client.
type sdkTransport struct {
	name   string // as the user gave it
	region string // the client's
	poll   SQSAPI
	settle SQSAPI
	opened atomic.Pointer[opened]
}

// opened is what open found. It is replaced as a whole, never changed.
type opened struct {
	queue  holdfast.Queue
	dlqURL string
	asked  []types.MessageSystemAttributeName
}

// SQSAPI is what the consumer calls of the SDK's client; *sqs.Client has it.
type SQSAPI interface {
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

func (t *sdkTransport) open(ctx context.Context) (holdfast.Queue, error) {
	q, err := queueref.Parse(t.name)
	if err != nil {
		return q, err
	}
	if q.URL == "" {
		in := &sqs.GetQueueUrlInput{QueueName: &q.Name}
		if q.ARN != "" {
			in.QueueOwnerAWSAccountId = aws.String(strings.Split(q.ARN, ":")[4])
		}
		out, err := t.settle.GetQueueUrl(ctx, in)
		if err != nil {
			return q, t.startError("sqs:GetQueueUrl", q, err)
		}
		q.URL = aws.ToString(out.QueueUrl)
	}
	out, err := t.settle.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &q.URL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		return q, t.startError("sqs:GetQueueAttributes", q, err)
	}
	if err := queueref.ReadAttributes(&q, out.Attributes); err != nil {
		return q, err
	}
	o := &opened{queue: q, asked: systemAttributes}
	if q.DeadLetterARN != "" {
		// The dead-letter queue is in the account and region of its source.
		o.dlqURL = queueref.Sibling(q.URL, q.DeadLetterARN)
	}
	if q.FIFO {
		o.asked = fifoAttributes
	}
	t.opened.Store(o)
	return q, nil
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

// startError makes an error that says what to do of one that New or Run return.
func (t *sdkTransport) startError(action string, q holdfast.Queue, err error) error {
	switch t.classify(err) {
	case missing:
		return &QueueError{Queue: t.name, Region: t.region, Err: err}
	case denied:
		return &AccessError{Action: action, Resource: queueref.ARN(q, t.region), Err: err}
	}
	return err
}

// probe calls with a handle that SQS cannot know: where the call is permitted it
// answers that the handle is invalid.
func (t *sdkTransport) probe(ctx context.Context) error {
	handle := aws.String("holdfast-permission-check")
	_, err := t.settle.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &t.opened.Load().queue.URL, ReceiptHandle: handle, VisibilityTimeout: 0})
	if err != nil && t.classify(err) == denied {
		return &AccessError{Action: "sqs:ChangeMessageVisibility", Resource: t.opened.Load().queue.ARN, Err: err}
	}
	_, err = t.settle.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &t.opened.Load().queue.URL, ReceiptHandle: handle})
	if err != nil && t.classify(err) == denied {
		return &AccessError{Action: "sqs:DeleteMessage", Resource: t.opened.Load().queue.ARN, Err: err}
	}
	return nil
}

func (t *sdkTransport) receive(ctx context.Context, most int, wait, visibility time.Duration, attempt string) ([]delivery, error) {
	in := &sqs.ReceiveMessageInput{
		QueueUrl:                    &t.opened.Load().queue.URL,
		MaxNumberOfMessages:         int32(most),
		WaitTimeSeconds:             seconds(wait),
		VisibilityTimeout:           seconds(visibility),
		MessageSystemAttributeNames: t.opened.Load().asked,
		MessageAttributeNames:       allAttributes,
	}
	if attempt != "" {
		in.ReceiveRequestAttemptId = &attempt
	}
	out, err := t.poll.ReceiveMessage(ctx, in)
	if err != nil {
		return nil, err
	}
	ds := make([]delivery, len(out.Messages))
	for i := range out.Messages {
		m := &out.Messages[i]
		ds[i] = delivery{msg: t.message(m), handle: aws.ToString(m.ReceiptHandle), size: sizeOf(m), origin: m}
	}
	return ds, nil
}

var allAttributes = []string{"All"}

func (t *sdkTransport) message(origin any) holdfast.Message {
	m := origin.(*types.Message)
	msg := holdfast.Message{
		ID: aws.ToString(m.MessageId), Body: aws.ToString(m.Body), Queue: t.opened.Load().queue,
		GroupID:         m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)],
		DeduplicationID: m.Attributes[string(types.MessageSystemAttributeNameMessageDeduplicationId)],
		SequenceNumber:  m.Attributes[string(types.MessageSystemAttributeNameSequenceNumber)],
		TraceHeader:     m.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)],
		SentAt:          millis(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)]),
		FirstReceivedAt: millis(m.Attributes[string(types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp)]),
	}
	// A count that is missing or no number counts as the first delivery.
	msg.ReceiveCount, _ = strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	msg.ReceiveCount = max(1, msg.ReceiveCount)
	if len(m.MessageAttributes) > 0 {
		msg.Attributes = make(map[string]holdfast.Attribute, len(m.MessageAttributes))
		for name, v := range m.MessageAttributes {
			msg.Attributes[name] = holdfast.Attribute{Type: aws.ToString(v.DataType), String: aws.ToString(v.StringValue), Binary: bytes.Clone(v.BinaryValue)}
		}
	}
	return msg
}

// millis reads a time in milliseconds since 1970, as SQS tells times.
func millis(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
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
var entryIDs = func() (ids [maxBatch]*string) {
	for i := range ids {
		ids[i] = aws.String(strconv.Itoa(i))
	}
	return ids
}()

func (t *sdkTransport) delete(ctx context.Context, handles []string, results []error) error {
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &t.opened.Load().queue.URL, Entries: make([]types.DeleteMessageBatchRequestEntry, len(handles))}
	for i := range handles {
		in.Entries[i] = types.DeleteMessageBatchRequestEntry{Id: entryIDs[i], ReceiptHandle: &handles[i]}
	}
	out, err := t.settle.DeleteMessageBatch(ctx, in)
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

func (t *sdkTransport) extend(ctx context.Context, handles []string, visibility []int32, results []error) error {
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &t.opened.Load().queue.URL, Entries: make([]types.ChangeMessageVisibilityBatchRequestEntry, len(handles))}
	for i := range handles {
		in.Entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{Id: entryIDs[i], ReceiptHandle: &handles[i], VisibilityTimeout: visibility[i]}
	}
	out, err := t.settle.ChangeMessageVisibilityBatch(ctx, in)
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

func (t *sdkTransport) deadLetter(ctx context.Context, origin any, cause string) (dropped bool, err error) {
	m := origin.(*types.Message)
	in := &sqs.SendMessageInput{QueueUrl: &t.opened.Load().dlqURL, MessageBody: m.Body, MessageAttributes: make(map[string]types.MessageAttributeValue, len(m.MessageAttributes)+1)}
	for name, v := range m.MessageAttributes {
		if name != CauseAttribute {
			in.MessageAttributes[name] = v
		}
	}
	size := sizeOf(&types.Message{Body: m.Body, MessageAttributes: in.MessageAttributes})
	if len(in.MessageAttributes) < maxAttributes && size+len(CauseAttribute)+len("String")+len(cause) <= maxMessage {
		in.MessageAttributes[CauseAttribute] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &cause}
	} else {
		dropped = true
	}
	if group := m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]; group != "" {
		in.MessageGroupId = &group
	}
	if t.opened.Load().queue.FIFO {
		in.MessageDeduplicationId = m.MessageId
	}
	if trace := m.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)]; trace != "" {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: aws.String("String"), StringValue: &trace},
		}
	}
	_, err = t.settle.SendMessage(ctx, in)
	return dropped, err
}

// classify says what an error of SQS means. Typed errors are matched by type,
// since their codes differ between AWS and emulators; strings serve only for what
// the SDK does not model.
func (t *sdkTransport) classify(err error) fault {
	var entry *entryError
	if errors.As(err, &entry) {
		f := codeFault(entry.code)
		if f == transient && entry.senderFault {
			f = rejected
		}
		return f
	}
	var (
		queueMissing *types.QueueDoesNotExist
		deleted      *types.QueueDeletedRecently
		address      *types.InvalidAddress
		handle       *types.ReceiptHandleIsInvalid
		inFlight     *types.MessageNotInflight
		over         *types.OverLimit
		security     *types.InvalidSecurity
		kmsDenied    *types.KmsAccessDenied
		kmsDisabled  *types.KmsDisabled
		kmsMissing   *types.KmsNotFound
		kmsState     *types.KmsInvalidState
		kmsUsage     *types.KmsInvalidKeyUsage
		kmsOptIn     *types.KmsOptInRequired
		contents     *types.InvalidMessageContents
		unsupported  *types.UnsupportedOperation
		tooLong      *types.BatchRequestTooLong
	)
	switch {
	case errors.As(err, &queueMissing), errors.As(err, &deleted), errors.As(err, &address):
		return missing
	case errors.As(err, &handle), errors.As(err, &inFlight):
		return stale
	case errors.As(err, &over):
		return overLimit
	case errors.As(err, &security), errors.As(err, &kmsDenied), errors.As(err, &kmsDisabled), errors.As(err, &kmsMissing),
		errors.As(err, &kmsState), errors.As(err, &kmsUsage), errors.As(err, &kmsOptIn):
		return denied
	case errors.As(err, &contents), errors.As(err, &unsupported), errors.As(err, &tooLong):
		return rejected
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return codeFault(api.ErrorCode())
	}
	// Credentials that cannot be fetched: the SDK has no type for that.
	if errors.As(err, new(*v4.SigningError)) || strings.Contains(err.Error(), "failed to refresh cached credentials") || strings.Contains(err.Error(), "failed to retrieve credentials") {
		return denied
	}
	return transient
}

// codeFault classifies error codes that the SDK does not model for SQS, and those
// of batch entries, which it hands on as plain strings.
func codeFault(code string) fault {
	code = code[strings.LastIndex(code, ".")+1:]
	switch code {
	case "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId",
		"UnrecognizedClientException", "SignatureDoesNotMatch", "MissingAuthenticationToken", "OptInRequired",
		"InvalidSecurityToken", "NotAuthorized", "MissingAuthenticationTokenException", "AuthFailure":
		return denied
	case "NonExistentQueue", "QueueDoesNotExist":
		return missing
	case "ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue", "InvalidParameterValueException":
		// The last: an expired handle, or more than what is left of the 12 hours.
		return stale
	case "MissingParameter", "InvalidMessageContents", "ValidationException", "ValidationError":
		return rejected
	}
	return transient
}
