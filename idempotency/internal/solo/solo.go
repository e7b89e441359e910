// Package solo lets one run have a process to itself: a message that ended two
// processes runs with nothing beside it, so that what happens then is its own doing.
package solo

import (
	"container/list"
	"sync"
	"time"
)

const (
	// patience is how long newcomers are kept out while a run that wants to be alone
	// waits for the others to end. Those can take hours, and one that hangs never
	// ends: newcomers are then let in again, and it is tried again later.
	patience = time.Minute
	// leastOpen and mostOpen bound the time for which newcomers are let in between
	// two times in which they were kept out. It is as long as the latter, and doubles
	// with each time that was in vain.
	leastOpen = time.Second
	mostOpen  = 30 * time.Minute
	// claim is how long whoever has its turn may take to come back for it: its message
	// may be lost, or given back, by now.
	claim = 10 * time.Second
)

// Process keeps the runs of one process apart where one wants to be alone. It has
// no goroutine. Safe for concurrent use; the zero value works.
type Process struct {
	mu      sync.Mutex // guards all below
	running int        // runs inside, a lone one included
	alone   bool       // the one that is inside runs alone
	waiting list.List  // of *Turn, those that want to be alone, in their order
	closed  time.Time  // since when newcomers are kept out; zero where they are not
	opened  chan struct{}
	openTo  time.Time // until when newcomers are let in although one waits
	vain    int       // times in a row that were in vain
	timer   *time.Timer
}

// Turn is the place of one run in the line of those that want to be alone.
type Turn struct {
	key   any
	alive func() bool
	ready chan struct{}
	until time.Time // once ready: when the turn is over unless it is taken
	place *list.Element
}

// Enter lets a run begin, which ends with Leave. Otherwise it returns a channel that is
// closed when it should ask again: another run is alone, or about to be. key tells one
// run from another: one that stands in the line begins alone, if it does.
func (p *Process) Enter(key any) (alone bool, wait <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step()
	if t := p.find(key); t != nil {
		wait = p.lone(t)
		return wait == nil, wait
	}
	if !p.closed.IsZero() {
		return false, p.opened
	}
	p.running++
	return false, nil
}

// Alone lets a run begin that is to be alone, which ends with Leave. Otherwise it
// returns a channel that is closed when it should ask again, by Enter or Alone: key
// keeps its place in the line. alive tells whether it may still come back; it is
// called under the lock.
func (p *Process) Alone(key any, alive func() bool) (wait <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.find(key)
	if t == nil {
		t = &Turn{key: key, alive: alive, ready: make(chan struct{})}
		t.place = p.waiting.PushBack(t)
	}
	t.alive = alive
	p.step()
	return p.lone(t)
}

// lone lets t begin if it is its turn. mu is held.
func (p *Process) lone(t *Turn) (wait <-chan struct{}) {
	if p.running > 0 || p.waiting.Front() != t.place {
		if !t.until.IsZero() { // it came back, but others are inside again
			t.ready, t.until = make(chan struct{}), time.Time{}
			p.step()
		}
		return t.ready
	}
	p.waiting.Remove(t.place)
	p.running, p.alone, p.vain = 1, true, 0
	p.close()
	p.step()
	return nil
}

// Closed returns a channel that is closed when newcomers are let in again; nil where
// they are not kept out.
func (p *Process) Closed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step()
	if p.closed.IsZero() {
		return nil
	}
	return p.opened
}

// Leave ends a run that was let in.
func (p *Process) Leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
	if p.alone {
		p.alone = false
		p.open(time.Since(p.closed))
	}
	p.step()
}

func (p *Process) find(key any) *Turn {
	for e := p.waiting.Front(); e != nil; e = e.Next() {
		if t := e.Value.(*Turn); t.key == key {
			return t
		}
	}
	return nil
}

// step brings the state up to date with the clock. mu is held.
func (p *Process) step() {
	if p.waiting.Len() == 0 && p.closed.IsZero() && p.openTo.IsZero() {
		return // as nearly always
	}
	now := time.Now()
	for e := p.waiting.Front(); e != nil; {
		t, next := e.Value.(*Turn), e.Next()
		if !t.alive() || !t.until.IsZero() && !now.Before(t.until) {
			p.waiting.Remove(e)
		}
		e = next
	}
	front := p.waiting.Front()
	switch {
	case p.alone:
	case front == nil:
		if !p.closed.IsZero() {
			p.open(0)
		}
		p.openTo, p.vain = time.Time{}, 0
	case p.running == 0: // its turn, whether newcomers are let in or not
		t := front.Value.(*Turn)
		p.close()
		if t.until.IsZero() {
			t.until = now.Add(claim)
			close(t.ready)
		}
		p.wake(t.until.Sub(now))
	case p.closed.IsZero() && now.Before(p.openTo):
		p.wake(p.openTo.Sub(now))
	case p.closed.IsZero():
		p.close()
		p.wake(patience)
	case now.Sub(p.closed) >= patience:
		p.vain++
		p.open(patience << min(p.vain, 10))
		p.wake(p.openTo.Sub(now))
	default:
		p.wake(patience - now.Sub(p.closed))
	}
}

func (p *Process) close() {
	if p.closed.IsZero() {
		p.closed, p.opened = time.Now(), make(chan struct{})
	}
}

// open lets newcomers in for d at least.
func (p *Process) open(d time.Duration) {
	p.openTo = time.Now().Add(min(max(d, leastOpen), mostOpen))
	p.closed = time.Time{}
	close(p.opened)
}

// wake has step called after d.
func (p *Process) wake(d time.Duration) {
	if p.timer != nil {
		p.timer.Stop()
	}
	p.timer = time.AfterFunc(max(d, time.Millisecond), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.step()
	})
}
