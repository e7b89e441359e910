package sqsserver

import (
	"fmt"
	"maps"
	"sync"
	"time"
)

// Call is one request the server has seen.
type Call struct {
	Action string
	// Queue is the queue's name, "" where the request names none.
	Queue string
	At    time.Time
	// Entries is the size of a batch, 1 for single operations.
	Entries int
	// MaxMessages and Wait are what a ReceiveMessage asked for; Messages is how
	// many it brought.
	MaxMessages int
	Wait        time.Duration
	Messages    int
	// Took is how long the call was under way, -1 while it still is.
	Took time.Duration
	// Err is the error's code, or the text of a broken connection; "" for
	// success. Entries that failed inside a batch are not errors of the call.
	Err string
}

// callLog remembers calls for tests. Safe for concurrent use.
type callLog struct {
	limit int

	mu     sync.Mutex
	calls  []*Call // oldest first; up to twice the limit
	counts map[string]int
	served uint64
}

func (l *callLog) begin(c *call, r request) *Call {
	rec := &Call{Action: c.action, Queue: c.name, At: time.Now(), Entries: r.entries(), Took: -1}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = make(map[string]int)
	}
	l.counts[c.action]++
	if l.limit > 0 {
		if len(l.calls) >= 2*l.limit {
			l.calls = append(l.calls[:0:0], l.calls[l.limit:]...)
		}
		l.calls = append(l.calls, rec)
	}
	return rec
}

// note changes a record that others may be reading a copy of.
func (l *callLog) note(rec *Call, change func(*Call)) {
	if rec == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	change(rec)
}

func (l *callLog) end(rec *Call, err string) {
	l.note(rec, func(c *Call) { c.Took, c.Err = time.Since(c.At), err })
}

func (l *callLog) requestID() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served++
	return fmt.Sprintf("00000000-0000-4000-9000-%012x", l.served)
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
	kept := s.log.calls
	if n := len(kept) - s.log.limit; n > 0 {
		kept = kept[n:]
	}
	out := make([]Call, len(kept))
	for i, c := range kept {
		out[i] = *c
	}
	return out
}

// ResetLog forgets calls and counts.
func (s *Server) ResetLog() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.calls, s.log.counts = nil, nil
}
