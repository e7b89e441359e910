package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/middleware"
)

// orderID is the message attribute that carries the order's id: what makes two
// messages the same work.
const orderID = "order-id"

// The demo's own pace. In production leave Visibility and the backoff to their
// defaults: these are so short that a run of a few seconds shows a hold extended
// and messages retried.
const (
	demoVisibility = 2 * time.Second
	demoBackoff    = time.Second
)

// handler has what the function that handles orders needs.
type handler struct{ shop *shop }

// fulfil is that function. The fence says which run of the order is the latest;
// the shop refuses what comes from one that was overtaken.
func (h handler) fulfil(ctx context.Context, o Order) error {
	claim, _ := idempotency.FromContext(ctx)
	err := h.shop.charge(ctx, o, claim.Fence)
	if errors.Is(err, errNoSuchArticle) {
		return holdfast.Permanent(err) // to the dead-letter queue, without a retry
	}
	return err // nil: done; else tried again
}

// newWorker puts the function behind the queue.
func newWorker(client consumer.SQSAPI, queue string, rdb redis.UniversalClient, s *shop, cfg workerConfig) (*consumer.Consumer, error) {
	once := idempotency.New(redisstore.New(rdb), idempotency.Config{
		Consumer:     queue,
		KeyAttribute: orderID,
		// What has no id is no order: it shall run, fail to decode and be
		// dead-lettered for that.
		MissingKey: idempotency.DeriveKey,
	})
	return consumer.New(client, queue, holdfast.JSON(handler{s}.fulfil), consumer.Config{
		Middleware: []holdfast.Middleware{
			middleware.Logging(cfg.logger),
			once,
			middleware.Timeout(20 * time.Second),
		},
		Concurrency: cfg.workers,
		Visibility:  demoVisibility,
		BackoffBase: demoBackoff,
		BackoffMax:  demoBackoff,
		Hooks:       cfg.hooks,
		Logger:      cfg.logger,
	})
}

type workerConfig struct {
	workers int
	hooks   holdfast.Hooks
	logger  *slog.Logger
}
