package snsserver

import (
	"fmt"
	"maps"
	"sync"
	"time"
)

// Call is one request the server has seen.
type Call struct {
	Action string
	// Topic is the topic's name, "" where the request names none.
	Topic string
	At    time.Time
	// Entries is the size of a batch, 1 for single operations.
	Entries int
	// Took is how long the call was under way, -1 while it still is.
	Took time.Duration
	// Err is the error's code, or the text of a broken connection; "" for
	// success. Entries that failed inside a batch are not errors of the call.
	Err string
}

// callLog remembers calls for tests. Safe for concurrent use.
type callLog struct {
	mu     sync.Mutex
	calls  ring[*Call]
	counts map[string]int
	served uint64
}

func (l *callLog) begin(c *call) *Call {
	rec := &Call{Action: c.action, Topic: c.topic, At: time.Now(), Entries: c.entries, Took: -1}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = make(map[string]int)
	}
	l.counts[c.action]++
	l.calls.add(rec)
	return rec
}

func (l *callLog) end(rec *Call, err string) {
	if rec == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	rec.Took, rec.Err = time.Since(rec.At), err
}

func (l *callLog) requestID() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served++
	return fmt.Sprintf("00000000-0000-4000-b000-%012x", l.served)
}

// Calls returns how often an action was called, "" for all actions, since the
// start or the last ResetLog. Calls that a fault cut off count too.
func (s *Server) Calls(action string) int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if action != "" {
		return s.log.counts[action]
	}
	n := 0
	for c := range maps.Values(s.log.counts) {
		n += c
	}
	return n
}

// Log returns copies of the calls kept, oldest first.
func (s *Server) Log() []Call {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	kept := s.log.calls.kept()
	out := make([]Call, len(kept))
	for i, c := range kept {
		out[i] = *c
	}
	return out
}

// ResetLog forgets calls and their counts.
func (s *Server) ResetLog() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.calls.items, s.log.counts = nil, nil
}
