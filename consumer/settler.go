package consumer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer/internal/wire"
	"github.com/holdfast-go/holdfast/internal/agenda"
	"github.com/holdfast-go/holdfast/internal/batch"
	"github.com/holdfast-go/holdfast/internal/jitter"
)

// settlement is what becomes of a message after a run.
type settlement struct {
	outcome holdfast.Outcome
	err     error           // why it is not done
	delay   time.Duration   // for Retried
	here    bool            // retried here, under the same hold
	waits   bool            // retried here without counting as an attempt
	cause   string          // for DeadLettered, and where that could not be
	orphan  bool            // that could not be as there is no dead-letter queue
	ready   <-chan struct{} // for a parked one
	refused bool            // it could not be parked
}

// settler makes settlements happen, in batches.
type settler struct {
	c       *Consumer
	d       *dispatcher
	deletes *batch.Batcher[*hold]
	changes *batch.Batcher[*hold]
	letters *batch.Batcher[*hold]

	stopping bool // backoffs are short; guarded by the dispatcher's mu
}

// deleteCalls is the most deletes under way: enough for 20,000 messages a second
// where a call takes 20 ms.
const deleteCalls = 48

func newSettler(c *Consumer, fifo bool) *settler {
	s := &settler{c: c, d: c.d}
	linger, workers := max(0, c.cfg.DeleteLinger), deleteCalls
	if fifo {
		// The next of the group waits for the delete. Completions that come while
		// a delete is under way share the next one.
		linger, workers = 0, 2
	}
	s.deletes = batch.New(batch.Config[*hold]{Size: maxBatch, Linger: linger, Workers: workers, Flush: s.delete})
	// A change is to be sent before its hold ends.
	s.changes = batch.New(batch.Config[*hold]{Size: maxBatch, Linger: min(linger, c.d.beat.margin/2), Workers: 8, Flush: s.change})
	s.letters = batch.New(batch.Config[*hold]{Size: 1, Workers: 8, Flush: s.deadLetter})
	return s
}

// flush ends the linger of what waits: nothing else is in flight that could join.
func (s *settler) flush() {
	s.deletes.FlushNow()
	s.changes.FlushNow()
}

// hurry has all that waits to be tried again be tried at once, and keeps such waits
// short from now on: at the stop only so much time is left.
func (s *settler) hurry() {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.stopping = true
	for _, h := range s.d.held {
		switch {
		case h.settleSoon:
			s.await(h)
		case h.state == settling && h.timer != nil && h.timer.Stop():
			h.timer.Reset(0)
		}
	}
}

// backoff is the wait before the n-th repeated call. Call with the dispatcher's mu held.
func (s *settler) backoff(most time.Duration, n int) time.Duration {
	if s.stopping {
		most = min(most, s.c.forAcks()/4)
	}
	return jitter.Equal(100*time.Millisecond, most, n)
}

// close has nothing linger from now on, what is tried again included, and waits
// until hooks and middleware have been told of all that was settled, at most until
// end.
func (s *settler) close(end time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	for _, b := range []*batch.Batcher[*hold]{s.letters, s.deletes, s.changes} {
		_ = b.Close(ctx) // what is not settled by then is counted already
	}
}

// apply changes the state of h by a settlement and returns what to do about it
// without the lock. Call with mu held.
func (d *dispatcher) apply(h *hold, s settlement) func() {
	h.change = s
	switch {
	case s.outcome == holdfast.Unsettled:
		if h.dropped {
			d.abandoned--
		}
		after := d.giveBack(d.behind(h), s.err)
		d.forget(h)
		return func() {
			d.c.stats.count(s.outcome)
			if h.dropped {
				d.c.abandonedChanged()
			}
			after()
		}
	case s.ready != nil:
		d.move(h, parked)
		return func() {
			call(d.c, d.cfg.Hooks.Parked, holdfast.ParkedEvent{Message: &h.msg})
			d.c.goWait(h, s.ready)
		}
	case s.here && d.draining:
		s.outcome, s.here = holdfast.GaveBack, false
		h.change = s
		return d.c.settler.begin(h)
	case s.here:
		if !h.cut && !s.waits {
			h.reruns++
		}
		d.move(h, delayed)
		return func() {
			d.c.stats.count(s.outcome)
			d.c.tellOrphan(h, s)
			d.rest(h, s.delay)
		}
	}
	begun := d.c.settler.begin(h)
	return func() {
		d.c.tellOrphan(h, s)
		begun()
	}
}

// begin gets the settlement in h.change under way: it moves h to settling and
// returns what to do without the lock. Call with mu held.
func (s *settler) begin(h *hold) func() {
	s.d.move(h, settling)
	switch h.change.outcome {
	case holdfast.Done, holdfast.Discarded:
		return func() { s.deletes.Add(h) }
	case holdfast.DeadLettered:
		return func() { s.letters.Add(h) }
	}
	s.d.beat.unlist(h)
	after := s.d.giveBack(s.d.behind(h), h.change.err)
	if h.extending > 0 {
		s.await(h)
		return after
	}
	return func() {
		s.changes.Add(h)
		after()
	}
}

// await has the change of h wait for the extensions under way, as one that overtook it
// would undo its delay. One that hangs is waited for until the hold is about to end, and
// not for long at the stop: then the delay would be lost for sure. Call with mu held.
func (s *settler) await(h *hold) {
	h.settleSoon = true
	at := h.deadline.Add(-s.d.beat.margin)
	if s.stopping {
		at = agenda.Earlier(at, time.Now().Add(s.c.forAcks()/4))
	}
	s.d.beat.schedule(h, at)
	s.d.beat.rearm()
}

// waited ends that wait, and returns what to do without the lock. Call with mu held.
func (s *settler) waited(h *hold) func() {
	h.settleSoon = false
	s.d.beat.unlist(h)
	return func() {
		s.changes.Add(h)
		s.changes.FlushNow()
	}
}

// giveBack gets holds, which behind took off their group, on their way back.
// Call with mu held.
func (d *dispatcher) giveBack(holds []*hold, why error) func() {
	if len(holds) == 0 {
		return func() {}
	}
	var now []*hold
	for _, h := range holds {
		h.change = settlement{outcome: holdfast.GaveBack, err: why}
		d.beat.unlist(h)
		if h.extending > 0 {
			d.c.settler.await(h)
			continue
		}
		now = append(now, h)
	}
	return func() {
		for _, h := range now {
			d.c.settler.changes.Add(h)
		}
	}
}

// rest has a delayed message run again after wait. It is called when hooks have seen
// the run before: the next one writes the message anew.
func (d *dispatcher) rest(h *hold, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.state == delayed {
		h.timer = time.AfterFunc(wait, func() { d.again(h) })
	}
}

// again makes a delayed message ready.
func (d *dispatcher) again(h *hold) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.state != delayed {
		return
	}
	d.move(h, queued)
	d.ready.Push(h)
	d.dispatch()
}

// resume makes a parked message ready.
func (d *dispatcher) resume(h *hold) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.state != parked {
		return
	}
	d.resumed.Push(h)
	d.dispatch()
}

// delete deletes up to ten messages.
func (s *settler) delete(hs []*hold) {
	handles := make([]string, len(hs))
	results := make([]error, len(hs))
	s.d.mu.Lock()
	for i, h := range hs {
		handles[i] = h.handle
	}
	s.d.mu.Unlock()
	err := s.c.settleCall(func(ctx context.Context) error { return s.c.t.Delete(ctx, handles, results) })
	s.c.stats.deleteCalls.Add(1)
	s.sort(hs, handles, results, err, "sqs:DeleteMessage", s.deletes)
}

var errTooLate = errors.New("the hold ended before the call was made")

// change sets the visibility of up to ten messages.
func (s *settler) change(all []*hold) {
	var over []*hold
	hs := make([]*hold, 0, len(all))
	handles := make([]string, 0, len(all))
	delays := make([]int32, 0, len(all))
	now := time.Now()
	s.d.mu.Lock()
	for _, h := range all {
		switch {
		case h.state == gone: // ended by the next delivery, which a change now would concern
		case h.lost != nil || !now.Before(h.deadline): // somebody else may have the message
			over = append(over, h)
		default:
			hs, handles, delays = append(hs, h), append(handles, h.handle), append(delays, seconds(h.change.delay))
		}
	}
	s.d.mu.Unlock()
	for _, h := range over {
		s.refused(h, "sqs:ChangeMessageVisibility", errTooLate)
	}
	if len(hs) == 0 {
		return
	}
	results := make([]error, len(hs))
	err := s.c.settleCall(func(ctx context.Context) error { return s.c.t.Extend(ctx, handles, delays, results) })
	s.c.stats.changeCalls.Add(1)
	s.sort(hs, handles, results, err, "sqs:ChangeMessageVisibility", s.changes)
}

// sort goes through the answers to a batch: what SQS confirmed is over, what it
// refused for good is told, the rest is tried again.
func (s *settler) sort(hs []*hold, handles []string, results []error, err error, action string, again *batch.Batcher[*hold]) {
	whole := wire.Transient
	if err != nil {
		whole = wire.Classify(err)
		s.c.failed(problemSettle, action, whole, err)
		s.c.log.Warn("settling failed", "action", action, "messages", len(hs), "error", err)
	} else {
		s.c.health.Worked(problemSettle)
	}
	answer := func(i int) (wire.Fault, error) {
		if err != nil || results[i] == nil {
			return whole, err
		}
		return wire.Classify(results[i]), results[i]
	}
	// First what is confirmed, in one go: it is nearly all.
	var done, late []*hold
	s.d.mu.Lock()
	for i, h := range hs {
		switch f, e := answer(i); {
		case e != nil && !f.Final():
		case h.handle != handles[i]:
			// A newer receive came meanwhile: what SQS confirmed may have had no
			// effect, and what it refused was the older receipt.
			late = append(late, h)
		case e == nil && s.d.drop(h):
			if done == nil {
				done = make([]*hold, 0, len(hs))
			}
			done = append(done, h)
		}
	}
	s.d.goOn()
	s.d.mu.Unlock()
	for _, h := range done {
		s.tell(h)
	}
	for _, h := range late {
		again.Add(h)
	}
	if len(done) == len(hs) {
		return
	}
	var wait time.Duration
	for i, h := range hs {
		f, e := answer(i)
		switch {
		case e == nil || slices.Contains(late, h):
		case f == wire.Transient || f == wire.OverLimit || f.Slow() && f != wire.Missing:
			wait = s.retry(h, e, again, wait)
		default:
			s.refused(h, action, e)
		}
	}
}

// retry tries a settlement again after wait, which it returns, or chooses where it
// is 0: what failed together waits together, to share a call again. A change that
// cannot be made is given up when the hold ends, as the message then comes back by
// itself.
func (s *settler) retry(h *hold, err error, again *batch.Batcher[*hold], wait time.Duration) time.Duration {
	s.d.mu.Lock()
	h.tries++
	if wait == 0 {
		wait = s.backoff(5*time.Second, h.tries)
	}
	late := h.lost != nil || (again == s.changes && time.Now().Add(wait).After(h.deadline))
	if !late && h.state != gone {
		h.timer = time.AfterFunc(wait, func() { again.Add(h) })
	}
	s.d.mu.Unlock()
	if late {
		s.refused(h, "settle", err)
	}
	return wait
}

// refused gives up on a settlement: the message comes back when its visibility
// ends, if it still exists.
func (s *settler) refused(h *hold, action string, err error) {
	s.d.mu.Lock()
	if h.state == gone {
		s.d.mu.Unlock()
		return
	}
	lost := h.lost
	if lost == nil {
		lost = leaseLost(action+" was refused", err)
		h.lost = lost
	}
	after := s.d.giveBack(s.d.behind(h), lost)
	s.d.forget(h)
	s.d.mu.Unlock()
	after()
	s.c.stats.count(holdfast.Unsettled)
	s.c.log.Warn("message could not be settled and may come back", "message", h.id, "action", action, "error", err)
	call(s.c, s.c.cfg.Hooks.LeaseLost, holdfast.LeaseLostEvent{Message: &h.msg, Err: lost})
}

// tell tells hooks and middleware what became of a message.
func (s *settler) tell(h *hold) {
	now := time.Now()
	change := h.change
	s.c.stats.count(change.outcome)
	if f := s.c.cfg.Hooks.Settled; f != nil {
		call(s.c, f, holdfast.SettledEvent{
			Message: &h.msg, Outcome: change.outcome, Err: change.err, Delay: change.delay, Age: now.Sub(h.sentAt),
		})
	}
	err := change.err
	if change.outcome == holdfast.Done || change.outcome == holdfast.Discarded {
		err = nil
	}
	for _, m := range s.c.settlers {
		call(s.c, func(err error) { m.Settled(&h.msg, err) }, err)
	}
}
