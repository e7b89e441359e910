package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

// A message that comes twice has its effect once. In a program the middleware
// goes into consumer.Config.Middleware, with a store on Redis.
func Example() {
	mw := idempotency.New(idempotency.NewMemoryStore(), idempotency.Config{
		Consumer:     "orders",
		KeyAttribute: "idempotency-key",
	})
	charge := mw.Wrap(holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
		fmt.Println("charged", m.Body)
		return nil
	}))

	attributes := map[string]holdfast.Attribute{"idempotency-key": {Type: "String", String: "order-17"}}
	for _, id := range []string{"first delivery", "sent again by the producer"} {
		err := charge.Handle(context.Background(), &holdfast.Message{ID: id, Body: "order 17", Attributes: attributes})
		fmt.Println(id+":", err)
	}
	// Output:
	// charged order 17
	// first delivery: <nil>
	// sent again by the producer: <nil>
}

// Each worker has a middleware of its own; the store and Config.Consumer they share. What
// names the work is its order, by whatever message it comes.
func ExampleNew() {
	store := idempotency.NewMemoryStore() // redisstore.New(rdb) where there is more than one process
	worker := func(name string) holdfast.Handler {
		mw := idempotency.New(store, idempotency.Config{
			Consumer: "shipping",
			Key:      func(m *holdfast.Message) (string, error) { return m.Attr("order"), nil },
		})
		return mw.Wrap(holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error {
			fmt.Println(name, "ships")
			return nil
		}))
	}
	order := map[string]holdfast.Attribute{"order": {Type: "String", String: "17"}}
	fmt.Println(worker("A").Handle(context.Background(), &holdfast.Message{ID: "m-1", Attributes: order}))
	fmt.Println(worker("B").Handle(context.Background(), &holdfast.Message{ID: "m-2", Attributes: order}))
	// Output:
	// A ships
	// <nil>
	// <nil>
}

// A deploy check: what consumer.Consumer.Run would end with, or warn of, at its start.
func ExampleCheck() {
	findings, err := idempotency.Check(context.Background(), idempotency.NewMemoryStore(), idempotency.Config{
		Consumer:     "orders",
		KeyAttribute: "order-id",
		DoneTTL:      24 * time.Hour,
	}, holdfast.Queue{
		Name: "orders", Retention: 4 * 24 * time.Hour, MaxReceiveCount: 20,
		DeadLetterARN: "arn:aws:sqs:eu-central-1:123456789012:orders-dlq",
	})
	for _, f := range findings {
		fmt.Printf("%v %s: %s\n", f.Severity, f.Name, f.Advice)
	}
	fmt.Println(err)
	// Output:
	// error done-ttl: Set DoneTTL to 529h0m0s or leave it 0; if that takes too much memory, set PostDeleteTTL as well
	// <nil>
}

// What the store knows of the work of a message, by the key that the middleware gives it.
func ExampleInspect() {
	ctx := context.Background()
	store := idempotency.NewMemoryStore()
	mw := idempotency.New(store, idempotency.Config{Consumer: "orders", KeyAttribute: "order-id"})
	m := &holdfast.Message{ID: "m-1", Attributes: map[string]holdfast.Attribute{"order-id": {Type: "String", String: "17"}}}
	key, err := mw.KeyOf(m)
	if err != nil {
		fmt.Println(err)
		return
	}
	tell := func() {
		s, err := idempotency.Inspect(ctx, store, key)
		fmt.Println("completed:", s.State == idempotency.StateCompleted, "attempts:", s.Attempts, err)
	}
	tell()
	_ = mw.Wrap(holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error { return nil })).Handle(ctx, m)
	tell()
	// Output:
	// completed: false attempts: 0 <nil>
	// completed: true attempts: 1 <nil>
}

// Work that is to be done once more, such as an order that was shipped to nowhere. The
// worker here keeps no memory of its own of what is done (LocalDone), so it asks.
func ExampleForget() {
	ctx := context.Background()
	store := idempotency.NewMemoryStore()
	mw := idempotency.New(store, idempotency.Config{Consumer: "orders", LocalDone: -1})
	ship := mw.Wrap(holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error {
		fmt.Println("shipped")
		return nil
	}))
	m := &holdfast.Message{ID: "m-1", Body: "order 17"}
	_ = ship.Handle(ctx, m)
	_ = ship.Handle(ctx, m) // a duplicate

	key, _ := mw.KeyOf(m)
	fmt.Println(idempotency.Forget(ctx, store, key))
	_ = ship.Handle(ctx, m)
	// Output:
	// shipped
	// true <nil>
	// shipped
}

// A handler gives its fence to the system that it changes, which refuses a smaller
// one than it has seen: a process that was frozen and overtaken does no harm.
func ExampleFromContext() {
	mw := idempotency.New(idempotency.NewMemoryStore(), idempotency.Config{Consumer: "orders"})
	handler := mw.Wrap(holdfast.HandlerFunc(func(ctx context.Context, m *holdfast.Message) error {
		claim, _ := idempotency.FromContext(ctx)
		// UPDATE orders SET state = 'paid', fence = $1 WHERE id = $2 AND fence < $1
		fmt.Println("attempt", claim.Attempt, "may be partially done:", claim.Partial, "fenced:", claim.Fence > 0)
		if claim.Attempt == 1 {
			return errors.New("the database went away in the middle")
		}
		return nil
	}))
	m := &holdfast.Message{ID: "m-1", Body: "order 17"}
	fmt.Println(handler.Handle(context.Background(), m))
	fmt.Println(handler.Handle(context.Background(), m))
	// Output:
	// attempt 1 may be partially done: false fenced: true
	// the database went away in the middle
	// attempt 2 may be partially done: true fenced: true
	// <nil>
}

// Wrong settings are all told at once, before anything is received.
func ExampleMiddleware_Validate() {
	mw := idempotency.New(idempotency.NewMemoryStore(), idempotency.Config{
		Consumer: "orders:eu",
		DoneTTL:  time.Second,
	})
	fmt.Println(mw.Validate())
	// Output:
	// idempotency: Config.Consumer is "orders:eu", must be 1 to 64 letters, digits, '.', '_' and '-'
	// idempotency: Config.DoneTTL is 1s, must be 0 or at least 1m
}

// A store is used directly where something else than a message needs a claim.
func ExampleMemoryStore() {
	ctx := context.Background()
	store := idempotency.NewMemoryStore()
	request := idempotency.ClaimRequest{
		Key: "nightly-report", Token: "worker-1",
		Lease: 24 * time.Second, Hard: 12 * time.Hour, TTL: 96 * time.Hour,
	}
	mine, _ := store.Claim(ctx, request)
	fmt.Println(mine.Class, mine.Claimed())

	request.Token = "worker-2"
	other, _ := store.Claim(ctx, request)
	fmt.Println(other.Class, other.Claimed())

	store.Complete(ctx, idempotency.CompleteRequest{
		Key: "nightly-report", Token: "worker-1", Fence: mine.Fence, Attempts: mine.Attempts, TTL: 96 * time.Hour,
	})
	other, _ = store.Claim(ctx, request)
	fmt.Println(other.Class)
	// Output:
	// new true
	// busy false
	// done
}

func ExampleParseRecord() {
	r, err := idempotency.ParseRecord("1|C|1790000000000001|2|0|0|token|hash|life")
	fmt.Printf("%c fence %d after %d attempts, %v\n", r.State, r.Fence, r.Attempts, err)
	_, err = idempotency.ParseRecord("2|from a newer worker")
	fmt.Println(err)
	// Output:
	// C fence 1790000000000001 after 2 attempts, <nil>
	// idempotency: record cannot be read: its version is not 1
}
