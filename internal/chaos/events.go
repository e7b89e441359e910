//go:build unix

package main

import (
	"slices"
	"sync"
	"time"
)

// span is a time in which something was done to the system; its end is zero while it
// lasts.
type span struct{ from, to time.Time }

// freezes reports whether a worker that was stopped for the span cannot have kept what it
// held: it is longer than the visibility.
func (s span) freezes() bool { return s.to.IsZero() || s.to.Sub(s.from) > visibility }

func (s span) touches(from, to time.Time) bool {
	return s.from.Before(to) && (s.to.IsZero() || s.to.After(from))
}

// events is what the campaign did, for the verdict to explain things by.
type events struct {
	mu      sync.Mutex           // guards all below
	killed  map[string]time.Time // by life of a worker
	paused  map[string][]span    // by life
	outages []span               // of the store: down, slow or cut off
	cuts    []time.Time          // of connections to SQS
	stores  int                  // kills of the store
}

func newEvents() *events {
	return &events{killed: make(map[string]time.Time), paused: make(map[string][]span)}
}

func (e *events) kill(life string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.killed[life] = time.Now()
}

// pause notes that a worker is stopped, and returns what notes that it goes on.
func (e *events) pause(life string) (over func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(e.paused[life])
	e.paused[life] = append(e.paused[life], span{from: time.Now()})
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.paused[life][n].to = time.Now()
	}
}

// cut notes that connections to SQS are cut.
func (e *events) cut() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cuts = append(e.cuts, time.Now())
}

// outage notes that the store cannot be reached, and returns what notes its end.
func (e *events) outage() (over func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(e.outages)
	e.outages = append(e.outages, span{from: time.Now()})
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.outages[n].to = time.Now()
	}
}

// Reasons why a message was received, or its effect written, again. They are those of
// the protocol's crash matrix.
const (
	byKill    = "the worker that had it was killed"
	byFreeze  = "the worker that had it was stopped for longer than its visibility"
	byPause   = "the worker that had it was stopped for a shorter time"
	byOutage  = "the store was away or cut off"
	byCut     = "the reply to a receive reached nobody when connections were cut"
	byLost    = "the reply to a receive reached nobody when a worker was killed or stopped"
	byNothing = "nothing that was done to it"
)

// why explains what a worker's life left undone between two moments.
func (e *events) why(life string, from, to time.Time) string {
	if at, ok := e.killed[life]; ok && at.After(from.Add(-time.Second)) && at.Before(to) {
		return byKill
	}
	reason := ""
	for _, s := range e.paused[life] {
		switch {
		case !s.touches(from, to):
		case s.freezes():
			return byFreeze
		default:
			reason = byPause
		}
	}
	if reason != "" {
		return reason
	}
	for _, s := range e.outages {
		if s.touches(from, to) {
			return byOutage
		}
	}
	return byNothing
}

// slack is how far a loss may be from what caused it: requests are under way, and what is
// done is noted before or after it is done.
const slack = time.Second

// whyUnseen explains a receive that no worker saw, between two moments. A cut comes
// before a kill: there is a kill each second, and only kills are excused as crashes.
func (e *events) whyUnseen(from, to time.Time) string {
	from, to = from.Add(-slack), to.Add(slack)
	within := func(at time.Time) bool { return !at.Before(from) && !at.After(to) }
	if slices.ContainsFunc(e.cuts, within) {
		return byCut
	}
	for _, at := range e.killed {
		if within(at) {
			return byLost
		}
	}
	for _, spans := range e.paused {
		if slices.ContainsFunc(spans, func(s span) bool { return s.touches(from, to) }) {
			return byLost
		}
	}
	return byNothing
}

// longest is the longest time for which a worker was stopped, and freezes how many times
// one was stopped for longer than its visibility.
func (e *events) longest() (longest time.Duration, freezes int) {
	for _, spans := range e.paused {
		for _, s := range spans {
			longest = max(longest, s.to.Sub(s.from))
			freezes += count(s.freezes())
		}
	}
	return longest, freezes
}
