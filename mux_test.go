package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-go/holdfast"
)

func kind(k string) *holdfast.Message {
	return &holdfast.Message{Attributes: map[string]holdfast.Attribute{"kind": {Type: "String", String: k}}}
}

// says is a handler that fails with its name, so that tests see who was called.
func says(name string) holdfast.Handler {
	return holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error { return errors.New(name) })
}

func TestMuxRoutes(t *testing.T) {
	t.Parallel()
	byKind := func() *holdfast.Mux {
		return holdfast.NewMux("kind").MustRoute("paid", says("paid")).MustRoute("sent", says("sent"))
	}
	byGroup := holdfast.NewMuxFunc(func(m *holdfast.Message) string { return m.GroupID })
	tests := map[string]struct {
		mux  *holdfast.Mux
		m    *holdfast.Message
		want string
	}{
		"by an attribute":                          {byKind(), kind("paid"), "paid"},
		"by another value of it":                   {byKind(), kind("sent"), "sent"},
		"in the case it was given":                 {byKind(), kind("Paid"), `no handler for route "Paid"`},
		"an unknown route is an error":             {byKind(), kind("lost"), `no handler for route "lost"`},
		"a message without the attribute too":      {byKind(), &holdfast.Message{}, "message has no route"},
		"a route for messages without attribute":   {byKind().MustRoute("", says("none")), &holdfast.Message{}, "none"},
		"Otherwise takes unknown routes":           {byKind().Otherwise(says("other")), kind("lost"), "other"},
		"Otherwise takes messages without a route": {byKind().Otherwise(says("other")), &holdfast.Message{}, "other"},
		"Otherwise leaves known routes":            {byKind().Otherwise(says("other")), kind("paid"), "paid"},
		"by a function":                            {byGroup.MustRoute("g", says("group")), &holdfast.Message{GroupID: "g"}, "group"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := tt.mux.Handle(t.Context(), tt.m); err == nil || err.Error() != tt.want {
				t.Errorf("error = %v, want %s", err, tt.want)
			}
		})
	}
}

func TestMuxErrorNamesTheRoute(t *testing.T) {
	t.Parallel()
	err := holdfast.Chain(holdfast.NewMux("kind")).Handle(t.Context(), kind("lost"))
	var route *holdfast.RouteError
	if !errors.As(fmt.Errorf("charge: %w", err), &route) || route.Route != "lost" {
		t.Errorf("error = %#v, want a *RouteError for lost", err)
	}
}

func TestMuxRefusesMistakes(t *testing.T) {
	t.Parallel()
	mux := holdfast.NewMux("kind").MustRoute("paid", says("first"))
	for what, err := range map[string]error{
		`route "paid" has a handler already`: mux.Route("paid", says("second")),
		`route "sent": handler is nil`:       mux.Route("sent", nil),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("Route = %v, want one that says %s", err, what)
		}
	}
	if err := mux.Handle(t.Context(), kind("paid")); err.Error() != "first" {
		t.Errorf("after a refused Route %v was called, want first", err)
	}
	defer func() {
		if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), "paid") {
			t.Errorf("MustRoute panicked with %v, want Route's error", err)
		}
	}()
	mux.MustRoute("paid", says("second"))
}

func TestMuxTakesRoutesWhileItRuns(t *testing.T) {
	t.Parallel()
	mux := holdfast.NewMux("kind").Otherwise(says("other"))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			route := strconv.Itoa(i)
			mux.MustRoute(route, says(route))
			if err := mux.Handle(t.Context(), kind(route)); err.Error() != route {
				t.Errorf("route %s went to %v", route, err)
			}
		})
	}
	wg.Wait()
}
