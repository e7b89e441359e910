package sqstest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/holdfast-go/holdfast/sqstest"
)

// exampleTest stands for the *testing.T that an example does not have. In a test
// of your own, t is the test's.
type exampleTest struct {
	testing.TB
	cleanups []func()
}

func (t *exampleTest) Helper()                           {}
func (t *exampleTest) Failed() bool                      { return false }
func (t *exampleTest) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *exampleTest) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (t *exampleTest) end() {
	for _, f := range t.cleanups {
		f()
	}
}

var t = &exampleTest{}

func Example() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	orders.Send(t, `{"id": 1}`)

	client := srv.SQS() // the real SDK client
	out, err := client.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: &orders.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(*out.Messages[0].Body)
	fmt.Printf("%+v\n", orders.Depth())
	// Output:
	// {"id": 1}
	// {Visible:0 InFlight:1 Delayed:0}
}

func ExampleServer_Queue() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders.fifo", sqstest.DLQ(3), sqstest.Visibility(time.Minute))
	fmt.Println(orders.ARN)
	fmt.Println(orders.DLQ().Name)
	// Output:
	// arn:aws:sqs:us-east-1:000000000000:orders.fifo
	// orders-dlq.fifo
}

func ExampleQueue_Send() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	id := orders.Send(t, "paid", sqstest.StringAttribute("type", "order"), sqstest.Group("tenant-7"), sqstest.SendDelay(time.Minute))
	m, _ := orders.Message(id)
	fmt.Println(m.Body, m.Attributes["type"].Text, m.Group, m.State)
	// Output: paid order tenant-7 delayed
}

func ExampleServer_Listen() {
	t := &exampleTest{}
	defer t.end()
	srv := sqstest.New(t)
	client := srv.SQS(sqstest.At(srv.Listen(t))) // over a port of 127.0.0.1
	_, err := client.CreateQueue(context.Background(), &sqs.CreateQueueInput{QueueName: aws.String("orders")})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleServer_HTTPClient() {
	srv := sqstest.New(t)
	client := sqs.New(sqs.Options{ // or config.WithHTTPClient
		Region: sqstest.Region, BaseEndpoint: aws.String("http://sqs"), HTTPClient: srv.HTTPClient(),
		Credentials: aws.CredentialsProviderFunc(accountCredentials("123456789012")),
	})
	out, err := client.CreateQueue(context.Background(), &sqs.CreateQueueInput{QueueName: aws.String("orders")})
	fmt.Println(*out.QueueUrl, err)
	// Output: http://sqs/123456789012/orders <nil>
}

func ExampleServer_Authorize() {
	srv := sqstest.New(t)
	srv.Authorize(func(action, queueARN string) error {
		if action == "ListQueues" {
			return errors.New("not for workers")
		}
		return nil
	})
	_, err := srv.SQS().ListQueues(context.Background(), nil)
	fmt.Println(err != nil)
	// Output: true
}

func ExampleServer_Fail() {
	srv := sqstest.New(t)
	throttle := srv.Fail("ListQueues", sqstest.Throttle, sqstest.Times(1))
	client := srv.SQS(func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
	_, first := client.ListQueues(context.Background(), nil)
	_, second := client.ListQueues(context.Background(), nil)
	fmt.Println(first != nil, second, throttle.Hits())
	// Output: true <nil> 1
}

func ExampleServer_Delay() {
	srv := sqstest.New(t)
	srv.Delay("", time.Hour) // in a synctest bubble an hour is no time
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := srv.SQS().ListQueues(ctx, nil)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

func ExampleServer_DropReply() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	srv.DropReply("SendMessage")
	client := srv.SQS(func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
	_, err := client.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: &orders.URL, MessageBody: aws.String("x")})
	fmt.Println(err != nil, orders.Depth().Visible)
	// Output: true 1
}

func ExampleServer_Cut() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	srv.Cut("SendMessage")
	client := srv.SQS(func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
	_, err := client.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: &orders.URL, MessageBody: aws.String("x")})
	fmt.Println(err != nil, orders.Depth().Visible)
	// Output: true 0
}

func ExampleServer_Hang() {
	srv := sqstest.New(t)
	srv.Hang("ListQueues")
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := srv.SQS().ListQueues(ctx, nil)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

func ExampleServer_FailEntries() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	srv.FailEntries("SendMessageBatch", "InternalError", false, sqstest.Every(2))
	out, err := srv.SQS().SendMessageBatch(context.Background(), &sqs.SendMessageBatchInput{
		QueueUrl: &orders.URL,
		Entries: []types.SendMessageBatchRequestEntry{
			{Id: aws.String("0"), MessageBody: aws.String("a")},
			{Id: aws.String("1"), MessageBody: aws.String("b")},
		},
	})
	fmt.Println(len(out.Successful), *out.Failed[0].Code, err)
	// Output: 1 InternalError <nil>
}

func ExampleServer_Duplicate() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	id := orders.Send(t, "x")
	srv.Duplicate("orders")
	client := srv.SQS()
	for range 2 {
		out, err := client.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: &orders.URL})
		fmt.Println(*out.Messages[0].MessageId == id, err)
	}
	// Output:
	// true <nil>
	// true <nil>
}

func ExampleServer_Ghost() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	orders.Send(t, "x")
	srv.Ghost("orders")
	client := srv.SQS()
	for range 2 {
		out, err := client.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: &orders.URL})
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = client.DeleteMessage(context.Background(), &sqs.DeleteMessageInput{QueueUrl: &orders.URL, ReceiptHandle: out.Messages[0].ReceiptHandle})
		fmt.Println(orders.Depth().Visible, err)
	}
	// Output:
	// 1 <nil>
	// 0 <nil>
}

func ExampleServer_Log() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	orders.SendN(t, 3)
	_, err := srv.SQS().ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: &orders.URL, MaxNumberOfMessages: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, call := range srv.Log() {
		fmt.Println(call.Action, call.Queue, call.MaxMessages, call.Messages)
	}
	fmt.Println(srv.Calls("ReceiveMessage"))
	// Output:
	// ReceiveMessage orders 10 3
	// 1
}

func ExampleServer_Dump() {
	srv := sqstest.New(t)
	srv.Queue(t, "orders").Send(t, "x")
	fmt.Print(srv.Dump())
	// Output:
	// sqstest: queues at the end of the test:
	// orders: 1 visible, 0 in flight (at most 0), 0 delayed, 0 polls waiting
	//   00000000-0000-4000-8000-000000000002 visible   received 0 times "x"
}

func ExampleServer_Topic() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	events := srv.Topic(t, "events")
	events.Subscribe(t, orders, sqstest.Raw(), sqstest.Filter(`{"kind": ["order"]}`))

	events.Publish(t, `{"id": 1}`, sqstest.StringAttribute("kind", "order"))
	events.Publish(t, `{"id": 2}`, sqstest.StringAttribute("kind", "refund"))
	for _, m := range orders.Messages() {
		fmt.Println(m.Body)
	}
	// Output: {"id": 1}
}

func ExampleServer_SNS() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	events := srv.Topic(t, "events")
	events.Subscribe(t, orders)

	client := srv.SNS() // the real SDK client
	_, err := client.Publish(context.Background(), &sns.PublishInput{TopicArn: &events.ARN, Message: aws.String("hello")})
	fmt.Println(err, orders.Depth().Visible)
	// Output: <nil> 1
}

// A queue that has no policy is the classic mistake with SNS.
func ExampleTopic_Why() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	events := srv.Topic(t, "events")
	events.Subscribe(t, orders, sqstest.NoPermission())
	id := events.Publish(t, "hello")
	fmt.Println(events.Why(id, orders))
	// Output:
	// lost: AccessDenied: the queue has no access policy, so SNS may not send to it: Allow sqs:SendMessage to Principal {"Service":"sns.amazonaws.com"} where aws:SourceArn is the topic's ARN (the subscription has no RedrivePolicy)
}

func ExampleTopic_Deliveries() {
	srv := sqstest.New(t)
	events := srv.Topic(t, "events")
	events.Subscribe(t, srv.Queue(t, "all"))
	events.Subscribe(t, srv.Queue(t, "orders"), sqstest.Filter(`{"kind": ["order"]}`))
	events.Publish(t, "hello")
	for _, d := range events.Deliveries() {
		fmt.Println(d.Queue, d.Status)
	}
	// Output:
	// arn:aws:sqs:us-east-1:000000000000:all delivered
	// arn:aws:sqs:us-east-1:000000000000:orders filtered
}

func ExampleServer_Bind() {
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	srv.Bind(t, "WORKER", `{"Statement": {"Effect": "Allow", "Action": "sqs:ReceiveMessage", "Resource": "`+orders.ARN+`"}}`)

	worker := srv.SQS(sqstest.As("WORKER"))
	_, err := worker.PurgeQueue(context.Background(), &sqs.PurgeQueueInput{QueueUrl: &orders.URL})
	var refused smithy.APIError
	if errors.As(err, &refused) {
		fmt.Println(refused.ErrorCode())
	}
	// Output: AccessDenied
}

func ExampleTopic_Published() {
	srv := sqstest.New(t)
	events := srv.Topic(t, "events") // nobody has subscribed
	events.Publish(t, "hello", sqstest.Subject("greeting"))
	for _, m := range events.Published() {
		fmt.Printf("%s: %s\n", m.Subject, m.Body)
	}
	// Output: greeting: hello
}

// A fault on Deliver strikes what SNS does for a subscription.
func ExampleServer_Fail_delivery() {
	srv := sqstest.New(t)
	orders, lost := srv.Queue(t, "orders"), srv.Queue(t, "lost")
	events := srv.Topic(t, "events")
	events.Subscribe(t, orders, sqstest.Undelivered(lost))
	srv.Fail(sqstest.Deliver, sqstest.AccessDenied, sqstest.OnQueue("orders"))

	events.Publish(t, "hello")
	fmt.Println(orders.Depth().Visible, lost.Depth().Visible)
	// Output: 0 1
}
