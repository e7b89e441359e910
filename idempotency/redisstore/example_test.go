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

// exampleRedis starts a stand-in for a Redis server and returns a client of it with
// the advised options.
func exampleRedis() (rdb *redis.Client, stop func()) {
	mini := miniredis.NewMiniRedis()
	if err := mini.Start(); err != nil {
		panic(err)
	}
	rdb = redis.NewClient(advised(mini.Addr()))
	return rdb, func() {
		rdb.Close()
		mini.Close()
	}
}

// Completions that count only once two replicas have them.
func ExampleNewWithOptions() {
	rdb, stop := exampleRedis()
	defer stop()
	store := redisstore.NewWithOptions(rdb, redisstore.Options{
		Durability: redisstore.Durability{Replicas: 2, Timeout: 100 * time.Millisecond},
	})
	fmt.Println(store.Validate())
	// Output: <nil>
}

// What the store finds wrong with its client and its server, as the middleware
// asks at start. This server does not show its eviction policy.
func ExampleStore_Check() {
	rdb, stop := exampleRedis()
	defer stop()
	findings, err := redisstore.New(rdb).Check(context.Background(), idempotency.CheckRequest{Lease: 24 * time.Second})
	for _, f := range findings {
		fmt.Println(f.Severity, f.Name)
	}
	fmt.Println(err)
	// Output:
	// warning eviction-policy-unknown
	// <nil>
}

// How many round trips the calls took.
func ExampleStore_Stats() {
	rdb, stop := exampleRedis()
	defer stop()
	ctx := context.Background()
	store := redisstore.New(rdb)
	if err := store.Start(ctx, holdfast.Queue{}); err != nil {
		fmt.Println(err)
	}
	if err := store.Probe(ctx); err != nil {
		fmt.Println(err)
	}
	s := store.Stats()
	fmt.Println(s.Ops, "call,", s.RoundTrips, "round trip")
	// Output: 1 call, 1 round trip
}

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
		DialerRetries:         1,
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
