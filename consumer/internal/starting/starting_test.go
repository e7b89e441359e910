package starting_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer/internal/starting"
)

var errTest = errors.New("test failure")

func TestDo(t *testing.T) {
	t.Parallel()
	in := func(name string, f func(t *testing.T, ctx context.Context, cancel func())) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				f(t, ctx, cancel)
			})
		})
	}
	in("it returns what start returns, and start's context outlives ctx then", func(t *testing.T, ctx context.Context, cancel func()) {
		given := make(chan context.Context, 1)
		err := starting.Do(ctx, context.WithoutCancel(ctx), time.Hour, nil, func(ctx context.Context) error { given <- ctx; return errTest })
		cancel()
		synctest.Wait()
		if ended := (<-given).Err(); !errors.Is(err, errTest) || ended != nil {
			t.Errorf("returned %v, context %v", err, ended)
		}
	})
	in("a panic and a Goexit are errors", func(t *testing.T, ctx context.Context, _ func()) {
		var p *holdfast.PanicError
		if err := starting.Do(ctx, ctx, time.Hour, nil, func(context.Context) error { panic("no") }); !errors.As(err, &p) || p.Value != "no" {
			t.Errorf("returned %v", err)
		}
		if err := starting.Do(ctx, ctx, time.Hour, nil, func(context.Context) error { runtime.Goexit(); return nil }); !errors.As(err, &p) || !p.Goexit {
			t.Errorf("returned %v", err)
		}
	})
	in("start's context ends with ctx while it runs, and its error is not told", func(t *testing.T, ctx context.Context, cancel func()) {
		time.AfterFunc(time.Second, cancel)
		err := starting.Do(ctx, t.Context(), time.Hour, nil, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		if err != nil {
			t.Errorf("returned %v", err)
		}
	})
	in("one that is deaf is left when patience ends", func(t *testing.T, ctx context.Context, cancel func()) {
		cancel()
		began := time.Now()
		err := starting.Do(ctx, t.Context(), time.Minute, nil, func(context.Context) error { time.Sleep(time.Hour); return nil })
		if !errors.Is(err, starting.ErrDeaf) || time.Since(began) != time.Minute {
			t.Errorf("returned %v after %v", err, time.Since(began))
		}
		time.Sleep(time.Hour)
	})
	in("in a hurry that was there before the cancel one that heeds it is not deaf", func(t *testing.T, ctx context.Context, cancel func()) {
		hurry := make(chan struct{})
		close(hurry)
		time.AfterFunc(time.Second, cancel)
		err := starting.Do(ctx, t.Context(), time.Hour, hurry, func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(900 * time.Millisecond)
			return ctx.Err()
		})
		if err != nil {
			t.Errorf("returned %v", err)
		}
	})
	in("... and one that is deaf is left after a second", func(t *testing.T, ctx context.Context, cancel func()) {
		hurry := make(chan struct{})
		close(hurry)
		cancel()
		began := time.Now()
		err := starting.Do(ctx, t.Context(), time.Minute, hurry, func(context.Context) error { time.Sleep(time.Hour); return nil })
		if !errors.Is(err, starting.ErrDeaf) || time.Since(began) != time.Second {
			t.Errorf("returned %v after %v", err, time.Since(began))
		}
		time.Sleep(time.Hour)
	})
}
