//go:build unix

package main

import (
	"context"
	"io"
	"net"
	"testing"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, p *proxy) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func exchange(c net.Conn) error {
	if _, err := c.Write([]byte("ping")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 4))
	return err
}

func TestProxyForwardsAndCuts(t *testing.T) {
	t.Parallel()
	p, err := newProxy(context.WithoutCancel(t.Context()), echo(t))
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, p)
	if err := exchange(c); err != nil {
		t.Fatalf("through the proxy: %v", err)
	}
	p.cut(0) // one at least
	if err := exchange(c); err == nil {
		t.Error("a connection that was cut still answers")
	}
	if p.cuts.Load() == 0 {
		t.Error("no cut was counted")
	}
	if err := exchange(dial(t, p)); err != nil {
		t.Errorf("a new connection after the cut: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
