package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast"
)

// job sends the orders and waits until the queue is drained. It runs beside the
// worker, and ends the program when it returns.
type job struct {
	client   sender
	queueURL string
	lines    []line
	drain    *drain
	timeout  time.Duration
	progress func() // shows how far it is
}

// Run implements holdfast.Runner.
func (j *job) Run(ctx context.Context) error {
	inner, cancel := context.WithTimeoutCause(ctx, j.timeout, fmt.Errorf("the queue was not drained within %v", j.timeout))
	var showing sync.WaitGroup
	showing.Go(func() { j.show(inner) })
	defer showing.Wait()
	defer cancel()

	err := send(inner, j.client, j.queueURL, j.lines, j.drain.sent)
	if err == nil {
		j.drain.sentAll()
		select {
		case <-j.drain.drained:
			return nil
		case <-inner.Done():
			err = context.Cause(inner)
		}
	}
	if ctx.Err() != nil {
		return nil // it was stopped, and stopped in order
	}
	return err
}

// show shows the progress until ctx ends.
func (j *job) show(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			j.progress()
		case <-ctx.Done():
			return
		}
	}
}

// drain knows when every message that was sent is settled for good: deleted, or
// in the dead-letter queue. It hears so from the worker's hook, because SQS counts
// what is in a queue only approximately, and up to a minute late.
type drain struct {
	drained chan struct{} // closed when it is so

	mu       sync.Mutex // guards all below
	open     map[string]bool
	settled  map[string]bool
	n        int  // sent so far
	complete bool // all are sent
}

func newDrain() *drain {
	return &drain{drained: make(chan struct{}), open: make(map[string]bool), settled: make(map[string]bool)}
}

// sent notes a message by its id. The worker may have settled it already.
func (d *drain) sent(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
	if !d.settled[id] {
		d.open[id] = true
	}
}

func (d *drain) sentAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.complete = true
	d.check()
}

// onSettled is a hook of the worker.
func (d *drain) onSettled(e holdfast.SettledEvent) {
	switch e.Outcome {
	case holdfast.Done, holdfast.Discarded, holdfast.DeadLettered:
	default:
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settled[e.Message.ID] = true
	delete(d.open, e.Message.ID)
	d.check()
}

// check closes drained when it is time. Call with mu held.
func (d *drain) check() {
	if !d.complete || len(d.open) > 0 {
		return
	}
	select {
	case <-d.drained: // a message came once more after the end
	default:
		close(d.drained)
	}
}

// count is how many messages were sent, and how many of them are not settled.
func (d *drain) count() (sent, left int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n, len(d.open)
}

func (d *drain) isDrained() bool {
	select {
	case <-d.drained:
		return true
	default:
		return false
	}
}
