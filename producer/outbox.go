package producer

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/batch"
	"github.com/holdfast-go/holdfast/internal/jitter"
)

const (
	// callTimeout is how long one try of a request takes at most; then it goes to a
	// new connection.
	callTimeout = 10 * time.Second
	// The waits between tries grow from the one to the other.
	firstBackoff, lastBackoff = 50 * time.Millisecond, 5 * time.Second
	// cutTimeout is how long close waits while none of the calls that it has cut ends.
	cutTimeout = time.Second
)

// outbox holds what is taken and not yet sent. Messages wait in the batcher or, on
// FIFO targets behind the first of their group, in its lane. Those that failed wait
// for a timer.
type outbox struct {
	p            *Producer
	limit        int // bytes that the target takes in a message
	offloadAbove int
	batcher      *batch.Batcher[*item]
	newCall      func() (context.Context, context.CancelFunc)
	cutCalls     func()
	dying        chan struct{} // closed when dead is set

	mu      sync.Mutex // guards all below, and the items
	lanes   map[string]*lane
	pending int           // those whose results are not told yet
	due     dues          // those pending whose senders wait
	closed  bool          // nothing more is taken
	dead    bool          // nothing is tried again
	why     error         // the cause of the context with which close gave up
	gaveUp  error         // what close returns where it gave up on messages
	idle    chan struct{} // closed when all have been told; nil when nobody waits
	timer   *time.Timer   // rings when the oldest of the items may be out of time
	rings   time.Time     // when; zero where it is not set
}

// lane is the messages of one group in their order, a list from the last to the first.
// The first is queued, flying or resting; the others are laned.
type lane struct {
	group string
	last  *item
}

type state uint8

const (
	laned   state = iota // behind the first of its lane
	queued               // in the batcher
	flying               // in a request under way
	resting              // waits to be tried again
	settled
)

// item is one message on its way. Fields below mu are guarded by outbox.mu.
type item struct {
	msg      Message
	size     int
	taken    time.Time // where hooks ask for it
	deadline time.Time // when its time is over
	lane     *lane
	done     chan struct{} // closed when result stands

	// mu (of the outbox)
	state    state
	left     bool // its sender does not wait any more
	attempts int
	doubt    bool // a try may have been applied
	last     error
	result   Result

	ahead, behind *item // in its lane
	place         int   // in due; -1 where it is not there
}

// dues is a heap by deadline. In an outage there may be a million, and those of a large
// SendBatch come late with an early one: neither may cost more than its logarithm.
type dues []*item

func (d *dues) Len() int           { return len(*d) }
func (d *dues) Less(i, j int) bool { return (*d)[i].deadline.Before((*d)[j].deadline) }
func (d *dues) Swap(i, j int) {
	all := *d
	all[i], all[j] = all[j], all[i]
	all[i].place, all[j].place = i, j
}

func (d *dues) Push(x any) {
	it := x.(*item)
	it.place = len(*d)
	*d = append(*d, it)
}

func (d *dues) Pop() any {
	last := len(*d) - 1
	it := (*d)[last]
	it.place = -1
	(*d)[last] = nil
	*d = (*d)[:last]
	return it
}

// drop takes it off, where it is there.
func (d *dues) drop(it *item) {
	if it.place >= 0 {
		heap.Remove(d, it.place)
	}
}

func newOutbox(p *Producer, limit int) *outbox {
	o := &outbox{p: p, limit: limit, offloadAbove: limit, dying: make(chan struct{})}
	if p.cfg.OffloadAbove > 0 {
		o.offloadAbove = min(limit, p.cfg.OffloadAbove)
	}
	if p.to.fifo {
		o.lanes = make(map[string]*lane)
	}
	calls, cut := context.WithCancelCause(context.Background())
	o.newCall = func() (context.Context, context.CancelFunc) { return context.WithTimeout(calls, callTimeout) }
	o.cutCalls = func() { cut(ErrClosed) }
	bytes := maxMessage
	if p.to.topic {
		bytes = limit // of a topic it bounds the request too [PublishBatch]
	}
	linger := max(0, p.cfg.Linger)
	// Timers ring late, by a millisecond where they wait in the kernel, and no message is
	// to wait for longer than Linger.
	linger -= min(linger/5, time.Millisecond)
	o.batcher = batch.New(batch.Config[*item]{
		Size: maxBatch, Bytes: bytes, Weigh: func(it *item) int { return it.size },
		Linger: linger, Workers: p.cfg.Concurrency, Flush: o.flush,
	})
	return o
}

// add takes an item; false after close.
func (o *outbox) add(it *item) bool {
	if o.p.cfg.Hooks.Sent != nil {
		it.taken = time.Now()
	}
	it.state = queued
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return false
	}
	o.pending++
	heap.Push(&o.due, it)
	if o.lanes != nil {
		l := o.lanes[it.msg.GroupID]
		if l == nil {
			l = &lane{group: it.msg.GroupID}
			o.lanes[l.group] = l
		} else {
			it.state = laned
		}
		it.lane = l
		if it.ahead = l.last; l.last != nil {
			l.last.behind = it
		}
		l.last = it
	}
	first := it.state == queued
	if o.rings.IsZero() || it.deadline.Before(o.rings) {
		o.arm(it.deadline)
	}
	o.mu.Unlock()
	if first {
		o.batcher.Add(it)
	}
	return true
}

// arm sets the timer. One serves all: with one Timeout for all they run out of time
// in about the order in which they came. Call with mu held.
func (o *outbox) arm(at time.Time) {
	o.rings = at
	if o.timer == nil {
		o.timer = time.AfterFunc(time.Until(at), o.expire)
		return
	}
	o.timer.Reset(time.Until(at))
}

// expire gives up on what is out of time, so many at once that others get at the
// outbox in between.
func (o *outbox) expire() {
	for more := true; more; {
		var after settling
		o.mu.Lock()
		now, why := time.Now(), o.p.timeout()
		for range 1000 {
			if more = len(o.due) > 0 && !o.due[0].deadline.After(now); !more {
				break
			}
			o.abandon(o.due[0], why, &after)
		}
		if o.rings = (time.Time{}); !more && len(o.due) > 0 {
			o.arm(o.due[0].deadline)
		}
		o.mu.Unlock()
		after.do(o)
	}
}

// await waits for the result of an item until ctx ends.
func (o *outbox) await(ctx context.Context, it *item) Result {
	select {
	case <-it.done:
		return it.result
	case <-ctx.Done():
	}
	var after settling
	o.mu.Lock()
	o.abandon(it, context.Cause(ctx), &after)
	o.mu.Unlock()
	after.do(o)
	return it.result
}

// abandon gives an item its result when its sender waits no more. What is queued or
// under way keeps its place, and its room in the budget, until it comes to the
// front. Call with mu held.
func (o *outbox) abandon(it *item, why error, after *settling) {
	if it.state == settled || it.left {
		return
	}
	o.due.drop(it)
	if it.last != nil {
		why = fmt.Errorf("%w; the last try: %w", why, it.last)
	}
	r := Result{Err: &SendError{Target: o.p.to.name, Attempts: it.attempts, Unconfirmed: it.doubt || it.state == flying, Err: why}}
	switch it.state {
	case queued, flying:
		it.left = true
		it.result = r
		close(it.done)
	default:
		o.settle(it, r, after)
	}
}

// settling is what is to be done without the lock after items were settled.
type settling struct {
	items  int
	weight int64
	next   []*item // first of their lanes now
	told   []*item
}

// settle gives an item its result and lets its lane go on; its sender learns it by do.
// Call with mu held.
func (o *outbox) settle(it *item, r Result, after *settling) {
	if !it.left {
		it.result = r // told by do
	}
	if l := it.lane; l != nil {
		o.leave(l, it, after)
	}
	it.state = settled
	o.due.drop(it)
	after.items++
	after.weight += int64(it.size)
	after.told = append(after.told, it)
}

// leave takes an item off its lane. Call with mu held.
func (o *outbox) leave(l *lane, it *item, after *settling) {
	ahead, behind := it.ahead, it.behind
	it.ahead, it.behind = nil, nil
	if ahead != nil {
		ahead.behind = behind
	}
	if behind != nil {
		behind.ahead = ahead
	} else {
		l.last = ahead
	}
	switch {
	case ahead != nil: // it was not the first
	case behind == nil:
		delete(o.lanes, l.group)
	default:
		behind.state = queued
		after.next = append(after.next, behind)
	}
}

func (s *settling) do(o *outbox) {
	if s.items == 0 {
		return
	}
	for _, it := range s.told {
		sent := &o.p.stats.sent
		if it.result.Err != nil {
			sent = &o.p.stats.failed
		}
		sent.Add(1)
	}
	o.p.budget.Release(s.items, s.weight)
	// Now, so that a sender who looks at Stats finds its message counted.
	for _, it := range s.told {
		if !it.left {
			close(it.done)
		}
		if f := o.p.cfg.Hooks.Sent; f != nil {
			call(o.p, f, SentEvent{Message: &it.msg, Result: it.result, Attempts: it.attempts, Took: time.Since(it.taken)})
		}
	}
	for _, it := range s.next {
		o.batcher.Add(it)
	}
	// Only now, so that close returns when all have been told.
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pending -= s.items
	if o.pending == 0 && o.idle != nil {
		close(o.idle)
		o.idle = nil
	}
}

// flush sends up to ten items in one request.
func (o *outbox) flush(items []*item) {
	live := o.launch(items)
	if len(live) == 0 {
		return
	}
	results := make([]Result, len(live))
	err := o.send(live, results)
	if err != nil && len(live) > 1 && classify(err) == rejected {
		o.split(live, err)
		return
	}
	o.sort(live, results, err)
}

// launch takes up the items that are to be sent now, and settles those whose senders
// have their result: their contexts ended, their time is over, or close gave up.
func (o *outbox) launch(items []*item) []*item {
	var after settling
	live := make([]*item, 0, len(items))
	o.mu.Lock()
	for _, it := range items {
		if it.left {
			o.settle(it, it.result, &after)
			continue
		}
		it.state = flying
		it.attempts++
		live = append(live, it)
	}
	o.mu.Unlock()
	after.do(o)
	return live
}

// split sends the items of a request that was refused one by one: one of them may be to
// blame for the refusal of all. That may take ten times as long as a call, so those
// that wait for their turn are not under way.
func (o *outbox) split(items []*item, refusal error) {
	o.mu.Lock()
	for _, it := range items {
		it.state, it.last = queued, refusal
	}
	o.mu.Unlock()
	for i := range items {
		one := o.launch(items[i : i+1])
		if len(one) == 0 {
			continue
		}
		o.p.stats.retries.Add(1)
		var result [1]Result
		o.sort(one, result[:], o.send(one, result[:]))
	}
}

// send makes one request.
func (o *outbox) send(items []*item, results []Result) error {
	ctx, cancel := o.newCall()
	defer cancel()
	began := time.Now()
	err := o.p.t.send(ctx, items, results)
	o.p.stats.calls.Add(1)
	if err != nil {
		o.p.stats.callErrors.Add(1)
	}
	if f := o.p.cfg.Hooks.Called; f != nil {
		e := CalledEvent{Messages: len(items), Err: err, Took: time.Since(began)}
		for i := range results {
			if err != nil || results[i].Err != nil {
				e.Failed++
			}
		}
		call(o.p, f, e)
	}
	return err
}

// sort goes through the answers to a request: what was accepted or refused is over,
// the rest is tried again, together, after one wait. refusal is the error of the request
// as a whole.
func (o *outbox) sort(items []*item, results []Result, refusal error) {
	after := settling{told: make([]*item, 0, len(items))}
	var again []*item
	var wait time.Duration
	o.mu.Lock()
	for i, it := range items {
		err := cmp.Or(refusal, results[i].Err)
		if err == nil {
			o.settle(it, results[i], &after)
			continue
		}
		f := classify(err)
		it.doubt = it.doubt || f == lost
		it.last = err
		if wait == 0 {
			wait = jitter.Equal(firstBackoff, lastBackoff, it.attempts)
		}
		if f.again() && !it.left && !o.dead {
			it.state = resting
			again = append(again, it)
			continue
		}
		o.settle(it, Result{Err: o.givenUp(it, f, err)}, &after)
	}
	o.mu.Unlock()
	after.do(o)
	if len(again) > 0 {
		o.p.stats.retries.Add(int64(len(again)))
		time.AfterFunc(wait, func() { o.requeue(again) })
	}
}

// requeue ends the rest of items.
func (o *outbox) requeue(items []*item) {
	o.mu.Lock()
	items = slices.DeleteFunc(items, func(it *item) bool { return it.state != resting })
	for _, it := range items {
		it.state = queued
	}
	o.mu.Unlock()
	for _, it := range items {
		o.batcher.Add(it)
	}
}

// givenUp is why an item is not tried again.
func (o *outbox) givenUp(it *item, f fault, err error) error {
	switch {
	case o.dead:
		err = fmt.Errorf("%w; the last try: %w", ErrClosed, err)
	case !f.again(): // else its sender has gone, and has its result
		err = o.p.to.explain(o.p.to.action(), err)
	}
	return &SendError{Target: o.p.to.name, Attempts: it.attempts, Unconfirmed: it.doubt, Err: err}
}

// close sends what is pending. When ctx ends before, it gives up on it.
func (o *outbox) close(ctx context.Context) error {
	o.mu.Lock()
	o.closed = true
	idle, waited := o.idle, o.pending > 0
	if idle == nil {
		idle = make(chan struct{})
		if waited {
			o.idle = idle
		} else {
			close(idle)
		}
	}
	o.mu.Unlock()
	if ctx.Err() != nil {
		o.abort(ctx) // before what lingers is sent
	}
	flushed := make(chan error, 1)
	go func() { flushed <- o.batcher.Close(context.WithoutCancel(ctx)) }() // ends lingering
	var deaf error
	select {
	case <-idle:
	case <-ctx.Done():
		o.abort(ctx)
		deaf = o.waitForCuts(idle)
	case <-o.dying: // another close gave up
		deaf = o.waitForCuts(idle)
	}
	o.cutCalls() // nothing is under way: this only frees its context
	o.mu.Lock()
	if o.timer != nil {
		o.timer.Stop()
	}
	var err error
	if waited {
		err = o.gaveUp // by this close or by another one
	}
	o.mu.Unlock()
	if deaf != nil {
		return errors.Join(err, deaf)
	}
	return errors.Join(err, <-flushed, o.batcher.Close(context.WithoutCancel(ctx)))
}

// waitForCuts waits for the calls that abort cut, which end at once unless the client is
// deaf to their context, and for what waited behind them. All senders have their results.
func (o *outbox) waitForCuts(idle <-chan struct{}) error {
	limit := time.NewTicker(cutTimeout)
	defer limit.Stop()
	for before := -1; ; {
		o.mu.Lock()
		pending, why := o.pending, o.why
		o.mu.Unlock()
		if pending == before {
			return fmt.Errorf("%w while %d messages are in, or behind, calls of a client that does not heed their context: %w", ErrClosed, pending, why)
		}
		before = pending
		select {
		case <-idle:
			return nil
		case <-limit.C:
		}
	}
}

// abort gives up on all that is pending.
func (o *outbox) abort(ctx context.Context) {
	var after settling
	left := 0
	o.mu.Lock()
	if !o.dead {
		o.dead, o.why = true, context.Cause(ctx)
		close(o.dying)
	}
	for ; len(o.due) > 0; left++ {
		o.abandon(o.due[len(o.due)-1], ErrClosed, &after)
	}
	if left > 0 {
		o.gaveUp = fmt.Errorf("%w with %d messages not sent: %w", ErrClosed, left, context.Cause(ctx))
	}
	o.mu.Unlock()
	after.do(o)
	o.cutCalls()
}
