package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/producer"
)

var (
	errNoSuchArticle = errors.New("no such article")
	errCardService   = errors.New("card service does not answer")
)

// newWorkers makes a consumer for each queue. Only billing has trouble.
func newWorkers(b *backend, t fanout.Topology, books []*book, logger *slog.Logger) ([]holdfast.Runner, error) {
	handlers := []holdfast.Handler{
		holdfast.JSON(func(ctx context.Context, o order) error { return bill(ctx, o, books[0]) }),
		holdfast.JSON(func(ctx context.Context, o order) error { return books[1].did(ctx, o.ID, o.Quantity) }),
		// Audit takes what was published as it is, also what is no order.
		holdfast.HandlerFunc(func(ctx context.Context, m *holdfast.Message) error {
			return books[2].did(ctx, refOf(m.Body), 0)
		}),
	}
	var out []holdfast.Runner
	for i, q := range t.Queues {
		once := idempotency.New(redisstore.New(b.rdb), idempotency.Config{
			Consumer: q.Name, KeyAttribute: producer.KeyAttribute,
			MissingKey: idempotency.DeriveKey, // what has no id is no order: it shall run, and fail to decode
		})
		c, err := consumer.New(b.sqs, q.Name, handlers[i], consumer.Config{
			Middleware:  []holdfast.Middleware{once},
			Concurrency: 8, // the Redis in the process is a small one
			// Only what comes from our topic is unwrapped.
			Topics: []string{b.topicARN(t)},
			// So short that a run takes seconds; leave both in production.
			Visibility: 3 * time.Second, BackoffBase: time.Second, BackoffMax: time.Second,
			Hooks: holdfast.Hooks{Settled: books[i].settled}, Logger: logger,
		})
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// bill charges an order, or fails as its trouble says.
func bill(ctx context.Context, o order, b *book) error {
	switch tries := b.try(o.ID); {
	case o.Trouble == "refused":
		return holdfast.Permanent(errNoSuchArticle)
	case o.Trouble == "always-fails", o.Trouble == "fails-twice" && tries <= 2:
		return errCardService
	}
	return b.did(ctx, o.ID, int(o.Cents))
}
