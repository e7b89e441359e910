package redisstore

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxBatch bounds what goes into one pipeline: some 50 KiB, and a millisecond
	// of the server's time.
	maxBatch = 128
	// maxSends is how often one call is sent to one node: again where the node did
	// not know the script, and again where the connection broke.
	maxSends = 3
	// maxHops is how often one call is sent to another node.
	maxHops = 5
	// maxStuck is how many round trips of one lane may hang beyond their time until
	// no more are begun.
	maxStuck = 4
	// soon is within what time a round trip is expected back: those who wait for one
	// that takes longer, or behind it, begin to look at their contexts.
	soon = 50 * time.Millisecond
)

// lane is the way to one node. Calls queue up while a batch is under way, and all
// of them are the next batch: a group commit without any lingering, so that a lone
// call is sent at once and a thousand share a pipeline.
//
// The goroutine that sends lives only while there is something to send.
type lane struct {
	store *Store
	// client is the node's. The lane of last resort has none: it goes through the
	// cluster client, which finds the node by itself.
	client *redis.Client

	mu      sync.Mutex // guards all below
	queue   []*op
	running bool
	late    bool // the round trip under way takes long
	stuck   int  // round trips that were given up and have not come back
}

func (l *lane) add(o *op) {
	l.mu.Lock()
	l.queue = append(l.queue, o)
	if l.late {
		o.linger()
	}
	start := !l.running
	l.running = true
	l.mu.Unlock()
	if start {
		go l.run()
	}
}

// idle reports whether nothing is queued or under way.
func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.running && l.stuck == 0
}

// run sends batch after batch until the queue is empty.
func (l *lane) run() {
	var batch []*op
	for {
		// Workers that were woken together ask together: let them queue up first.
		runtime.Gosched()
		batch = l.next(batch[:0])
		if len(batch) == 0 || !l.fly(batch) {
			return
		}
		clear(batch)
	}
}

// next takes the next batch from the queue. When it is empty the lane comes to rest.
func (l *lane) next(batch []*op) []*op {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := 0
	for _, o := range l.queue {
		if len(batch) == maxBatch {
			break
		}
		taken++
		if !o.abandoned() {
			batch = append(batch, o)
		}
	}
	left := copy(l.queue, l.queue[taken:])
	for _, o := range l.queue[:left] {
		o.linger() // they have waited for one batch and wait for another
	}
	clear(l.queue[left:])
	l.queue = l.queue[:left]
	l.running = len(batch) > 0
	return batch
}

// flight is one batch under way.
type flight struct {
	lane *lane

	mu      sync.Mutex // guards all below, and the answers
	pending []*op      // not answered yet
	late    bool       // it takes long
	givenUp bool
	load    scriptSet // what the next round trip gives the node
	watch   *time.Timer
}

// fly brings one batch to the node and its answers back. It returns false where
// that took longer than the store's timeout: the batch was given up then, and
// another goroutine runs the lane.
func (l *lane) fly(batch []*op) bool {
	l.mu.Lock()
	hung := l.stuck >= maxStuck
	l.mu.Unlock()
	if hung {
		for _, o := range batch {
			o.answer(o.failed(errHung))
		}
		return true
	}
	l.store.stats.batches.Add(1)
	l.store.stats.ops.Add(uint64(len(batch)))

	f := &flight{lane: l, pending: batch}
	ctx, cancel := context.WithTimeout(context.Background(), l.store.opts.Timeout)
	defer cancel()
	f.mu.Lock()
	f.watch = time.AfterFunc(min(soon, l.store.opts.Timeout/2), f.takesLong)
	f.mu.Unlock()
	for f.trip(ctx) {
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch.Stop()
	if f.givenUp || f.late {
		l.mu.Lock()
		if f.givenUp {
			l.stuck--
		} else {
			l.late = false
		}
		l.mu.Unlock()
	}
	return !f.givenUp
}

// takesLong has those who wait for the round trip, and for those behind it, look at
// their contexts.
func (f *flight) takesLong() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) == 0 {
		return // it is back
	}
	f.late = true
	for _, o := range f.pending {
		o.linger()
	}
	l := f.lane
	l.mu.Lock()
	l.late = true
	for _, o := range l.queue {
		o.linger()
	}
	l.mu.Unlock()
	// A client that heeds its context comes back by itself.
	f.watch = time.AfterFunc(l.store.opts.Timeout*9/8-min(soon, l.store.opts.Timeout/2), f.giveUp)
}

// giveUp answers for a round trip that does not come back, as with a client that
// does not heed its context. The calls may be applied yet; their tokens make it
// harmless to repeat them.
func (f *flight) giveUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) == 0 {
		return // it is back
	}
	f.givenUp = true
	for _, o := range f.pending {
		o.stuck = true
		o.answer(o.failed(errGivenUp))
	}
	f.pending = nil
	l := f.lane
	l.store.stats.givenUp.Add(1)
	l.mu.Lock()
	l.stuck++
	l.late = false
	l.mu.Unlock()
	go l.run()
}

// trip makes one round trip with what is pending and takes in the answers. It
// returns whether another one is needed.
func (f *flight) trip(ctx context.Context) (again bool) {
	// Nobody else touches pending while a trip is under way, but for giveUp.
	f.mu.Lock()
	pending, load := f.pending, f.load
	f.load = 0
	f.mu.Unlock()
	if len(pending) == 0 {
		return false
	}
	waited := f.lane.exec(ctx, pending, load)

	f.mu.Lock()
	defer f.mu.Unlock()
	if f.givenUp {
		return false
	}
	left := pending[:0]
	for _, o := range pending {
		switch err := o.Err(); {
		case err == nil && o.durable && !waited:
			o.answer(o.failed(errNotReplicated))
		case err == nil:
			o.answer(nil)
		case f.lane.store.elsewhere(f.lane, o, err):
		case f.again(ctx, o, err):
			left = append(left, o)
		default:
			o.answer(o.failed(classify(err)))
		}
	}
	f.pending = left
	return len(left) > 0
}

// again reports whether a call that failed is to be sent to the same node once
// more. f.mu is held.
func (f *flight) again(ctx context.Context, o *op, err error) bool {
	if o.sends >= maxSends || ctx.Err() != nil || o.abandoned() {
		return false
	}
	switch {
	case redis.HasErrorPrefix(err, "NOSCRIPT"):
		// After a restart, a failover, or without Start. go-redis's own remedy does
		// not work in pipelines.
		f.load |= o.script.bit()
	case brokenConn(err):
		// The connection was closed under us, as by a restart: the pool has, or
		// makes, another. The whole batch broke, so what waits for replicas is
		// repeated on the same connection as its WAIT.
	default:
		return false
	}
	f.lane.store.stats.resent.Add(1)
	return true
}
