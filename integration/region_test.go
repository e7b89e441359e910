package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/fanout"
)

// otherRegion is where the queue is, whose topic is in Region.
const otherRegion = "eu-west-1"

// TestFanoutGoesFromOneRegionToAnother subscribes a queue to a topic of another region
// with clients of one region, and consumes what is published there. LocalStack tells
// regions apart by the signature, as AWS does by the endpoint.
func TestFanoutGoesFromOneRegionToAnother(t *testing.T) {
	t.Parallel()
	stack := LocalStack(t)
	clients := fanout.Clients{SQS: stack.SQS, SNS: stack.SNS}
	topicARN := stack.Topic(t, "orders", nil)
	billing := Unique("billing")
	queueARN := "arn:aws:sqs:" + otherRegion + ":" + Account + ":" + billing
	topology := fanout.Topology{
		Name: "regions", Region: otherRegion, Account: Account,
		Queues:        []fanout.Queue{{Name: billing}},
		Subscriptions: []fanout.Subscription{{Topic: topicARN, Queue: billing, DLQ: fanout.Undelivered{Name: billing + "-undelivered"}}},
	}
	t.Cleanup(func() {
		ctx, cancel := cleanupContext(t)
		defer cancel()
		cfg := emulated
		cfg.PruneMessages = true
		cfg.Prune = []string{queueARN, queueARN + "-dlq", strings.Replace(queueARN, otherRegion, Region, 1) + "-undelivered"}
		if d, err := fanout.Apply(ctx, clients, fanout.Topology{Region: otherRegion, Account: Account}, cfg); err != nil || len(d.Changes) != len(cfg.Prune) {
			t.Errorf("cleaning up: %v\n%s", err, d)
		}
	})
	applied(t, stack, topology)
	if d := planned(t, stack, topology); len(d.Changes) > 0 {
		t.Errorf("the second plan:\n%s", d)
	}
	// What SNS cannot deliver is kept where SNS is.
	if _, err := stack.SQS.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(billing + "-undelivered")}); err != nil {
		t.Errorf("in %s: %v", Region, err)
	}
	if r, err := fanout.Verify(t.Context(), clients, topology, fanout.VerifyConfig{Foreign: true, CallsPerSecond: 1000}); err != nil || !r.OK() {
		t.Errorf("verified: %v\n%s", err, r)
	}

	if _, err := stack.SNS.Publish(t.Context(), &sns.PublishInput{TopicArn: &topicARN, Message: aws.String("work")}); err != nil {
		t.Fatal(err)
	}
	o := stack.SQS.Options()
	o.Region = otherRegion
	got := make(chan string, 10)
	c, err := consumer.New(sqs.New(o), queueARN, holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
		got <- m.Body + " of " + m.Topic.ARN
		return nil
	}), consumer.Config{Topics: []string{topicARN}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var seen string
	eventually(t, func(context.Context) error {
		select {
		case seen = <-got:
			return nil
		default:
			return fmt.Errorf("nothing has come")
		}
	})
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	if want := "work of " + topicARN; seen != want {
		t.Errorf("a handler saw %q, want %q", seen, want)
	}
}
