package consumer

import (
	"time"

	"github.com/holdfast-go/holdfast"
)

// The steps of Consumer.stop.

// giveBackWaiting gives back what waits for something other than a slot, and has
// nothing wait any more.
func (c *Consumer) giveBackWaiting() {
	d := c.d
	d.mu.Lock()
	d.draining = true
	after := d.giveBackAll(func(h *hold) bool { return h.state == parked || h.state == delayed })
	d.mu.Unlock()
	after()
}

// giveBackIfStopped gives back what has not begun when nothing may begin any more.
func (c *Consumer) giveBackIfStopped() {
	d := c.d
	d.mu.Lock()
	after := nothing
	if d.stopped {
		after = d.giveBackAll(func(h *hold) bool { return h.state == queued || h.state == parked || h.state == delayed })
	}
	d.mu.Unlock()
	after()
}

// waitQuiet waits until polling has ended (where it is not nil), gives back what
// waits then, and waits until nothing waits or runs any more. It returns before
// when time is up or hurry is closed.
func (c *Consumer) waitQuiet(timeUp <-chan time.Time, polling, hurry <-chan struct{}) {
	for polling != nil || !c.d.isQuiet() {
		select {
		case <-polling:
			polling = nil
			c.giveBackWaiting()
		case <-c.d.quiet:
		case <-timeUp:
			return
		case <-hurry:
			return
		}
	}
}

// leaveRunning gives up on handlers that still run: what they return settles
// nothing, and their messages come back when their visibility ends.
func (c *Consumer) leaveRunning() int {
	now := time.Now()
	d := c.d
	var left []*hold
	d.mu.Lock()
	for _, h := range d.held {
		if h.state == running {
			left = append(left, h)
		}
	}
	for _, h := range left {
		d.beat.unlist(h)
	}
	for _, w := range d.idle {
		close(w.work)
	}
	d.idle = nil
	d.mu.Unlock()
	c.tellAbandoned(left, now)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range left {
		if h.state == running {
			d.forget(h)
		}
	}
	return len(left) + d.abandoned
}

// waitSettled waits until all settlements are confirmed, at most until end. It gives
// up on those that are not and returns how many they are.
func (c *Consumer) waitSettled(end time.Time) int {
	t := time.NewTimer(time.Until(end))
	defer t.Stop()
	for {
		c.d.mu.Lock()
		left := c.d.n[settling]
		c.d.mu.Unlock()
		if left == 0 {
			return 0
		}
		select {
		case <-c.d.settled:
		case <-t.C:
			c.d.mu.Lock()
			defer c.d.mu.Unlock()
			for _, h := range c.d.held {
				if h.state == settling {
					c.d.forget(h) // with its timer, if it waits to be tried again
					c.stats.count(holdfast.Unsettled)
				}
			}
			return left
		}
	}
}
