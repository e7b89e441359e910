package producer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

func TestBackpressure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg  producer.Config
		n    int
		size int
		want int
	}{
		"bounds the messages pending":    {producer.Config{MaxPending: 25}, 60, 1, 25},
		"bounds the bytes pending":       {producer.Config{MaxPendingBytes: 1 << 20}, 30, 100 << 10, 10},
		"lets one through that is heavy": {producer.Config{MaxPendingBytes: 1 << 20}, 4, 1 << 20, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders")
				p := to(t, srv, q, c.cfg)
				hang := srv.Fail("SendMessageBatch", sqstest.Throttle)
				msgs := make([]producer.Message, c.n)
				for i := range msgs {
					msgs[i].Body = strings.Repeat("x", c.size)
				}
				done := make(chan []error)
				go func() { done <- each(context.Background(), p, msgs) }()
				time.Sleep(time.Second)
				synctest.Wait()
				if s := p.Stats(); s.Pending != c.want || s.PendingBytes != int64(c.want*c.size) {
					t.Errorf("pending are %d messages with %d bytes, want %d", s.Pending, s.PendingBytes, c.want)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := p.Send(ctx, producer.Message{Body: "late"}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, producer.ErrUnconfirmed) {
					t.Errorf("one that found no room: %v", err)
				}
				hang.Stop()
				if err := errors.Join(<-done...); err != nil || len(bodies(q)) != c.n {
					t.Errorf("%d messages, error %v; want all in the end", len(bodies(q)), err)
				}
			})
		})
	}
	t.Run("counts messages whose senders have gone until they are out of the way", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			p := to(t, srv, q, producer.Config{MaxPending: 50, Concurrency: 2})
			if err := p.Send(t.Context(), producer.Message{Body: "first"}); err != nil {
				t.Fatal(err)
			}
			srv.Hang("SendMessageBatch", sqstest.Times(2))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			for _, err := range each(ctx, p, texts(200)) {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v", err)
				}
			}
			if s := p.Stats(); s.Pending != 50 {
				t.Errorf("%d pending, want 50: the two requests hang and all else waits behind them", s.Pending)
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if s := p.Stats(); s.Pending != 0 || len(bodies(q)) != 1 {
				t.Errorf("%d pending, %d on the queue, want none and the first", s.Pending, len(bodies(q)))
			}
		})
	})
}
