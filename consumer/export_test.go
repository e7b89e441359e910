package consumer

// WithDefaults returns c as New completes it.
func WithDefaults(c Config) Config { return c.withDefaults() }

// Clients returns the clients that c polls and settles by.
func Clients(c *Consumer) (poll, settle SQSAPI) {
	return c.t.Poll, c.t.Settle
}

// Abandoned notes n more handlers as abandoned, or fewer, as the watchdog and a handler
// that returns do.
func Abandoned(c *Consumer, n int) {
	c.d.mu.Lock()
	c.d.abandoned += n
	c.d.mu.Unlock()
	c.abandonedChanged()
}

// Resting returns how many messages of all groups rest, as counted and as a walk
// finds it.
func Resting(c *Consumer) (counted, found int) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	for _, g := range c.d.groups {
		switch g.queue[0].state {
		case delayed:
			found += len(g.queue)
		case parked:
			found += len(g.queue) - 1
		}
	}
	return c.d.rests, found
}
