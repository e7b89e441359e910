package producer

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// Sender sends messages. It has the shape of holdfast.Handler: Send returns nil once
// the message was accepted.
type Sender interface {
	Send(ctx context.Context, m *Message) error
}

// SenderFunc lets a function be a Sender.
type SenderFunc func(ctx context.Context, m *Message) error

// Send calls f.
func (f SenderFunc) Send(ctx context.Context, m *Message) error { return f(ctx, m) }

// Middleware wraps senders, as holdfast.Middleware wraps handlers. It sees each
// message before it is checked and may change it: the Message is a copy, its
// Attributes are the sender's own and must be cloned before they are written to. It
// is called from the goroutines of those who send, several at once.
type Middleware interface {
	Wrap(next Sender) Sender
}

// MiddlewareFunc lets a function be a Middleware.
type MiddlewareFunc func(next Sender) Sender

// Wrap calls f.
func (f MiddlewareFunc) Wrap(next Sender) Sender { return f(next) }

// chain wraps s in the middleware, the first listed outermost.
func chain(s Sender, mw []Middleware) Sender {
	for i := len(mw) - 1; i >= 0; i-- {
		s = mw[i].Wrap(s)
	}
	return s
}

// ticket is how SendBatch follows one message through the middleware.
type ticket struct {
	arrived chan struct{}   // closed when the message has come through the middleware
	before  <-chan struct{} // closed when the one before has its place in the order
	entered chan struct{}   // closed when this one has, or will have none
	ahead   <-chan struct{} // has a token for each that has no place yet
	arrival sync.Once
	entry   sync.Once

	mu     sync.Mutex // guards result: a middleware may have left another goroutine behind
	result Result

	returned bool // else the middleware panicked or ended its goroutine
	panicked any
}

type ticketKey struct{}

func ticketFrom(ctx context.Context) *ticket {
	t, _ := ctx.Value(ticketKey{}).(*ticket)
	return t
}

// arrive tells SendBatch to send the next message through the middleware.
func (t *ticket) arrive() {
	if t != nil {
		t.arrival.Do(func() { close(t.arrived) })
	}
}

// enter lets the next message have its place. That has to wait where one further
// ahead has none yet, though this one has failed.
func (t *ticket) enter() {
	if t != nil {
		t.entry.Do(func() {
			<-t.before
			close(t.entered)
			<-t.ahead
		})
	}
}

// tell notes what became of the message in the last try of the middleware.
func (t *ticket) tell(r Result) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.result = r
}

// sent is the result of the message. The middleware, which returned err, has the last
// word.
func (t *ticket) sent(err error) Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.returned = true
	r := t.result
	r.Err = err
	return r
}

// outlive is deferred in the goroutine of the message. It takes up a panic of the
// middleware, and notes where that ended the goroutine.
func (t *ticket) outlive(broken *atomic.Bool) {
	if t.returned {
		return
	}
	t.panicked = recover() // nil after runtime.Goexit
	broken.Store(true)
}

// rethrow does to the caller of SendBatch what the middleware did to the goroutine.
func (t *ticket) rethrow() {
	switch {
	case t.returned:
	case t.panicked != nil:
		panic(t.panicked)
	default:
		runtime.Goexit()
	}
}
