package main

import (
	"context"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/internal/bench/stub"
)

// runHoldfast is the runtime's side of the comparison: the default configuration
// but for the number of handlers.
func runHoldfast(ctx context.Context, target *stub.Process, handle func()) error {
	c, err := consumer.New(newPlainClient(target.URL), target.QueueURL(), holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error {
		handle()
		return nil
	}), consumer.Config{Concurrency: concurrency})
	if err != nil {
		return err
	}
	return c.Run(ctx)
}
