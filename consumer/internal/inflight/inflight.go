// Package inflight finds out whether receives bring nothing because the queue is at the
// limit of messages in flight: a long poll is then answered not with an error but with
// nothing.
package inflight

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// near is how many messages in flight count as the limit of SQS, which is about
	// 120,000 [SQS quotas].
	near = 100_000
	// every is how often an empty receive is looked into.
	every = 5 * time.Minute
)

// Watch looks into empty receives now and then. Make one with New; its methods are safe
// for concurrent use.
type Watch struct {
	depth func(context.Context) (visible, inFlight int, err error)
	tell  func(error)

	mu     sync.Mutex // guards all below, and the order of what is told
	looked time.Time
	at     bool // as was told
}

// New returns a Watch that looks for the first time a while after now. depth counts the
// queue's messages; tell is told an error at the limit and nil where that is over, by one
// goroutine at a time.
func New(now time.Time, depth func(context.Context) (visible, inFlight int, err error), tell func(error)) *Watch {
	return &Watch{depth: depth, tell: tell, looked: now}
}

// Received looks into a receive that brought got messages.
func (w *Watch) Received(ctx context.Context, got int, now time.Time) {
	w.mu.Lock()
	due := got == 0 && (w.at || now.Sub(w.looked) >= every)
	if due {
		w.looked = now
	}
	if w.at && got > 0 {
		w.note(nil)
	}
	w.mu.Unlock()
	if !due {
		return
	}
	visible, inFlight, err := w.depth(ctx)
	if err != nil {
		return // the next empty receive looks again
	}
	if visible > 0 && inFlight >= near {
		err = fmt.Errorf("%d messages are visible but receives bring none, with %d in flight: SQS hands out no more at its limit of about 120,000; find the consumer that holds them", visible, inFlight)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(err)
}

// note tells what was found. Call with mu held.
func (w *Watch) note(err error) {
	w.at = err != nil
	w.tell(err)
}
