package redisstore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
)

// A client with timeouts far below the visibility timeout, and a store on it.
func ExampleNew() {
	mini := miniredis.NewMiniRedis() // stands for a Redis server
	if err := mini.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer mini.Close()
	rdb := redis.NewClient(&redis.Options{
		Addr:                  mini.Addr(),
		DialTimeout:           time.Second,
		ReadTimeout:           500 * time.Millisecond,
		WriteTimeout:          500 * time.Millisecond,
		PoolTimeout:           time.Second,
		MaxRetries:            1,
		ContextTimeoutEnabled: true,
	})
	defer rdb.Close()

	mw := idempotency.New(redisstore.New(rdb), idempotency.Config{Consumer: "orders"})
	charge := mw.Wrap(holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
		fmt.Println("charged", m.Body)
		return nil
	}))
	for range 2 { // SQS delivers the message twice
		fmt.Println(charge.Handle(context.Background(), &holdfast.Message{ID: "m-1", Body: "order 17"}))
	}
	// Output:
	// charged order 17
	// <nil>
	// <nil>
}
