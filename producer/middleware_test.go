package producer_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

func TestMiddleware(t *testing.T) {
	t.Parallel()
	t.Run("wraps each message, the first listed outermost", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			add := func(s string) producer.Middleware {
				return producer.MiddlewareFunc(func(next producer.Sender) producer.Sender {
					return producer.SenderFunc(func(ctx context.Context, m *producer.Message) error {
						m.Body += s
						if m.Body == "drop a" {
							return nil
						}
						return next.Send(ctx, m)
					})
				})
			}
			p := to(t, srv, q, producer.Config{Middleware: []producer.Middleware{add(" a"), add(" b")}})
			results, err := p.SendBatch(t.Context(), []producer.Message{{Body: "x"}, {Body: "drop"}, {Body: "y"}})
			if err != nil || results[0].MessageID == "" || results[1].MessageID != "" || results[2].MessageID == "" {
				t.Errorf("results %+v, %v", results, err)
			}
			if err := p.Send(t.Context(), producer.Message{Body: "z"}); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff([]string{"x a b", "y a b", "z a b"}, bodies(q)); diff != "" {
				t.Errorf("bodies (-want +got):\n%s", diff)
			}
		})
	})
	t.Run("keeps the order of a batch", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo")
			slow := producer.MiddlewareFunc(func(next producer.Sender) producer.Sender {
				return producer.SenderFunc(func(ctx context.Context, m *producer.Message) error {
					if len(m.Body)%2 == 0 {
						time.Sleep(time.Second)
					}
					return next.Send(ctx, m)
				})
			})
			p := to(t, srv, q, producer.Config{Middleware: []producer.Middleware{slow}, MaxPending: 5})
			srv.FailEntries("SendMessageBatch", "InternalError", false, sqstest.Probability(0.3, 2))
			msgs := texts(120)
			var want []string
			for i := range msgs {
				msgs[i].GroupID = "g"
				want = append(want, msgs[i].Body)
			}
			if _, err := p.SendBatch(t.Context(), msgs); err != nil {
				t.Fatal(err)
			}
			if got := bodies(q); !slices.Equal(got, want) {
				t.Errorf("bodies are %v", got)
			}
		})
	})
	t.Run("has the last word on the result", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			refuse := producer.MiddlewareFunc(func(next producer.Sender) producer.Sender {
				return producer.SenderFunc(func(ctx context.Context, m *producer.Message) error { return errors.Join(next.Send(ctx, m), errTest) })
			})
			p := to(t, srv, srv.Queue(t, "orders"), producer.Config{Middleware: []producer.Middleware{refuse}})
			if results, err := p.SendBatch(t.Context(), texts(1)); !errors.Is(err, errTest) || !errors.Is(results[0].Err, errTest) || results[0].MessageID == "" {
				t.Errorf("results %+v, %v", results, err)
			}
		})
	})
}
