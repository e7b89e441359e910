package consumer

// WithDefaults returns c as New completes it.
func WithDefaults(c Config) Config { return c.withDefaults() }

// Clients returns the clients that c polls and settles by.
func Clients(c *Consumer) (poll, settle SQSAPI) {
	return c.t.Poll, c.t.Settle
}
