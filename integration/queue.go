package integration

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Queue is a queue of one test.
type Queue struct {
	// Name, ARN and URL are the three ways to call it.
	Name string
	ARN  string
	URL  string
}

// Queue makes a queue, or ends the test, and deletes it when the test ends. Its name
// is made unique from the one given; one that ends in .fifo is a FIFO queue, without
// the attribute FifoQueue being named. attributes are those of CreateQueue, by their
// names in the API; nil is fine.
func (s *Stack) Queue(tb testing.TB, name string, attributes map[string]string) *Queue {
	tb.Helper()
	attributes = maps.Clone(attributes)
	if strings.HasSuffix(name, ".fifo") {
		if attributes == nil {
			attributes = map[string]string{}
		}
		attributes["FifoQueue"] = "true"
	}
	q := &Queue{Name: Unique(name)}
	made, err := s.SQS.CreateQueue(tb.Context(), &sqs.CreateQueueInput{QueueName: &q.Name, Attributes: attributes})
	if err != nil {
		tb.Fatalf("integration: queue %s: %v", q.Name, err)
	}
	q.URL = *made.QueueUrl
	tb.Cleanup(func() {
		ctx, cancel := cleanupContext(tb)
		defer cancel()
		_, err := s.SQS.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &q.URL})
		var gone *types.QueueDoesNotExist
		if err != nil && !errors.As(err, &gone) {
			tb.Errorf("integration: delete queue %s: %v", q.Name, err)
		}
	})
	got, err := s.SQS.GetQueueAttributes(tb.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &q.URL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		tb.Fatalf("integration: queue %s: %v", q.Name, err)
	}
	q.ARN = got.Attributes["QueueArn"]
	return q
}

// RedriveTo is the attribute RedrivePolicy that dead-letters to q after
// maxReceiveCount receives.
func (q *Queue) RedriveTo(maxReceiveCount int) string {
	text, err := json.Marshal(map[string]any{"deadLetterTargetArn": q.ARN, "maxReceiveCount": maxReceiveCount})
	if err != nil {
		panic(err) // a string and an int
	}
	return string(text)
}

// Topic makes a topic, or ends the test, deletes it with its subscriptions when the
// test ends, and returns its ARN. Names and attributes are as with Queue.
func (s *Stack) Topic(tb testing.TB, name string, attributes map[string]string) (arn string) {
	tb.Helper()
	attributes = maps.Clone(attributes)
	if strings.HasSuffix(name, ".fifo") {
		if attributes == nil {
			attributes = map[string]string{}
		}
		attributes["FifoTopic"] = "true"
	}
	made, err := s.SNS.CreateTopic(tb.Context(), &sns.CreateTopicInput{Name: aws.String(Unique(name)), Attributes: attributes})
	if err != nil {
		tb.Fatalf("integration: topic %s: %v", name, err)
	}
	tb.Cleanup(func() {
		ctx, cancel := cleanupContext(tb)
		defer cancel()
		if _, err := s.SNS.DeleteTopic(ctx, &sns.DeleteTopicInput{TopicArn: made.TopicArn}); err != nil {
			tb.Errorf("integration: delete topic %s: %v", *made.TopicArn, err)
		}
	})
	return *made.TopicArn
}

// cleanupContext outlives the test's own context, which is cancelled before cleanups.
func cleanupContext(tb testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(tb.Context()), 10*time.Second)
}

// Unique returns name with a random part, before .fifo where it ends so: for queues,
// topics, and the names of consumers whose keys share a Redis. Names of at most 60
// characters stay within the limits of SQS.
func Unique(name string) string {
	base, isFIFO := strings.CutSuffix(name, ".fifo")
	unique := base + "-" + strings.ToLower(rand.Text()[:12])
	if isFIFO {
		unique += ".fifo"
	}
	return unique
}
