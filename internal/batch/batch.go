// Package batch gathers single items into flushes.
//
// One Batcher serves every call of the SDK that takes ten entries: deletes,
// visibility changes, sends. It flushes when a flush is full, when the oldest
// item has lingered long enough, or when it is told to; while all its workers are
// busy, items gather and share the next flush. Nothing runs while it is idle.
package batch

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Config of a Batcher.
type Config[T any] struct {
	// Size is the most items per flush; below 1 there is no bound.
	Size int
	// Bytes is the most that the items of a flush weigh together; below 1 there
	// is no bound. An item that alone weighs more is flushed alone, because only
	// the receiver can refuse it.
	Bytes int
	// Weigh tells the bytes of an item. It is called once per item, by Add. Nil
	// where Bytes is 0.
	Weigh func(T) int
	// Linger is the longest that an item waits for company while a worker is
	// free; below 1 it is flushed as soon as a worker is free.
	Linger time.Duration
	// Workers is the most flushes at once; below 1 it is one. With one worker
	// items are flushed in the order of Add.
	Workers int
	// Flush takes items away. It is called from up to Workers goroutines, must
	// not keep the slice, and must not panic.
	Flush func(items []T)
}

// Batcher gathers items into flushes. Make one with New; its methods are safe for
// concurrent use, also from within Flush (except Wait and Close, which would wait
// for themselves).
type Batcher[T any] struct {
	cfg  Config[T]
	base time.Time // arrivals are told relative to it: smaller than a time.Time

	mu       sync.Mutex // guards all below
	queue    []entry[T] // waiting items are queue[head:]
	head     int
	bytes    int // weight of the waiting items
	urgent   int // this many waiting items do not linger any more
	flushing int // items in flushes under way
	workers  int // goroutines alive
	starting bool
	warm     []chan bool // workers that wait for something to be ready
	rest     *time.Timer // sends them home
	cooling  bool        // rest is set
	lastRest time.Time   // when nothing was pending any more
	timer    *time.Timer
	armed    bool
	closed   bool
	idle     chan struct{} // closed when nothing is pending; nil when nobody waits
}

type entry[T any] struct {
	item   T
	weight int
	at     time.Duration
}

// New returns a Batcher.
func New[T any](cfg Config[T]) *Batcher[T] {
	cfg.Workers = max(cfg.Workers, 1)
	return &Batcher[T]{cfg: cfg, base: time.Now()}
}

// Add takes an item. It never blocks: what is pending is bounded by the caller.
// After Close it still takes items and does not let them linger, because an
// acknowledgement that comes late is better flushed than lost.
func (b *Batcher[T]) Add(item T) {
	e := entry[T]{item: item}
	if b.cfg.Bytes > 0 {
		e.weight = b.cfg.Weigh(item)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	e.at = now
	b.push(e)
	b.kick(now)
}

// FlushNow ends the lingering of what is pending now.
func (b *Batcher[T]) FlushNow() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.urgent = b.waiting()
	b.kick(b.now())
}

// Pending is the number of items that wait or are in a flush under way.
func (b *Batcher[T]) Pending() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting() + b.flushing
}

// Wait waits until nothing is pending. It hurries nothing: call FlushNow first
// where items linger. When ctx ends before, the error says how many items were
// still pending and wraps the cause of ctx.
func (b *Batcher[T]) Wait(ctx context.Context) error {
	b.mu.Lock()
	pending := b.waiting() + b.flushing
	if pending == 0 {
		b.mu.Unlock()
		return nil
	}
	if b.idle == nil {
		b.idle = make(chan struct{})
	}
	idle := b.idle
	b.mu.Unlock()

	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("batch: %d items not flushed: %w", b.Pending(), context.Cause(ctx))
	}
}

// Close ends all lingering, of items to come too, and waits as Wait does. Flushes
// under way are not cut when ctx ends: their own calls must have a time limit.
func (b *Batcher[T]) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	b.kick(b.now())
	if b.waiting()+b.flushing == 0 {
		b.sendHome()
	}
	b.mu.Unlock()
	return b.Wait(ctx)
}

func (b *Batcher[T]) waiting() int { return len(b.queue) - b.head }

// now is the time since base; without linger nobody needs it, so it is not read.
func (b *Batcher[T]) now() time.Duration {
	if b.cfg.Linger <= 0 {
		return 0
	}
	return time.Since(b.base)
}

// ready tells whether the items at the head should be flushed now.
func (b *Batcher[T]) ready(now time.Duration) bool {
	n := b.waiting()
	switch {
	case n == 0:
		return false
	case b.cfg.Linger <= 0, b.closed, b.urgent > 0:
		return true
	case b.cfg.Size > 0 && n >= b.cfg.Size, b.cfg.Bytes > 0 && b.bytes >= b.cfg.Bytes:
		return true
	}
	return now-b.queue[b.head].at >= b.cfg.Linger
}

// kick sees to it that somebody will flush what is pending: a worker where it is
// ready, else the timer. Workers start one after the other, each when the one
// before has taken its items: what arrives meanwhile shares a flush.
func (b *Batcher[T]) kick(now time.Duration) {
	if !b.ready(now) {
		b.arm(now)
		return
	}
	if b.starting {
		return
	}
	if n := len(b.warm); n > 0 {
		b.starting = true
		b.warm[n-1] <- true
		b.warm = b.warm[:n-1]
		return
	}
	if b.workers < b.cfg.Workers {
		b.starting = true
		b.workers++
		go b.work()
	}
}

func (b *Batcher[T]) arm(now time.Duration) {
	if b.armed || b.waiting() == 0 {
		return
	}
	b.armed = true
	wait := b.queue[b.head].at + b.cfg.Linger - now
	if b.timer == nil {
		b.timer = time.AfterFunc(wait, b.ring)
		return
	}
	b.timer.Reset(wait)
}

// ring is called by the timer. The item it was set for may be flushed already;
// then kick sets it for the oldest that waits now, if any does.
func (b *Batcher[T]) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed = false
	b.kick(b.now())
}

// warmFor is how long workers stay when nothing is pending any more.
const warmFor = time.Second

// work flushes what is ready and then waits for kick: a goroutine made anew for
// each flush would grow its stack anew through all of the SDK. It ends a while
// after the last item, so that nobody waits for a Batcher that is not used any
// more.
func (b *Batcher[T]) work() {
	var buf []T
	again := make(chan bool, 1) // true: there is work; false: go
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.starting = false; ; {
		for now := b.now(); b.ready(now); now = b.now() {
			buf = b.take(buf)
			b.kick(now)
			b.mu.Unlock()
			b.cfg.Flush(buf)
			b.mu.Lock()
			b.flushing -= len(buf)
			clear(buf) // what was flushed must not be kept alive by an idle buffer
			buf = buf[:0]
		}
		b.warm = append(b.warm, again)
		if b.waiting()+b.flushing == 0 {
			b.rested()
		}
		b.mu.Unlock()
		more := <-again
		b.mu.Lock()
		if !more {
			return // counted out already
		}
		b.starting = false
	}
}

// rested is called when nothing is pending any more.
func (b *Batcher[T]) rested() {
	if b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
	b.lastRest = time.Now()
	switch {
	case b.closed:
		b.sendHome()
	case b.rest == nil:
		b.rest = time.AfterFunc(warmFor, b.cool)
	case !b.cooling:
		b.rest.Reset(warmFor)
	}
	b.cooling = true
}

// cool ends the workers when nothing was pending for a while.
func (b *Batcher[T]) cool() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cooling = false
	if b.waiting()+b.flushing > 0 {
		return
	}
	if left := warmFor - time.Since(b.lastRest); left > 0 {
		b.cooling = true
		b.rest.Reset(left)
		return
	}
	b.sendHome()
}

func (b *Batcher[T]) sendHome() {
	for _, w := range b.warm {
		w <- false
	}
	b.workers -= len(b.warm)
	b.warm = b.warm[:0]
}

// take moves the items of one flush into buf.
func (b *Batcher[T]) take(buf []T) []T {
	n, weight := 0, 0
	for _, e := range b.queue[b.head:] {
		if b.cfg.Size > 0 && n == b.cfg.Size {
			break
		}
		if b.cfg.Bytes > 0 && n > 0 && weight+e.weight > b.cfg.Bytes {
			break
		}
		buf = append(buf, e.item)
		n, weight = n+1, weight+e.weight
	}
	clear(b.queue[b.head : b.head+n])
	b.head += n
	b.bytes -= weight
	b.urgent = max(b.urgent-n, 0)
	b.flushing += n
	if b.head == len(b.queue) {
		b.queue, b.head = b.queue[:0], 0
	}
	return buf
}

// push appends, into the room that takes left at the front where half is free.
func (b *Batcher[T]) push(e entry[T]) {
	if len(b.queue) == cap(b.queue) && b.head > len(b.queue)/2 {
		n := copy(b.queue, b.queue[b.head:])
		clear(b.queue[n:])
		b.queue, b.head = b.queue[:n], 0
	}
	b.queue = append(b.queue, e)
	b.bytes += e.weight
}
