package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/internal/bench/stub"
)

// side is one of the two that are compared: it runs a consumer on the stub's
// queue that calls handle for every message, until ctx is cancelled and what it
// holds is settled.
type side func(ctx context.Context, target *stub.Process, handle func()) error

// workload is what a trial runs.
type workload struct {
	name     string
	latency  time.Duration // of each request
	work     time.Duration // of each handler
	messages int64
}

// cost is what one trial measured, per message of its window.
type cost struct {
	cpu      float64 // microseconds, user and system
	allocs   float64
	requests float64
	rate     float64 // messages per second
}

// The window of a trial is the part of its messages in which both sides are in
// a steady state: warm connections and as many pollers as they want to have
// before it, a queue that is not yet empty behind it.
const (
	windowStart = 0.25
	windowEnd   = 0.92
)

// patience bounds a trial.
const patience = 30 * time.Second

// sample is the state of everything measured at one moment.
type sample struct {
	at       time.Time
	cpu      time.Duration
	mallocs  uint64
	handled  int64
	requests uint64
}

// measure runs one trial. It fails where the side fails or does not delete each
// message exactly once: what is fast because it loses messages is not measured.
func measure(ctx context.Context, target *stub.Process, run side, w workload) (cost, error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if err := target.Reset(ctx, stub.Settings{Latency: w.latency, Budget: w.messages}); err != nil {
		return cost{}, err
	}
	runtime.GC()

	var handled atomic.Int64
	first, last := int64(float64(w.messages)*windowStart), int64(float64(w.messages)*windowEnd)
	started, ended := make(chan struct{}), make(chan struct{})
	handle := func() {
		if w.work > 0 {
			time.Sleep(w.work)
		}
		switch handled.Add(1) {
		case first:
			close(started)
		case last:
			close(ended)
		}
	}
	runCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- run(runCtx, target, handle) }()

	take := func(edge <-chan struct{}) (sample, error) {
		select {
		case <-edge:
			return takeSample(ctx, target, &handled)
		case err := <-done:
			done <- nil
			return sample{}, errors.Join(fmt.Errorf("the loop ended after %d of %d messages", handled.Load(), w.messages), err)
		case <-ctx.Done():
			return sample{}, fmt.Errorf("%d of %d messages after %s", handled.Load(), w.messages, patience)
		}
	}
	a, err := take(started)
	var b sample
	if err == nil {
		b, err = take(ended)
	}
	if err == nil {
		err = awaitDeletes(ctx, target, w.messages)
	}
	cancel()
	if err = errors.Join(err, <-done); err != nil {
		return cost{}, err
	}
	end, err := target.Counts(ctx)
	if err != nil {
		return cost{}, err
	}
	if h := handled.Load(); h != w.messages || end.Deleted != uint64(w.messages) {
		return cost{}, fmt.Errorf("of %d messages %d were handled and %d deleted", w.messages, h, end.Deleted)
	}
	return between(a, b), nil
}

// awaitDeletes waits until the stub has seen n deletes.
func awaitDeletes(ctx context.Context, target *stub.Process, n int64) error {
	for {
		c, err := target.Counts(ctx)
		if err != nil || c.Deleted >= uint64(n) {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages were deleted after %s", c.Deleted, n, patience)
		}
	}
}

func takeSample(ctx context.Context, target *stub.Process, handled *atomic.Int64) (s sample, err error) {
	c, err := target.Counts(ctx)
	if err != nil {
		return s, err
	}
	s.handled = handled.Load()
	s.requests = c.Requests()
	s.at = time.Now()
	if s.cpu, err = cpuTime(); err != nil {
		return s, err
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	s.mallocs = mem.Mallocs
	return s, nil
}

// between is the cost per message from sample a to sample b.
func between(a, b sample) cost {
	n := float64(b.handled - a.handled)
	return cost{
		cpu:      float64((b.cpu - a.cpu).Nanoseconds()) / 1e3 / n,
		allocs:   float64(b.mallocs-a.mallocs) / n,
		requests: float64(b.requests-a.requests) / n,
		rate:     n / b.at.Sub(a.at).Seconds(),
	}
}
