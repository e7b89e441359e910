package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/sqstest"
)

// exampleTest stands for the *testing.T that an example does not have. In a test
// of your own, tb is its *testing.T.
type exampleTest struct{ testing.TB }

func (exampleTest) Helper()                           {}
func (exampleTest) Failed() bool                      { return false }
func (exampleTest) Cleanup(func())                    {}
func (exampleTest) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

var tb exampleTest

// Order is what the queue of these examples holds.
type Order struct{ ID string }

// The whole of a worker. SIGTERM drains it.
func Example() {
	charge := func(_ context.Context, order struct{ ID string }) error { log.Println("charge", order.ID); return nil }
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	c, err := consumer.New(sqs.NewFromConfig(cfg), "orders", holdfast.JSON(charge), consumer.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if err := holdfast.Run(context.Background(), c); err != nil {
		log.Fatal(err)
	}
}

// The same with idempotency: what is sent, or delivered, twice is charged once. An
// order is named by the message attribute order-id.
func Example_idempotency() {
	charge := func(_ context.Context, order struct{ ID string }) error { log.Println("charge", order.ID); return nil }
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	once := idempotency.New(redisstore.New(rdb), idempotency.Config{Consumer: "orders", KeyAttribute: "order-id"})
	c, err := consumer.New(sqs.NewFromConfig(cfg), "orders", holdfast.JSON(charge), consumer.Config{Middleware: []holdfast.Middleware{once}})
	if err != nil {
		log.Fatal(err)
	}
	if err := holdfast.Run(context.Background(), c); err != nil {
		log.Fatal(err)
	}
}

// New names all that is wrong at once, and calls nothing.
func ExampleNew() {
	client := sqstest.New(tb).SQS()
	_, err := consumer.New(client, "orders/new", holdfast.JSON(func(context.Context, Order) error { return nil }), consumer.Config{
		Concurrency: 20_000,
		Visibility:  1500 * time.Millisecond,
	})
	fmt.Println(err)
	var bad *consumer.ConfigError
	fmt.Println(errors.As(err, &bad), bad.Field)
	// Output:
	// consumer: Concurrency is 20000; it must be 1 to 10000
	// consumer: Visibility is 1.5s; it must be 2s to 12h0m0s
	// consumer: Visibility is 1.5s; it must be whole seconds
	// consumer: queue is "orders/new"; it must be the name, URL or ARN of a queue, whose name is 1 to 80 letters, digits, - and _, with .fifo at its end for a FIFO queue
	// true Concurrency
}

// Run works until its context is cancelled, and then stops in order.
func ExampleConsumer_Run() {
	srv := sqstest.New(tb)
	orders := srv.Queue(tb, "orders", sqstest.DLQ(5))
	orders.Send(tb, `{"ID":"o-1"}`)

	ctx, cancel := context.WithCancel(context.Background())
	charge := func(ctx context.Context, o Order) error {
		fmt.Println("charge", o.ID)
		cancel() // what was begun is finished
		return nil
	}
	c, err := consumer.New(srv.SQS(), "orders", holdfast.JSON(charge), consumer.Config{PollGrace: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("stopped:", c.Run(ctx))
	fmt.Printf("left: %+v\n", orders.Depth())
	// Output:
	// charge o-1
	// stopped: <nil>
	// left: {Visible:0 InFlight:0 Delayed:0}
}

// What cannot work at all ends Run at once, with what to do about it.
func ExampleConsumer_Run_missing() {
	srv := sqstest.New(tb)
	c, err := consumer.New(srv.SQS(), "orders", holdfast.JSON(func(context.Context, Order) error { return nil }), consumer.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = c.Run(context.Background())
	var missing *consumer.QueueError
	fmt.Println(errors.As(err, &missing), missing.Queue, missing.Region)
	// Output:
	// true orders us-east-1
}

// Hooks see what becomes of each message.
func ExampleConfig() {
	srv := sqstest.New(tb)
	orders := srv.Queue(tb, "orders", sqstest.DLQ(5))
	orders.Send(tb, `{"ID":"o-1"}`)

	ctx, cancel := context.WithCancel(context.Background())
	refuse := func(context.Context, Order) error { return holdfast.Permanent(errors.New("card expired")) }
	c, err := consumer.New(srv.SQS(), "orders", holdfast.JSON(refuse), consumer.Config{
		PollGrace: -1,
		Hooks: holdfast.Hooks{
			DeadLettered: func(e holdfast.DeadLetteredEvent) { fmt.Println(e.Cause, "-", e.Reason) },
			Settled:      func(e holdfast.SettledEvent) { fmt.Println(e.Outcome); cancel() },
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("stopped:", c.Run(ctx))
	// Output:
	// permanent - permanent: card expired
	// dead-lettered
	// stopped: <nil>
}

// oneRun runs a consumer of one message and calls look while its handler works.
func oneRun(look func(*consumer.Consumer)) {
	srv := sqstest.New(tb)
	srv.Queue(tb, "orders").Send(tb, `{"ID":"o-1"}`, sqstest.Group("tenant-7"))
	ctx, cancel := context.WithCancel(context.Background())
	var c *consumer.Consumer
	c, err := consumer.New(srv.SQS(), "orders", holdfast.JSON(func(ctx context.Context, o Order) error {
		if lease, ok := holdfast.LeaseFrom(ctx); ok {
			lease.SetKey(o.ID)
		}
		look(c)
		cancel()
		return nil
	}), consumer.Config{PollGrace: -1})
	if err != nil {
		panic(err)
	}
	if err := c.Run(ctx); err != nil {
		panic(err)
	}
}

func ExampleConsumer_Stats() {
	oneRun(func(c *consumer.Consumer) {
		s := c.Stats()
		fmt.Println("received", s.Received, "running", s.Running, "done", s.Done)
	})
	// Output:
	// received 1 running 1 done 0
}

func ExampleConsumer_InFlight() {
	oneRun(func(c *consumer.Consumer) {
		for _, f := range c.InFlight() {
			fmt.Println(f.Key, f.GroupID, f.State, "attempt", f.Attempt, f.Age < time.Minute)
		}
	})
	// Output:
	// o-1 tenant-7 running attempt 1 true
}

func ExampleConsumer_Health() {
	oneRun(func(c *consumer.Consumer) {
		h := c.Health()
		fmt.Println(h.State, "live", h.Live, "ready", h.Ready, len(h.Problems), "problems")
	})
	// Output:
	// running live true ready true 0 problems
}

// A liveness probe asks whether to restart, a readiness probe whether to wait.
func ExampleConsumer_LiveHandler() {
	oneRun(func(c *consumer.Consumer) {
		mux := http.NewServeMux()
		mux.Handle("GET /live", c.LiveHandler())
		mux.Handle("GET /ready", c.ReadyHandler())
		for _, path := range []string{"/live", "/ready"} {
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
			fmt.Print(path, " ", w.Code, " ", w.Body)
		}
	})
	// Output:
	// /live 200 {"live":true,"ready":true,"state":"running","problems":[]}
	// /ready 200 {"live":true,"ready":true,"state":"running","problems":[]}
}

// StopNow is for a second SIGTERM: handlers' contexts end at once.
func ExampleConsumer_StopNow() {
	srv := sqstest.New(tb)
	srv.Queue(tb, "orders").Send(tb, `{"ID":"o-1"}`)
	ctx, cancel := context.WithCancel(context.Background())
	var c *consumer.Consumer
	c, err := consumer.New(srv.SQS(), "orders", holdfast.JSON(func(ctx context.Context, o Order) error {
		cancel()
		c.StopNow()
		<-ctx.Done()
		fmt.Println(context.Cause(ctx))
		return ctx.Err()
	}), consumer.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("stopped:", c.Run(ctx))
	// Output:
	// holdfast: stopping
	// stopped: <nil>
}
