package holdfast_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
)

func TestChainPutsTheFirstListedOutermost(t *testing.T) {
	t.Parallel()
	var trail []string
	named := func(name string) holdfast.Middleware {
		return holdfast.MiddlewareFunc(func(next holdfast.Handler) holdfast.Handler {
			return holdfast.HandlerFunc(func(ctx context.Context, m *holdfast.Message) error {
				trail = append(trail, name+" in")
				err := next.Handle(ctx, m)
				trail = append(trail, name+" out")
				return err
			})
		})
	}
	because := errors.New("because")
	handler := holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
		trail = append(trail, "handler of "+m.ID)
		return because
	})

	h := holdfast.Chain(handler, named("first"), named("second"))
	if err := h.Handle(t.Context(), &holdfast.Message{ID: "m"}); !errors.Is(err, because) {
		t.Errorf("error = %v, want the handler's", err)
	}
	want := []string{"first in", "second in", "handler of m", "second out", "first out"}
	if diff := cmp.Diff(want, trail); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestChainOfNothingIsTheHandler(t *testing.T) {
	t.Parallel()
	mux := holdfast.NewMux("kind")
	if got := holdfast.Chain(mux); got != holdfast.Handler(mux) {
		t.Errorf("Chain = %v, want the handler itself", got)
	}
}
