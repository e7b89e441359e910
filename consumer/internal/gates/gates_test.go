package gates_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer/internal/gates"
	"github.com/holdfast-go/holdfast/internal/deployguard"
)

// gate is closed until open is called.
type gate struct {
	mu       sync.Mutex // guards all below
	reopened chan struct{}
	why      error
	panics   bool
}

func (g *gate) Closed() (<-chan struct{}, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.panics {
		panic("no gate")
	}
	if g.reopened == nil {
		return nil, nil
	}
	return g.reopened, g.why
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.panics = false
	if g.reopened != nil {
		close(g.reopened)
		g.reopened = nil
	}
}

var errShut = errors.New("shut")

// bundle is gates under test, and what they told.
type bundle struct {
	*gates.Gates
	guard *deployguard.Guard
	told  []string
}

func setup(list ...holdfast.Gate) *bundle {
	b := &bundle{guard: deployguard.New(0.2, func(int) time.Duration { return time.Second })}
	b.Gates = gates.New(list, b.guard, func(closed, changed bool, why error) {
		b.told = append(b.told, fmt.Sprintf("closed %v changed %v: %v", closed, changed, why))
	})
	return b
}

// wait waits for d at most.
func (b *bundle) wait(d time.Duration) (probe, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return b.Wait(ctx)
}

func TestGates(t *testing.T) {
	t.Parallel()
	in := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, f)
		})
	}
	in("without a gate they are open", func(t *testing.T) {
		b := setup()
		if probe, ok := b.wait(time.Hour); probe || !ok || !b.Open() {
			t.Errorf("probe %v, ok %v, open %v", probe, ok, b.Open())
		}
	})
	in("one closed gate closes them until it opens, and each look is told", func(t *testing.T) {
		g := &gate{reopened: make(chan struct{}), why: errShut}
		b := setup(&gate{}, g)
		if _, ok := b.wait(time.Hour); ok || b.Open() {
			t.Fatalf("ok %v, open %v", ok, b.Open())
		}
		time.AfterFunc(time.Minute, g.open)
		began := time.Now()
		if probe, ok := b.wait(time.Hour); probe || !ok || time.Since(began) != time.Minute {
			t.Errorf("probe %v, ok %v after %v", probe, ok, time.Since(began))
		}
		want := []string{"closed true changed true: shut", "closed true changed false: shut", "closed false changed true: <nil>"}
		if diff := cmp.Diff(want, b.told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
	in("a gate that does not say why has a reason all the same", func(t *testing.T) {
		b := setup(&gate{reopened: make(chan struct{})})
		b.wait(time.Second)
		if want := "closed true changed true: consumer: a gate of the middleware is closed and does not say why"; b.told[0] != want {
			t.Errorf("told %q, want %q", b.told, want)
		}
	})
	in("one that panics counts as closed and is asked again", func(t *testing.T) {
		g := &gate{panics: true}
		b := setup(g)
		time.AfterFunc(90*time.Minute, g.open)
		if _, ok := b.wait(time.Hour); ok || b.Open() {
			t.Errorf("ok %v, open %v", ok, b.Open())
		}
		if _, ok := b.wait(time.Hour); !ok {
			t.Error("closed when it does not panic any more")
		}
		time.Sleep(time.Second) // the timer of its last panic
	})
	in("a guard that closed lets one probe through per backoff", func(t *testing.T) {
		b := setup()
		for i := range 30 {
			b.guard.MayDeadLetter(fmt.Sprint(i), time.Now())
		}
		if b.Open() {
			t.Fatal("open")
		}
		for range 3 {
			began := time.Now()
			if probe, ok := b.wait(time.Hour); !probe || !ok || time.Since(began) != time.Second {
				t.Errorf("probe %v, ok %v after %v", probe, ok, time.Since(began))
			}
		}
		if b.told[0] != "closed true changed true: "+gates.ErrBadDeploy.Error() {
			t.Errorf("told %q", b.told)
		}
	})
}
