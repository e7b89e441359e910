package producer

import "context"

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
	result  Result
	entered chan struct{} // closed when the message has its place in the order
	in      bool
}

type ticketKey struct{}

func ticketFrom(ctx context.Context) *ticket {
	t, _ := ctx.Value(ticketKey{}).(*ticket)
	return t
}

// enter tells SendBatch that the next message may follow. Called by one goroutine.
func (t *ticket) enter() {
	if t != nil && !t.in {
		t.in = true
		close(t.entered)
	}
}
