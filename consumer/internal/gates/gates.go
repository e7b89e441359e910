// Package gates asks what may stop receiving: gates of the middleware and the guard
// against bad deploys.
package gates

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/internal/deployguard"
)

// ErrBadDeploy is why receiving stops where the guard closed.
var ErrBadDeploy = errors.New("consumer: too many messages were to be dead-lettered at once, which looks like a bad deploy: receiving one probe at a time until one succeeds")

var errSilent = errors.New("consumer: a gate of the middleware is closed and does not say why")

// Gates are asked before each receive. Make them with New; their methods are safe for
// concurrent use.
type Gates struct {
	list  []holdfast.Gate
	guard *deployguard.Guard
	tell  func(closed, changed bool, why error)

	mu     sync.Mutex // guards closed and the order of what is told
	closed bool       // as was told
}

// New returns the gates of list and a guard. tell is told what Wait finds, and whether
// that is a change; it is called by one goroutine at a time.
func New(list []holdfast.Gate, guard *deployguard.Guard, tell func(closed, changed bool, why error)) *Gates {
	return &Gates{list: list, guard: guard, tell: tell}
}

// Open tells whether a receive may be issued now.
func (g *Gates) Open() bool {
	reopened, _ := g.shut()
	return reopened == nil && !g.guard.Closed()
}

// shut returns the first of the middleware's gates that is closed.
func (g *Gates) shut() (reopened <-chan struct{}, why error) {
	for _, gate := range g.list {
		if reopened, why = ask(gate); reopened != nil {
			return reopened, why
		}
	}
	return nil, nil
}

// ask asks one gate. One that panics counts as closed and is asked again soon.
func ask(gate holdfast.Gate) (reopened <-chan struct{}, why error) {
	defer func() {
		if v := recover(); v != nil {
			reopened, why = After(time.Second), fmt.Errorf("consumer: a gate of the middleware panicked: %v", v)
		}
	}()
	reopened, why = gate.Closed()
	if reopened != nil && why == nil {
		why = errSilent
	}
	return reopened, why
}

// Wait returns true when all gates are open, or when a probe is due at the guard
// against bad deploys; false when ctx ends.
func (g *Gates) Wait(ctx context.Context) (probe, ok bool) {
	for ctx.Err() == nil {
		if reopened, why := g.shut(); reopened != nil {
			g.note(true, why)
			select {
			case <-ctx.Done():
			case <-reopened:
			}
			continue
		}
		reopened, due := g.guard.State()
		if reopened == nil {
			g.note(false, nil)
			return false, true
		}
		g.note(true, ErrBadDeploy)
		t := time.NewTimer(time.Until(due))
		select {
		case <-ctx.Done():
		case <-reopened:
		case <-t.C:
			if g.guard.TakeProbe() {
				t.Stop()
				return true, true
			}
		}
		t.Stop()
	}
	return false, false
}

// note tells what was found.
func (g *Gates) note(closed bool, why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	changed := g.closed != closed
	g.closed = closed
	g.tell(closed, changed, why)
}

// After returns a channel that is closed after d.
func After(d time.Duration) <-chan struct{} {
	c := make(chan struct{})
	time.AfterFunc(d, func() { close(c) })
	return c
}
