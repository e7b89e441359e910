package integration_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/integration"
)

// In a test of your own, t is its *testing.T.
var t *testing.T

// A queue with a dead-letter queue on a real LocalStack, and a real Redis. Both queues
// go with the test.
func ExampleLocalStack() {
	stack := integration.LocalStack(t)
	dlq := stack.Queue(t, "orders-dlq", nil)
	orders := stack.Queue(t, "orders", map[string]string{"RedrivePolicy": dlq.RedriveTo(5)})

	store := redisstore.New(integration.Redis(t))

	_, err := stack.SQS.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &orders.URL, MessageBody: aws.String(`{"id":"o-1"}`)})
	fmt.Println(store, err)
}

// Other services want to be started, and clients of their own.
func ExampleServices() {
	stack := integration.LocalStack(t, integration.Services("sqs", "s3"))
	other := stack.Config // for s3.NewFromConfig and its like
	fmt.Println(other.Region)
}

// Names keep their suffix.
func ExampleUnique() {
	a, b := integration.Unique("orders.fifo"), integration.Unique("orders.fifo")
	fmt.Println(strings.HasPrefix(a, "orders-"), strings.HasSuffix(a, ".fifo"), a != b)
	// Output: true true true
}

// RedriveTo is said by the dead-letter queue.
func ExampleQueue_RedriveTo() {
	dlq := &integration.Queue{ARN: "arn:aws:sqs:us-east-1:000000000000:orders-dlq"}
	fmt.Println(dlq.RedriveTo(5))
	// Output: {"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:orders-dlq","maxReceiveCount":5}
}
