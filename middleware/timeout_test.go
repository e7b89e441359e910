package middleware_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/middleware"
)

func TestTimeoutCancelsARunThatIsTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var cause error
		h := holdfast.Chain(holdfast.HandlerFunc(func(ctx context.Context, _ *holdfast.Message) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return ctx.Err()
		}), middleware.Timeout(5*time.Second))

		begun := time.Now()
		err := h.Handle(t.Context(), &holdfast.Message{})
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("the run ended after %v, want 5s", took)
		}
		for what, got := range map[string]error{"cause": cause, "error": err} {
			if !errors.Is(got, holdfast.ErrHandlerTimeout) || !strings.Contains(got.Error(), "longer than 5s") {
				t.Errorf("%s = %v, want one that names 5s and wraps ErrHandlerTimeout", what, got)
			}
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v, want what the handler returned in it", err)
		}
	})
}

func TestTimeoutKeepsVerbs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := holdfast.Chain(holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error {
			time.Sleep(time.Minute) // deaf to its context
			return holdfast.Discard(errors.New("no use any more"))
		}), middleware.Timeout(time.Second))
		var discard *holdfast.DiscardError
		if err := h.Handle(t.Context(), &holdfast.Message{}); !errors.As(err, &discard) {
			t.Errorf("error = %v, want the handler's Discard in it", err)
		}
	})
}

func TestTimeoutLeavesOtherRunsAlone(t *testing.T) {
	t.Parallel()
	because := errors.New("because")
	tests := map[string]struct {
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		do   func(context.Context) error
		want error
	}{
		"a run in time that succeeds": {do: func(context.Context) error { return nil }},
		"a run in time that fails":    {do: func(context.Context) error { return because }, want: because},
		"a run that succeeds late": {do: func(context.Context) error {
			time.Sleep(time.Minute)
			return nil
		}},
		"a run that is cancelled for another cause": {
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeoutCause(ctx, time.Second, holdfast.ErrLeaseLost)
			},
			do: func(ctx context.Context) error {
				<-ctx.Done()
				return context.Cause(ctx)
			},
			want: holdfast.ErrLeaseLost,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.ctx != nil {
					var cancel context.CancelFunc
					ctx, cancel = tt.ctx(ctx)
					defer cancel()
				}
				var ended func() error
				h := middleware.Timeout(10 * time.Second).Wrap(holdfast.HandlerFunc(
					func(ctx context.Context, _ *holdfast.Message) error {
						ended = ctx.Err
						return tt.do(ctx)
					}))
				if err := h.Handle(ctx, &holdfast.Message{}); err != tt.want {
					t.Errorf("error = %v, want just %v", err, tt.want)
				}
				if ended() == nil {
					t.Error("the context of the run outlives it")
				}
			})
		})
	}
}

func TestTimeoutValidatesItsBounds(t *testing.T) {
	t.Parallel()
	for d, ok := range map[time.Duration]bool{
		-time.Second: false, 0: false, 1: true, 12 * time.Hour: true, 12*time.Hour + 1: false,
	} {
		err := validate(t, middleware.Timeout(d))
		if ok != (err == nil) {
			t.Errorf("Timeout(%v): Validate = %v", d, err)
		}
		if err != nil && (!strings.Contains(err.Error(), d.String()) || !strings.Contains(err.Error(), "at most 12h")) {
			t.Errorf("Timeout(%v): Validate = %v, want one that names the value and the bound", d, err)
		}
	}
}
