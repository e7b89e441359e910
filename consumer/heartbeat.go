package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer/internal/wire"
	"github.com/holdfast-go/holdfast/internal/agenda"
	"github.com/holdfast-go/holdfast/internal/jitter"
)

// heartbeat extends the visibility of all that is held, ten messages per call, at
// half of each hold, so that short handlers cost no call at all. It also ends the
// holds that could not be extended in time.
type heartbeat struct {
	c *Consumer
	d *dispatcher

	// guarded by the dispatcher's mu
	agenda agenda.Agenda[*hold] // what to act on next
	armed  time.Time            // when run wakes; zero while it waits for work
	looked time.Time            // when it last looked for what is over

	wake  chan struct{} // the first action is earlier than armed
	calls chan struct{} // bounds the calls under way

	// margin before the end of a hold it is taken for lost: the handler needs to
	// hear of it before anyone else may start. 1 s, less where holds are short.
	margin time.Duration
}

const (
	// extendCalls is the most extension calls under way.
	extendCalls = 16
	// tryTimeout bounds one try of a call that settles or extends: network gear
	// drops connections silently, and the next try takes a new one.
	tryTimeout = 5 * time.Second
)

func newHeartbeat(c *Consumer) *heartbeat {
	return &heartbeat{
		c: c, d: c.d, wake: make(chan struct{}, 1), calls: make(chan struct{}, extendCalls),
		margin: min(time.Second, c.cfg.Visibility/6),
	}
}

// run extends until ctx ends.
func (b *heartbeat) run(ctx context.Context) {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		batches, lost, next := b.due(time.Now())
		for _, after := range lost {
			after()
		}
		for _, hs := range batches {
			select {
			case b.calls <- struct{}{}:
			case <-ctx.Done():
				return
			}
			b.c.wg.Go(func() {
				_ = b.extend(ctx, hs) // told and tried again
				<-b.calls
				poke(b.wake) // for those that there was no call for
			})
		}
		if next.IsZero() {
			t.Stop()
		} else {
			t.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-b.wake:
		}
	}
}

var (
	errLateExtension = leaseLost("its visibility could not be extended in time", nil)
	errLateReply     = leaseLost("reading the reply that brought it took longer than its visibility lasts", nil)
)

// over tells whether a hold that ends at deadline is lost by now.
func (b *heartbeat) over(deadline, now time.Time) bool { return !now.Before(deadline.Add(-b.margin)) }

// due takes off the list what to act on now: batches to extend, and holds that have
// ended or whose change can wait for extensions no longer. The last batch is filled up
// with what would be due soon.
func (b *heartbeat) due(now time.Time) (batches [][]*hold, lost []func(), next time.Time) {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	var hs []*hold
	var soonest time.Time
	most := maxBatch * (cap(b.calls) - len(b.calls))
	for e := b.agenda.First(); e != nil; e = b.agenda.First() {
		if len(hs) == most && !e.At().After(now) {
			// All calls are under way, maybe hung. What ends meanwhile must not wait
			// for one. A look goes over all that is due: too much for each call's end.
			if soonest = b.looked.Add(100 * time.Millisecond); !soonest.After(now) {
				b.looked, soonest = now, now.Add(100*time.Millisecond)
				lost = append(lost, b.overdue(now)...)
			}
			break
		}
		soon := len(hs)%maxBatch != 0 && e.At().Sub(now) < b.d.cfg.Visibility/6 && e.Item.extending == 0
		if e.At().After(now) && !soon {
			break
		}
		h := e.Item
		b.unlist(h)
		if h.settleSoon {
			lost = append(lost, b.c.settler.waited(h))
			continue
		}
		if b.over(h.deadline, now) {
			lost = append(lost, b.lose(h, errLateExtension))
			continue
		}
		h.ask = b.extension(h, now)
		if !now.Add(time.Duration(h.ask) * time.Second).After(h.deadline) {
			// The 12 hours leave nothing to gain: it ends when it ends.
			b.schedule(h, h.deadline.Add(-b.margin))
			if soon {
				break
			}
			continue
		}
		if end := h.deadline.Add(-b.margin); end.Before(now.Add(tryTimeout)) {
			// It may end before its call does, which is to go on for the others.
			b.schedule(h, end)
		}
		h.extending++
		hs = append(hs, h)
	}
	for len(hs) > maxBatch {
		batches = append(batches, hs[:maxBatch])
		hs = hs[maxBatch:]
	}
	if len(hs) > 0 {
		batches = append(batches, hs)
	}
	b.armed = time.Time{}
	if e := b.agenda.First(); e != nil {
		b.armed = e.At()
		if b.armed.Before(soonest) {
			b.armed = soonest
		}
	}
	return batches, lost, b.armed
}

// overdue is due but for extensions. Call with mu held.
func (b *heartbeat) overdue(now time.Time) (lost []func()) {
	for _, h := range b.agenda.Due(now) {
		switch {
		case h.settleSoon:
			lost = append(lost, b.c.settler.waited(h))
		case h.changing(): // given back with one before it in its group
		case b.over(h.deadline, now):
			lost = append(lost, b.lose(h, errLateExtension))
		}
	}
	return lost
}

// extension is what to ask for: the visibility timeout, or what is left of the 12
// hours, since asking for more is an error. Call with mu held.
func (b *heartbeat) extension(h *hold, now time.Time) int32 {
	left := h.limit.Sub(now).Truncate(time.Second)
	return int32(min(b.d.cfg.Visibility, max(left, 0)) / time.Second)
}

// extend extends one batch. It returns why the first is not held longer by that.
func (b *heartbeat) extend(ctx context.Context, hs []*hold) error {
	handles := make([]string, len(hs))
	times := make([]int32, len(hs))
	results := make([]error, len(hs))
	sent := time.Now()
	b.d.mu.Lock()
	for i, h := range hs {
		handles[i] = h.handle
		times[i] = h.ask
	}
	b.d.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	err := b.c.t.Extend(ctx, handles, times, results)
	cancel()
	b.c.stats.extendCalls.Add(1)

	failed := 0
	var after []func()
	b.d.mu.Lock()
	for i, h := range hs {
		if err != nil {
			results[i] = err
		}
		if results[i] != nil {
			failed++
		}
		after = append(after, b.extended(h, handles[i], sent, sent.Add(time.Duration(times[i])*time.Second), results[i]))
		if h.lost != nil {
			results[i] = h.lost // whatever SQS said
		} else if h.state == gone {
			results[i] = errSettled
		}
	}
	b.rearm()
	b.d.mu.Unlock()
	for _, f := range after {
		f()
	}
	if err != nil {
		b.c.failed(problemExtend, "sqs:ChangeMessageVisibility", wire.Classify(err), err)
		b.c.log.Warn("extending failed", "messages", len(hs), "error", err)
	} else {
		b.c.health.Worked(problemExtend)
	}
	call(b.c, b.c.cfg.Hooks.Extended, holdfast.ExtendedEvent{Messages: len(hs) - failed, Failed: failed, Err: err})
	return results[0]
}

func nothing() {}

// extended notes the answer for one hold to what was sent at sent, and returns what
// to do without the lock. Call with mu held.
func (b *heartbeat) extended(h *hold, handle string, sent, deadline time.Time, err error) func() {
	now := time.Now()
	h.extending--
	newest := h.handle == handle // else it says nothing about the newer receipt
	if h.lost == nil && err == nil && newest && deadline.After(h.deadline) {
		h.deadline = deadline
	}
	if h.settleSoon && h.extending == 0 {
		return b.c.settler.waited(h)
	}
	if h.changing() || h.state == gone || h.dropped || h.lost != nil {
		return nothing
	}
	if err == nil && newest {
		h.retries = 0
		// Half of the hold counts from the request: half of what an answer that came late
		// leaves could be later than the end of a claim, which comes before the hold's.
		b.schedule(h, sent.Add(h.deadline.Sub(sent)/2))
		return h.renewed(h.deadline, nil)
	}
	if newest && wire.Classify(err).Final() {
		if h.state == settling {
			// Its delete decides: a message that is deleted cannot be extended.
			b.unlist(h)
			return nothing
		}
		return b.lose(h, leaseLost("SQS does not hold the message any more", err))
	}
	h.retries++
	next := now.Add(jitter.Equal(200*time.Millisecond, 2*time.Second, h.retries))
	b.schedule(h, agenda.Earlier(next, h.deadline.Add(-b.margin)))
	return nothing
}

// demand is an extension that Lease.Extend asked for. All who ask meanwhile share it.
type demand struct {
	done chan struct{} // closed when err is there
	err  error
}

// extendNow is holdfast.Lease.Extend. Its call outlives ctx, as a give-back has to
// wait for it.
func (b *heartbeat) extendNow(ctx context.Context, h *hold) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	call, err := b.demand(h)
	if err != nil {
		return err
	}
	select {
	case <-call.done:
		return call.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// demand joins the extension of h that was asked for, or starts one, if there is
// anything to gain.
func (b *heartbeat) demand(h *hold) (*demand, error) {
	now := time.Now()
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	switch {
	case h.lost != nil:
		return nil, h.lost
	case h.state != running:
		return nil, errSettled
	case h.demand != nil:
		return h.demand, nil
	}
	if h.ask = b.extension(h, now); !now.Add(time.Duration(h.ask) * time.Second).After(h.deadline) {
		return nil, fmt.Errorf("consumer: nothing is left of the %v that SQS lets a receive be held", maxHold)
	}
	h.extending++
	call := &demand{done: make(chan struct{})}
	h.demand = call
	b.c.wg.Go(func() {
		call.err = b.extend(b.c.settleCtx, []*hold{h})
		b.d.mu.Lock()
		h.demand = nil
		b.d.mu.Unlock()
		close(call.done)
	})
	return call, nil
}

// lose ends a hold whose visibility is gone, and returns what to do without the
// lock. A handler under a claim of its own goes on, as the claim's owner decides;
// any other is cancelled. What has not begun is forgotten. Call with mu held.
func (b *heartbeat) lose(h *hold, why error) func() {
	after := b.drop(h, why)
	b.d.goOn()
	return after
}

// drop is the first half of lose. Call with mu held.
func (b *heartbeat) drop(h *hold, why error) func() {
	if h.state == gone || h.dropped || h.lost != nil {
		return nothing
	}
	h.lost = why
	b.unlist(h)
	tell, message, after := h.renewed(time.Time{}, why), h.shown(), nothing
	if h.state == running && len(h.renewers) == 0 {
		h.cut = true
		if h.cancel != nil {
			h.cancel.Cancel(why)
		}
	}
	if h.state != settling {
		after = b.d.giveBack(b.d.behind(h), why)
	}
	if h.state != settling && h.state != running {
		b.d.drop(h)
	}
	if h.done != nil {
		close(h.done)
		h.done = nil
	}
	return func() {
		after()
		tell()
		b.c.stats.lost.Add(1)
		b.c.log.Warn("lease lost", "message", h.id, "error", why)
		call(b.c, b.c.cfg.Hooks.LeaseLost, holdfast.LeaseLostEvent{Message: message(), Err: why})
	}
}

// begin puts a hold that began at at on the agenda for half of its length, and
// where that is short in time for a second try. Call with mu held.
func (b *heartbeat) begin(h *hold, at time.Time) {
	b.schedule(h, agenda.Earlier(at.Add(b.d.cfg.Visibility/2), h.deadline.Add(-2*b.margin)))
}

// schedule puts h on the agenda. Call with mu held.
func (b *heartbeat) schedule(h *hold, at time.Time) { b.agenda.Put(&h.entry, at) }

// unlist takes h off the agenda. Call with mu held.
func (b *heartbeat) unlist(h *hold) { b.agenda.Remove(&h.entry) }

// rearm wakes run if it would sleep beyond the first action. It needs no waking
// for what comes later, and a list that ran empty and filled again costs a wake
// once per hold's half at most. Call with mu held.
func (b *heartbeat) rearm() {
	e := b.agenda.First()
	if e == nil || (!b.armed.IsZero() && !e.At().Before(b.armed)) {
		return
	}
	b.armed = e.At()
	poke(b.wake)
}
