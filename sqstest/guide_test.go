package sqstest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

type Order struct{ ID int }

// start runs a handler on the queue "orders" of a server until the test ends.
func start(t *testing.T, srv *sqstest.Server, handle func(context.Context, Order) error, cfg consumer.Config) {
	t.Helper()
	c, err := consumer.New(srv.SQS(), "orders", holdfast.JSON(handle), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// pass lets virtual time pass, and all be done that is to be done by then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestOrdersAreCharged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // time is virtual in here
		srv := sqstest.New(t)
		orders := srv.Queue(t, "orders")
		var charged []int
		start(t, srv, func(_ context.Context, o Order) error {
			charged = append(charged, o.ID)
			return nil
		}, consumer.Config{Concurrency: 1})

		id := orders.Send(t, `{"ID": 7}`)
		pass(time.Second)

		if diff := cmp.Diff([]int{7}, charged); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{id}, orders.Deleted()); diff != "" {
			t.Error(diff)
		}
	})
}
