package producer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

func TestClose(t *testing.T) {
	t.Parallel()
	t.Run("sends what lingers, and takes nothing more", closeFlushes)
	t.Run("waits for messages that are tried again", closeWaits)
	t.Run("returns when all results are told", closeTold)
	t.Run("gives each sender its result when its context ends", closeCut)
	t.Run("before the first message does nothing", closeUnused)
	t.Run("while senders cancel loses nobody's result", closeWhileCancelled)
	t.Run("with a context that is over gives up at once, and for good", closeOver)
	t.Run("while the target is looked for cuts that, and takes nothing after", closeOpening)
	t.Run("while a body is put elsewhere cuts that", closeOffloading)
	t.Run("a second time gives up for the first one too", closeAgain)
	t.Run("leaves calls behind that do not heed their context", closeDeaf)
}

func closeFlushes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		p := to(t, srv, q, producer.Config{Linger: time.Second})
		done := make(chan []error)
		go func() { done <- each(context.Background(), p, texts(5)) }()
		synctest.Wait()
		var err error
		if spent := took(func() { err = p.Close(t.Context()) }); err != nil || spent != 0 {
			t.Errorf("Close took %v and returned %v, want it not to linger", spent, err)
		}
		if err := errors.Join(<-done...); err != nil || len(bodies(q)) != 5 {
			t.Errorf("%d messages, error %v", len(bodies(q)), err)
		}
		if err := p.Send(t.Context(), producer.Message{Body: "late"}); !errors.Is(err, producer.ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		if _, err := p.SendBatch(t.Context(), texts(2)); !errors.Is(err, producer.ErrClosed) {
			t.Errorf("SendBatch after Close: %v", err)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Errorf("a second Close: %v", err)
		}
	})
}

func closeWaits(t *testing.T) {
	for _, name := range []string{"orders", "orders.fifo"} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, name)
				p := to(t, srv, q, producer.Config{})
				srv.Fail("SendMessageBatch", sqstest.Throttle, sqstest.Times(5))
				msgs := texts(30)
				for i := range msgs {
					msgs[i].GroupID = "g"
				}
				done := make(chan error)
				go func() {
					_, err := p.SendBatch(context.Background(), msgs)
					done <- err
				}()
				time.Sleep(10 * time.Millisecond)
				if err := p.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if err := <-done; err != nil || len(bodies(q)) != 30 {
					t.Errorf("%d messages, error %v", len(bodies(q)), err)
				}
			})
		})
	}
}

// The messages are given up on other goroutines than those that send: their sender's,
// when its context ends, and a timer's.
func closeTold(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, timeout := range map[string]time.Duration{"their context ends": time.Minute, "they are out of time": 2 * time.Second} {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			var told, sent atomic.Int64
			p := to(t, srv, q, producer.Config{Timeout: timeout, Hooks: producer.Hooks{Sent: func(producer.SentEvent) {
				time.Sleep(time.Second)
				told.Add(1)
			}}})
			srv.Fail("SendMessageBatch", sqstest.Throttle)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			for _, m := range texts(3) {
				go func() {
					if err := p.Send(ctx, m); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s: %v", name, err)
					}
					sent.Add(1)
				}()
			}
			time.Sleep(100 * time.Millisecond)
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
			n := told.Load()
			if synctest.Wait(); n != 3 || sent.Load() != 3 {
				t.Errorf("%s: when Close returns %d hooks have run and %d senders are told", name, n, sent.Load())
			}
		}
	})
}

func closeCut(t *testing.T) {
	for _, name := range []string{"orders", "orders.fifo"} {
		for what, inject := range map[string]func(*sqstest.Server){
			"throttled": func(s *sqstest.Server) { s.Fail("SendMessageBatch", sqstest.Throttle) },
			"hanging":   func(s *sqstest.Server) { s.Hang("SendMessageBatch") },
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					srv := sqstest.New(t)
					p, err := producer.New(srv.SQS(), srv.Queue(t, name).URL, producer.Config{Concurrency: 2})
					if err != nil {
						t.Fatal(err)
					}
					inject(srv)
					msgs := texts(100)
					for i := range msgs {
						msgs[i].GroupID = fmt.Sprint(i % 30)
					}
					done := make(chan []error)
					go func() { done <- each(context.Background(), p, msgs) }()
					time.Sleep(time.Second)
					ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, errTest)
					defer cancel()
					spent := took(func() { err = p.Close(ctx) })
					if !errors.Is(err, producer.ErrClosed) || !errors.Is(err, errTest) || !strings.Contains(err.Error(), "100 messages not sent") || spent != 2*time.Second {
						t.Errorf("Close took %v and returned %v, want it to give up after 2 s", spent, err)
					}
					unconfirmed := 0
					for i, err := range <-done {
						if !errors.Is(err, producer.ErrClosed) {
							t.Errorf("message %d: %v", i, err)
						}
						if errors.Is(err, producer.ErrUnconfirmed) {
							unconfirmed++
						}
					}
					if (unconfirmed > 0) != (what == "hanging") || unconfirmed > 20 {
						t.Errorf("%d are in doubt, want those under way and no others", unconfirmed)
					}
					if s := p.Stats(); s.Pending != 0 || s.PendingBytes != 0 {
						t.Errorf("pending are %d", s.Pending)
					}
				})
			})
		}
	}
}

func closeUnused(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		p, err := producer.New(srv.SQS(), "orders", producer.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := p.Send(t.Context(), producer.Message{Body: "x"}); !errors.Is(err, producer.ErrClosed) || len(srv.Log()) != 0 {
			t.Errorf("Send after Close: %v with %d calls", err, len(srv.Log()))
		}
	})
}

func closeWhileCancelled(t *testing.T) {
	for _, name := range []string{"orders", "orders.fifo"} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, name)
				p := to(t, srv, q, producer.Config{Concurrency: 2})
				srv.Delay("SendMessageBatch", 100*time.Millisecond, sqstest.OnReply())
				srv.FailEntries("SendMessageBatch", "InternalError", false, sqstest.Probability(0.3, 1))
				msgs := texts(200)
				for i := range msgs {
					msgs[i].GroupID = fmt.Sprint(i % 7)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan []error)
				go func() { done <- each(ctx, p, msgs) }()
				time.AfterFunc(550*time.Millisecond, cancel)
				time.Sleep(300 * time.Millisecond)
				if err := p.Close(t.Context()); err != nil {
					t.Error(err)
				}
				there := counts(q)
				var ok, doubt, not int
				for i, err := range <-done {
					n := there[fmt.Sprint(i)]
					switch {
					case err == nil:
						ok++
						if n != 1 {
							t.Errorf("message %d was sent and is there %d times", i, n)
						}
					case errors.Is(err, producer.ErrUnconfirmed):
						doubt++
					case !errors.Is(err, context.Canceled), n != 0:
						t.Errorf("message %d is there %d times with %v", i, n, err)
					default:
						not++
					}
				}
				if ok == 0 || doubt == 0 || not == 0 {
					t.Errorf("%d sent, %d in doubt, %d not sent: want some of each", ok, doubt, not)
				}
			})
		})
	}
}

func closeOver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errTest)
		for range 20 {
			p, err := producer.New(srv.SQS(), q.URL, producer.Config{Linger: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan []error, 1)
			go func() { done <- each(context.Background(), p, texts(3)) }()
			synctest.Wait()
			if err := p.Close(ctx); !errors.Is(err, producer.ErrClosed) || !errors.Is(err, errTest) || !strings.Contains(err.Error(), "3 messages not sent") {
				t.Errorf("Close: %v, want it to tell of three messages and of its context", err)
			}
			synctest.Wait()
			select {
			case errs := <-done:
				for _, err := range errs {
					if !errors.Is(err, producer.ErrClosed) || errors.Is(err, producer.ErrUnconfirmed) {
						t.Errorf("one that lingered: %v", err)
					}
				}
			default:
				t.Fatal("senders have no result after Close")
			}
			if err := p.Send(t.Context(), producer.Message{Body: "late"}); !errors.Is(err, producer.ErrClosed) {
				t.Errorf("Send after Close: %v", err)
			}
			if err := p.Close(ctx); err != nil {
				t.Errorf("Close with nothing pending: %v", err)
			}
		}
		if n := len(bodies(q)); n != 0 {
			t.Errorf("%d messages were sent", n)
		}
	})
}

// deaf does not heed the context of its calls.
type deaf struct{ producer.SQSAPI }

func (d deaf) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, o ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	return d.SQSAPI.GetQueueAttributes(context.WithoutCancel(ctx), in, o...)
}

func (d deaf) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, o ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	return d.SQSAPI.SendMessageBatch(context.WithoutCancel(ctx), in, o...)
}

func closeOpening(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, heeds := range map[string]bool{"a client": true, "a client deaf to its context": false} {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			srv.Delay("GetQueueAttributes", 5*time.Second)
			var client producer.SQSAPI = srv.SQS()
			if !heeds {
				client = deaf{client}
			}
			p, err := producer.New(client, q.URL, producer.Config{})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan []error)
			go func() { done <- each(context.Background(), p, texts(3)) }()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			spent := took(func() { err = p.Close(ctx) })
			if heeds && (err != nil || spent != 0) {
				t.Errorf("%s: Close took %v and returned %v, want it to cut the call", name, spent, err)
			}
			if !heeds && (!errors.Is(err, producer.ErrClosed) || !errors.Is(err, context.DeadlineExceeded) || spent != time.Second) {
				t.Errorf("%s: Close took %v and returned %v, want it to end with its context", name, spent, err)
			}
			for _, err := range append(<-done, p.Send(t.Context(), producer.Message{Body: "late"})) {
				if !errors.Is(err, producer.ErrClosed) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if n := srv.Calls("SendMessageBatch"); n != 0 {
				t.Errorf("%s: %d requests after Close", name, n)
			}
		}
	})
}

// hanging puts nothing elsewhere until its context ends.
type hanging struct{}

func (hanging) Offload(ctx context.Context, _ *holdfast.Message) error {
	<-ctx.Done()
	return ctx.Err()
}

func closeOffloading(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		p := to(t, srv, srv.Queue(t, "orders"), producer.Config{Offload: hanging{}, OffloadAbove: 1})
		done := make(chan error)
		go func() { done <- p.Send(context.Background(), producer.Message{Body: "large"}) }()
		synctest.Wait()
		var err error
		spent := took(func() {
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
			err = <-done
		})
		if !errors.Is(err, producer.ErrClosed) || !errors.Is(err, context.Canceled) || spent != 0 {
			t.Errorf("after %v: %v", spent, err)
		}
	})
}

func closeAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		p, err := producer.New(srv.SQS(), srv.Queue(t, "orders").URL, producer.Config{})
		if err != nil {
			t.Fatal(err)
		}
		srv.Fail("SendMessageBatch", sqstest.Throttle)
		done, first := make(chan []error), make(chan error)
		go func() { done <- each(context.Background(), p, texts(3)) }()
		time.Sleep(100 * time.Millisecond)
		go func() { first <- p.Close(context.Background()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		spent := took(func() { err = p.Close(ctx) })
		for name, err := range map[string]error{"the first": <-first, "the second": err} {
			if !errors.Is(err, producer.ErrClosed) || !strings.Contains(err.Error(), "3 messages not sent") {
				t.Errorf("%s Close: %v", name, err)
			}
		}
		for _, err := range <-done {
			if !errors.Is(err, producer.ErrClosed) {
				t.Error(err)
			}
		}
		if spent != time.Second || p.Stats().Pending != 0 {
			t.Errorf("the second Close took %v, pending are %d", spent, p.Stats().Pending)
		}
	})
}

func closeDeaf(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, end := range map[string]time.Duration{"a context that ends": time.Second, "one that has ended": 0} {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			p, err := producer.New(deaf{srv.SQS()}, q.URL, producer.Config{Concurrency: 2})
			if err != nil {
				t.Fatal(err)
			}
			srv.Delay("SendMessageBatch", 10*time.Minute, sqstest.Times(2))
			done, first := make(chan []error, 1), make(chan error, 1)
			go func() { done <- each(context.Background(), p, texts(30)) }()
			time.Sleep(100 * time.Millisecond)
			go func() { first <- p.Close(context.Background()) }()
			synctest.Wait()
			ctx, cancel := context.WithTimeoutCause(t.Context(), end, errTest)
			defer cancel()
			spent := took(func() { err = p.Close(ctx) })
			if spent != end+time.Second {
				t.Errorf("%s: Close took %v, want 1 s beyond its context", name, spent)
			}
			for who, err := range map[string]error{"the first": <-first, "the second": err} {
				if !errors.Is(err, producer.ErrClosed) || !errors.Is(err, errTest) || !strings.Contains(err.Error(), "30 messages not sent") || !strings.Contains(err.Error(), "30 messages are in, or behind, calls") {
					t.Errorf("%s: %s Close: %v", name, who, err)
				}
			}
			unconfirmed := 0
			for _, err := range <-done {
				if !errors.Is(err, producer.ErrClosed) {
					t.Errorf("%s: %v", name, err)
				}
				if errors.Is(err, producer.ErrUnconfirmed) {
					unconfirmed++
				}
			}
			time.Sleep(10 * time.Minute)
			if unconfirmed != 20 || len(bodies(q)) != 20 || p.Stats().Pending != 0 {
				t.Errorf("%s: %d are in doubt, %d came late, %d are pending; want 20, 20 and none", name, unconfirmed, len(bodies(q)), p.Stats().Pending)
			}
			if err := p.Close(t.Context()); err != nil {
				t.Errorf("%s: Close in the end: %v", name, err)
			}
		}
	})
}
