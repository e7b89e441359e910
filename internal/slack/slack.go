// Package slack gives a connection inside the process the slack of a socket.
//
// net.Pipe has no buffer: a client that writes a pipeline of commands and a server
// that answers the first of them before it has read the last wait for each other
// for ever. Sockets have buffers of many KiB, which is what clients rely on. With
// slack, go-redis and miniredis meet in one process, and so in a bubble of
// testing/synctest, as they do over a network:
//
//	redis.Options{Dialer: slack.Dialer(mini.Dial)}
package slack

import (
	"context"
	"net"
	"sync"
	"time"
)

// Dialer returns a dialer that ignores where to and dials by dial.
func Dialer(dial func() (net.Conn, error)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		c, err := dial()
		if err != nil {
			return nil, err
		}
		return Wrap(c), nil
	}
}

// Wrap returns a connection on c whose writes do not wait for the other side. What
// is written and not read yet is kept in memory, without a bound; a failure to
// write is told by the next write. Deadlines of writes do nothing. Close ends its
// goroutine, and loses what the other side has not read.
func Wrap(c net.Conn) net.Conn {
	s := &conn{Conn: c, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	go s.pump()
	return s
}

type conn struct {
	net.Conn
	wake   chan struct{} // has a value when there may be something to pass on
	closed chan struct{}
	once   sync.Once // closes closed

	mu  sync.Mutex // guards all below
	buf []byte
	err error
}

func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	c.buf = append(c.buf, p...)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return len(p), nil
}

// pump passes on what was written.
func (c *conn) pump() {
	for {
		select {
		case <-c.wake:
		case <-c.closed:
			return
		}
		c.mu.Lock()
		p := c.buf
		c.buf = nil
		c.mu.Unlock()
		if _, err := c.Conn.Write(p); err != nil {
			c.mu.Lock()
			c.err = err
			c.mu.Unlock()
			return
		}
	}
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func (c *conn) SetWriteDeadline(time.Time) error { return nil }
