package producer

import (
	"sync/atomic"
	"time"
)

// Hooks is how metrics, traces and logs watch a producer. Each field may be nil.
// Hooks are called from the producer's own goroutines, several at once: they must be
// quick, must not block, and must not write to what an event points to. A panic in a
// hook is recovered and logged.
type Hooks struct {
	// Sent is called when a message has its result: it was accepted, or given up.
	Sent func(SentEvent)
	// Called is called for each request that sends.
	Called func(CalledEvent)
}

// SentEvent tells what became of a message.
type SentEvent struct {
	// Message is as it was sent, with the attributes that the producer added.
	Message *Message
	Result  Result
	// Attempts is how often it was tried.
	Attempts int
	// Took is the time since it was taken into a batch.
	Took time.Duration
}

// CalledEvent tells of one SendMessageBatch or PublishBatch.
type CalledEvent struct {
	// Messages is how many were in the request, Failed how many were not accepted.
	Messages, Failed int
	// Err is the error of the request as a whole.
	Err  error
	Took time.Duration
}

// Stats is a snapshot of a producer: counts since New, and what is pending now.
type Stats struct {
	// Sent is how many messages were accepted, Failed how many were given up.
	Sent, Failed int64
	// Retries is how many tries of messages there were beyond the first.
	Retries int64
	// Calls is how many requests were made to send, CallErrors how many of them
	// failed as a whole.
	Calls, CallErrors int64
	// Offloaded is how many bodies were put elsewhere.
	Offloaded int64
	// TracesDropped is how many messages went without a trace, that of W3C for want of
	// room among the ten attributes, either because it was malformed.
	TracesDropped int64
	// Pending is how many messages are taken and not yet sent, PendingBytes their
	// size.
	Pending      int
	PendingBytes int64
}

type counters struct {
	sent, failed, retries, calls, callErrors, offloaded, tracesDropped atomic.Int64
}

// Stats returns a snapshot. Safe for concurrent use, also after Close.
func (p *Producer) Stats() Stats {
	n := &p.stats
	s := Stats{
		Sent: n.sent.Load(), Failed: n.failed.Load(), Retries: n.retries.Load(), Calls: n.calls.Load(), CallErrors: n.callErrors.Load(),
		Offloaded: n.offloaded.Load(), TracesDropped: n.tracesDropped.Load(),
	}
	s.Pending, s.PendingBytes = p.budget.Used()
	return s
}

// call calls a hook and survives its panic.
func call[E any](p *Producer, f func(E), event E) {
	if f == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			p.cfg.Logger.Error("hook panicked", "value", v)
		}
	}()
	f(event)
}
