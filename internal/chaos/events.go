//go:build unix

package main

import (
	"sync"
	"time"
)

// span is a time in which something was done to the system; its end is zero while it
// lasts.
type span struct{ from, to time.Time }

func (s span) touches(from, to time.Time) bool {
	return s.from.Before(to) && (s.to.IsZero() || s.to.After(from))
}

// events is what the campaign did, for the verdict to explain things by.
type events struct {
	mu      sync.Mutex           // guards all below
	killed  map[string]time.Time // by life of a worker
	paused  map[string][]span    // by life
	outages []span               // of the store: down, slow or cut off
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
	byPause   = "the worker that had it was stopped"
	byOutage  = "the store was away or cut off"
	byCut     = "the reply to a receive reached nobody: cut off, or its worker killed"
	byNothing = "nothing that was done to it"
)

// why explains what a worker's life left undone between two moments.
func (e *events) why(life string, from, to time.Time) string {
	if at, ok := e.killed[life]; ok && at.After(from.Add(-time.Second)) && at.Before(to) {
		return byKill
	}
	for _, s := range e.paused[life] {
		if s.touches(from, to) {
			return byPause
		}
	}
	for _, s := range e.outages {
		if s.touches(from, to) {
			return byOutage
		}
	}
	return byNothing
}
