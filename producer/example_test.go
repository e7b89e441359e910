package producer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// The examples send to an SQS inside the process. In a program the client is
// sqs.NewFromConfig(cfg) or sns.NewFromConfig(cfg).

func ExampleNew() {
	srv := sqstest.New(tb)
	q := srv.Queue(tb, "orders")

	p, err := producer.New(srv.SQS(), "orders", producer.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = p.Send(context.Background(), producer.Message{Body: "charge 42", Key: "order-42"})
	fmt.Println("sent:", err)
	fmt.Println("closed:", p.Close(context.Background()))

	m := q.Messages()[0]
	fmt.Println(m.Body, m.Attributes["idempotency-key"].Text)
	// Output:
	// sent: <nil>
	// closed: <nil>
	// charge 42 order-42
}

func ExampleNew_topic() {
	srv := sqstest.New(tb)
	topic := srv.Topic(tb, "orders.fifo")

	p, err := producer.New(srv.SNS(), topic.ARN, producer.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(context.Background())
	err = p.Send(context.Background(), producer.Message{Body: "paid", GroupID: "customer-7", Subject: "order 42"})
	fmt.Println(err, len(topic.Published()))
	// Output: <nil> 1
}

func ExampleNew_refused() {
	_, err := producer.New(nil, "an order queue", producer.Config{Linger: time.Minute})
	fmt.Println(strings.ReplaceAll(err.Error(), ", whose name is 1 to 80 letters, digits, - and _, with .fifo at its end for a FIFO queue", ""))
	// Output:
	// producer: Linger is 1m0s; it must be 0s to 1s, or -1
	// producer: target is "an order queue"; it must be the name, URL or ARN of a queue
}

func ExampleProducer_Send() {
	srv := sqstest.New(tb)
	p, err := producer.New(srv.SQS(), srv.Queue(tb, "orders.fifo").ARN, producer.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(context.Background())

	// Nothing is sent that the queue would refuse.
	err = p.Send(context.Background(), producer.Message{Body: "x", Delay: time.Minute})
	fmt.Println(err)
	// Output:
	// producer: the message's GroupID is ""; it must be set: a FIFO queue keeps order by group
	// producer: the message's Delay is 1m0s; it must be 0: SQS takes no delay per message on a FIFO queue; set the queue's DelaySeconds
}

func ExampleProducer_SendBatch() {
	srv := sqstest.New(tb)
	p, err := producer.New(srv.SQS(), srv.Queue(tb, "orders").URL, producer.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(context.Background())

	results, err := p.SendBatch(context.Background(), []producer.Message{{Body: "a"}, {}, {Body: "c"}})
	fmt.Println(err)
	for _, r := range results {
		fmt.Println(r.MessageID != "", r.Err)
	}
	// Output:
	// producer: 1 of 3 messages were not sent, the first because: producer: the message's Body is ""; it must be at least 1 byte
	// true <nil>
	// false producer: the message's Body is ""; it must be at least 1 byte
	// true <nil>
}

func ExampleProducer_Close() {
	srv := sqstest.New(tb)
	p, err := producer.New(srv.SQS(), srv.Queue(tb, "orders").URL, producer.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil { // what is left after 5 s fails with ErrClosed
		fmt.Println(err)
	}
	fmt.Println(errors.Is(p.Send(ctx, producer.Message{Body: "late"}), producer.ErrClosed))
	// Output: true
}

func ExampleProducer_Stats() {
	srv := sqstest.New(tb)
	p, err := producer.New(srv.SQS(), srv.Queue(tb, "orders").URL, producer.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(context.Background())
	if _, err := p.SendBatch(context.Background(), make10()); err != nil {
		fmt.Println(err)
	}
	s := p.Stats()
	fmt.Println(s.Sent, "messages in", s.Calls, "request,", s.Pending, "pending")
	// Output: 10 messages in 1 request, 0 pending
}

func make10() []producer.Message {
	msgs := make([]producer.Message, 10)
	for i := range msgs {
		msgs[i].Body = fmt.Sprint(i)
	}
	return msgs
}

func ExampleJSON() {
	type Order struct{ ID, Customer string }
	srv := sqstest.New(tb)
	q := srv.Queue(tb, "orders.fifo")
	p, err := producer.New(srv.SQS(), q.URL, producer.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(context.Background())

	orders := producer.JSON(p, func(o Order) producer.Message {
		return producer.Message{Key: o.ID, GroupID: o.Customer}
	})
	err = orders.Send(context.Background(), Order{"o-42", "c-7"})
	fmt.Println(err, q.Messages()[0].Body, q.Messages()[0].Group)
	// Output: <nil> {"ID":"o-42","Customer":"c-7"} c-7
}

func ExampleTyped_SendBatch() {
	srv := sqstest.New(tb)
	p, err := producer.New(srv.SQS(), srv.Queue(tb, "numbers").URL, producer.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(context.Background())
	results, err := producer.JSON[int](p, nil).SendBatch(context.Background(), []int{1, 2, 3})
	fmt.Println(len(results), err)
	// Output: 3 <nil>
}

func ExampleMiddleware() {
	stamp := producer.MiddlewareFunc(func(next producer.Sender) producer.Sender {
		return producer.SenderFunc(func(ctx context.Context, m *producer.Message) error {
			m.Body = "v1 " + m.Body
			return next.Send(ctx, m)
		})
	})
	srv := sqstest.New(tb)
	q := srv.Queue(tb, "orders")
	p, err := producer.New(srv.SQS(), q.URL, producer.Config{Middleware: []producer.Middleware{stamp}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(context.Background())
	err = p.Send(context.Background(), producer.Message{Body: "charge 42"})
	fmt.Println(err, q.Messages()[0].Body)
	// Output: <nil> v1 charge 42
}

// What a handler sends belongs to the trace of the message that it works on.
func ExampleHandled() {
	m := &holdfast.Message{Attributes: map[string]holdfast.Attribute{
		"traceparent": {Type: "String", String: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}}
	ctx := holdfast.NewContext(context.Background(), m, nil) // as the runtime makes it
	fmt.Println(producer.Handled(ctx).TraceParent)
	// Output: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
}

// exampleTest stands for the *testing.T that an example does not have.
type exampleTest struct{ testing.TB }

func (exampleTest) Helper()                   {}
func (exampleTest) Cleanup(func())            {}
func (exampleTest) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (exampleTest) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

var tb exampleTest
