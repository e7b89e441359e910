package claimcheck_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/claimcheck"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

func ExampleNew() {
	srv := sqstest.New(tb)
	q := srv.Queue(tb, "orders")
	objects := &claimcheck.Memory{} // s3.NewFromConfig(cfg) in a program
	store, err := claimcheck.New(objects, claimcheck.Config{Bucket: "order-payloads"})
	if err != nil {
		fmt.Println(err)
		return
	}

	// The sender.
	p, err := producer.New(srv.SQS(), "orders", producer.Config{Offload: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = p.Send(context.Background(), producer.Message{Body: strings.Repeat("x", 3<<20)})
	fmt.Println("sent:", err, "- on the queue:", len(q.Messages()[0].Body) < 200, "- objects:", len(objects.Objects()))
	p.Close(context.Background())

	// The receiver.
	ctx, stop := context.WithCancel(context.Background())
	c, err := consumer.New(srv.SQS(), "orders", holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
		fmt.Println("handled", len(m.Body), "bytes")
		stop()
		return nil
	}), consumer.Config{Middleware: []holdfast.Middleware{store}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := c.Run(ctx); err != nil {
		fmt.Println(err)
	}
	if err := store.Wait(context.Background()); err != nil {
		fmt.Println(err)
	}
	fmt.Println("objects:", len(objects.Objects()))
	// Output:
	// sent: <nil> - on the queue: true - objects: 1
	// handled 3145728 bytes
	// objects: 0
}

func ExampleStore_Offload() {
	store, err := claimcheck.New(&claimcheck.Memory{}, claimcheck.Config{Bucket: "payloads", Prefix: "orders/"})
	if err != nil {
		fmt.Println(err)
		return
	}
	m := &holdfast.Message{Body: "a large body", Attributes: map[string]holdfast.Attribute{"idempotency-key": {Type: "String", String: "o-1"}}}
	if err := store.Offload(context.Background(), m); err != nil {
		fmt.Println(err)
	}
	fmt.Println(m.Body)
	fmt.Println(m.Attr("ExtendedPayloadSize"))
	// Output:
	// ["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"payloads","s3Key":"orders/queue-Yx6jJaKhaggs5VWbeb0m1F_qjZrhmULRRucwtAPDBsI"}]
	// 12
}

// A consumer does this with what is in its Middleware.
func ExampleStore_Wrap() {
	store, err := claimcheck.New(&claimcheck.Memory{}, claimcheck.Config{Bucket: "payloads"})
	if err != nil {
		fmt.Println(err)
		return
	}
	m := &holdfast.Message{Body: "a large body"}
	if err := store.Offload(context.Background(), m); err != nil {
		fmt.Println(err)
	}
	handler := store.Wrap(holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
		fmt.Println(m.Body)
		return nil
	}))
	fmt.Println(handler.Handle(context.Background(), m))
	// Output:
	// a large body
	// <nil>
}

func ExampleStore_Wait() {
	objects := &claimcheck.Memory{}
	store, err := claimcheck.New(objects, claimcheck.Config{Bucket: "payloads"})
	if err != nil {
		fmt.Println(err)
		return
	}
	m := &holdfast.Message{Body: "a large body"}
	if err := store.Offload(context.Background(), m); err != nil {
		fmt.Println(err)
	}
	store.Settled(m, nil) // as the consumer does once the message is deleted

	// After Run: what is not deleted when the program ends stays in the bucket.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(store.Wait(ctx), len(objects.Objects()))
	// Output: <nil> 0
}

// exampleTest stands for the *testing.T that an example does not have.
type exampleTest struct{ testing.TB }

func (exampleTest) Helper()                   {}
func (exampleTest) Cleanup(func())            {}
func (exampleTest) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (exampleTest) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

var tb exampleTest
