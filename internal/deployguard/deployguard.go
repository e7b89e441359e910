// Package deployguard keeps a bad deploy from emptying a queue into its
// dead-letter queue.
package deployguard

import (
	"sync"
	"time"
)

// The guard's window and the least messages in it to judge by.
const (
	windowSeconds = 30
	leastMessages = 20
)

// Guard keeps a bad deploy from emptying the queue into the dead-letter
// queue. It counts the messages decided over half a minute, done or dead-lettered,
// and closes when the share of the latter is too high; then one probe at a time
// goes through until one succeeds.
//
// Runs that will be repeated decide nothing and do not count: a body that cannot
// be decoded is tried three times, and a guard that counted the first two beside
// the third would see one dead-lettering in three runs, or in five or ten where
// messages are tried that often, and never close.
//
// Its methods are safe for concurrent use.
type Guard struct {
	share   float64 // -1: off
	backoff func(try int) time.Duration

	mu      sync.Mutex // guards all below; a leaf: nothing is called under it
	counts  [windowSeconds]struct{ second, decided, dead int64 }
	shut    chan struct{} // not nil while closed; closed on reopening
	due     time.Time     // of the next probe
	tries   int
	probes  map[string]bool // ids of messages out as probes
	waiting []waiter        // messages parked until it opens
}

// New returns a guard that closes when more than share of the messages decided
// are to be dead-lettered; -1 never closes. backoff is the wait before the n-th
// probe, n from 1.
func New(share float64, backoff func(try int) time.Duration) *Guard {
	return &Guard{share: share, backoff: backoff}
}

type waiter struct {
	id    string
	ready chan struct{}
}

// add counts a message decided. Call with mu held.
func (g *Guard) add(now time.Time, dead int64) {
	s := now.Unix()
	slot := &g.counts[s%windowSeconds]
	if slot.second != s {
		slot.second, slot.decided, slot.dead = s, 0, 0
	}
	slot.decided++
	slot.dead += dead
}

// Succeeded counts a message that is done. A probe's success opens the gate.
func (g *Guard) Succeeded(id string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.add(now, 0)
	if g.shut == nil || !g.probes[id] {
		return
	}
	close(g.shut)
	for _, w := range g.waiting {
		close(w.ready)
	}
	g.shut, g.waiting, g.tries, g.probes = nil, nil, 0, nil
	clear(g.counts[:])
}

// Failed notes that a message will be tried again: if it was a probe it is one no
// more.
func (g *Guard) Failed(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.probes, id)
}

// MayDeadLetter counts a message that is to be dead-lettered, and tells whether it
// may be. The one that makes the share too high closes the gate and may not.
func (g *Guard) MayDeadLetter(id string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.share < 0 {
		return true
	}
	if g.shut != nil {
		delete(g.probes, id)
		return false
	}
	g.add(now, 1)
	var decided, dead int64
	for _, s := range g.counts {
		if now.Unix()-s.second < windowSeconds {
			decided += s.decided
			dead += s.dead
		}
	}
	if decided < leastMessages || float64(dead) <= g.share*float64(decided) {
		return true
	}
	g.shut, g.probes = make(chan struct{}), make(map[string]bool)
	g.schedule(now)
	return false
}

// schedule sets the time of the next probe. Call with mu held.
func (g *Guard) schedule(now time.Time) {
	g.tries++
	g.due = now.Add(g.backoff(g.tries))
}

// Closed tells whether the guard is closed.
func (g *Guard) Closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut != nil
}

// State returns nil while open, else what is closed on reopening and when the
// next probe is due.
func (g *Guard) State() (reopened <-chan struct{}, due time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		return nil, time.Time{}
	}
	return g.shut, g.due
}

// TakeProbe lets one probe through if it is due: a receive of one message by the
// caller, and one of the messages that wait here, as the queue may be empty.
func (g *Guard) TakeProbe() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if g.shut == nil || now.Before(g.due) {
		return false
	}
	g.schedule(now)
	if len(g.waiting) > 0 {
		w := g.waiting[0]
		g.waiting = g.waiting[1:]
		g.probes[w.id] = true
		close(w.ready)
	}
	return true
}

// Probe marks a message as a probe.
func (g *Guard) Probe(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		g.probes[id] = true
	}
}

// WaitFor returns what is closed when the message id may run again: when the gate
// opens, or when it is its turn as a probe.
func (g *Guard) WaitFor(id string) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := waiter{id: id, ready: make(chan struct{})}
	if g.shut == nil {
		close(w.ready)
	} else {
		g.waiting = append(g.waiting, w)
	}
	return w.ready
}
