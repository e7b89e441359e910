package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast"
)

// gates asks all gates of the consumer before each receive: those that the
// middleware brings and the guard against bad deploys.
type gates struct {
	c    *Consumer
	list []holdfast.Gate

	mu     sync.Mutex // guards closed
	closed bool       // as hooks and health were told
}

// open tells whether a receive may be issued now.
func (g *gates) open() bool {
	reopened, _ := g.shut()
	return reopened == nil && !g.c.deploy.Closed()
}

// shut returns the first of the middleware's gates that is closed.
func (g *gates) shut() (reopened <-chan struct{}, why error) {
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
			reopened, why = afterDelay(time.Second), fmt.Errorf("consumer: a gate of the middleware panicked: %v", v)
		}
	}()
	reopened, why = gate.Closed()
	if reopened != nil && why == nil {
		why = errSilentGate
	}
	return reopened, why
}

// wait returns true when all gates are open, or when a probe is due at the guard
// against bad deploys; false when ctx ends.
func (g *gates) wait(ctx context.Context) (probe, ok bool) {
	for ctx.Err() == nil {
		if reopened, why := g.shut(); reopened != nil {
			g.tell(true, why)
			select {
			case <-ctx.Done():
			case <-reopened:
			}
			continue
		}
		reopened, due := g.c.deploy.State()
		if reopened == nil {
			g.tell(false, nil)
			return false, true
		}
		g.tell(true, errBadDeploy)
		t := time.NewTimer(time.Until(due))
		select {
		case <-ctx.Done():
		case <-reopened:
		case <-t.C:
			if g.c.deploy.TakeProbe() {
				t.Stop()
				return true, true
			}
		}
		t.Stop()
	}
	return false, false
}

// tell tells hooks and health of a change.
func (g *gates) tell(closed bool, why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if closed {
		g.c.health.set(problemGate, why)
	} else {
		g.c.health.clear(problemGate)
	}
	if g.closed == closed {
		return
	}
	g.closed = closed
	g.c.log.Warn("receiving", "gate-closed", closed, "why", why)
	call(g.c, g.c.cfg.Hooks.Gate, holdfast.GateEvent{Closed: closed, Why: why})
}

// probing tells the guard which message is its probe.
func (g *gates) probing(hs []*hold) {
	for _, h := range hs {
		g.c.deploy.Probe(h.id)
	}
}

var errSilentGate = errors.New("consumer: a gate of the middleware is closed and does not say why")

var errBadDeploy = errors.New("consumer: too many messages were to be dead-lettered at once, which looks like a bad deploy: receiving one probe at a time until one succeeds")
