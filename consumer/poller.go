package consumer

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer/internal/attempts"
	"github.com/holdfast-go/holdfast/consumer/internal/inflight"
	"github.com/holdfast-go/holdfast/consumer/internal/wire"
	"github.com/holdfast-go/holdfast/internal/jitter"
	"github.com/holdfast-go/holdfast/internal/pace"
)

// pollers receives. One poller is enough for an idle queue (one empty receive
// per long poll, whatever the concurrency); full receives
// call for more as long as all are busy, short ones take them back.
type pollers struct {
	c     *Consumer
	d     *dispatcher
	turn  chan struct{} // held by the one poller that waits for budget
	limit *inflight.Watch
	lost  attempts.Lost // failed receives of a FIFO queue, to be repeated by whoever is next
	wg    sync.WaitGroup

	mu      sync.Mutex // guards all below
	active  int
	target  int
	waiting int       // for room, a gate or their turn
	backing bool      // one waits out the backoff of a failed receive
	crew    pace.Crew // how many receives at once are of use
}

func newPollers(c *Consumer) *pollers {
	return &pollers{c: c, d: c.d, turn: make(chan struct{}, 1), target: 1, lost: attempts.Lost{Visibility: c.cfg.Visibility}}
}

// run polls until ctx ends. Polls then under way go on until cut ends. When it
// returns, nothing that is given back can be received here.
func (p *pollers) run(ctx, cut context.Context) {
	p.limit = inflight.New(time.Now(), func(ctx context.Context) (visible, inFlight int, err error) {
		ctx, cancel := context.WithTimeout(ctx, tryTimeout)
		defer cancel()
		return p.c.t.Depth(ctx)
	}, func(err error) { p.c.health.Note(problemInFlight, err) })
	p.spawn(ctx, cut, 1)
	<-ctx.Done()
	p.wg.Wait()
	if p.c.stats.pollsCut.Load() > 0 && p.c.Stats().Held > 0 {
		// SQS hears of a cut poll a little later than we cut it. What is given back
		// before that would go into the cut poll, and be hidden there.
		pause(context.WithoutCancel(cut), min(200*time.Millisecond, p.d.cfg.StopTimeout/25))
	}
}

func (p *pollers) spawn(ctx, cut context.Context, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; n > 0 && p.active < p.target; n-- {
		p.active++
		p.wg.Go(func() { p.poll(ctx, cut) })
	}
}

// most is how many pollers can be of use: what all budget asks for.
func (p *pollers) most() int {
	return max(1, (p.d.cfg.Concurrency+p.d.cfg.Prefetch+maxBatch-1)/maxBatch)
}

// enter counts the calling poller as waiting.
func (p *pollers) enter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting++
}

// leave ends the wait of the calling poller, and takes it off the count where there
// are more than wanted or it must go.
func (p *pollers) leave(must bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting--
	if p.active <= p.target && !must {
		p.waiting++
		return false
	}
	p.active--
	return true
}

// begin ends the wait of a poller that may receive.
func (p *pollers) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting--
}

// adjust sets the number of pollers by what a receive brought.
func (p *pollers) adjust(ctx, cut context.Context, asked, got int, arrived time.Time) {
	lost := p.lost.Len(arrived)
	p.mu.Lock()
	grow, limit := 0, p.most()
	if got == maxBatch {
		limit = min(limit, p.crew.Ended(arrived, p.active-p.waiting, p.waiting == 0))
	}
	switch {
	case got == 0:
		p.target = 1
	case got < asked:
		p.target = max(1, p.target-1)
	case p.waiting == 0 && (asked == maxBatch || p.target == 1):
		// Nobody is at hand for the room that is left. One more for each full
		// receive doubles them in the time of one receive.
		p.target = min(limit, p.active+1)
		grow = p.target - p.active
	}
	if lost > 0 { // each in a receive of its own, before the visibility ends
		p.target = max(p.target, min(p.most(), p.active+lost))
		grow = p.target - p.active
	}
	p.mu.Unlock()
	if grow > 0 {
		p.spawn(ctx, cut, grow)
	}
}

func (p *pollers) poll(ctx, cut context.Context) {
	for {
		asked, probe, ok := p.mayReceive(ctx)
		if !ok {
			return
		}
		began := time.Now()
		try, wait := p.attempt(began, asked)
		asked = try.Asked
		hs, at, err := p.c.receive(cut, asked, wait, try.ID)
		arrived := time.Now()
		took := arrived.Sub(began)
		if len(hs) == asked {
			p.d.tookReceive(took)
		}
		if probe {
			for _, h := range hs {
				p.c.deploy.Probe(h.id)
			}
		}
		p.d.arrived(asked, hs, at)
		p.c.giveBackIfStopped()
		if err != nil {
			if cut.Err() != nil {
				p.c.stats.pollsCut.Add(1)
				continue
			}
			if p.d.fifo {
				p.lost.Put(arrived, try)
			}
			if !p.failed(ctx, err) {
				return
			}
		} else {
			p.c.stats.polled(len(hs))
			p.limit.Received(ctx, len(hs), arrived)
			if p.c.health.Worked(problemReceive) { // it was more than a hiccup
				p.c.recovered(ctx)
			}
			if !probe {
				p.adjust(ctx, cut, asked, len(hs), arrived)
			}
		}
	}
}

// attempt says which receive to make where there is room for so many messages: on a FIFO
// queue one that failed, before any other.
func (p *pollers) attempt(now time.Time, room int) (attempts.Attempt, time.Duration) {
	if !p.d.fifo {
		return attempts.Attempt{Asked: room}, p.c.cfg.Wait
	}
	again, ok := p.lost.Take(now, room)
	if !ok {
		return attempts.New(now, room), p.c.cfg.Wait
	}
	p.d.spare(room - again.Asked)
	// If SQS answered, the messages are there at once, and other attempts wait.
	return again, time.Second
}

// mayReceive waits until all gates are open and there is room for what a receive
// would bring, and reserves that room. Where it returns false the poller is one
// too many, or ctx has ended, and it is not counted any more.
func (p *pollers) mayReceive(ctx context.Context) (asked int, probe, ok bool) {
	p.enter()
	for {
		select {
		case <-ctx.Done():
			p.leave(true)
			return 0, false, false
		case p.turn <- struct{}{}:
		}
		if p.leave(false) {
			<-p.turn
			return 0, false, false
		}
		probe, ok = p.c.gates.Wait(ctx)
		if ok {
			asked, ok = p.d.reserve(ctx, probe)
		}
		<-p.turn
		if !ok {
			p.leave(true)
			return 0, false, false
		}
		// A gate may have closed, or ctx ended, while this poller waited for room.
		if ctx.Err() == nil && (probe || p.c.gates.Open()) {
			p.begin()
			return asked, probe, true
		}
		p.d.unreserve(asked)
	}
}

// failed says that a receive failed, backs off and leaves one poller: the first that
// failed, whose backoff is the shortest. It returns false where the calling one is one
// too many, and it is not counted any more.
func (p *pollers) failed(ctx context.Context, err error) bool {
	f := wire.Classify(err)
	n := p.c.failed(problemReceive, "sqs:ReceiveMessage", f, err)
	p.mu.Lock()
	p.target = 1
	stays := !p.backing || p.active == 1
	if stays {
		p.backing = true
	} else {
		p.active--
	}
	p.mu.Unlock()

	if (f == wire.Denied || f == wire.Missing) && p.c.stats.polls.Load() == 0 {
		p.c.fail(p.c.explain("sqs:ReceiveMessage", f, err))
	}
	wait := jitter.Equal(200*time.Millisecond, 10*time.Second, n)
	if f.Slow() {
		wait = jitter.Equal(2*time.Second, 30*time.Second, n)
	}
	p.c.stats.pollErrors.Add(1)
	p.c.log.Warn("receive failed", "queue", p.c.queueName(), "error", err, "failures", n, "backoff", wait)
	call(p.c, p.d.cfg.Hooks.PollFailed, holdfast.PollFailedEvent{Err: err, Fatal: f.Slow(), Failures: n, Backoff: wait})
	if stays {
		pause(ctx, wait)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.backing = false
	}
	return stays
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// tookReceive notes the length of a full receive.
func (d *dispatcher) tookReceive(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pace.Received(took)
}

// room is pace.Pace.Room. Call with mu held.
func (d *dispatcher) room(now time.Time, waited bool) (n int, again time.Duration) {
	d.pace.Sample(now)
	if d.bytes >= d.cfg.HeldBytes {
		return 0, 0
	}
	return d.pace.Room(pace.Held{
		Slots: d.cfg.Concurrency, Prefetch: d.cfg.Prefetch, FIFO: d.fifo, Asked: d.reserved, Polls: d.polls,
		Live:     d.n[queued] + d.n[delayed] + d.n[running] + d.reserved - d.resting(),
		Settling: d.n[settling],
		Free:     d.cfg.Concurrency - d.n[running] - d.ready.Len() - d.resumed.Len(),
	}, waited)
}

// resting is how many messages wait for the head of their group, which is delayed
// or parked, and such delayed heads: as far as MaxParked has room they count to
// that, so that groups that fail leave room for others. Call with mu held.
func (d *dispatcher) resting() int {
	return min(d.rests, max(0, d.cfg.MaxParked-d.n[parked]))
}

// reserve waits for room and takes it. A probe asks for one message.
func (d *dispatcher) reserve(ctx context.Context, probe bool) (int, bool) {
	waited := false
	var timer *time.Timer
	for {
		d.mu.Lock()
		n, again := d.room(time.Now(), waited)
		if n > 0 {
			if probe {
				n = 1
			}
			d.wanted = false
			d.reserved += n
			d.polls++
			d.mu.Unlock()
			return n, true
		}
		if again > 0 && timer == nil {
			timer = time.NewTimer(again)
			defer timer.Stop()
		}
		d.wanted, d.gathering = true, timer != nil && !waited
		d.mu.Unlock()

		var tick <-chan time.Time
		if timer != nil && !waited {
			tick = timer.C
		}
		select {
		case <-ctx.Done():
			return 0, false
		case <-d.budget:
		case <-tick:
			waited = true
		}
	}
}

// spare gives back a part of what was reserved.
func (d *dispatcher) spare(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reserved -= n
	d.wakePoller()
}

func (d *dispatcher) unreserve(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reserved -= n
	d.polls--
	d.wakePoller()
}

// wakePoller wakes the poller that waits, when there is room. Call with mu held.
func (d *dispatcher) wakePoller() {
	if !d.wanted {
		return
	}
	if n, again := d.room(time.Now(), false); n == 0 && (again == 0 || d.gathering) {
		return
	}
	d.wanted = false
	poke(d.budget)
}
