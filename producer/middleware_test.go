package producer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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
	t.Run("may send other messages while it has one of a batch", sendsMeanwhile)
	t.Run("that panics or ends its goroutine does so to the sender", failsBadly)
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

// Neither the results nor the order of a batch are touched by what its middleware sends
// with the context that it was given, by another producer or by the same one.
func sendsMeanwhile(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, after := range []bool{false, true} {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo")
			srv.FailEntries("SendMessageBatch", "InternalError", false, sqstest.Probability(0.3, 1))
			pass := producer.MiddlewareFunc(func(next producer.Sender) producer.Sender { return next })
			audit := to(t, srv, srv.Queue(t, "audit"), producer.Config{Middleware: []producer.Middleware{pass}})
			var p *producer.Producer
			copies := producer.MiddlewareFunc(func(next producer.Sender) producer.Sender {
				return producer.SenderFunc(func(ctx context.Context, m *producer.Message) (err error) {
					if m.GroupID == "copies" {
						return next.Send(ctx, m)
					}
					if after {
						err = next.Send(ctx, m)
					}
					err = errors.Join(err, audit.Send(ctx, producer.Message{Body: m.Body}), p.Send(ctx, producer.Message{Body: "copy", GroupID: "copies"}))
					if !after {
						err = errors.Join(err, next.Send(ctx, m))
					}
					return err
				})
			})
			p = to(t, srv, q, producer.Config{Middleware: []producer.Middleware{copies}})
			results, err := p.SendBatch(t.Context(), inGroups(20, 1))
			if err != nil {
				t.Fatal(err)
			}
			place := 0
			for _, m := range q.Messages() {
				if m.Body == "copy" {
					continue
				}
				if want := fmt.Sprintf("g0:%d", place); m.Body != want || results[place].MessageID != m.ID || results[place].SequenceNumber == "" {
					t.Errorf("at place %d is %s with the id %s, want %s with that of result %+v", place, m.Body, m.ID, want, results[place])
				}
				place++
			}
			if place != 20 {
				t.Errorf("%d messages, want 20", place)
			}
		}
	})
}

func failsBadly(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, fail := range map[string]func(){"panic": func() { panic(errTest) }, "Goexit": runtime.Goexit} {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo")
			srv.Delay("SendMessageBatch", time.Second)
			bad := producer.MiddlewareFunc(func(next producer.Sender) producer.Sender {
				return producer.SenderFunc(func(ctx context.Context, m *producer.Message) error {
					if m.Body == "g2:0" {
						fail()
					}
					return next.Send(ctx, m)
				})
			})
			p := to(t, srv, q, producer.Config{Middleware: []producer.Middleware{bad}})
			// The way in which a call ended: it returned, or its panic.
			ended := func(f func()) (how any) {
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() {
						if how == nil {
							how = recover()
						}
					}()
					f()
					how = "returned"
				}()
				<-done
				return how
			}
			alone := ended(func() { _ = p.Send(t.Context(), inGroups(3, 3)[2]) })
			var spent time.Duration
			inBatch := ended(func() {
				began := time.Now()
				defer func() { spent = time.Since(began) }()
				_, _ = p.SendBatch(t.Context(), inGroups(6, 6))
			})
			if want := map[string]any{"panic": errTest, "Goexit": nil}[name]; alone != want || inBatch != want {
				t.Errorf("%s: Send ended with %v and SendBatch with %v, want %v", name, alone, inBatch, want)
			}
			if got := bodies(q); !slices.Equal(got, []string{"g0:0", "g1:0"}) || spent < time.Second {
				t.Errorf("%s: sent were %v in %v, want those before the failure, waited for", name, got, spent)
			}
		}
	})
}
