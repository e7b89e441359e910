package sqstest

import (
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/internal/snsserver"
)

// Call is a request that the server has seen.
type Call struct {
	Action string
	// Queue is the queue's name, "" where the request names none.
	Queue string
	// Topic is the topic's name in calls of SNS.
	Topic string
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

// Calls returns how often an action of SQS or SNS was called ("" for all), with
// those that a fault cut off, each try of the SDK for itself.
func (s *Server) Calls(action string) int { return s.inner.Calls(action) + s.sns.Calls(action) }

// Log returns the calls seen, oldest first, as far back as LogLimit allows.
func (s *Server) Log() []Call {
	var out []Call
	for _, c := range s.inner.Log() {
		out = append(out, Call{
			Action: c.Action, Queue: c.Queue, At: c.At, Entries: c.Entries,
			MaxMessages: c.MaxMessages, Wait: c.Wait, Messages: c.Messages, Took: c.Took, Err: c.Err,
		})
	}
	for _, c := range s.callsOfSNS() {
		out = append(out, Call{Action: c.Action, Topic: c.Topic, At: c.At, Entries: c.Entries, Took: c.Took, Err: c.Err})
	}
	slices.SortStableFunc(out, func(a, b Call) int { return a.At.Compare(b.At) })
	return out
}

func (s *Server) callsOfSNS() []snsserver.Call {
	return s.sns.Log()
}

// ResetLog forgets the calls so far and their counts.
func (s *Server) ResetLog() {
	s.inner.ResetLog()
	s.sns.ResetLog()
}
