package holdfast

import (
	"context"
	"fmt"
	"sync"
)

// Mux routes messages to handlers by a string that each message carries. Make
// one with NewMux or NewMuxFunc. It is safe for concurrent use; routes are
// usually added before the consumer runs.
type Mux struct {
	route func(*Message) string

	mu       sync.RWMutex // guards routes and fallback
	routes   map[string]Handler
	fallback Handler
}

// NewMux routes by the string value of the message attribute name. A message
// without that attribute has the route "".
func NewMux(attribute string) *Mux {
	return NewMuxFunc(func(m *Message) string { return m.Attr(attribute) })
}

// NewMuxFunc routes by what route returns for the message. A panic in route
// counts as the handler's.
func NewMuxFunc(route func(*Message) string) *Mux {
	return &Mux{route: route, routes: make(map[string]Handler)}
}

// Route adds a route. It returns an error where h is nil or the route is taken:
// two handlers for one route are a mistake that no order should decide.
func (x *Mux) Route(route string, h Handler) error {
	if h == nil {
		return fmt.Errorf("holdfast: Mux: route %q: handler is nil", route)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, taken := x.routes[route]; taken {
		return fmt.Errorf("holdfast: Mux: route %q has a handler already", route)
	}
	x.routes[route] = h
	return nil
}

// MustRoute is Route for routes known when the program is written: it panics
// where Route returns an error. It returns the Mux, so calls chain.
func (x *Mux) MustRoute(route string, h Handler) *Mux {
	if err := x.Route(route, h); err != nil {
		panic(err)
	}
	return x
}

// Otherwise decides on messages without a route. Unless it is called they fail
// with [*RouteError], which the runtime dead-letters on the third attempt. To
// delete them give a handler that returns [Discard], to dead-letter them at once
// one that returns [Permanent].
func (x *Mux) Otherwise(h Handler) *Mux {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fallback = h
	return x
}

// Handle gives m to the handler of its route.
func (x *Mux) Handle(ctx context.Context, m *Message) error {
	route := x.route(m)
	x.mu.RLock()
	h, ok := x.routes[route]
	if !ok {
		h = x.fallback
	}
	x.mu.RUnlock()
	if h == nil {
		return &RouteError{Route: route}
	}
	return h.Handle(ctx, m)
}
