package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
)

// historyProcess is one process of a history. It dies as a machine does that loses
// power, and can be cut off from all the world for a while.
type historyProcess struct {
	*process
	*running
	h       *history
	name    string
	until   atomic.Int64 // when it is cut off no more, in Unix nanoseconds
	cutAt   atomic.Int64 // when it was cut off last
	suffers atomic.Int64 // when a call of it last failed, likewise
}

func (h *history) start(slot int) *historyProcess {
	p := &historyProcess{process: newProcess(h.t, h.srv, ""), h: h}
	p.name = fmt.Sprintf("p%d@%.0f", slot, time.Since(h.began).Seconds())
	once := idempotency.New(historyStore{h.store, p}, h.config(p))
	client := h.srv.SQS(func(o *sqs.Options) { o.HTTPClient = cutOff{p} })
	h.event("%s starts", p.name)
	p.running = startWith(h.t, client, h.q, handle(p.work), consumer.Config{
		Concurrency: 4, Middleware: []holdfast.Middleware{once}, Hooks: p.hooks(),
	})
	return p
}

func (h *history) config(p *historyProcess) idempotency.Config {
	return idempotency.Config{
		Consumer: "orders", KeyAttribute: "key", Process: new(idempotency.Process),
		Hooks: idempotency.Hooks{
			Lost: func(e idempotency.LostEvent) { h.event("%s: claim lost: %v", p.name, e.Err) },
		},
	}
}

// hooks note what the runtime says.
func (p *historyProcess) hooks() holdfast.Hooks {
	h := p.h
	return holdfast.Hooks{
		Received: func(e holdfast.ReceivedEvent) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.count.receives.Add(1)
			h.arrived[e.Message.ID]++
			h.note("%s received %.8s (%s), receive %d, duplicate %v", p.name, e.Message.ID, e.Message.Body, e.Message.ReceiveCount, e.Duplicate)
		},
		Settled: func(e holdfast.SettledEvent) {
			h.event("%s: %.8s is %v: %v", p.name, e.Message.ID, e.Outcome, e.Err)
		},
		LeaseLost: func(e holdfast.LeaseLostEvent) {
			h.event("%s: hold lost: %v", p.name, e.Err) // the handler may be writing to its message
		},
	}
}

// crash ends the process; what it left running in this test is told to stop, and
// reaches nothing any more.
func (p *historyProcess) crash() {
	p.h.count.crashes.Add(1)
	p.h.event("%s dies", p.name)
	p.die()
	p.cancel()
}

// stall cuts the process off for d: its clocks go on, no call of it ends.
func (p *historyProcess) stall(d time.Duration) {
	p.h.count.stalls.Add(1)
	p.h.event("%s is cut off for %v", p.name, d)
	p.cutAt.Store(time.Now().UnixNano())
	p.until.Store(time.Now().Add(d).UnixNano())
	p.suffers.Store(time.Now().Add(d).UnixNano())
}

// faulted notes a failed call.
func (p *historyProcess) faulted() {
	p.suffers.Store(max(p.suffers.Load(), time.Now().UnixNano()))
}

// wait waits until the process is not cut off, and is false where ctx ends first.
func (p *historyProcess) wait(ctx context.Context) bool {
	for {
		left := time.Until(time.Unix(0, p.until.Load()))
		if left <= 0 {
			return true
		}
		t := time.NewTimer(left)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}

// cutOff is the network of a process.
type cutOff struct{ p *historyProcess }

func (c cutOff) Do(req *http.Request) (*http.Response, error) {
	if !c.p.wait(req.Context()) {
		return nil, req.Context().Err()
	}
	resp, err := c.p.Do(req)
	if err != nil {
		c.p.faulted()
	}
	// The reply may come when the process is cut off, and waits for it then.
	if !c.p.wait(req.Context()) {
		if err == nil {
			_ = resp.Body.Close()
		}
		return nil, req.Context().Err()
	}
	return resp, err
}

// work is the handler. It also does what a handler should not: it writes to its
// message, and at times does not heed its context.
func (p *historyProcess) work(ctx context.Context, m *holdfast.Message) error {
	h := p.h
	claim, ok := idempotency.FromContext(ctx)
	name, _, _ := strings.Cut(m.Body, "!")
	id, body := m.ID, m.Body
	h.mu.Lock()
	k := h.keys[name]
	if !ok || k == nil || claim.Key != k.record {
		h.fault("%s runs %s without a claim", p.name, m.Body)
		h.mu.Unlock()
		return nil
	}
	run := &historyRun{p: p, ctx: ctx, fence: claim.Fence, began: time.Now()}
	h.begins(k, run)
	took := time.Duration(10+h.chance.IntN(3000)) * time.Millisecond
	if k.job == historyLong {
		took = time.Duration(10+h.chance.IntN(90)) * time.Second
	}
	deaf := h.chance.IntN(4) == 0
	later := k.job == historyLater && h.chance.IntN(2) == 0
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(k.running, run)
	}()
	m.Body, m.Attributes = "written by a handler", map[string]holdfast.Attribute{"key": {Type: "String", String: "key-0"}}
	m.ID, m.Queue, m.Topic = "none", holdfast.Queue{}, holdfast.Topic{ARN: "x", MessageID: "y"}

	t := time.NewTimer(took)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		if !deaf {
			run.failed = true
			return ctx.Err()
		}
		<-t.C
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case k.job == historyRefused:
		run.failed = true
		return holdfast.Permanent(errTest)
	case (k.job == historyFails || k.job == historyPanics) && k.failures < 2:
		k.failures++
		run.failed = true
		if k.job == historyPanics {
			panic("history")
		}
		return errTest
	case later:
		run.failed = true
		return holdfast.RetryAfter(time.Duration(h.chance.IntN(20))*time.Second, errTest)
	}
	if !p.alive() && !deaf {
		return errors.New("the process is dead")
	}
	h.writes(k, run, id, body)
	return nil
}

// begins holds a run to what must be true when it begins. mu is held.
func (h *history) begins(k *historyKey, run *historyRun) {
	h.note("%s runs %s under fence %d", run.p.name, k.name, run.fence)
	if k.isDone {
		h.fault("%s runs %s after its completion", run.p.name, k.name)
	}
	for other := range k.running {
		switch {
		case other.ctx.Err() != nil, !other.p.alive():
			h.count.overlaps.Add(1)
		case !k.lostAt.Before(other.began):
			// Its record was lost: the next extension tells it.
		case h.inGrace(other.p):
			// Its own message is hidden, but a copy of it is another message.
			h.count.overlaps.Add(1)
		default:
			h.fault("%s runs %s under fence %d while %s does under %d", run.p.name, k.name, run.fence, other.p.name, other.fence)
		}
	}
	k.running[run] = true
}

// writes is the effect, behind a fence. mu is held.
func (h *history) writes(k *historyKey, run *historyRun, id, body string) {
	if run.fence < k.written {
		h.count.refused.Add(1)
		h.note("%s: write of %s under fence %d refused", run.p.name, k.name, run.fence)
		return
	}
	h.note("%s: effect of %s (%.8s) under fence %d", run.p.name, k.name, id, run.fence)
	if k.isDone && k.lostAt.Before(run.began) {
		h.fault("%s had an effect after its completion", k.name)
	}
	if last := k.last; last != nil {
		// A repetition needs a cause: the run before died before its completion was on
		// record, or could not record it, or lost its claim, or the record was lost.
		suffered := time.Unix(0, last.p.suffers.Load())
		switch {
		case !last.p.alive(), last.ctx.Err() != nil:
		case !suffered.Before(last.began):
		case !k.lostAt.Before(last.began):
		default:
			h.fault("the effect of %s is repeated by %s without a cause", k.name, run.p.name)
		}
		h.count.repeats.Add(1)
	}
	k.bodies[body]++
	k.written, k.last = run.fence, run
	run.written = time.Now()
}
