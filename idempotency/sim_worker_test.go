package idempotency_test

import (
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/idempotency"
)

// simWorker is a process: it receives, keeps what it holds under heartbeat, runs
// it, and settles it. It crashes, and freezes: stopped by the scheduler, its clocks
// going on, or suspended with its machine, its monotonic clock standing still.
type simWorker struct {
	s         *sim
	id        int
	life      int // how often it was started
	alive     bool
	frozen    bool
	suspend   bool
	frozeAt   time.Duration
	stopped   time.Duration // what its monotonic clock missed
	suspended time.Duration // when it last did
	ppm       int64         // how fast its clocks run
	pending   []func()      // what came while it was frozen

	holds    []*simHold // as they came
	active   int        // chains under way
	alone    *simHold   // which runs alone
	stopping bool
	storeOff bool          // the breaker is open
	faultAt  time.Duration // until when it suffered from something
}

// mono is its monotonic clock, wall its wall clock: they part in a suspension.
func (w *simWorker) mono() time.Duration {
	missed := w.stopped
	if w.frozen && w.suspend {
		missed += w.s.now - w.frozeAt
	}
	return w.rate(w.s.now - missed)
}

func (w *simWorker) wall() time.Duration { return w.rate(w.s.now) }

// simMoment is one reading of a worker's clocks, and the true time of it.
type simMoment struct{ mono, wall, now time.Duration }

func (w *simWorker) clocks() simMoment { return simMoment{w.mono(), w.wall(), w.s.now} }

func (w *simWorker) rate(d time.Duration) time.Duration {
	return d + d/1_000_000*time.Duration(w.ppm)
}

// drift is by how much its reckoning of d may be wrong, roundings to milliseconds
// included.
func (w *simWorker) drift(d time.Duration) time.Duration { return d/1000 + 2*time.Millisecond }

// faulted notes that something befalls the worker until then: only within, or soon
// after, may a lease run out.
func (w *simWorker) faulted(until time.Duration) { w.faultAt = max(w.faultAt, until) }

// enter has the worker do f now, when it wakes, or never.
func (w *simWorker) enter(life int, f func()) {
	switch {
	case !w.alive || w.life != life:
	case w.frozen:
		w.pending = append(w.pending, f)
	default:
		f()
	}
}

// after is a timer of the worker: it goes by its monotonic clock.
func (w *simWorker) after(d time.Duration, f func()) { w.at(w.mono()+d, f) }

func (w *simWorker) at(due time.Duration, f func()) {
	if !w.alive {
		return
	}
	life := w.life
	var fire func()
	fire = func() {
		w.enter(life, func() {
			if w.mono() < due {
				w.s.after(due-w.mono()+time.Microsecond, fire)
				return
			}
			f()
		})
	}
	w.s.after(due-w.mono(), fire)
}

// call sends a request. serve is what the server makes of it, and false where it is
// not served; done hears whether an answer came within the timeout.
func (w *simWorker) call(timeout time.Duration, serve func() bool, done func(ok bool)) (faulty bool) {
	s, life := w.s, w.life
	there, back := s.draw(time.Millisecond, 10*time.Millisecond), s.draw(time.Millisecond, 10*time.Millisecond)
	lostThere, lostBack := false, false
	if s.faulty() {
		lostThere, lostBack = s.chance(s.plan.lost), s.chance(s.plan.lost)
		if s.chance(s.plan.slow) {
			there = s.draw(0, 2*timeout+s.plan.storeTimeout)
		}
		if s.chance(s.plan.slow) {
			back = s.draw(0, 2*timeout)
		}
	}
	faulty = lostThere || lostBack || there+back > 100*time.Millisecond
	if faulty {
		w.faulted(s.now + timeout)
		s.count.callFaults++
	}
	over := false
	finish := func(ok bool) {
		if !over {
			over = true
			done(ok)
		}
	}
	w.after(timeout, func() { finish(false) })
	if lostThere {
		return faulty
	}
	s.after(there, func() {
		served := serve()
		if !lostBack {
			s.after(back, func() { w.enter(life, func() { finish(served) }) })
		}
	})
	return faulty
}

func (w *simWorker) start() {
	w.alive, w.stopping, w.storeOff = true, false, false
	w.holds, w.active, w.alone, w.pending = nil, 0, nil, nil
	w.s.logf("w%d starts", w.id)
	w.poll()
}

// die ends the process at once, whatever it was doing.
func (w *simWorker) die(why string) {
	if !w.alive {
		return
	}
	w.s.logf("w%d dies: %s", w.id, why)
	w.alive, w.frozen = false, false
	w.life++
	for _, h := range w.holds {
		if h.running {
			h.m.key.ended(h, simCrashed)
		}
	}
	w.s.after(w.s.draw(500*time.Millisecond, 30*time.Second), w.start)
}

func (w *simWorker) crashed() {
	if w.alive {
		w.s.count.crashes++
		w.die("crash")
	}
}

// pause freezes the worker.
func (w *simWorker) pause() {
	if !w.alive || w.frozen {
		return
	}
	s := w.s
	d := s.draw(time.Second, 70*time.Second)
	w.frozen, w.suspend, w.frozeAt = true, s.r.IntN(2) == 0, s.now
	s.count.pauses++
	w.faulted(s.now + d)
	s.logf("w%d freezes for %v, suspended %v", w.id, d, w.suspend)
	for _, m := range s.queue.messages {
		if m.holder == w && m.life == w.life {
			m.excused("pause")
		}
	}
	life := w.life
	s.after(d, func() {
		if w.life != life {
			return
		}
		w.frozen = false
		if w.suspend {
			w.stopped += d
			w.suspended = s.now
			// The wall clock is looked at eight times in a lease.
			w.after(s.draw(0, 3*time.Second), func() {
				for _, h := range slices.Clone(w.holds) {
					h.watch()
				}
			})
		}
		s.logf("w%d goes on", w.id)
		pending := w.pending
		w.pending = nil
		s.r.Shuffle(len(pending), func(i, j int) { pending[i], pending[j] = pending[j], pending[i] })
		for _, f := range pending {
			w.enter(life, f)
		}
	})
}

// shutdown stops the worker in order: what runs is cancelled and given back, and
// the process ends when all is settled.
func (w *simWorker) shutdown() {
	if !w.alive || w.frozen || w.stopping {
		return
	}
	w.s.count.shutdowns++
	w.s.logf("w%d stops", w.id)
	w.stopping = true
	for _, h := range slices.Clone(w.holds) {
		switch {
		case h.state == simRunning:
			h.cancel("stop")
		case h.in(simQueued, simParked, simFollowing, simAlone, simWaits):
			h.back(0, "shutdown")
		}
	}
	w.after(25*time.Second, func() {
		if w.stopping {
			w.die("stopped")
		}
	})
}

// poll receives for as long as there is room and the store is there.
func (w *simWorker) poll() {
	s := w.s
	if w.stopping {
		return
	}
	room := w.s.plan.slots + 1 - len(w.holds)
	if room <= 0 || w.storeOff {
		if w.storeOff {
			s.count.gated++
		}
		w.after(s.draw(time.Second, 3*time.Second), w.poll)
		return
	}
	s.count.polls++
	life := w.life
	there, back := s.draw(time.Millisecond, 10*time.Millisecond), s.draw(time.Millisecond, 10*time.Millisecond)
	lost := false
	if s.faulty() {
		if s.chance(s.plan.slow) {
			back = s.draw(0, 3*time.Second)
		}
		lost = s.chance(s.plan.lost)
	}
	s.after(there, func() {
		s.queue.poll(&simPoll{w: w, life: life, n: room, until: s.now + time.Minute, reply: func(got []simDelivery) {
			if lost {
				for _, d := range got {
					d.m.excused("reply lost")
					s.count.lostReceives++
				}
				got = nil
				s.after(5*time.Second, func() { w.enter(life, w.poll) })
				return
			}
			sent := s.now
			s.after(back, func() {
				w.enter(life, func() {
					for _, d := range got {
						w.arrive(d, max(s.now-sent-time.Second, 0))
					}
					w.schedule()
					w.poll()
				})
			})
		}})
	})
}

// arrive takes a delivery. A message that is held already gives its newer handle
// to the hold there is.
func (w *simWorker) arrive(d simDelivery, late time.Duration) {
	s := w.s
	if late > 0 {
		d.m.excused("slow receive")
	}
	if w.stopping {
		w.die("stopped") // what comes this late is left to its visibility
		return
	}
	for _, h := range slices.Clone(w.holds) {
		if h.m == d.m && h.backing {
			h.gone() // its give-back had its effect, whether that is known or not
			continue
		}
		if h.m == d.m {
			s.count.handovers++
			s.logf("w%d: m%d came again, its hold takes the newer handle", w.id, d.m.id)
			h.handle, h.lost, h.late = d.handle, false, late
			h.received, h.renewed = w.mono(), s.now
			h.hidden(w.mono() + s.plan.visibility - time.Second)
			h.beat(w.mono())
			return
		}
	}
	h := &simHold{w: w, m: d.m, handle: d.handle, received: w.mono(), late: late, confirmed: s.now, seq: s.runs}
	s.runs++
	h.visible = w.mono() + s.plan.visibility - time.Second
	w.holds = append(w.holds, h)
	h.beat(w.mono())
}

// schedule starts what may start. A message that must run alone waits until no
// other chain is under way, and none begins before it has ended.
func (w *simWorker) schedule() {
	for w.alive && !w.stopping && w.alone == nil {
		i := slices.IndexFunc(w.holds, func(h *simHold) bool { return h.state == simAlone })
		if i >= 0 {
			if w.active > 0 {
				return
			}
			w.alone = w.holds[i]
			w.holds[i].begin()
			continue
		}
		i = slices.IndexFunc(w.holds, func(h *simHold) bool { return h.state == simQueued })
		if i < 0 || w.active >= w.s.plan.slots {
			return
		}
		w.holds[i].begin()
	}
}

// storeDown opens the breaker: nothing is received until the store answers.
func (w *simWorker) storeDown() {
	if w.storeOff {
		return
	}
	w.storeOff = true
	w.s.count.breakers++
	var probe func()
	probe = func() {
		w.call(w.s.plan.storeTimeout, func() bool { return !w.s.store.down }, func(ok bool) {
			if !ok {
				w.after(w.s.draw(500*time.Millisecond, time.Second), probe)
				return
			}
			w.storeOff = false
			for _, h := range slices.Clone(w.holds) {
				if h.state == simWaits {
					h.state = simQueued
				}
			}
			w.schedule()
		})
	}
	w.after(w.s.draw(500*time.Millisecond, time.Second), probe)
}

// simHeld is where on its way a hold is.
type simHeld byte

const (
	simQueued    simHeld = iota
	simClaiming          // from the begin of the chain until its claim is answered
	simRunning           // the handler runs
	simRecording         // completion or release
	simParked            // busy elsewhere
	simFollowing         // its key runs in this process
	simAlone             // waits to run alone
	simWaits             // waits for the store
	simSettling
	simGone
)

// simHold is a message that a worker holds.
type simHold struct {
	w        *simWorker
	m        *simMessage
	seq      int // numbers the holds
	handle   int
	received time.Duration // by the worker's clock
	visible  time.Duration // V_end, as the worker reckons it
	// confirmed is the true time of the receive or, once it was extended, of the
	// request that did.
	confirmed time.Duration
	late      time.Duration // by how much that may be wrong: the receive was slow
	lost      bool          // the visibility is lost
	state     simHeld
	backing   bool          // it is being given back
	renewed   time.Duration // true time of the newer handle, where one came
	beats     int           // numbers the heartbeats: an older one is void
	runCount  int

	// The run under way.
	token            string
	storeSent        time.Duration // true time of the last claim or extension
	sentAlone        bool          // it was sent after the visibility was lost
	fence            int64
	attempts, deaths int
	hard, last       idempotency.Instant
	mono, wall       time.Duration // the claim's end on both clocks
	granted          time.Duration // true time at which that was asked for
	claimed          bool          // it has a claim to keep
	running          bool
	cancelled        string
	over             idempotency.Class
	lapsed           bool
	onItsOwn         bool // the claim is extended without the visibility
	extending, want  bool
	wrote            bool
	onCancel         func()
}

func (h *simHold) in(states ...simHeld) bool { return slices.Contains(states, h.state) }

// hidden notes that the visibility lasts until then.
func (h *simHold) hidden(until time.Duration) {
	h.visible = until
	if h.claimed {
		h.onItsOwn = false
		h.extend()
	}
}

// beat plans the next extension of the visibility, at half of a hold that began at
// from.
func (h *simHold) beat(from time.Duration) {
	h.beats++
	n := h.beats
	h.w.after(max(from+(h.visible-from)/2-h.w.mono(), 0), func() {
		if h.beats == n && h.state != simGone && !h.lost {
			h.prolong(func(bool) {})
		}
	})
}

// prolong extends the visibility; done hears whether that was confirmed.
func (h *simHold) prolong(done func(ok bool)) {
	w, s := h.w, h.w.s
	if w.mono() >= h.visible-time.Second {
		h.lose("not extended in time")
		done(false)
		return
	}
	h.beats++
	sent, sentTrue, handle := w.mono(), s.now, h.handle
	left := 12*time.Hour - 5*time.Second - (sent - h.received)
	d := min(s.plan.visibility, left.Truncate(time.Second))
	if d <= h.visible-sent {
		done(false)
		return
	}
	n := h.beats
	answer := simDone
	s.count.heartbeats++
	if w.call(min(5*time.Second, h.visible-time.Second-sent), func() bool {
		hidden := h.m.visibleAt
		if answer = s.queue.change(h.m, handle, d); h.m.visibleAt != hidden && h.beats == n && h.state != simGone && !h.lost && !w.frozen {
			h.m.excuse = "" // whatever it was, the worker has the message now
		}
		return true
	}, func(ok bool) {
		switch {
		case h.state == simGone || h.handle != handle || h.lost || h.beats != n:
			done(false)
			return
		case ok && answer == simStale:
			if h.state != simSettling {
				h.lose("stale handle")
			}
			done(false)
			return
		case ok && answer == simDone:
			h.late, h.confirmed = 0, sentTrue
			h.hidden(max(h.visible, sent+d))
			h.beat(sent)
			done(true)
			return
		}
		w.after(s.draw(200*time.Millisecond, 2*time.Second), func() {
			if h.beats == n && h.state != simGone && !h.lost {
				h.prolong(func(bool) {})
			}
		})
		done(false)
	}) {
		h.m.excused("heartbeat faulted")
	}
}

// unseen excuses a hold that ends although its visibility may last: the worker could
// not know, because something befell it since it last did.
func (h *simHold) unseen() {
	if h.w.faultAt >= h.confirmed {
		h.m.excused("visibility lost")
	}
}

// lose notes that the visibility is lost. A claim is then kept alone.
func (h *simHold) lose(why string) {
	if h.lost || h.state == simGone {
		return
	}
	h.lost = true
	h.unseen()
	h.w.s.count.visibilityLost++
	h.w.s.logf("w%d: hold of m%d lost: %s", h.w.id, h.m.id, why)
	switch {
	case h.claimed:
		h.onItsOwn = true
		h.extend()
	case h.in(simQueued, simParked, simFollowing, simAlone, simWaits):
		h.gone()
	}
}

// gone ends the hold.
func (h *simHold) gone() {
	if h.state == simGone {
		return
	}
	h.leave()
	h.state = simGone
	h.w.holds = slices.DeleteFunc(h.w.holds, func(o *simHold) bool { return o == h })
	h.w.schedule()
	if h.w.stopping && len(h.w.holds) == 0 {
		h.w.die("stopped")
	}
}

// leave ends the chain under way: its slot is free, and whoever followed it runs.
func (h *simHold) leave() {
	if !h.in(simClaiming, simRunning, simRecording) {
		return
	}
	w := h.w
	w.active--
	h.claimed = false
	if w.alone == h {
		w.alone = nil
	}
	h.state = simQueued
	for _, o := range w.holds {
		if o.state == simFollowing && o.m.key == h.m.key {
			o.state = simQueued
		}
	}
}

// remove deletes the message, always by its newest handle.
func (h *simHold) remove() {
	w, s := h.w, h.w.s
	h.leave()
	h.state = simSettling
	w.schedule()
	tries := 0
	var try func()
	try = func() {
		if h.state == simGone {
			return
		}
		tries++
		handle := h.handle
		if w.call(5*time.Second, func() bool { s.queue.remove(h.m, handle); return true }, func(ok bool) {
			switch {
			case h.state == simGone:
			case ok && handle == h.handle:
				h.gone()
			case ok: // by an older handle: that may have had no effect
				try()
			case h.lost && tries > 1:
				h.gone()
			default:
				w.after(s.draw(100*time.Millisecond, 2*time.Second), try)
			}
		}) {
			h.m.excused("delete faulted")
		}
	}
	if h.lost {
		h.m.excused("visibility lost")
	}
	try()
}

// back gives the message back, to be visible after delay.
func (h *simHold) back(delay time.Duration, why string) {
	w, s := h.w, h.w.s
	h.leave()
	if h.lost {
		h.gone()
		return
	}
	h.state, h.backing = simSettling, true
	h.beats++
	w.schedule()
	s.count.givenBack.add(why)
	s.logf("w%d gives m%d back: %s", w.id, h.m.id, why)
	handle := h.handle
	var try func()
	try = func() {
		if h.state == simGone {
			return
		}
		if h.handle != handle || w.mono() > h.visible {
			h.unseen()
			h.gone()
			return
		}
		if w.call(5*time.Second, func() bool {
			if s.queue.change(h.m, handle, delay) == simDone {
				h.m.excused(why)
			}
			return true
		}, func(ok bool) {
			if ok {
				h.gone()
				return
			}
			w.after(s.draw(100*time.Millisecond, 2*time.Second), try)
		}) {
			h.m.excused("give-back faulted")
		}
	}
	try()
}

// letGo settles nothing: after a lost lease the message comes back by itself.
func (h *simHold) letGo(why string) {
	h.m.excused(why)
	h.w.s.count.letGo++
	h.w.s.logf("w%d lets m%d go: %s", h.w.id, h.m.id, why)
	h.gone()
}

// bury dead-letters the message: first the copy, then the delete.
func (h *simHold) bury(cause string) {
	w, s := h.w, h.w.s
	h.leave()
	h.state = simSettling
	w.schedule()
	var try func()
	try = func() {
		if h.state == simGone {
			return
		}
		if h.lost {
			h.gone()
			return
		}
		if w.call(5*time.Second, func() bool { s.queue.bury(h.m, cause); return true }, func(ok bool) {
			if ok {
				h.remove()
				return
			}
			w.after(s.draw(100*time.Millisecond, 2*time.Second), try)
		}) {
			h.m.excused("dead-letter faulted")
		}
	}
	try()
}
