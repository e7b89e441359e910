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
		slot := r.IntN(c.workers)
		c.mu.Lock()
		w := c.slots[slot]
		if w != nil {
			c.kills++
		}
		c.mu.Unlock()
		if w == nil {
			continue
		}
		w.kill()
		c.events.kill(w.life)
		c.live(ctx, slot)
	}
}

// pauseWorkers stops a process for a while, as a garbage collector, a virtual machine
// that moves or a laptop's lid does: mostly shorter than a lease, sometimes longer.
func (c *campaign) pauseWorkers(ctx context.Context, r *rand.Rand) {
	for pause(ctx, between(r, 4*time.Second, 8*time.Second)) == nil {
		c.mu.Lock()
		w := c.slots[r.IntN(c.workers)]
		if w != nil {
			c.pauses++
		}
		c.mu.Unlock()
		if w == nil {
			continue
		}
		over := c.events.pause(w.life)
		w.signal(syscall.SIGSTOP)
		_ = pause(ctx, between(r, 500*time.Millisecond, visibility*3/2)) // it must go on in any case
		w.signal(syscall.SIGCONT)
		over()
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
	for pause(ctx, between(r, time.Second, 4*time.Second)) == nil {
		switch r.IntN(3) {
		case 0:
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
