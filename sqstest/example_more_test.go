package sqstest_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/sqstest"
)

// Small limits and no waits, for tests of what happens at them.
func ExampleNew() {
	srv := sqstest.New(t, sqstest.InFlightLimit(1), sqstest.NoCooldown())
	orders := srv.Queue(t, "orders")
	orders.SendN(t, 2)
	client := srv.SQS()
	for range 2 {
		out, err := client.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: &orders.URL})
		if err != nil {
			fmt.Println(strings.Contains(err.Error(), "OverLimit"))
			break
		}
		fmt.Println(len(out.Messages))
	}
	for range 2 {
		_, err := client.PurgeQueue(context.Background(), &sqs.PurgeQueueInput{QueueUrl: &orders.URL})
		fmt.Println(err)
	}
	// Output:
	// 1
	// true
	// <nil>
	// <nil>
}

// A server for millions of messages remembers none that are gone.
func ExampleNoHistory() {
	srv := sqstest.New(t, sqstest.NoHistory(), sqstest.LogLimit(-1), sqstest.NoSignature())
	orders := srv.Queue(t, "orders")
	events := srv.Topic(t, "events")
	events.Subscribe(t, orders)
	for range 1000 {
		events.Publish(t, "x")
	}
	fmt.Println(orders.Depth().Visible, len(events.Published()))
	// Output: 1000 0
}

func ExampleQueueAttribute() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders", sqstest.Retention(time.Hour), sqstest.QueueAttribute("DelaySeconds", "10"))
	orders.Send(t, "x")
	fmt.Printf("%+v\n", orders.Depth())
	// Output: {Visible:0 InFlight:0 Delayed:1}
}

func ExampleDedup() {
	srv := sqstest.New(t)
	jobs := srv.Queue(t, "jobs.fifo")
	first := jobs.Send(t, "x", sqstest.Group("g"), sqstest.Dedup("order-7"))
	again := jobs.Send(t, "x", sqstest.Group("g"), sqstest.Dedup("order-7"))
	fmt.Println(first == again, jobs.Depth().Visible)
	// Output: true 1
}

func ExampleNumberAttribute() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	id := orders.Send(t, "x", sqstest.NumberAttribute("price", "9.5"), sqstest.BinaryAttribute("key", []byte{1, 2}), sqstest.TraceHeader("Root=1-2-3"))
	m, _ := orders.Message(id)
	fmt.Println(m.Attributes["price"].Type, m.Attributes["price"].Text, m.Attributes["key"].Binary)
	// Output: Number 9.5 [1 2]
}

// What a test asks in the end: how often was it delivered, was it deleted, how much
// was held at once?
func ExampleQueue_Deletions() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	id := orders.Send(t, "x")
	client := srv.SQS()
	out, err := client.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: &orders.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.DeleteMessage(context.Background(), &sqs.DeleteMessageInput{QueueUrl: &orders.URL, ReceiptHandle: out.Messages[0].ReceiptHandle})
	fmt.Println(err, orders.Receives(id), orders.Deleted()[0] == id, orders.Deletions()[0].Body, orders.MaxInFlight(), orders.Polls())
	// Output: <nil> 1 true x 1 0
}

// Faults strike when their options say, and until they are stopped.
func ExampleInjected_Stop() {
	srv := sqstest.New(t)
	disabled := srv.Fail("ListQueues", sqstest.Custom("KMS.DisabledException", 400, "the key is off"), sqstest.After(1), sqstest.Every(2))
	client := srv.SQS()
	for i := range 7 {
		if i == 5 {
			disabled.Stop()
		}
		_, err := client.ListQueues(context.Background(), nil)
		fmt.Print(err == nil, " ")
	}
	fmt.Println(disabled.Hits())
	// Output: true true false true false true true 2
}

// By chance, and always the same for a seed.
func ExampleProbability() {
	srv := sqstest.New(t)
	slow := srv.Delay("ListQueues", time.Millisecond, sqstest.OnReply(), sqstest.Probability(0.5, 1))
	client := srv.SQS()
	for range 100 {
		if _, err := client.ListQueues(context.Background(), nil); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(slow.Hits() > 30, slow.Hits() < 70)
	// Output: true true
}

func ExampleOnTopic() {
	srv := sqstest.New(t)
	events, other := srv.Topic(t, "events"), srv.Topic(t, "other")
	srv.Fail("Publish", sqstest.AccessDenied, sqstest.OnTopic("events"))
	client := srv.SNS()
	for _, topic := range []*sqstest.Topic{events, other} {
		_, err := client.Publish(context.Background(), &sns.PublishInput{TopicArn: &topic.ARN, Message: aws.String("x")})
		fmt.Println(err == nil)
	}
	// Output:
	// false
	// true
}

// A listener of one's own, with TLS for example.
func ExampleServer_Handler() {
	srv := sqstest.New(t)
	events := srv.Topic(t, "events")
	port := httptest.NewServer(srv.Handler())
	defer port.Close()
	client := srv.SNS(sqstest.SNSAt(port.URL))
	_, err := client.Publish(context.Background(), &sns.PublishInput{TopicArn: &events.ARN, Message: aws.String("x")})
	fmt.Println(err, len(events.Published()))
	// Output: <nil> 1
}

// Another account may not publish to a topic that does not let it.
func ExampleSNSAs() {
	srv := sqstest.New(t)
	events := srv.Topic(t, "events")
	stranger := srv.SNS(sqstest.SNSAs("111122223333"))
	_, err := stranger.Publish(context.Background(), &sns.PublishInput{TopicArn: &events.ARN, Message: aws.String("x")})
	fmt.Println(strings.Contains(err.Error(), "not authorized to perform: SNS:Publish"))
	// Output: true
}

func ExampleServer_ResetLog() {
	srv := sqstest.New(t)
	_, err := srv.SQS().ListQueues(context.Background(), nil)
	fmt.Println(err, srv.Calls("ListQueues"))
	srv.ResetLog() // what the set-up did does not count
	fmt.Println(srv.Calls("ListQueues"), len(srv.Log()))
	// Output:
	// <nil> 1
	// 0 0
}

func ExampleFilterBody() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	events := srv.Topic(t, "events", sqstest.TopicAttribute("SignatureVersion", "2"))
	events.Subscribe(t, orders, sqstest.FilterBody(`{"total": [{"numeric": [">", 100]}]}`), sqstest.SubscriptionAttribute("RawMessageDelivery", "true"))
	small := events.Publish(t, `{"total": 50}`)
	events.Publish(t, `{"total": 150}`)
	fmt.Println(orders.Messages()[0].Body)
	fmt.Println(events.Why(small, orders))
	// Output:
	// {"total": 150}
	// filtered: the filter policy (MessageBody): "total" is 50 and fits none of 1 values
}

// On AWS a policy that was just set takes up to a minute to be seen: what is published
// at once is lost.
func ExamplePolicySpread() {
	srv := sqstest.New(t, sqstest.PolicySpread(time.Minute))
	orders := srv.Queue(t, "orders", sqstest.QueueAttribute("Policy", `{"Statement": {"Effect": "Allow",
		"Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*"}}`))
	events := srv.Topic(t, "events")
	events.Subscribe(t, orders, sqstest.NoPermission())
	id := events.Publish(t, "too early")
	fmt.Println(orders.Depth().Visible, strings.HasPrefix(events.Why(id, orders), "lost: AccessDenied"))
	// Output: 0 true
}
