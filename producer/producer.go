// Package producer sends messages to an SQS queue or an SNS topic.
//
// What many goroutines send at once is gathered into requests of ten, and each gets
// its own result. A message that the service failed to take is tried again with a
// jittered backoff, and those that it took in the same request are not; one that it
// refuses is returned to its sender at once. What is taken and not yet sent is
// bounded in messages and in bytes.
//
// # Delivery
//
// A nil error says that SQS or SNS has the message. It may have it twice: when the
// reply to a request is lost the message is tried again. On FIFO targets it has a
// deduplication id that is made once, so that such a try changes nothing; elsewhere
// give it a Key, and consumers with idempotency do its work once.
//
// On FIFO targets the messages of a group arrive in the order in which they were
// handed to Send or SendBatch: while one of a group is under way or waits to be tried
// again, nothing later of that group is sent. A request therefore never carries two
// messages of one group, since the first could fail and the second not. One that is
// given up leaves a gap, and its followers go on.
//
// # Reading order
//
// producer.go is what senders call, message.go and validate.go what a message is and
// must be, outbox.go gathers, orders and tries again, queue.go and topic.go speak to
// SQS and SNS, fault.go says what their errors mean.
package producer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/internal/batch"
	"github.com/holdfast-go/holdfast/internal/jitter"
)

// Producer sends to one queue or topic. Make one with New; one serves a whole
// process, since gathering needs company. Its methods are safe for concurrent use.
type Producer struct {
	cfg    Config
	to     target
	t      transport
	notes  bool // the client notes how far its requests come
	chain  Sender
	budget *batch.Budget
	stats  counters

	opening chan struct{} // held by the one who opens
	box     atomic.Pointer[outbox]

	closing   chan struct{} // closed when nothing more is taken
	closingMu sync.Mutex    // guards closed, and that no box is stored after it
	closed    bool
}

// New makes a producer to target: a queue by name, URL or ARN, or a topic by ARN.
// client is an SQSAPI where target is a queue and an SNSAPI where it is a topic. New
// validates everything, does no I/O and returns all problems joined, a *ConfigError
// for each. The target is looked for by the first Send.
func New(client any, target string, cfg Config) (*Producer, error) {
	p := &Producer{cfg: cfg.withDefaults(), opening: make(chan struct{}, 1), closing: make(chan struct{})}
	errs := []error{p.cfg.validate()}
	var err error
	if p.to, err = parseTarget(target); err != nil {
		errs = append(errs, &ConfigError{Field: "target", Value: strconv.Quote(target), Bound: err.Error()})
	}
	if r := region(client); r != "" && p.to.region != "" && r != p.to.region {
		errs = append(errs, &ConfigError{Field: "target", Value: strconv.Quote(target), Bound: fmt.Sprintf("in the client's region %s, not in %s", r, p.to.region)})
	} else if p.to.region == "" {
		p.to.region = r
	}
	if err == nil {
		if p.t, err = p.transport(client); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	p.budget = batch.NewBudget(p.cfg.MaxPending, p.cfg.MaxPendingBytes)
	p.chain = chain(SenderFunc(p.deliver), p.cfg.Middleware)
	return p, nil
}

// Send sends one message and waits until SQS or SNS has it. It returns a joined
// *MessageError for each field that the target would refuse, else a *SendError that
// says why the message was not sent, or not surely (ErrUnconfirmed): the cause of
// ctx, Config.Timeout (context.DeadlineExceeded), ErrClosed, *AccessError,
// *TargetError, *ClientError or what the service answered.
//
// When ctx ends, a message that is not under way is not sent any more.
func (p *Producer) Send(ctx context.Context, m Message) error {
	if len(p.cfg.Middleware) == 0 {
		it, err := p.take(ctx, time.Now().Add(p.cfg.Timeout), &m)
		if err != nil {
			return err
		}
		return p.box.Load().await(ctx, it).Err
	}
	if ticketFrom(ctx) != nil {
		// A middleware sends this while it has a message of a SendBatch, whose ticket is not
		// this message's.
		ctx = context.WithValue(ctx, ticketKey{}, (*ticket)(nil))
	}
	wrapped := m // not m itself, which stays off the heap above
	return p.chain.Send(ctx, &wrapped)
}

// deliver is the innermost Sender.
func (p *Producer) deliver(ctx context.Context, m *Message) error {
	t, end := ticketFrom(ctx), time.Now().Add(p.cfg.Timeout)
	t.arrive()
	it, err := p.ready(ctx, end, m)
	if err == nil && t != nil {
		if err = p.await(ctx, end, t.before); err != nil {
			err = p.notSent(err)
		}
	}
	if err == nil {
		err = p.place(ctx, end, it)
	}
	t.enter()
	if err != nil {
		return err
	}
	r := p.box.Load().await(ctx, it)
	t.tell(r)
	return r.Err
}

// SendBatch sends messages and waits until each has its result, in the order of
// msgs. The error is nil where all were accepted, else a *BatchError. There may be
// more than ten of them, and they share requests with what others send meanwhile.
//
// With Config.Middleware or Config.Offload each message has a goroutine and a Timeout of
// its own: up to Config.Concurrency bodies are put elsewhere at once, and the messages
// are taken in the order of msgs all the same. A panic of either comes to the caller, as
// from Send: nothing further is begun then, and what was is waited for before.
func (p *Producer) SendBatch(ctx context.Context, msgs []Message) ([]Result, error) {
	results := make([]Result, len(msgs))
	if len(p.cfg.Middleware) > 0 || p.cfg.Offload != nil {
		p.sendEach(ctx, msgs, results)
	} else {
		p.sendAll(ctx, msgs, results)
	}
	failed := &BatchError{Messages: len(msgs)}
	for i := range results {
		if err := results[i].Err; err != nil {
			failed.Failed++
			failed.errs = append(failed.errs, err)
		}
	}
	if failed.Failed > 0 {
		return results, failed
	}
	return results, nil
}

func (p *Producer) sendAll(ctx context.Context, msgs []Message, results []Result) {
	end := time.Now().Add(p.cfg.Timeout)
	items := make([]*item, len(msgs))
	for i := range msgs {
		items[i], results[i].Err = p.take(ctx, end, &msgs[i])
	}
	for i, it := range items {
		if it != nil {
			results[i] = p.box.Load().await(ctx, it)
		}
	}
}

// sendEach sends each message through the middleware, in a goroutine of its own that
// starts when the one before has come through. It waits for its place in the order.
func (p *Producer) sendEach(ctx context.Context, msgs []Message, results []Result) {
	var wg sync.WaitGroup
	var broken atomic.Bool
	tickets := make([]*ticket, 0, len(msgs))
	ahead := make(chan struct{}, p.cfg.Concurrency) // those without their place
	before := make(chan struct{})
	close(before)
	for i := range msgs {
		ahead <- struct{}{}
		t := &ticket{arrived: make(chan struct{}), before: before, entered: make(chan struct{}), ahead: ahead}
		before = t.entered
		tickets = append(tickets, t)
		m := msgs[i]
		wg.Go(func() {
			defer t.enter()
			defer t.arrive()
			defer t.outlive(&broken)
			results[i] = t.sent(p.chain.Send(context.WithValue(ctx, ticketKey{}, t), &m))
		})
		if <-t.arrived; broken.Load() {
			break
		}
	}
	wg.Wait()
	for _, t := range tickets {
		t.rethrow()
	}
}

// take checks a message and takes it into the outbox, when there is room. Its time
// is over at end.
func (p *Producer) take(ctx context.Context, end time.Time, m *Message) (*item, error) {
	it, err := p.ready(ctx, end, m)
	if err != nil {
		return nil, err
	}
	if err := p.place(ctx, end, it); err != nil {
		return nil, err
	}
	return it, nil
}

// ready makes a message ready to be placed.
func (p *Producer) ready(ctx context.Context, end time.Time, m *Message) (*item, error) {
	if err := p.to.validate(m); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, p.notSent(err)
	}
	select {
	case <-p.closing:
		return nil, p.notSent(ErrClosed)
	default:
	}
	box, err := p.open(ctx, end)
	if err != nil {
		return nil, p.notSent(err)
	}
	full, size := p.complete(ctx, *m)
	if p.cfg.Offload != nil && size > box.offloadAbove {
		switch err := p.to.roomForPointer(&full, size-len(full.Body), box.limit); {
		case err == nil:
			if full, size, err = p.offload(ctx, end, full); err != nil {
				return nil, err
			}
		case size > box.limit:
			return nil, err
		}
	}
	if err := p.to.fits(size, box.limit, p.cfg.Offload != nil); err != nil {
		return nil, err
	}
	return &item{msg: full, size: size, deadline: end, done: make(chan struct{})}, nil
}

// place gives a message its place in the order, when there is room.
func (p *Producer) place(ctx context.Context, end time.Time, it *item) error {
	if wait := p.budget.Acquire(int64(it.size)); wait != nil {
		if err := p.await(ctx, end, wait.Granted); err != nil {
			p.budget.Cancel(wait)
			return p.notSent(err)
		}
	}
	if !p.box.Load().add(it) {
		p.budget.Release(1, int64(it.size))
		return p.notSent(ErrClosed)
	}
	return nil
}

func (p *Producer) notSent(err error) error { return &SendError{Target: p.to.name, Err: err} }

// offload puts the body elsewhere.
func (p *Producer) offload(ctx context.Context, end time.Time, m Message) (Message, int, error) {
	ctx, cancel := p.within(ctx, end)
	defer cancel()
	moved := holdfast.Message{Body: m.Body, Attributes: cloneWithRoom(m.Attributes, 1)}
	p.t.address(&moved)
	if err := p.cfg.Offload.Offload(ctx, &moved); err != nil {
		if why := context.Cause(ctx); why != nil {
			err = fmt.Errorf("%w: %w", why, err)
		}
		return m, 0, p.notSent(fmt.Errorf("its body of %d bytes could not be put elsewhere: %w", len(m.Body), err))
	}
	p.stats.offloaded.Add(1)
	m.Body, m.Attributes = moved.Body, moved.Attributes
	return m, sizeOf(m), nil
}

// open returns the outbox and finds the target before that, the first time. Errors
// that mend themselves are tried again until end.
func (p *Producer) open(ctx context.Context, end time.Time) (*outbox, error) {
	if box := p.box.Load(); box != nil {
		return box, nil
	}
	ctx, cancel := p.within(ctx, end)
	defer cancel()
	select {
	case p.opening <- struct{}{}:
		defer func() { <-p.opening }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for try := 1; ; try++ {
		if box := p.box.Load(); box != nil {
			return box, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		limit, err := p.find(ctx)
		switch {
		case err == nil:
			if !p.opened(limit) { //nolint:contextcheck // the outbox outlives this Send
				return nil, ErrClosed
			}
			continue
		case ctx.Err() != nil:
			return nil, fmt.Errorf("%w; the last try: %w", context.Cause(ctx), err)
		case !classify(err).again():
			return nil, err
		}
		pause := time.NewTimer(jitter.Equal(firstBackoff, lastBackoff, try))
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; the last try: %w", context.Cause(ctx), err)
		}
	}
}

// opened makes the outbox; false after Close, which has not seen it.
func (p *Producer) opened(limit int) bool {
	p.closingMu.Lock()
	defer p.closingMu.Unlock()
	if p.closed {
		return false
	}
	p.box.Store(newOutbox(p, limit))
	return true
}

// within is ctx until end, or until Close, for calls before a message is taken.
func (p *Producer) within(ctx context.Context, end time.Time) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithDeadlineCause(ctx, end, p.timeout())
	ctx, cut := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-p.closing:
			cut(ErrClosed)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cut(nil)
		cancel()
	}
}

// find finds the target and how much it takes.
func (p *Producer) find(ctx context.Context) (limit int, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	limit, err = p.t.open(ctx, p.cfg.MaxMessageBytes == 0)
	if call := (*callError)(nil); errors.As(err, &call) {
		reading := call.action == "sqs:GetQueueAttributes" || call.action == "sns:GetTopicAttributes"
		if reading && classify(err) == denied {
			p.cfg.Logger.Info("how much the target takes may not be read: its default is taken for it", "action", call.action, "target", p.to.name, "bytes", p.to.defaultLimit())
			limit, err = 0, nil
		} else {
			err = p.to.explain(call.action, err)
		}
	}
	switch {
	case p.cfg.MaxMessageBytes > 0:
		limit = p.cfg.MaxMessageBytes
	case limit <= 0:
		limit = p.to.defaultLimit()
	}
	return limit, err
}

// Close takes no more messages, sends those that were taken without waiting for
// company, and returns when each has its result. When ctx ends before, or has ended
// already, what is left fails with ErrClosed, requests under way are cut (their
// messages fail with ErrUnconfirmed too), and the error tells how many there were.
// Sends that still look for the target, wait for room or put a body elsewhere are cut
// at once. Close may be called again, also while one waits: when the context of any
// ends, all give up. Whatever it returns, the producer is closed for good.
//
// No goroutine is left behind, but by a client of another make that does not heed the
// context of its calls: when none of those that were cut ends for 1 s Close returns, and
// the error says so. What is in them may be sent later, and Hooks are told then.
func (p *Producer) Close(ctx context.Context) error {
	p.closingMu.Lock()
	if !p.closed {
		p.closed = true
		close(p.closing)
	}
	box := p.box.Load()
	p.closingMu.Unlock()
	if box != nil {
		return box.close(ctx)
	}
	select {
	case p.opening <- struct{}{}: // nobody looks for the target any more
	default:
		select {
		case p.opening <- struct{}{}:
		case <-ctx.Done(): // the client is deaf to its context
			return fmt.Errorf("%w while the target was looked for: %w", ErrClosed, context.Cause(ctx))
		}
	}
	<-p.opening
	return nil
}

func (p *Producer) timeout() error {
	return fmt.Errorf("not sent within Config.Timeout (%v): %w", p.cfg.Timeout, context.DeadlineExceeded)
}

// await waits until ready is closed, ctx ends, the time is over, or the producer is
// closed.
func (p *Producer) await(ctx context.Context, end time.Time, ready <-chan struct{}) error {
	limit := time.NewTimer(time.Until(end))
	defer limit.Stop()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-limit.C:
		return p.timeout()
	case <-p.closing:
		return ErrClosed
	}
}
