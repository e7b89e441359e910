package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/integration"
)

// All is every case.
func All() []Case { return slices.Concat(SQS(), SNS()) }

// SNS is every case about SNS and what it delivers to queues.
func SNS() []Case {
	return slices.Concat(
		topicCases(), topicAttributeCases(), topicListCases(), topicTagCases(),
		subscribeCases(), subscriptionCases(), filterPolicyCases(),
		publishCases(), publishFIFOCases(), publishBatchCases(),
		envelopeCases(), rawCases(), filterCases(), deliveryCases(),
	)
}

// createTopic makes a topic, with attributes given as names and values.
func (c *Check) createTopic(name string, attributes ...string) (arn string, err error) {
	made, err := c.SNS.CreateTopic(c.ctx(), &sns.CreateTopicInput{Name: &name, Attributes: pairs(attributes)})
	if err != nil {
		return "", err
	}
	c.cleanup = append(c.cleanup, func() {
		_, _ = c.SNS.DeleteTopic(c.ctx(), &sns.DeleteTopicInput{TopicArn: made.TopicArn})
	})
	return *made.TopicArn, nil
}

// topic makes a standard topic or ends the case.
func (c *Check) topic(attributes ...string) (arn string) {
	arn, err := c.createTopic(integration.Unique("conformance"), attributes...)
	c.ok(err)
	return arn
}

// fifoTopic makes a FIFO topic or ends the case.
func (c *Check) fifoTopic(attributes ...string) (arn string) {
	arn, err := c.createTopic(integration.Unique("conformance.fifo"), append(attributes, "FifoTopic", "true")...)
	c.ok(err)
	return arn
}

func (c *Check) topicAttributes(topic string) map[string]string {
	got, err := c.SNS.GetTopicAttributes(c.ctx(), &sns.GetTopicAttributesInput{TopicArn: &topic})
	c.ok(err)
	return got.Attributes
}

// setTopic is SetTopicAttributes.
func (c *Check) setTopic(topic, name, value string) error {
	_, err := c.SNS.SetTopicAttributes(c.ctx(), &sns.SetTopicAttributesInput{TopicArn: &topic, AttributeName: &name, AttributeValue: &value})
	return err
}

// admit lets a topic send to a queue, by the queue's policy, or ends the case.
func (c *Check) admit(topic, queue string) {
	c.ok(c.set(queue, "Policy", fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":%q,"Condition":{"ArnEquals":{"aws:SourceArn":%q}}}]}`, c.arn(queue), topic)))
}

// trySubscribe subscribes a queue to a topic, with attributes given as names and values.
func (c *Check) trySubscribe(topic, queue string, attributes ...string) (arn string, err error) {
	out, err := c.SNS.Subscribe(c.ctx(), &sns.SubscribeInput{
		TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: aws.String(c.arn(queue)), Attributes: pairs(attributes), ReturnSubscriptionArn: true,
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.SubscriptionArn), nil
}

// subscribe admits a topic to a queue and subscribes it, or ends the case.
func (c *Check) subscribe(topic, queue string, attributes ...string) (arn string) {
	c.admit(topic, queue)
	arn, err := c.trySubscribe(topic, queue, attributes...)
	c.ok(err)
	return arn
}

func (c *Check) subscription(arn string) map[string]string {
	got, err := c.SNS.GetSubscriptionAttributes(c.ctx(), &sns.GetSubscriptionAttributesInput{SubscriptionArn: &arn})
	c.ok(err)
	return got.Attributes
}

// setSubscription is SetSubscriptionAttributes.
func (c *Check) setSubscription(arn, name, value string) error {
	_, err := c.SNS.SetSubscriptionAttributes(c.ctx(), &sns.SetSubscriptionAttributesInput{SubscriptionArn: &arn, AttributeName: &name, AttributeValue: &value})
	return err
}

// tryPublish is Publish.
func (c *Check) tryPublish(topic, body string, change ...func(*sns.PublishInput)) (*sns.PublishOutput, error) {
	in := &sns.PublishInput{TopicArn: &topic, Message: &body}
	for _, f := range change {
		f(in)
	}
	return c.SNS.Publish(c.ctx(), in)
}

// publish is Publish, or ends the case.
func (c *Check) publish(topic, body string, change ...func(*sns.PublishInput)) *sns.PublishOutput {
	out, err := c.tryPublish(topic, body, change...)
	c.ok(err)
	return out
}

// toGroup sets what a FIFO topic wants of a message; an empty dedup is left out.
func toGroup(id, dedup string) func(*sns.PublishInput) {
	return func(in *sns.PublishInput) {
		in.MessageGroupId = &id
		if dedup != "" {
			in.MessageDeduplicationId = &dedup
		}
	}
}

// having adds a message attribute.
func having(name, dataType, value string) func(*sns.PublishInput) {
	return func(in *sns.PublishInput) {
		if in.MessageAttributes == nil {
			in.MessageAttributes = map[string]snstypes.MessageAttributeValue{}
		}
		v := snstypes.MessageAttributeValue{DataType: &dataType}
		if strings.HasPrefix(dataType, "Binary") {
			v.BinaryValue = []byte(value)
		} else {
			v.StringValue = &value
		}
		in.MessageAttributes[name] = v
	}
}

func subject(text string) func(*sns.PublishInput) {
	return func(in *sns.PublishInput) { in.Subject = &text }
}

// stays wants nothing to come to a queue, in a time in which the others had theirs.
func (c *Check) stays(queue string) {
	c.sleep(300 * time.Millisecond)
	c.none(queue)
}

// drain receives and deletes one message after the other until it has n, or ends the
// case. A FIFO queue brings no more of a group while some of it are in flight, and they
// need not all be there at the first receive.
func (c *Check) drain(queue string, n int) []types.Message {
	var all []types.Message
	for range n {
		m := c.one(queue, atMost(1))
		c.ok(c.remove(queue, m.ReceiptHandle))
		all = append(all, m)
	}
	c.none(queue)
	return all
}

// wrapping reads the envelope of a notification, or ends the case.
func (c *Check) wrapping(m types.Message) map[string]any {
	var envelope map[string]any
	if err := json.Unmarshal([]byte(aws.ToString(m.Body)), &envelope); err != nil {
		c.fatalf("the body %q is no envelope: %v", aws.ToString(m.Body), err)
	}
	return envelope
}
