// Package lazyctx makes contexts that cost next to nothing until somebody looks at
// them.
package lazyctx

import (
	"context"
	"sync"
	"time"
)

// Context is a context that can be cancelled with a cause, and may have a deadline.
// The cancellable context behind it is made only when somebody waits for its end or
// makes a context of it: many handlers never do, and to make one, hook it into its
// parent and end it costs more than all else that the runtime does for a message.
//
// Set Parent, and Until, before the first use. It is safe for concurrent use and must
// not be copied.
type Context struct {
	Parent context.Context
	// Until is when it ends by itself; zero where its parent alone says so.
	Until time.Time

	mu    sync.Mutex // guards all below
	inner context.Context
	stop  context.CancelCauseFunc
	ended bool // by Cancel
	cause error
	err   error // once told without a context behind: it must not become another
}

func (c *Context) look() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner != nil {
		return c.inner
	}
	if c.ended { // first of all, whatever ended meanwhile
		c.inner, c.stop = context.WithCancelCause(context.WithoutCancel(c.Parent))
		c.stop(c.cause)
		return c.inner
	}
	c.inner, c.stop = context.WithCancelCause(c.Parent)
	if !c.Until.IsZero() {
		cancel := c.stop
		inner, release := context.WithDeadline(c.inner, c.Until)
		c.inner, c.stop = inner, func(cause error) { cancel(cause); release() }
	}
	return c.inner
}

// Cancel ends the context, if it has not ended yet as far as anybody knows. Only the
// first cause counts; nil stands for context.Canceled.
func (c *Context) Cancel(cause error) {
	c.mu.Lock()
	stop := c.stop
	if !c.ended && c.err == nil {
		c.ended, c.cause = true, cause
	}
	c.mu.Unlock()
	if stop != nil {
		stop(cause)
	}
}

// Deadline is Until or the parent's, whichever comes first.
func (c *Context) Deadline() (time.Time, bool) {
	d, ok := c.Parent.Deadline()
	if !c.Until.IsZero() && (!ok || c.Until.Before(d)) {
		return c.Until, true
	}
	return d, ok
}

// Done is closed when the context or its parent has ended.
func (c *Context) Done() <-chan struct{} { return c.look().Done() }

// Err is nil until then.
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.inner != nil:
		return c.inner.Err()
	case c.err != nil:
	case c.ended:
		c.err = context.Canceled
	default:
		c.err = c.Parent.Err()
		if c.err == nil && !c.Until.IsZero() && !time.Now().Before(c.Until) {
			c.err = context.DeadlineExceeded
		}
	}
	return c.err
}

// Value is the parent's, but for what package context asks: it looks for its own
// contexts by a key that nobody else knows, a *int, and is to find the one behind this.
// Were that key to become another, contexts made of this one would end all the same.
func (c *Context) Value(key any) any {
	if _, own := key.(*int); own {
		return c.look().Value(key)
	}
	return c.Parent.Value(key)
}
