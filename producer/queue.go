package producer

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/internal/queueref"
)

// queue sends to a queue of SQS.
type queue struct {
	client SQSAPI
	call   caller
	ref    holdfast.Queue
	fifo   bool
	region string // empty where neither the name nor the client tells one
}

func (q *queue) open(ctx context.Context, readLimit bool) (limit int, err error) {
	if q.ref.URL == "" {
		in := &sqs.GetQueueUrlInput{QueueName: &q.ref.Name}
		if q.ref.ARN != "" {
			in.QueueOwnerAWSAccountId = aws.String(strings.Split(q.ref.ARN, ":")[4])
		}
		var out *sqs.GetQueueUrlOutput
		err := q.call(ctx, func(ctx context.Context) (err error) {
			out, err = q.client.GetQueueUrl(ctx, in)
			return err
		})
		if err != nil {
			return 0, &callError{"sqs:GetQueueUrl", err}
		}
		q.ref.URL = aws.ToString(out.QueueUrl)
	}
	if !readLimit {
		return 0, nil
	}
	name := types.QueueAttributeNameMaximumMessageSize
	var out *sqs.GetQueueAttributesOutput
	err = q.call(ctx, func(ctx context.Context) (err error) {
		out, err = q.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &q.ref.URL, AttributeNames: []types.QueueAttributeName{name}})
		return err
	})
	if err != nil {
		return 0, &callError{"sqs:GetQueueAttributes", err}
	}
	limit, _ = strconv.Atoi(out.Attributes[string(name)]) // missing: as if it might not be read
	return limit, nil
}

func (q *queue) address(m *holdfast.Message) {
	region := cmp.Or(q.region, queueref.Region(q.ref))
	// The URL has the account in it also where the queue was given by name. An ARN that
	// was given may be of another partition, which must not make another queue of it.
	of := q.ref
	of.ARN = ""
	m.Queue = holdfast.Queue{Name: q.ref.Name, URL: q.ref.URL, ARN: queueref.ARN(of, region), FIFO: q.fifo}
}

func (q *queue) send(ctx context.Context, items []*item, results []Result) error {
	in := &sqs.SendMessageBatchInput{QueueUrl: &q.ref.URL, Entries: make([]types.SendMessageBatchRequestEntry, len(items))}
	for i, it := range items {
		results[i] = Result{Err: errUnanswered}
		m, e := &it.msg, &in.Entries[i]
		e.Id, e.MessageBody, e.DelaySeconds = entryIDs[i], &m.Body, int32(m.Delay/time.Second)
		if m.GroupID != "" {
			e.MessageGroupId = &m.GroupID
		}
		if q.fifo {
			e.MessageDeduplicationId = &m.DeduplicationID
		}
		if len(m.Attributes) > 0 {
			e.MessageAttributes = make(map[string]types.MessageAttributeValue, len(m.Attributes))
			for name, a := range m.Attributes {
				v := types.MessageAttributeValue{DataType: &a.Type, BinaryValue: a.Binary}
				if len(a.Binary) == 0 {
					v.StringValue = &a.String
				}
				e.MessageAttributes[name] = v
			}
		}
		if m.Trace.AWSTraceHeader != "" {
			e.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
				string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: &stringType, StringValue: &m.Trace.AWSTraceHeader},
			}
		}
	}
	var out *sqs.SendMessageBatchOutput
	err := q.call(ctx, func(ctx context.Context) (err error) {
		out, err = q.client.SendMessageBatch(ctx, in)
		return err
	})
	if err != nil {
		return err
	}
	for i := range out.Successful {
		ok := &out.Successful[i]
		answered(results, aws.ToString(ok.Id), Result{MessageID: aws.ToString(ok.MessageId), SequenceNumber: aws.ToString(ok.SequenceNumber)})
	}
	for i := range out.Failed {
		f := &out.Failed[i]
		answered(results, aws.ToString(f.Id), Result{Err: &EntryError{Code: aws.ToString(f.Code), Message: aws.ToString(f.Message), SenderFault: f.SenderFault}})
	}
	return nil
}

var stringType = "String"

// callError is the failure of a named call.
type callError struct {
	action string // as IAM names it
	err    error
}

func (e *callError) Error() string { return e.action + ": " + e.err.Error() }

func (e *callError) Unwrap() error { return e.err }
