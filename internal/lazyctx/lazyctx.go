// Package lazyctx makes contexts that cost next to nothing until somebody looks at
// them.
package lazyctx

import (
	"context"
	"sync"
	"time"
)

// Context is a context that can be cancelled with a cause. The cancellable context
// behind it is made only when somebody looks: many handlers never do, and to make
// one, hook it into its parent and end it costs more than all else that the
// runtime does for a message.
//
// Set Parent before the first use. It is safe for concurrent use and must not be
// copied.
type Context struct {
	Parent context.Context

	mu    sync.Mutex // guards all below
	inner context.Context
	stop  context.CancelCauseFunc
	ended bool
	cause error
}

func (c *Context) look() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		c.inner, c.stop = context.WithCancelCause(c.Parent)
		if c.ended {
			c.stop(c.cause)
		}
	}
	return c.inner
}

// Cancel ends the context. Only the first cause counts; nil stands for
// context.Canceled.
func (c *Context) Cancel(cause error) {
	c.mu.Lock()
	stop := c.stop
	if !c.ended {
		c.ended, c.cause = true, cause
	}
	c.mu.Unlock()
	if stop != nil {
		stop(cause)
	}
}

// Deadline is the parent's.
func (c *Context) Deadline() (time.Time, bool) { return c.Parent.Deadline() }

// Done is closed when the context or its parent has ended.
func (c *Context) Done() <-chan struct{} { return c.look().Done() }

// Err is nil until then.
func (c *Context) Err() error { return c.look().Err() }

// Value asks the context behind this one: package context looks for its own there,
// by a key that nobody else knows.
func (c *Context) Value(key any) any { return c.look().Value(key) }
