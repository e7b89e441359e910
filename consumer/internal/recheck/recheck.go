// Package recheck looks at something now and then, and soon where there is doubt.
package recheck

import (
	"context"
	"math/rand/v2"
	"time"
)

// Watch looks. Make one with New; its methods are safe for concurrent use.
type Watch struct {
	every, least time.Duration
	doubt        chan struct{}
}

// New returns a Watch that looks after every, or up to a tenth less, and at once where
// there is doubt, but leaves at least least between two looks.
func New(every, least time.Duration) *Watch {
	return &Watch{every, least, make(chan struct{}, 1)}
}

// Doubt calls for a look, now or as soon as one may be.
func (w *Watch) Doubt() {
	select {
	case w.doubt <- struct{}{}:
	default:
	}
}

// Run looks until ctx ends. Nobody else calls it at the same time.
func (w *Watch) Run(ctx context.Context, look func(context.Context)) {
	for wait := time.Duration(0); ; wait = w.least {
		rest := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			rest.Stop()
			return
		case <-rest.C:
		}
		due := time.NewTimer(w.every - wait - rand.N(w.every/10))
		select {
		case <-ctx.Done():
			due.Stop()
			return
		case <-due.C:
		case <-w.doubt:
		}
		due.Stop()
		look(ctx)
	}
}
