//go:build unix

package main

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"
)

// between draws a duration.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least+1)))
}

// killWorkers kills one worker after another and starts a new one in its place.
func (c *campaign) killWorkers(ctx context.Context, r *rand.Rand) {
	for pause(ctx, c.plan.kills) == nil {
		slot, w := c.hold(r, "")
		if w == nil {
			continue
		}
		c.mu.Lock()
		c.kills++
		c.mu.Unlock()
		w.kill()
		c.events.kill(w.life)
		c.live(ctx, slot)
	}
}

// hold takes a worker that no other fault is at, any or that of a life, so that none
// kills what another one has stopped. It is nil where there is none.
func (c *campaign) hold(r *rand.Rand, life string) (slot int, w *worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, slot = range r.Perm(len(c.slots)) {
		if w = c.slots[slot]; w != nil && !w.held && (life == "" || w.life == life) {
			w.held = true
			return slot, w
		}
	}
	return 0, nil
}

func (c *campaign) release(w *worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.held = false
}

// stop stops a held worker, and returns what makes it go on.
func (c *campaign) stop(w *worker) (goOn func()) {
	c.mu.Lock()
	c.pauses++
	c.mu.Unlock()
	over := c.events.pause(w.life)
	w.signal(syscall.SIGSTOP)
	return func() {
		w.signal(syscall.SIGCONT)
		over()
	}
}

// pauseWorkers stops a process for a while, as a garbage collector or a busy machine
// does: shorter than its visibility, sometimes longer than its lease.
func (c *campaign) pauseWorkers(ctx context.Context, r *rand.Rand) {
	for pause(ctx, between(r, 4*time.Second, 8*time.Second)) == nil {
		_, w := c.hold(r, "")
		if w == nil {
			continue
		}
		goOn := c.stop(w)
		_ = pause(ctx, between(r, 500*time.Millisecond, visibility)) // it must go on in any case
		goOn()
		c.release(w)
	}
}

// breakStore kills the redis-server and starts it again.
func (c *campaign) breakStore(ctx context.Context, r *rand.Rand) {
	for pause(ctx, between(r, 8*time.Second, 16*time.Second)) == nil {
		over := c.events.outage()
		c.redis.kill()
		_ = pause(ctx, between(r, 0, 2*time.Second)) // it must be started in any case
		err := c.redis.start(context.WithoutCancel(ctx))
		over()
		c.events.mu.Lock()
		c.events.stores++
		c.events.mu.Unlock()
		if err != nil {
			c.mu.Lock()
			c.errs = append(c.errs, err)
			c.mu.Unlock()
			return
		}
	}
}

// breakNetwork cuts connections and makes the way to the store slow.
func (c *campaign) breakNetwork(ctx context.Context, r *rand.Rand) {
	for i := 0; pause(ctx, between(r, time.Second, 4*time.Second)) == nil; i++ {
		switch i % 3 { // in turn, so that a short campaign sees each
		case 0:
			c.events.cut()
			c.toSQS.cut(0.3)
		case 1:
			over := c.events.outage()
			c.toRedis.cut(0.5)
			_ = pause(ctx, 100*time.Millisecond) // the calls cut are tried again meanwhile
			over()
		case 2:
			c.toRedis.latency.Store(int64(between(r, 5*time.Millisecond, 50*time.Millisecond)))
			_ = pause(ctx, time.Second)
			c.toRedis.latency.Store(0)
		}
	}
}
