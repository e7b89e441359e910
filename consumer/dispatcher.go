package consumer

import (
	"slices"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/internal/backlog"
	"github.com/holdfast-go/holdfast/internal/lazyctx"
	"github.com/holdfast-go/holdfast/internal/pace"
)

// dispatcher gives held messages to workers and counts what is held. Its mutex
// guards all that is known of held messages; nothing blocks while it is locked,
// and no hook, handler or SQS call runs under it.
type dispatcher struct {
	c    *Consumer
	cfg  *Config
	fifo bool
	beat *heartbeat

	mu        sync.Mutex
	held      map[string]*hold // by message id
	n         [states]int      // how many are in each state
	bytes     int64
	ready     backlog.Queue[*hold] // may start now; on FIFO the heads of their groups
	resumed   backlog.Queue[*hold] // were parked and may start now: before all others
	groups    map[string]*group
	rests     int // the sum of what the groups have of it
	idle      []*worker
	draining  bool          // stopping: nothing waits any more, what can run runs
	stopped   bool          // no run starts any more
	abandoned int           // handlers given up that still have their slot
	quiet     chan struct{} // nothing waits or runs
	settled   chan struct{} // nothing is being settled

	// receiving
	reserved  int // asked for by polls under way
	polls     int
	pace      pace.Pace
	wanted    bool          // a poller waits for budget
	gathering bool          // it has a timer for a fuller receive
	budget    chan struct{} // wakes it
}

// group is a FIFO message group: the messages held of it in order. The first is
// in ready, running, delayed, parked or settling; the others wait for it.
type group struct {
	id    string
	queue []*hold
	rests int // see resting
}

func newDispatcher(c *Consumer) *dispatcher {
	return &dispatcher{
		c: c, cfg: &c.cfg,
		ready:   backlog.Queue[*hold]{Valid: func(h *hold) bool { return h.state == queued }},
		resumed: backlog.Queue[*hold]{Valid: func(h *hold) bool { return h.state == parked }},
		held:    make(map[string]*hold),
		groups:  make(map[string]*group),
		budget:  make(chan struct{}, 1),
		quiet:   make(chan struct{}, 1), settled: make(chan struct{}, 1),
	}
}

// arrived takes over what a poll brought, or that it brought nothing.
func (d *dispatcher) arrived(asked int, hs []*hold, at time.Time) {
	var dups, over []*hold
	var notify []func()
	fresh := hs[:0]
	deadline, _ := d.holdTimes(at)
	late := d.beat.over(deadline, time.Now()) // the reply took longer than the holds last
	d.mu.Lock()
	d.reserved -= asked
	d.polls--
	for _, newer := range hs {
		h := d.held[newer.id]
		if h != nil && h.changing() && !h.settleSoon {
			// Its change of visibility took effect, though the reply is not here
			// yet, or its visibility ended over it: this is the next delivery.
			d.forget(h)
			over = append(over, h)
			h = nil
		}
		if h != nil {
			notify = append(notify, d.redelivered(h, newer, at))
			dups = append(dups, newer) // for hooks: a run may be writing to h's message
			continue
		}
		d.add(newer, at)
		if late {
			d.beat.unlist(newer) // lost below
		}
		fresh = append(fresh, newer)
	}
	d.beat.rearm()
	// Hooks must see a message before it can run.
	d.mu.Unlock()
	for _, f := range notify {
		f()
	}
	for _, h := range over {
		d.c.settler.tell(h)
	}
	d.c.stats.received(len(fresh), len(dups))
	if f := d.cfg.Hooks.Received; f != nil {
		for _, h := range fresh {
			call(d.c, f, holdfast.ReceivedEvent{Message: &h.msg})
		}
		for _, h := range dups {
			call(d.c, f, holdfast.ReceivedEvent{Message: &h.msg, Duplicate: true})
		}
	}
	notify = notify[:0]
	d.mu.Lock()
	for _, h := range fresh {
		if late {
			notify = append(notify, d.beat.lose(h, errLateReply))
			continue
		}
		d.enqueue(h)
	}
	d.dispatch()
	d.wakePoller()
	d.mu.Unlock()
	for _, f := range notify {
		f()
	}
	if len(fresh) > 0 {
		d.c.tellSlow(late, time.Since(at))
	}
}

// add holds a message that arrived at at. Call with mu held.
func (d *dispatcher) add(h *hold, at time.Time) {
	h.entry.Item = h
	h.arrived = at
	h.msg.ReceivedAt = at
	h.deadline, h.limit = d.holdTimes(at)
	d.held[h.id] = h
	d.n[queued]++
	d.bytes += h.size
	d.beat.begin(h, at)
}

// holdTimes says how long SQS surely hides a message that arrived at at: the
// visibility began when SQS sent the reply, so a second is taken off. The limit
// has more off, because asking for more than what is left is an error.
func (d *dispatcher) holdTimes(at time.Time) (deadline, limit time.Time) {
	return at.Add(d.cfg.Visibility - time.Second), at.Add(maxHold - 5*time.Second)
}

// redelivered gives a newer receipt to the hold of the same message. It returns
// what to call without the lock. Call with mu held.
func (d *dispatcher) redelivered(h, newer *hold, at time.Time) func() {
	h.handle = newer.handle
	h.deadline, h.limit = d.holdTimes(at)
	h.retries = 0
	h.receives = newer.receives
	revived := h.lost != nil
	h.lost = nil
	switch {
	case h.settleSoon:
		d.c.settler.await(h)
	case !h.dropped:
		d.beat.begin(h, at)
	}
	if !revived {
		return nothing
	}
	return h.renewed(h.deadline, nil)
}

// enqueue makes a new hold ready, on FIFO when it is the first of its group.
// Call with mu held.
func (d *dispatcher) enqueue(h *hold) {
	if h.state != queued { // lost between arrival and here
		return
	}
	if d.fifo {
		g := d.groups[h.groupID]
		if g == nil {
			g = &group{id: h.groupID}
			d.groups[g.id] = g
		}
		h.group = g
		g.queue = append(g.queue, h)
		d.weigh(g)
		if len(g.queue) > 1 {
			return
		}
	}
	d.ready.Push(h)
}

// move changes the state of h and keeps the counts. Call with mu held.
func (d *dispatcher) move(h *hold, to holdState) {
	d.n[h.state]--
	d.n[to]++
	h.state = to
	if h.group != nil {
		d.weigh(h.group)
	}
}

// weigh notes how many messages of a group that has changed rest: a walk over all
// groups for each receive would be long. Call with mu held.
func (d *dispatcher) weigh(g *group) {
	d.rests, g.rests = d.rests-g.rests, 0
	if n := len(g.queue); n > 0 && g.queue[0].state == delayed {
		g.rests = n
	} else if n > 0 && g.queue[0].state == parked {
		g.rests = n - 1
	}
	d.rests += g.rests
}

// dispatch starts ready messages while slots are free. Call with mu held.
func (d *dispatcher) dispatch() {
	var now time.Time // not read while there is nothing to start
	for d.n[running] < d.cfg.Concurrency {
		if now.IsZero() && d.ready.Len()+d.resumed.Len() > 0 {
			now = time.Now()
		}
		h := d.take(now)
		if h == nil {
			return
		}
		if n := len(d.idle); n > 0 {
			w := d.idle[n-1]
			d.idle = d.idle[:n-1]
			h.by = w
			w.work <- h // has room for one: an idle worker has none
			continue
		}
		w := &worker{d: d, work: make(chan *hold, 1)}
		h.by = w
		w.work <- h
		d.c.goWorker(w)
	}
}

// take returns the next message to run, or nil. Ready parked ones go first. Call
// with mu held.
func (d *dispatcher) take(now time.Time) *hold {
	if d.stopped {
		return nil
	}
	h, ok := d.resumed.Pop()
	if !ok {
		h, ok = d.ready.Pop()
	}
	if !ok {
		return nil
	}
	if d.beat.over(h.deadline, now) {
		// The heartbeat, which is late, would cancel a run at once.
		d.c.wg.Go(d.beat.drop(h, errLateExtension))
		d.wakePoller()
		d.tellStop()
		return d.take(now)
	}
	d.move(h, running)
	h.started, h.canceled = now, time.Time{}
	h.again, h.ran = h.ran, true
	h.thenReceives, h.attempt = h.receives, h.receives+h.reruns
	h.cancel = &h.ctx
	if h.again {
		h.cancel = new(lazyctx.Context) // the one of the run before stays cancelled
	}
	h.cancel.Parent = d.c.workCtx
	if h.cut = h.lost != nil; h.cut {
		h.cancel.Cancel(h.lost)
	}
	d.pace.Running(now, d.n[running])
	return h
}

// next is called by a worker that is free: it returns more work, or lists the
// worker as idle and returns nil. Call with mu held.
func (d *dispatcher) next(w *worker, now time.Time) *hold {
	if d.n[running] < d.cfg.Concurrency {
		if h := d.take(now); h != nil {
			h.by = w
			return h
		}
	}
	if d.stopped {
		close(w.work)
		return nil
	}
	d.idle = append(d.idle, w)
	return nil
}

// forget ends a hold, whatever became of its message, and lets the next of its
// group go. Call with mu held.
func (d *dispatcher) forget(h *hold) {
	if d.drop(h) {
		d.goOn()
	}
}

// goOn does what the end of holds allows. Call with mu held.
func (d *dispatcher) goOn() {
	d.dispatch()
	d.wakePoller()
	d.tellStop()
}

// drop is the first half of forget, for several holds at once. It tells whether h
// was held still. Call with mu held.
func (d *dispatcher) drop(h *hold) bool {
	if h.state == gone {
		return false
	}
	if h.state != running && h.change.outcome != holdfast.DeadLettered {
		h.origin.Release() // else a run or a copy may be made of it right now
	}
	d.move(h, gone)
	d.beat.unlist(h)
	h.end()
	if d.held[h.id] == h {
		delete(d.held, h.id)
	}
	d.bytes -= h.size
	if g := h.group; g != nil {
		d.leave(g, h)
	}
	return true
}

// leave takes h out of its group. Call with mu held.
func (d *dispatcher) leave(g *group, h *hold) {
	i := slices.Index(g.queue, h)
	if i < 0 {
		return
	}
	g.queue = slices.Delete(g.queue, i, i+1)
	d.weigh(g)
	switch {
	case len(g.queue) == 0:
		delete(d.groups, g.id)
	case i == 0 && g.queue[0].state == queued:
		d.ready.Push(g.queue[0])
	}
}

// behind takes out of h's group, and marks as settling, all that wait behind h:
// they must not run before it, so they are given back. Call with mu held.
func (d *dispatcher) behind(h *hold) []*hold {
	g := h.group
	if g == nil {
		return nil
	}
	i := slices.Index(g.queue, h)
	if i < 0 {
		return nil
	}
	rest := slices.Clone(g.queue[i+1:])
	g.queue = g.queue[:i+1]
	d.weigh(g)
	kept := rest[:0]
	for _, f := range rest {
		f.group = nil
		if f.state == queued {
			d.move(f, settling)
			kept = append(kept, f)
		}
	}
	return kept
}

// heldNow is the number of messages held. Call with mu held.
func (d *dispatcher) heldNow() int {
	return d.n[queued] + d.n[running] + d.n[delayed] + d.n[parked] + d.n[settling]
}

// giveBackAll gets those holds that match on their way back, each with what waits
// behind it in its group. Call with mu held.
func (d *dispatcher) giveBackAll(match func(*hold) bool) func() {
	var all []*hold
	for _, h := range d.held {
		if !match(h) {
			continue
		}
		rest := d.behind(h)
		d.move(h, settling)
		all = append(append(all, h), rest...)
	}
	return d.giveBack(all, holdfast.ErrStopping)
}

// quietNow tells whether nothing waits or runs, abandoned handlers aside. Call
// with mu held.
func (d *dispatcher) quietNow() bool {
	return d.n[queued]+d.n[delayed]+d.n[parked]+d.n[running]-d.abandoned == 0
}

func (d *dispatcher) isQuiet() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.quietNow()
}

// tellStop wakes the stop where what it waits for may be so. Call with mu held.
func (d *dispatcher) tellStop() {
	if d.quietNow() {
		poke(d.quiet)
	}
	if d.n[settling] == 0 {
		poke(d.settled)
	}
}

// poke wakes whoever waits on c, now or when next it waits.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
