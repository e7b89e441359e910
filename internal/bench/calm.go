package main

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/internal/bench/stub"
)

// calmWork is what a message takes at low load, so that between two calls of the store
// all comes to rest: goroutines, connections, the processor.
const calmWork = 5 * time.Millisecond

// calm is how much longer a message takes with idempotency at low load, at the median
// and in microseconds: the time in the middleware less that in the handler. Before each
// the delete of the one before has time to come to an end.
func (d *dedup) calm(ctx context.Context, target *stub.Process) (float64, error) {
	var took []float64
	side := func(ctx context.Context, target *stub.Process, handle func()) error {
		d.trials++
		once := idempotency.New(redisstore.New(d.rdb), idempotency.Config{Consumer: fmt.Sprintf("bench-%d", d.trials), Key: byID})
		var worked time.Duration // there is one handler
		whole := holdfast.MiddlewareFunc(func(next holdfast.Handler) holdfast.Handler {
			return holdfast.HandlerFunc(func(ctx context.Context, m *holdfast.Message) error {
				time.Sleep(calmWork)
				began := time.Now()
				err := next.Handle(ctx, m)
				took = append(took, float64((time.Since(began)-worked).Nanoseconds())/1e3)
				return err
			})
		})
		c, err := consumer.New(newPlainClient(target.URL), target.QueueURL(), holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error {
			began := time.Now()
			handle()
			worked = time.Since(began)
			return nil
		}), consumer.Config{Concurrency: 1, Middleware: []holdfast.Middleware{whole, once}})
		if err != nil {
			return err
		}
		return c.Run(ctx)
	}
	if _, err := measure(ctx, target, side, d.one); err != nil {
		return 0, err
	}
	return median(took), nil
}

// roundTrip is the median time of one claim by go-redis alone, in microseconds, with
// as much rest before it.
func (d *dedup) roundTrip(ctx context.Context) (float64, error) {
	s, err := d.scripts(ctx)
	if err != nil {
		return 0, err
	}
	times := make([]float64, 200)
	for i := range times {
		time.Sleep(calmWork)
		args := s.with(s.claim, fmt.Sprintf("hf:trip:%d", i), "")
		began := time.Now()
		if err := d.rdb.Do(ctx, args...).Err(); err != nil {
			return 0, err
		}
		times[i] = float64(time.Since(began).Nanoseconds()) / 1e3
	}
	return median(times), nil
}

func byID(m *holdfast.Message) (string, error) { return m.ID, nil }
