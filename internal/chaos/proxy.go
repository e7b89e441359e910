//go:build unix

package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// proxy forwards connections to a server on this machine and can be slow, or cut
// them. It listens on loopback.
type proxy struct {
	l       net.Listener
	target  string
	latency atomic.Int64 // nanoseconds that each read waits before it is passed on
	cuts    atomic.Int64

	mu     sync.Mutex // guards conns and closed
	conns  map[net.Conn]bool
	closed bool
	wg     sync.WaitGroup
}

func newProxy(ctx context.Context, target string) (*proxy, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{l: l, target: target, conns: make(map[net.Conn]bool)}
	p.wg.Go(func() { p.accept(ctx) })
	return p, nil
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) accept(ctx context.Context) {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return // closed
		}
		p.wg.Go(func() {
			server, err := new(net.Dialer).DialContext(ctx, "tcp", p.target)
			if err != nil {
				_ = client.Close()
				return
			}
			p.keep(client, server)
			defer p.drop(client, server)
			p.wg.Go(func() { p.pass(server, client) })
			p.pass(client, server)
		})
	}
}

// pass copies until one side ends, and then ends both.
func (p *proxy) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if d := p.latency.Load(); d > 0 {
			<-time.After(time.Duration(d))
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return // io.EOF too: neither HTTP nor Redis half-closes
		}
	}
}

func (p *proxy) keep(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
		if p.closed {
			_ = c.Close()
		}
	}
}

func (p *proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

// cut ends share of the connections, and one at least, in the middle of whatever they
// do: requests that are sent, replies that are on their way.
func (p *proxy) cut(share float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	least := 1
	for c := range p.conns {
		if least > 0 || rand.Float64() < share {
			least = 0
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a reset, not an orderly end
			}
			_ = c.Close()
			p.cuts.Add(1)
		}
	}
}

var _ io.Closer = (*proxy)(nil)

// Close ends all connections and waits for what forwards them.
func (p *proxy) Close() error {
	err := p.l.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cut(1)
	p.wg.Wait()
	return err
}
