package holdfast_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
)

// lease is a hold that nobody extends.
type lease struct{ holdfast.Lease }

func (lease) Deadline() time.Time { return time.Unix(30, 0) }

func TestContextCarriesMessageAndLease(t *testing.T) {
	t.Parallel()
	type key struct{}
	m, l := &holdfast.Message{ID: "m"}, &lease{}
	cause := errors.New("cause")
	parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "kept"))
	carrying := holdfast.NewContext(parent, m, l)
	ctx, stop := context.WithTimeout(carrying, time.Hour) // as middleware below would
	defer stop()

	if got, ok := holdfast.MessageFrom(ctx); !ok || got != m {
		t.Errorf("MessageFrom = %v, %v", got, ok)
	}
	if got, ok := holdfast.LeaseFrom(ctx); !ok || got != holdfast.Lease(l) {
		t.Errorf("LeaseFrom = %v, %v", got, ok)
	}
	if got := ctx.Value(key{}); got != "kept" {
		t.Errorf("a value of the parent is %v", got)
	}
	cancel(cause)
	<-ctx.Done()
	if got := context.Cause(ctx); !errors.Is(got, cause) {
		t.Errorf("cause = %v, want the parent's", got)
	}
}

func TestContextOfTheInnerRunCounts(t *testing.T) {
	t.Parallel()
	outer := holdfast.NewContext(t.Context(), &holdfast.Message{ID: "outer"}, &lease{})
	inner := holdfast.NewContext(outer, &holdfast.Message{ID: "inner"}, nil)
	if m, _ := holdfast.MessageFrom(inner); m.ID != "inner" {
		t.Errorf("message = %s, want inner", m.ID)
	}
	if l, ok := holdfast.LeaseFrom(inner); ok {
		t.Errorf("lease = %v: that of another message", l)
	}
}

func TestContextWithoutThem(t *testing.T) {
	t.Parallel()
	for name, ctx := range map[string]context.Context{
		"a context that no runtime made": t.Context(),
		"one that carries nothing":       holdfast.NewContext(t.Context(), nil, nil),
	} {
		if m, ok := holdfast.MessageFrom(ctx); ok || m != nil {
			t.Errorf("%s: MessageFrom = %v, %v", name, m, ok)
		}
		if l, ok := holdfast.LeaseFrom(ctx); ok || l != nil {
			t.Errorf("%s: LeaseFrom = %v, %v", name, l, ok)
		}
	}
}

func TestAttrReadsStringsOnly(t *testing.T) {
	t.Parallel()
	m := &holdfast.Message{Attributes: map[string]holdfast.Attribute{
		"kind": {Type: "String", String: "order"},
		"raw":  {Type: "Binary", Binary: []byte("order")},
	}}
	for name, want := range map[string]string{"kind": "order", "raw": "", "missing": ""} {
		if got := m.Attr(name); got != want {
			t.Errorf("Attr(%s) = %q, want %q", name, got, want)
		}
	}
	if got := (&holdfast.Message{}).Attr("kind"); got != "" {
		t.Errorf("Attr of a message without attributes = %q", got)
	}
}
