package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast"
)

// Order is what the producers of these examples send.
type Order struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

func ExampleJSON() {
	h := holdfast.JSON(func(_ context.Context, o Order) error {
		fmt.Printf("order %s costs %d cents\n", o.ID, o.Cents)
		return nil
	})
	fmt.Println(h.Handle(context.Background(), &holdfast.Message{Body: `{"id":"o-1","cents":250}`}))
	fmt.Println(h.Handle(context.Background(), &holdfast.Message{Body: `{"id":"o-2","cents":"2.50"}`}) != nil)
	// Output:
	// order o-1 costs 250 cents
	// <nil>
	// true
}

func ExampleChain() {
	greet := holdfast.MiddlewareFunc(func(next holdfast.Handler) holdfast.Handler {
		return holdfast.HandlerFunc(func(ctx context.Context, m *holdfast.Message) error {
			fmt.Println("before", m.ID)
			err := next.Handle(ctx, m)
			fmt.Println("after", m.ID)
			return err
		})
	})
	handler := holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
		fmt.Println("handling", m.ID)
		return nil
	})
	_ = holdfast.Chain(handler, greet).Handle(context.Background(), &holdfast.Message{ID: "m-1"})
	// Output:
	// before m-1
	// handling m-1
	// after m-1
}

func ExampleMux() {
	mux := holdfast.NewMux("kind").
		MustRoute("order-paid", holdfast.JSON(func(_ context.Context, o Order) error {
			fmt.Println("ship", o.ID)
			return nil
		})).
		Otherwise(holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
			return holdfast.Discard(fmt.Errorf("%q is not for us", m.Attr("kind")))
		}))

	for _, kind := range []string{"order-paid", "order-viewed"} {
		err := mux.Handle(context.Background(), &holdfast.Message{
			Body:       `{"id":"o-1"}`,
			Attributes: map[string]holdfast.Attribute{"kind": {Type: "String", String: kind}},
		})
		fmt.Println(err)
	}
	// Output:
	// ship o-1
	// <nil>
	// discard: "order-viewed" is not for us
}

func ExampleNewMuxFunc() {
	mux := holdfast.NewMuxFunc(func(m *holdfast.Message) string { return m.Topic.ARN })
	err := mux.Handle(context.Background(), &holdfast.Message{Topic: holdfast.Topic{ARN: "arn:aws:sns:eu-west-1:1:refunds"}})
	fmt.Println(err)
	// Output: no handler for route "arn:aws:sns:eu-west-1:1:refunds"
}

func ExamplePermanent() {
	charge := holdfast.JSON(func(_ context.Context, o Order) error {
		if o.Cents < 0 {
			return holdfast.Permanent(fmt.Errorf("order %s costs %d cents", o.ID, o.Cents))
		}
		return nil
	})
	fmt.Println(charge.Handle(context.Background(), &holdfast.Message{Body: `{"id":"o-1","cents":-1}`}))
	// Output: permanent: order o-1 costs -1 cents
}

func ExampleRetryAfter() {
	fmt.Println(holdfast.RetryAfter(90*time.Second, errors.New("card service asks for a pause")))
	// Output: retry after 1m30s: card service asks for a pause
}

func ExampleDiscard() {
	fmt.Println(holdfast.Discard(errors.New("the customer has left")))
	// Output: discard: the customer has left
}

func ExamplePark() {
	ready := make(chan struct{})
	err := holdfast.Park(ready, holdfast.RetryAfter(time.Minute, errors.New("warehouse is closed")))
	fmt.Println(err)
	// Output: parked, else retry after 1m0s: warehouse is closed
}

func ExampleVerb() {
	err := fmt.Errorf("charge: %w", holdfast.RetryAfter(time.Minute, holdfast.Permanent(errors.New("card expired"))))
	_, retried := holdfast.Verb(err).(*holdfast.RetryAfterError)
	fmt.Println(retried)
	// Output: true
}

func ExampleMessageFrom() {
	h := holdfast.JSON(func(ctx context.Context, o Order) error {
		m, ok := holdfast.MessageFrom(ctx)
		fmt.Println(o.ID, m.Attempt, ok)
		return nil
	})
	m := &holdfast.Message{Body: `{"id":"o-1"}`, Attempt: 2}
	_ = h.Handle(holdfast.NewContext(context.Background(), m, nil), m)
	// Output: o-1 2 true
}

func ExampleLeaseFrom() {
	h := holdfast.HandlerFunc(func(ctx context.Context, _ *holdfast.Message) error {
		if l, ok := holdfast.LeaseFrom(ctx); ok {
			fmt.Println("held until", l.Deadline().UTC())
		}
		return nil
	})
	// A consumer makes such a context for each run.
	m := &holdfast.Message{}
	_ = h.Handle(holdfast.NewContext(context.Background(), m, &lease{}), m)
	// Output: held until 1970-01-01 00:00:30 +0000 UTC
}

func ExampleOutcome() {
	hooks := holdfast.Hooks{
		Settled: func(e holdfast.SettledEvent) { fmt.Println(e.Message.ID, e.Outcome) },
	}
	// A consumer calls them.
	hooks.Settled(holdfast.SettledEvent{Message: &holdfast.Message{ID: "m-1"}, Outcome: holdfast.Retried})
	// Output: m-1 retried
}

// clock is a runner that ends by itself.
type clock struct{ name string }

func (c clock) Run(context.Context) error {
	if c.name == "" {
		return errors.New("clock has no name")
	}
	return nil
}

func ExampleRun() {
	fmt.Println(holdfast.Run(context.Background(), clock{"orders"}, clock{"refunds"}))
	fmt.Println(holdfast.Run(context.Background(), clock{"orders"}, clock{}))
	// Output:
	// <nil>
	// runner 1: clock has no name
}
