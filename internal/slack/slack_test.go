package slack_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/holdfast-go/holdfast/internal/slack"
)

func TestConn(t *testing.T) {
	t.Parallel()
	t.Run("a write does not wait for the reader, and all arrives in order", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			there, here := net.Pipe()
			c, err := slack.Dialer(func() (net.Conn, error) { return here, nil })(t.Context(), "tcp", "nowhere")
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"one ", "two ", "three"} {
				if _, err := io.WriteString(c, part); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]byte, len("one two three"))
			if _, err := io.ReadFull(there, got); err != nil || string(got) != "one two three" {
				t.Errorf("read %q, %v", got, err)
			}
			go there.Write([]byte("answer"))
			if _, err := io.ReadFull(c, got[:6]); err != nil || string(got[:6]) != "answer" {
				t.Errorf("read %q, %v", got[:6], err)
			}
			c.Close()
			if err := c.Close(); err != nil {
				t.Errorf("closed twice: %v", err)
			}
		})
	})
	t.Run("once the other side is gone a write fails", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			there, here := net.Pipe()
			c := slack.Wrap(here)
			defer c.Close()
			there.Close()
			c.Write([]byte("lost"))
			synctest.Wait()
			if _, err := c.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("wrote with %v, want io.ErrClosedPipe", err)
			}
		})
	})
	t.Run("a dial that fails is told", func(t *testing.T) {
		t.Parallel()
		want := errors.New("no")
		if _, err := slack.Dialer(func() (net.Conn, error) { return nil, want })(context.Background(), "", ""); err != want {
			t.Errorf("returned %v", err)
		}
	})
}
