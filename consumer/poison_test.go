package consumer_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/sqstest"
)

// TestAMessageThatKillsItsProcessIsDeadLettered has a message end the process of its
// handler over and over, and holds that it runs alone after two deaths, is
// dead-lettered after its attempts, and takes no attempt of its neighbours.
func TestAMessageThatKillsItsProcessIsDeadLettered(t *testing.T) {
	t.Parallel()
	for _, queue := range []string{"orders", "orders.fifo"} {
		t.Run(queue, func(t *testing.T) {
			inBubble(t, func(t *testing.T) { killer(t, queue, 3) })
		})
	}
}

func killer(t *testing.T, queue string, attempts int) {
	const neighbours = 12
	srv := sqstest.New(t)
	q := srv.Queue(t, queue, sqstest.DLQ(attempts+3))
	group := func(name string) (opts []sqstest.SendOption) {
		if queue == "orders.fifo" {
			opts = append(opts, sqstest.Group(name))
		}
		return opts
	}
	q.Send(t, "killer", group("killer")...)
	for n := range neighbours {
		q.Send(t, fmt.Sprint("neighbour ", n), group(fmt.Sprint(n))...)
	}

	store := idempotency.NewMemoryStore()
	var mu sync.Mutex // guards all below
	deaths, lone, done := 0, 0, map[string]int{}
	process := func() (p *process, stopped func() error) {
		p = newProcess(t, srv, "in the handler")
		running := 0
		h := handle(func(ctx context.Context, m *holdfast.Message) error {
			if !p.alive() {
				<-ctx.Done() // it is not there any more
				return ctx.Err()
			}
			claim, _ := idempotency.FromContext(ctx)
			mu.Lock()
			running++
			if claim.Deaths >= 2 && running > 1 {
				t.Errorf("%s runs beside %d others after %d deaths", m.Body, running-1, claim.Deaths)
			}
			mu.Unlock()
			defer func() { mu.Lock(); running--; mu.Unlock() }()
			if m.Body == "killer" {
				time.Sleep(2 * time.Second) // neighbours are at work
				mu.Lock()
				deaths++
				if claim.Deaths >= 2 {
					lone++
				}
				mu.Unlock()
				p.reach("in the handler")
				<-ctx.Done()
				return ctx.Err()
			}
			time.Sleep(5 * time.Second)
			if !p.alive() {
				return ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			done[m.Body] = claim.Attempt
			return nil
		})
		r := p.run(q, h, consumer.Config{Concurrency: 6, Middleware: []holdfast.Middleware{
			idempotency.New(processStore{p, store}, idempotency.Config{
				Consumer: "orders", MaxAttempts: attempts, Process: new(idempotency.Process),
			}),
		}})
		return p, r.stop
	}
	for range attempts + 2 {
		p, _ := process()
		until(t, 10*time.Minute, "the process is dead", func() bool { return !p.alive() })
	}
	_, stop := process()
	until(t, 10*time.Minute, "the queue is empty", empty(q))
	if err := stop(); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if deaths != attempts+2 || lone != attempts {
		t.Errorf("%d processes died, in %d of which the message was alone; want %d and %d", deaths, lone, attempts+2, attempts)
	}
	if dead := q.DLQ().Messages(); len(dead) != 1 || dead[0].Body != "killer" {
		t.Errorf("dead-lettered are %+v, want the killer alone", dead)
	}
	for n := range neighbours {
		if got := done[fmt.Sprint("neighbour ", n)]; got != 1 {
			t.Errorf("neighbour %d was done in attempt %d, want 1", n, got)
		}
	}
}

// TestWaitingToBeAloneEndsWithTheConsumer holds that a message that waits for its
// process gives way to the stop of the consumer, and that a long handler of a
// neighbour does not keep the rest from being worked on.
func TestWaitingToBeAloneEndsWithTheConsumer(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		store := idempotency.NewMemoryStore()
		bad := q.Send(t, "bad")
		for range 2 { // it ends two processes
			p := newProcess(t, srv, "in the handler")
			p.run(q, handle(func(ctx context.Context, m *holdfast.Message) error {
				p.reach("in the handler")
				<-ctx.Done()
				return ctx.Err()
			}), consumer.Config{Middleware: []holdfast.Middleware{
				idempotency.New(processStore{p, store}, idempotency.Config{Consumer: "orders", Process: new(idempotency.Process)}),
			}})
			until(t, 10*time.Minute, "the process is dead", func() bool { return !p.alive() })
		}

		var e effects
		r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			if m.Body == "long" {
				<-ctx.Done()
				return ctx.Err()
			}
			e.add(m.Body)
			return nil
		}), consumer.Config{Concurrency: 4, Middleware: []holdfast.Middleware{
			idempotency.New(store, idempotency.Config{Consumer: "orders", Process: new(idempotency.Process)}),
		}})
		q.Send(t, "long")
		time.Sleep(time.Minute) // the long one runs, the bad one waits
		for n := range 20 {
			q.Send(t, fmt.Sprint("short ", n))
		}
		until(t, 5*time.Minute, "the short ones are done beside the long one", func() bool { return len(e.all()) >= 20 })
		if e.count("bad") != 0 {
			t.Error("it ran beside another")
		}
		receives := q.Receives(bad)
		began := time.Now()
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 26*time.Second {
			t.Errorf("the stop took %v", took)
		}
		if n := q.Receives(bad); n != receives || receives != 3 {
			t.Errorf("it was received %d times, %d before the stop; want 3", n, receives)
		}
		synctest.Wait()
		if len(q.DLQ().Messages()) != 0 {
			t.Error("something was dead-lettered")
		}
	})
}
