package consumer

import (
	"context"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer/internal/wire"
	"github.com/holdfast-go/holdfast/internal/agenda"
	"github.com/holdfast-go/holdfast/internal/lazyctx"
)

// holdState is where on its way a held message is.
type holdState uint8

const (
	queued   holdState = iota // waits for a slot, on FIFO also for its predecessors
	running                   // a handler works on it
	delayed                   // FIFO: waits out its backoff here
	parked                    // waits for what it was parked for, or then for a slot
	settling                  // its delete, give-back or dead-lettering is under way
	gone                      // not held any more
	states                    // how many there are
)

// hold is one message that this process holds, from its receive until it is
// settled or its visibility is lost. It is the message's holdfast.Lease.
//
// Fields below mu are guarded by dispatcher.mu.
type hold struct {
	d   *dispatcher
	msg holdfast.Message
	// origin is the message as the transport received it: handlers may write to
	// msg, so what is run again or dead-lettered is made from this.
	origin      *wire.Origin
	id, groupID string
	sentAt      time.Time
	arrived     time.Time
	size        int64
	noWork      error // set where it is never for a handler

	// Set by take for the run it begins, and not changed during that.
	again                 bool
	attempt, thenReceives int

	// mu (of the dispatcher)
	handle   string // the newest: an older one may be accepted without effect
	receives int    // ApproximateReceiveCount of the newest receive
	state    holdState
	reruns   int              // runs here that counted as attempts, beyond the receive
	deadline time.Time        // SQS surely hides the message until then
	limit    time.Time        // the 12 hours of this receive end then
	lost     error            // why the visibility ended, where it did
	done     chan struct{}    // made on demand; closed when the hold ends
	renewers []*renewer       // replaced, never written
	ctx      lazyctx.Context  // of the first run
	cancel   *lazyctx.Context // of the run under way
	cut      bool             // this run was cancelled because the hold was lost
	key      string
	started  time.Time // of the run under way
	canceled time.Time // when the watchdog cancelled the run
	ran      bool      // a run had the message before
	dropped  bool      // the run was abandoned: no more extensions
	by       *worker   // of the run, for the stack of an abandoned one
	timer    *time.Timer
	group    *group
	change   settlement // what settling does
	tries    int        // failed settlements in a row

	// heartbeat
	entry      agenda.Entry[*hold] // when to act on it next
	extending  int                 // extensions under way
	demand     *demand             // the one of them that Extend asked for
	ask        int32               // seconds that the extension under way asks for
	retries    int                 // failed extensions in a row
	settleSoon bool                // a change of visibility waits for the extensions under way
}

var _ holdfast.Lease = (*hold)(nil)

// renewer is what OnRenew registers.
type renewer func(deadline time.Time, lost error)

// Deadline implements holdfast.Lease.
func (h *hold) Deadline() time.Time {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return h.deadline
}

// Limit implements holdfast.Lease.
func (h *hold) Limit() time.Time {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return h.limit
}

// closed is what Done returns for a hold that ended before anyone asked.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Done implements holdfast.Lease.
func (h *hold) Done() <-chan struct{} {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.lost != nil || h.state == gone {
		return closed
	}
	if h.done == nil {
		h.done = make(chan struct{})
	}
	return h.done
}

// errSettled is the Err of a hold that ended in order.
var errSettled = leaseLost("the message was settled", nil)

// Err implements holdfast.Lease.
func (h *hold) Err() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.lost == nil && h.state == gone {
		return errSettled
	}
	return h.lost
}

// Extend implements holdfast.Lease.
func (h *hold) Extend(ctx context.Context) error { return h.d.beat.extendNow(ctx, h) }

// OnRenew implements holdfast.Lease.
func (h *hold) OnRenew(f func(time.Time, error)) (stop func()) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	r := renewer(f)
	h.renewers = append(slices.Clip(h.renewers), &r)
	return func() {
		h.d.mu.Lock()
		defer h.d.mu.Unlock()
		if len(h.renewers) == 1 && h.renewers[0] == &r {
			h.renewers = nil // as nearly always
			return
		}
		h.renewers = slices.DeleteFunc(slices.Clone(h.renewers), func(other *renewer) bool { return other == &r })
	}
}

// renewed returns what tells the renewers, to be called without the lock. Call
// with the dispatcher's lock held.
func (h *hold) renewed(deadline time.Time, lost error) func() {
	list := h.renewers
	if len(list) == 0 {
		return nothing
	}
	return func() {
		for _, r := range list {
			call(h.d.c, func(deadline time.Time) { (*r)(deadline, lost) }, deadline)
		}
	}
}

// shown returns what makes the message for hooks, to be called without the lock:
// while a handler runs it may write to its own. Call with mu held.
func (h *hold) shown() func() *holdfast.Message {
	m := &h.msg
	if h.state != running {
		return func() *holdfast.Message { return m }
	}
	m = new(holdfast.Message)
	origin, receives, attempt := *h.origin, h.thenReceives, h.attempt
	return func() *holdfast.Message { h.d.c.remake(m, &origin, h.arrived, receives, attempt); return m }
}

// SetKey implements holdfast.Lease.
func (h *hold) SetKey(key string) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	h.key = key
}

// end marks the hold as over. Call with the dispatcher's lock held.
func (h *hold) end() {
	if h.done != nil {
		close(h.done)
		h.done = nil
	}
	if h.timer != nil {
		h.timer.Stop()
	}
}

// changing tells whether the hold is being ended by a change of visibility. Call
// with mu held.
func (h *hold) changing() bool {
	return h.state == settling && (h.change.outcome == holdfast.Retried || h.change.outcome == holdfast.GaveBack)
}
