package producer

// ValidTraceParent is validTraceParent, for its fuzz target.
var ValidTraceParent = validTraceParent

// WithDefaults is Config.withDefaults, for the test of its documentation.
func WithDefaults(c Config) Config { return c.withDefaults() }
