package sqstest

import "time"

// Call is a request that the server has seen.
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

// Calls returns how often an action was called ("" for all), with those that a
// fault cut off, each try of the SDK for itself.
func (s *Server) Calls(action string) int { return s.inner.Calls(action) }

// Log returns the calls seen, oldest first, as far back as LogLimit allows.
func (s *Server) Log() []Call {
	calls := s.inner.Log()
	out := make([]Call, len(calls))
	for i, c := range calls {
		out[i] = Call(c)
	}
	return out
}

// ResetLog forgets the calls so far and their counts.
func (s *Server) ResetLog() { s.inner.ResetLog() }
