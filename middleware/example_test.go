package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/middleware"
)

func ExampleLogging() {
	// Times are left out here because they differ from run to run.
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.TimeKey, "age", "took":
				return slog.Attr{}
			}
			return a
		},
	}))
	charge := holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error {
		return errors.New("card service is down")
	})
	h := holdfast.Chain(charge, middleware.Logging(logger))

	m := &holdfast.Message{ID: "7c9f", Attempt: 2, Queue: holdfast.Queue{Name: "orders"}}
	_ = h.Handle(context.Background(), m)
	// Output:
	// level=WARN msg="message handled" id=7c9f queue=orders attempt=2 outcome=retried error="card service is down"
}

func ExampleTimeout() {
	charge := holdfast.HandlerFunc(func(ctx context.Context, _ *holdfast.Message) error {
		<-ctx.Done() // a call that does not come back
		return ctx.Err()
	})
	h := holdfast.Chain(charge, middleware.Timeout(10*time.Millisecond))

	err := h.Handle(context.Background(), &holdfast.Message{})
	fmt.Println(err)
	fmt.Println(errors.Is(err, holdfast.ErrHandlerTimeout))
	// Output:
	// middleware: Timeout: handler ran longer than 10ms: holdfast: handler timeout: context deadline exceeded
	// true
}
