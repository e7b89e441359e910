package producer

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/holdfast-go/holdfast"
)

// topic publishes to a topic of SNS.
type topic struct {
	client SNSAPI
	call   caller
	arn    string
	fifo   bool
}

func (t *topic) open(ctx context.Context, readLimit bool) (limit int, err error) {
	if !readLimit {
		return 0, nil
	}
	var out *sns.GetTopicAttributesOutput
	err = t.call(ctx, func(ctx context.Context) (err error) {
		out, err = t.client.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &t.arn})
		return err
	})
	if err != nil {
		return 0, &callError{"sns:GetTopicAttributes", err}
	}
	limit, _ = strconv.Atoi(out.Attributes["MaximumMessageSize"]) // missing: the default
	return limit, nil
}

func (t *topic) address(m *holdfast.Message) { m.Topic.ARN = t.arn }

func (t *topic) send(ctx context.Context, items []*item, results []Result) error {
	in := &sns.PublishBatchInput{TopicArn: &t.arn, PublishBatchRequestEntries: make([]types.PublishBatchRequestEntry, len(items))}
	for i, it := range items {
		results[i] = Result{Err: errUnanswered}
		m, e := &it.msg, &in.PublishBatchRequestEntries[i]
		e.Id, e.Message = entryIDs[i], &m.Body
		if m.Subject != "" {
			e.Subject = &m.Subject
		}
		if m.GroupID != "" {
			e.MessageGroupId = &m.GroupID
		}
		if t.fifo {
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
	}
	var out *sns.PublishBatchOutput
	err := t.call(ctx, func(ctx context.Context) (err error) {
		out, err = t.client.PublishBatch(ctx, in, traced(items)...)
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

// traced sets the header by which SNS takes the trace of X-Ray, where all messages of
// the request are of one.
func traced(items []*item) []func(*sns.Options) {
	trace := items[0].msg.Trace.AWSTraceHeader
	for _, it := range items[1:] {
		if it.msg.Trace.AWSTraceHeader != trace {
			return nil
		}
	}
	if trace == "" {
		return nil
	}
	return []func(*sns.Options){func(o *sns.Options) {
		o.APIOptions = append(o.APIOptions[:len(o.APIOptions):len(o.APIOptions)], func(stack *middleware.Stack) error {
			return smithyhttp.SetHeaderValue("X-Amzn-Trace-Id", trace)(stack)
		})
	}}
}
