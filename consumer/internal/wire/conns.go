package wire

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// conns are the connections of a client made here. net/http keeps each for a minute and
// a half after its last call, with two goroutines, and the SDK's client cannot be told
// to close them.
type conns struct {
	mu     sync.Mutex // guards all below
	open   map[*conn]struct{}
	closed bool
}

// conn is one of them.
type conn struct {
	net.Conn
	of *conns
}

// watch has t's connections counted from now on, but those of a DialTLSContext, of which
// net/http asks the type.
func (c *conns) watch(t *http.Transport) {
	dial := t.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		made, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.closed {
			_ = made.Close()
			return nil, net.ErrClosed
		}
		one := &conn{made, c}
		if c.open == nil {
			c.open = make(map[*conn]struct{})
		}
		c.open[one] = struct{}{}
		return one, nil
	}
}

// close closes all connections, and has none made any more.
func (c *conns) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for one := range c.open {
		_ = one.Conn.Close() // nothing is in flight that anyone waits for
	}
	c.open = nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
