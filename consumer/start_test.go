package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// starter is a middleware whose Start is a function.
type starter func(ctx context.Context) error

func (starter) Wrap(next holdfast.Handler) holdfast.Handler { return next }

func (s starter) Start(ctx context.Context, _ holdfast.Queue) error { return s(ctx) }

func TestStopDuringStart(t *testing.T) {
	t.Parallel()
	// stopping starts a consumer, cancels it after a second and tells how it ended.
	stopping := func(t *testing.T, s starter, hurry bool) (took time.Duration, err error) {
		srv := sqstest.New(t)
		r := start(t, srv, srv.Queue(t, "orders"), nothing, consumer.Config{Middleware: []holdfast.Middleware{s}})
		time.Sleep(time.Second)
		began := time.Now()
		r.cancel()
		if hurry {
			time.Sleep(time.Second)
			r.StopNow()
		}
		select {
		case <-r.done:
		case <-time.After(time.Hour):
			t.Fatal("an hour after the cancel Run has not returned")
		}
		return time.Since(began), r.err
	}
	t.Run("a Start that waits for its context is ended at once, and Run returns nil", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			took, err := stopping(t, func(ctx context.Context) error {
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), holdfast.ErrStopping) {
					t.Errorf("cause %v", context.Cause(ctx))
				}
				return ctx.Err()
			}, false)
			if took != 0 || err != nil {
				t.Errorf("after %v Run returned %v", took, err)
			}
		})
	})
	deaf := func(context.Context) error { time.Sleep(10 * time.Minute); return errTest }
	t.Run("one that is deaf to it is left behind after StopTimeout, and Run says so", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			took, err := stopping(t, deaf, false)
			if took != 25*time.Second || err == nil || !strings.Contains(err.Error(), "Middleware[0]: its Start does not heed its context") {
				t.Errorf("after %v Run returned %v", took, err)
			}
			time.Sleep(time.Hour)
		})
	})
	t.Run("or at StopNow", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			if took, err := stopping(t, deaf, true); took != time.Second || err == nil {
				t.Errorf("after %v Run returned %v", took, err)
			}
			time.Sleep(time.Hour)
		})
	})
	t.Run("what a Start that returned has left running goes on until the consumer has stopped", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.Send(t, "x")
			lives := make(chan context.Context, 1)
			r := start(t, srv, q, slow(10*time.Second), consumer.Config{Middleware: []holdfast.Middleware{
				starter(func(ctx context.Context) error { lives <- ctx; return nil }),
			}})
			time.Sleep(time.Second)
			life := <-lives
			r.cancel()
			time.Sleep(5 * time.Second)
			if life.Err() != nil {
				t.Error("its context has ended while a handler drains")
			}
			<-r.done
			synctest.Wait()
			if life.Err() == nil {
				t.Error("its context lives on after Run")
			}
		})
	})
	t.Run("one that panics or ends its goroutine ends Run with an error", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			r := start(t, srv, q, nothing, consumer.Config{Middleware: []holdfast.Middleware{
				starter(func(context.Context) error { panic("no start") }),
			}})
			<-r.done
			var p *holdfast.PanicError
			if !errors.As(r.err, &p) || p.Value != "no start" {
				t.Errorf("Run returned %v", r.err)
			}
		})
	})
}
