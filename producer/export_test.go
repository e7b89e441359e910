package producer

// ValidTraceParent is validTraceParent, for its fuzz target.
var ValidTraceParent = validTraceParent

// WithDefaults is Config.withDefaults, for the test of its documentation.
func WithDefaults(c Config) Config { return c.withDefaults() }

// Kept is how many groups and messages a producer holds on to.
func Kept(p *Producer) (lanes, items int) {
	o := p.box.Load()
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.lanes), o.pending + len(o.due)
}
