package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/internal/agenda"
	"github.com/holdfast-go/holdfast/internal/envelope"
	"github.com/holdfast-go/holdfast/internal/routine"
	"github.com/holdfast-go/holdfast/internal/tryout"
)

// worker is one goroutine that runs handlers. Workers are started as slots are
// first needed and then wait for more: a warm stack is worth keeping.
type worker struct {
	d       *dispatcher
	work    chan *hold
	current *hold
	routine string // guarded by the dispatcher's mu
}

// run works until the dispatcher closes the worker's channel.
func (w *worker) run() {
	name := routine.Name()
	w.d.mu.Lock()
	w.routine = name
	w.d.mu.Unlock()
	// A handler that calls runtime.Goexit takes this goroutine with it: the
	// message is settled as after a panic and another goroutine goes on.
	defer func() {
		h := w.current
		if h == nil {
			return
		}
		err := &holdfast.PanicError{Goexit: true, Stack: debug.Stack()}
		w.current = nil
		if next := w.d.finished(w, h, err); next != nil {
			w.work <- next
		}
		w.d.c.goWorker(w)
	}()
	for h := range w.work {
		for h != nil {
			w.current = h
			err := w.handle(h)
			w.current = nil
			h = w.d.finished(w, h, err)
		}
	}
}

// handle runs the chain for h and makes an error of a panic.
func (w *worker) handle(h *hold) (err error) {
	d := w.d
	ctx := h.cancel // take made it for this run
	defer ctx.Cancel(nil)
	if h.again {
		// What ran before may have written to the message.
		d.c.remake(&h.msg, h.origin, h.arrived, h.thenReceives, h.attempt)
	}
	h.msg.Attempt = h.attempt

	if f := d.cfg.Hooks.Started; f != nil {
		call(d.c, f, holdfast.StartedEvent{Message: &h.msg, Waited: h.started.Sub(h.arrived)})
	}
	if age := h.started.Sub(h.sentAt); h.noWork == nil && d.cfg.MaxAge > 0 && !h.sentAt.IsZero() && age > d.cfg.MaxAge {
		return fmt.Errorf("%w (%v): the message is %v old", errTooOld, d.cfg.MaxAge, age.Round(time.Millisecond))
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		// recover returns nil for Goexit, which run deals with.
		if v := recover(); v != nil {
			err = &holdfast.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	if err = envelope.Answer(ctx, h.noWork, &h.msg, d.cfg.Middleware); h.noWork == nil {
		err = d.c.chain.Handle(holdfast.NewContext(ctx, &h.msg, h), &h.msg)
	}
	tryout.Error(err)
	returned = true
	return err
}

// finished decides what becomes of h, gets that under way, and returns the
// worker's next message; nil where the worker has to wait.
func (d *dispatcher) finished(w *worker, h *hold, err error) (next *hold) {
	now := time.Now()
	d.mu.Lock()
	took := now.Sub(h.started)
	h.cancel, h.renewers = nil, nil
	if h.state != running { // the stop is over and has left this handler behind
		next = d.next(w, now)
		d.mu.Unlock()
		return next
	}
	d.pace.Finished()
	s := d.judge(h, err, now)
	done, after := s.outcome == holdfast.Done, nothing
	if done { // the way of nearly all: without the closures of the rarer outcomes
		h.change = s
		d.move(h, settling)
	} else {
		after = d.apply(h, s)
	}
	d.pace.Running(now, d.n[running])
	next = d.next(w, now)
	d.wakePoller()
	d.tellStop()
	last := d.n[running] == 0
	d.mu.Unlock()

	if err != nil {
		d.c.tellPanic(h, err)
	}
	if f := d.cfg.Hooks.Finished; f != nil {
		call(d.c, f, holdfast.FinishedEvent{Message: &h.msg, Err: err, Took: took, Outcome: s.outcome})
	}
	if s.refused {
		call(d.c, d.cfg.Hooks.Parked, holdfast.ParkedEvent{Message: &h.msg, Refused: true})
	}
	if done {
		d.c.settler.deletes.Add(h)
	}
	after()
	if last {
		d.c.settler.flush()
	}
	return next
}

// tellPanic says that a handler panicked, where err is that.
func (c *Consumer) tellPanic(h *hold, err error) {
	var p *holdfast.PanicError
	if errors.As(err, &p) {
		c.stats.panics.Add(1)
		c.log.Error("handler panicked", "message", h.id, "error", p, "stack", string(p.Stack))
	}
}

// watchdog cancels handlers that run too long and gives up on those that do not
// heed it, so that a hung handler is seen and its message freed.
func (d *dispatcher) watchdog(ctx context.Context) {
	if d.cfg.HandlerTimeout < 0 {
		return
	}
	const heed = time.Minute // from the cancel until a handler counts as abandoned
	t := time.NewTimer(min(d.cfg.HandlerTimeout, heed))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := time.Now()
		wake := now.Add(d.cfg.HandlerTimeout)
		var abandoned []*hold
		var afters []func()
		d.mu.Lock()
		for _, h := range d.held {
			if h.state != running || h.dropped {
				continue
			}
			due := h.started.Add(d.cfg.HandlerTimeout)
			if due.After(now) {
				wake = agenda.Earlier(wake, due)
				continue
			}
			if h.canceled.IsZero() {
				h.canceled = now
				if h.cancel != nil {
					h.cancel.Cancel(holdfast.ErrHandlerTimeout)
				}
			}
			if due = h.canceled.Add(heed); due.After(now) {
				wake = agenda.Earlier(wake, due)
				continue
			}
			abandoned = append(abandoned, h)
			afters = append(afters, d.abandon(h))
		}
		d.mu.Unlock()
		for _, after := range afters {
			after()
		}
		d.c.tellAbandoned(abandoned, now)
		t.Reset(time.Until(wake))
	}
}

// abandon gives up on the handler of h: its slot stays taken, but its message is
// extended no more, and when it comes back it is a message like any other. Call
// with mu held.
func (d *dispatcher) abandon(h *hold) func() {
	h.dropped = true
	d.abandoned++
	d.beat.unlist(h)
	if h.lost == nil {
		h.lost = leaseLost("its handler was abandoned", nil)
	}
	h.end()
	delete(d.held, h.id)
	after := d.giveBack(d.behind(h), errAbandoned)
	if h.group != nil {
		d.leave(h.group, h)
		h.group = nil
	}
	return after
}

// abandonedChanged tells health how many slots abandoned handlers have taken.
func (c *Consumer) abandonedChanged() {
	c.d.mu.Lock() // also while health is told: else an older count could be told last
	defer c.d.mu.Unlock()
	n := c.d.abandoned
	err := fmt.Errorf("%d of %d slots are taken by handlers that do not heed their context", n, c.cfg.Concurrency)
	switch {
	case n == 0:
		c.health.Clear(problemAbandoned)
	case 2*n >= c.cfg.Concurrency:
		c.health.Die(problemAbandoned, err)
	default:
		c.health.Set(problemAbandoned, err)
	}
}

// tellAbandoned tells the world of handlers that do not end.
func (c *Consumer) tellAbandoned(hs []*hold, now time.Time) {
	if len(hs) == 0 {
		return
	}
	names := make([]string, len(hs))
	messages := make([]func() *holdfast.Message, len(hs))
	c.d.mu.Lock()
	for i, h := range hs {
		names[i], messages[i] = h.by.routine, h.shown()
	}
	c.d.mu.Unlock()
	stacks := routine.Stacks(names...)
	c.abandonedChanged()
	for i, h := range hs {
		c.stats.abandoned.Add(1)
		c.log.Error("handler abandoned: it does not heed its context", "message", h.id, "running", now.Sub(h.started), "stack", stacks[i])
		call(c, c.cfg.Hooks.Abandoned, holdfast.AbandonedEvent{Message: messages[i](), Running: now.Sub(h.started), Stack: stacks[i]})
	}
}
