// Package consumer is the runtime: it receives from one SQS queue, holds each
// message while a handler works on it, and settles it.
//
// # Delivery
//
// A message is deleted only after its handler returned nil or Discard, or after
// the dead-letter queue accepted a copy. Until then it is held: its visibility
// timeout is extended at half its length from the moment it arrives, while it
// waits, runs, is parked and is settled, also while the consumer stops. A process
// that dies lets go of its messages within Config.Visibility. Handlers run at
// least once per message; package idempotency makes their effects happen once.
//
// On FIFO queues a message starts only after the one before it in its group is
// settled. A failed one keeps its hold, waits out its backoff here and runs again,
// so that its followers are not received in vain.
//
// # Reading order
//
// The files follow the way of a message: consumer.go starts and stops everything,
// with the steps of the stop in stop.go; poller.go receives, dispatcher.go hands out
// slots in order, worker.go runs the handler, heartbeat.go extends what is held,
// backoff.go decides what becomes of a message, settler.go and deadletter.go do it.
// hold.go is the message held. What stands alone is below consumer/internal: wire is
// SQS in the runtime's terms, gates what may stop receiving, troubles the ledger behind
// health.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer/internal/gates"
	"github.com/holdfast-go/holdfast/consumer/internal/recheck"
	"github.com/holdfast-go/holdfast/consumer/internal/starting"
	"github.com/holdfast-go/holdfast/consumer/internal/troubles"
	"github.com/holdfast-go/holdfast/consumer/internal/wire"
	"github.com/holdfast-go/holdfast/internal/deployguard"
	"github.com/holdfast-go/holdfast/internal/envelope"
	"github.com/holdfast-go/holdfast/internal/jitter"
	"github.com/holdfast-go/holdfast/internal/queueref"
)

// Consumer receives messages from one queue and runs a handler on them. Make one
// with New. Its methods are safe for concurrent use; Run is called once.
type Consumer struct {
	cfg   Config
	name  string // of the queue, as given
	chain holdfast.Handler
	t     *wire.SDK
	log   *slog.Logger

	queue    atomic.Pointer[holdfast.Queue] // as read at start and whenever it is read again
	reading  chan struct{}                  // held while it is read again
	recheck  *recheck.Watch                 // tells when
	settlers []holdfast.Settler
	topics   map[string]bool

	d       *dispatcher
	pollers *pollers
	settler *settler
	gates   *gates.Gates
	deploy  *deployguard.Guard
	health  *troubles.Ledger
	stats   counters

	ran       atomic.Bool
	stopNow   chan struct{}
	stopOnce  sync.Once
	workCtx   context.Context // handlers'; ends when the drain is over
	settleCtx context.Context // settling calls'; ends with Run
	hangUp    []func()        // close connections that are ours alone
	fail      func(error)     // ends Run, for a first receive that cannot succeed
	wg        sync.WaitGroup  // all goroutines but workers
	workers   sync.WaitGroup
}

// New makes a consumer of the queue, given by name, URL or ARN, that runs h on its
// messages. It validates everything, does no I/O and returns all problems joined:
// a *ConfigError for each field out of bounds, what a middleware's Validate says,
// and an ARN or URL of a region other than the client's.
func New(client SQSAPI, queue string, h holdfast.Handler, cfg Config) (*Consumer, error) {
	c := &Consumer{cfg: cfg.withDefaults(), name: queue, stopNow: make(chan struct{}), reading: make(chan struct{}, 1), recheck: recheck.New(5*time.Minute, 30*time.Second)}
	c.health = newHealth(&c.cfg)
	errs := []error{c.cfg.validate(strings.HasSuffix(queue, ".fifo"))} // so names, URLs and ARNs end
	region, timeout := "", time.Duration(0)
	if isNil(client) {
		errs = append(errs, &ConfigError{Field: "client", Value: nil, Bound: "not nil"})
	} else {
		region, timeout = wire.About(client)
	}
	if isNil(h) {
		errs = append(errs, &ConfigError{Field: "handler", Value: nil, Bound: "not nil"})
	}
	ref, err := queueref.Parse(queue)
	if err != nil {
		errs = append(errs, &ConfigError{Field: "queue", Value: strconv.Quote(queue), Bound: err.Error()})
	}
	if least := c.cfg.Wait + 5*time.Second; timeout > 0 && timeout < least {
		errs = append(errs, &ConfigError{Field: "the Timeout of the client's HTTPClient", Value: timeout, Bound: fmt.Sprintf("at least %v, a long poll and some, or 0", least)})
	}
	if r := queueref.Region(ref); err == nil && r != "" && region != "" && r != region {
		errs = append(errs, &ConfigError{Field: "queue", Value: strconv.Quote(queue), Bound: fmt.Sprintf("in the client's region %s, not in %s", region, r)})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.log = c.cfg.Logger
	c.queue.Store(&ref)
	c.chain = holdfast.Chain(h, c.cfg.Middleware...)
	c.deploy = deployguard.New(c.cfg.DeadLetterShare, func(try int) time.Duration {
		return jitter.Equal(time.Second, time.Minute, try)
	})
	var list []holdfast.Gate
	for _, m := range c.cfg.Middleware {
		if g, ok := m.(holdfast.Gate); ok {
			list = append(list, g)
		}
		if s, ok := m.(holdfast.Settler); ok {
			c.settlers = append(c.settlers, s)
		}
	}
	c.gates = gates.New(list, c.deploy, c.tellGate)
	if len(c.cfg.Topics) > 0 {
		c.topics = make(map[string]bool)
		for _, arn := range c.cfg.Topics {
			c.topics[arn] = true
		}
	}
	c.d = newDispatcher(c)
	c.d.beat = newHeartbeat(c)
	c.pollers = newPollers(c)
	poll, settle := c.clients(client)
	c.t = &wire.SDK{Name: queue, Region: region, Poll: poll, Settle: settle, Visibility: c.cfg.Visibility, CauseAttribute: CauseAttribute}
	return c, nil
}

// clients makes the polling and the settling client of the user's, so that neither
// starves the other of connections or retries.
func (c *Consumer) clients(client SQSAPI) (poll, settle SQSAPI) {
	derive := func(conns int) SQSAPI {
		made, done := wire.Derive(client, conns, func() {
			c.log.Info("the HTTP client keeps fewer idle connections than calls in flight: raise MaxIdleConnsPerHost", "want", conns)
		})
		c.hangUp = append(c.hangUp, done)
		return made
	}
	if settle = c.cfg.Settle; settle == nil {
		settle = derive(extendCalls + deleteCalls + 16)
	}
	return derive(c.pollers.most() + 2), settle
}

// Run receives and works until ctx is cancelled, and then stops in order. It
// blocks, and is called once.
//
// It returns at once with a *QueueError where the queue does not exist, an
// *AccessError where an action is denied, as found before or by the first receive,
// or the error of a middleware's Start. Later no error of SQS ends it: it backs off, tells
// hooks and logs, and shows in Health. After a cancel it returns nil, or a
// *StopError where the stop was not clean, within Config.StopTimeout:
//
//   - no new receive starts; those under way have PollGrace, and what they bring
//     is run; acknowledgements that wait are sent, those in a backoff included;
//   - when the last poll has ended, parked and delayed messages are given back:
//     before, it would bring them right back, at the cost of a receive;
//   - handlers go on until a fifth of StopTimeout is left, at most 5 s, and a
//     second; then their contexts are cancelled with holdfast.ErrStopping;
//   - what has not run or failed for that is given back with visibility 0.
//     The message of a handler that does not heed its context is left to its
//     visibility timeout, because giving it back would have it run twice at once.
//
// The queue's attributes are read again about every five minutes, after an outage, and
// within 30 s where a message has no dead-letter queue to go to or that refuses it: a
// redrive policy that is changed needs no restart. That is one GetQueueAttributes, which
// the start needs leave for too. What a middleware's Start was told stays as it was.
//
// A cancel during the start ends that: the context of a middleware's Start is cancelled,
// and one that does not heed it is left running after StopTimeout, with an error.
func (c *Consumer) Run(ctx context.Context) (err error) {
	if c.ran.Swap(true) {
		return ErrRunTwice
	}
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		stopBackground()
		c.wg.Wait()
		for _, hangUp := range c.hangUp {
			hangUp()
		}
		c.health.Enter("stopped")
		if err != nil {
			c.health.Die(problemRun, err)
		}
	}()
	work, stopWork := context.WithCancelCause(background)
	defer stopWork(holdfast.ErrStopping)
	cut, cutPolls := context.WithCancel(background)
	defer cutPolls()
	receiving, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	c.workCtx, c.settleCtx, c.fail = work, background, fail

	c.health.Enter("starting")
	if err := c.start(ctx, background); err != nil || ctx.Err() != nil {
		return err
	}
	c.settler = newSettler(c, c.source().FIFO)
	c.d.fifo = c.source().FIFO
	c.log.Info("consumer started", "queue", c.source().ARN)
	c.health.Enter("running")

	// Started in the order of need: what receives comes last.
	c.wg.Go(func() { c.d.beat.run(background) })
	c.wg.Go(func() { c.d.watchdog(background) })
	c.wg.Go(func() { c.recheck.Run(background, c.reread) })
	polling := make(chan struct{})
	go func() {
		defer close(polling)
		c.pollers.run(receiving, cut)
	}()

	<-receiving.Done()
	err = c.stop(polling, cutPolls, stopWork) //nolint:contextcheck // ctx has ended; the stop has its own time
	if cause := context.Cause(receiving); !errors.Is(cause, context.Cause(ctx)) {
		err = errors.Join(cause, err)
	}
	return err
}

// StopNow hurries a stop: polls under way are cut and handlers' contexts
// cancelled at once. It does not begin a stop; cancel Run's context for that.
func (c *Consumer) StopNow() { c.stopOnce.Do(func() { close(c.stopNow) }) }

// start finds the queue, checks permissions and starts the middleware. Errors that
// mend themselves are tried again until ctx ends.
func (c *Consumer) start(ctx, background context.Context) error {
	for try := 1; ; try++ {
		q, err := c.open(ctx)
		if err == nil {
			c.queue.Store(&q)
		}
		if err == nil || ctx.Err() != nil {
			c.health.Clear(problemStart)
			break
		}
		if errors.As(err, new(*AccessError)) || errors.As(err, new(*QueueError)) {
			return err
		}
		c.health.Set(problemStart, err)
		wait := jitter.Equal(500*time.Millisecond, 15*time.Second, try)
		c.log.Warn("start failed", "queue", c.name, "error", err, "backoff", wait)
		pause(ctx, wait)
	}
	for i, m := range c.cfg.Middleware {
		if s, ok := m.(holdfast.Starter); ok && ctx.Err() == nil {
			err := starting.Do(ctx, background, c.cfg.StopTimeout, c.stopNow, func(ctx context.Context) error { return s.Start(ctx, *c.source()) })
			if err != nil {
				return fmt.Errorf("consumer: Middleware[%d]: %w", i, err)
			}
		}
	}
	return nil
}

// open finds the queue, reads its attributes and checks permissions.
func (c *Consumer) open(ctx context.Context) (holdfast.Queue, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*tryTimeout)
	defer cancel()
	q, err := c.t.Open(ctx)
	if err == nil {
		err = c.t.Probe(ctx)
	}
	if call := (*wire.CallError)(nil); errors.As(err, &call) {
		switch wire.Classify(call.Err) {
		case wire.Missing:
			err = &QueueError{Queue: c.name, Region: c.t.Region, Err: call.Err}
		case wire.Denied:
			err = &AccessError{Action: call.Action, Resource: call.Resource, Err: call.Err}
		}
	}
	return q, err
}

// stop ends everything in order: first what brings messages, then what works on
// them, last what settles them.
func (c *Consumer) stop(polling <-chan struct{}, cutPolls func(), stopWork context.CancelCauseFunc) error {
	c.health.Enter("stopping")
	end := time.Now().Add(c.cfg.StopTimeout)
	forAcks := c.forAcks()
	forReturn := min(time.Second, c.cfg.StopTimeout/25)

	c.settler.hurry()
	c.settler.flush()
	grace := time.AfterFunc(max(0, c.cfg.PollGrace), cutPolls)
	drain := time.NewTimer(time.Until(end) - forAcks - forReturn)
	c.waitQuiet(drain.C, polling, c.stopNow)
	drain.Stop()
	grace.Stop()
	cutPolls()
	<-polling

	c.d.mu.Lock()
	c.d.draining, c.d.stopped = true, true
	c.d.mu.Unlock()
	c.giveBackIfStopped()
	stopWork(holdfast.ErrStopping)
	returns := time.NewTimer(forReturn)
	c.waitQuiet(returns.C, nil, nil)
	returns.Stop()
	handlers := c.leaveRunning()
	c.settler.hurry()
	c.settler.close(time.Now())
	unsettled := c.waitSettled(end) + handlers
	c.settler.close(end)
	if handlers+unsettled > 0 {
		return &StopError{Handlers: handlers, Unsettled: unsettled}
	}
	c.workers.Wait()
	return nil
}

// forAcks is the part of StopTimeout that is kept for the last acknowledgements.
func (c *Consumer) forAcks() time.Duration { return min(5*time.Second, c.cfg.StopTimeout/5) }

// recovered reads the queue anew after receives failed: it may be another queue
// of the same name, with another dead-letter queue.
func (c *Consumer) recovered(ctx context.Context) {
	c.log.Info("receiving again", "queue", c.queueName())
	c.readAgain(ctx, c.t.Open)
}

// reread reads the queue's attributes again: its redrive policy may have been changed.
func (c *Consumer) reread(ctx context.Context) { c.readAgain(ctx, c.t.Reread) }

// readAgain reads the queue by read, one after the other: what was read first must not
// replace what was read later.
func (c *Consumer) readAgain(ctx context.Context, read func(context.Context) (holdfast.Queue, error)) {
	select {
	case c.reading <- struct{}{}:
		defer func() { <-c.reading }()
	case <-ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*tryTimeout)
	defer cancel()
	q, err := read(ctx)
	if err != nil {
		c.log.Warn("the queue's attributes could not be read again", "queue", c.queueName(), "error", err)
		return
	}
	old := c.queue.Swap(&q)
	if old.DeadLetterARN != q.DeadLetterARN || old.MaxReceiveCount != q.MaxReceiveCount {
		c.log.Info("the queue's redrive policy has changed", "queue", q.ARN, "dead-letter-queue", q.DeadLetterARN, "max-receive-count", q.MaxReceiveCount)
	}
	if old.DeadLetterARN != q.DeadLetterARN {
		c.health.Clear(problemDeadLetter) // it was about the other
	}
	if q.DeadLetterARN != "" {
		c.health.Clear(problemNoQueue)
	}
}

// tellGate tells hooks and health what the gates say.
func (c *Consumer) tellGate(closed, changed bool, why error) {
	if closed {
		c.health.Set(problemGate, why)
	} else {
		c.health.Clear(problemGate)
	}
	if changed {
		c.log.Warn("receiving", "gate-closed", closed, "why", why)
		call(c, c.cfg.Hooks.Gate, holdfast.GateEvent{Closed: closed, Why: why})
	}
}

// source is the queue that is received from.
func (c *Consumer) source() *holdfast.Queue { return c.queue.Load() }

// receive is one long poll, whose reply came at at. Each message is written into its
// hold right away.
func (c *Consumer) receive(ctx context.Context, asked int, wait time.Duration, attempt string) (hs []*hold, at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Wait+10*time.Second)
	defer cancel()
	hs = make([]*hold, 0, asked)
	ds, at, err := c.t.Receive(ctx, asked, wait, attempt, func() *holdfast.Message {
		h := &hold{d: c.d}
		hs = append(hs, h)
		return &h.msg
	})
	for i := range ds {
		h, d := hs[i], &ds[i]
		h.id, h.groupID, h.sentAt, h.receives = h.msg.ID, h.msg.GroupID, h.msg.SentAt, h.msg.ReceiveCount
		h.handle, h.size, h.origin = d.Handle, int64(d.Size), d.Origin
		h.noWork = envelope.Unwrap(&h.msg, c.topics)
	}
	return hs, at, err
}

// remake writes to m the message of a run as it was received.
func (c *Consumer) remake(m *holdfast.Message, origin *wire.Origin, at time.Time, receives, attempt int) {
	c.t.Message(origin, m)
	m.ReceivedAt, m.ReceiveCount, m.Attempt = at, receives, attempt
	_ = envelope.Unwrap(m, c.topics) // what is no work never came to run
}

// settleCall makes one try of a call that settles. Neither the stop nor a lost
// hold cancels it.
func (c *Consumer) settleCall(f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(c.settleCtx, tryTimeout)
	defer cancel()
	return f(ctx)
}

func (c *Consumer) goWorker(w *worker) { c.workers.Go(w.run) }

// goWait resumes a parked message when ready is closed, or when its retention is
// about to end: run once more it takes its fallback.
func (c *Consumer) goWait(h *hold, ready <-chan struct{}) {
	c.wg.Go(func() {
		var late <-chan time.Time
		if end := c.d.retentionEnd(h, c.source()); !end.IsZero() {
			t := time.NewTimer(time.Until(end))
			defer t.Stop()
			late = t.C
		}
		select {
		case <-ready:
			c.d.resume(h)
		case <-late:
			c.d.resume(h)
		case <-h.Done():
		case <-c.settleCtx.Done():
		}
	})
}

func (c *Consumer) queueName() string {
	if arn := c.source().ARN; arn != "" {
		return arn
	}
	return c.name
}

// explain makes an error that says what to do out of one that SQS gave.
func (c *Consumer) explain(action string, f wire.Fault, err error) error {
	return c.explainFor(action, c.source().ARN, f, err)
}

func (c *Consumer) explainFor(action, arn string, f wire.Fault, err error) error {
	switch f {
	case wire.Denied:
		return &AccessError{Action: action, Resource: arn, Err: err}
	case wire.Missing:
		return &QueueError{Queue: arn, Region: queueref.Region(*c.source()), Err: err}
	}
	return fmt.Errorf("%s on %s: %w", action, arn, err)
}

// call calls a hook and survives its panic.
func call[E any](c *Consumer, f func(E), event E) {
	if f == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			c.log.Error("hook panicked", "value", v)
		}
	}()
	f(event)
}
