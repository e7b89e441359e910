package consumer_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/sqstest"
)

// tally counts by message id what became of messages.
type tally struct {
	mu     sync.Mutex // guards counts
	counts map[string]int
}

func (l *tally) add(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = make(map[string]int)
	}
	l.counts[id]++
}

func (l *tally) of(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[id]
}

func (l *tally) total() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.counts {
		n += c
	}
	return n
}

func TestNoBurn(t *testing.T) {
	t.Parallel()
	t.Run("20 rolling restarts under load cost a message one receive per process that held it, and nothing is retried", func(t *testing.T) {
		for _, queue := range []string{"orders", "orders.fifo"} {
			t.Run(queue, func(t *testing.T) {
				inBubble(t, func(t *testing.T) { rollingRestarts(t, queue, nil) })
			})
		}
	})
	t.Run("with idempotency they cost no attempt of its claim", func(t *testing.T) {
		for _, queue := range []string{"orders", "orders.fifo"} {
			t.Run(queue, func(t *testing.T) {
				inBubble(t, func(t *testing.T) { rollingRestarts(t, queue, idempotency.NewMemoryStore()) })
			})
		}
	})
	t.Run("a restart each few seconds, shorter than the handlers, dead-letters nothing by itself", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(20))
			ids := q.SendN(t, 5)
			for range 12 {
				r := start(t, srv, q, sleeper(time.Hour), consumer.Config{StopTimeout: 2 * time.Second})
				time.Sleep(3 * time.Second)
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
			}
			for _, id := range ids {
				if n := q.Receives(id); n != 12 {
					t.Errorf("%s was received %d times by 12 processes", id, n)
				}
			}
			start(t, srv, q, nothing, consumer.Config{})
			until(t, time.Minute, "all is done", empty(q))
			if got := q.DLQ().Depth(); got != (sqstest.Depth{}) {
				t.Errorf("the dead-letter queue is %+v", got)
			}
		})
	})
	t.Run("a failing FIFO head burns none of its followers' receives", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo", sqstest.DLQ(5))
			var ids []string
			for i := range 10 {
				ids = append(ids, q.Send(t, fmt.Sprint(i), sqstest.Group("g")))
			}
			var attempts effects
			start(t, srv, q, handle(func(_ context.Context, m *holdfast.Message) error {
				if m.Body == "0" {
					attempts.add(fmt.Sprint(m.Attempt))
					if m.Attempt < 5 {
						return errTest
					}
				} else if m.Attempt != 1 {
					t.Errorf("follower %s runs its attempt %d", m.Body, m.Attempt)
				}
				return nil
			}), consumer.Config{BackoffBase: 30 * time.Second})
			until(t, time.Hour, "all is done", empty(q))
			if got := fmt.Sprint(attempts.all()); got != "[1 2 3 4 5]" {
				t.Errorf("the head ran its attempts %s", got)
			}
			for i, id := range ids {
				if n := q.Receives(id); n != 1 {
					t.Errorf("message %d was received %d times", i, n)
				}
			}
		})
	})
	t.Run("messages that wait for a gate, a slot or their delete are received once", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(2))
			ids := q.SendN(t, 60)
			v := &valve{}
			throttled := srv.Fail("DeleteMessageBatch", sqstest.Throttle)
			start(t, srv, q, sleeper(2*time.Minute), consumer.Config{Concurrency: 20, Middleware: []holdfast.Middleware{v}})
			time.Sleep(time.Minute)
			v.shut()
			time.Sleep(10 * time.Minute)
			throttled.Stop()
			v.open()
			until(t, time.Hour, "all is done", empty(q))
			for _, id := range ids {
				if n := q.Receives(id); n != 1 {
					t.Errorf("%s was received %d times", id, n)
				}
			}
		})
	})
}

// rollingRestarts runs three workers on a queue that is filled all the time and
// replaces them in turn, 20 times, where a drain is too short for the longest
// handlers. With a store they have idempotency.
func rollingRestarts(t *testing.T, queue string, store idempotency.Store) {
	const workers, restarts = 3, 20
	srv := sqstest.New(t)
	q := srv.Queue(t, queue, sqstest.DLQ(workers+restarts))
	srv.Delay("ReceiveMessage", 20*time.Millisecond)
	srv.Delay("DeleteMessageBatch", 5*time.Millisecond)
	var mu sync.Mutex
	var ids []string
	send := func(i int) {
		body := "300ms"
		if i%10 == 0 {
			body = "25s" // longer than the drain
		}
		var opts []sqstest.SendOption
		if queue != "orders" {
			opts = append(opts, sqstest.Group(fmt.Sprint(i%40)))
		}
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, q.Send(t, body, opts...))
	}
	var done, gaveBack, other, failures tally
	cfg := consumer.Config{Concurrency: 15}
	cfg.Hooks.Settled = func(e holdfast.SettledEvent) {
		switch e.Outcome {
		case holdfast.Done:
			done.add(e.Message.ID)
		case holdfast.GaveBack:
			gaveBack.add(e.Message.ID)
		default:
			other.add(e.Message.ID)
		}
	}
	var attempts sync.Map
	worker := func() *running {
		cfg := cfg
		if store != nil {
			cfg.Middleware = []holdfast.Middleware{idempotency.New(store, idempotency.Config{Consumer: "orders", Process: new(idempotency.Process)})}
		}
		return start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			d, err := time.ParseDuration(m.Body)
			if err != nil {
				return err
			}
			attempts.Store(m.ID, m.Attempt)
			if claim, ok := idempotency.FromContext(ctx); ok != (store != nil) || ok && claim.Attempt != 1 {
				t.Errorf("receive %d of %s is attempt %d of its claim (%t), want 1", m.ReceiveCount, m.ID, claim.Attempt, ok)
			}
			if err := nap(ctx, d); err != nil {
				failures.add(m.ID)
				return err
			}
			return nil
		}), cfg)
	}
	stopLoad := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		for i := 0; !isClosed(stopLoad); i++ {
			send(i)
			time.Sleep(250 * time.Millisecond)
		}
	})
	fleet := make([]*running, workers)
	for i := range fleet {
		fleet[i] = worker()
	}
	for i := range restarts {
		time.Sleep(3 * time.Second)
		old := fleet[i%workers]
		fleet[i%workers] = worker() // the new one starts before the old one stops
		if err := old.stop(); err != nil {
			t.Errorf("restart %d: %v", i, err)
		}
	}
	close(stopLoad)
	load.Wait()
	until(t, time.Hour, "the queue is drained", empty(q))
	for _, r := range fleet {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}

	if gaveBack.total() == 0 || failures.total() == 0 {
		t.Fatal("no restart met a message at work: this shows nothing")
	}
	if n := other.total(); n > 0 {
		t.Errorf("%d messages were retried or dead-lettered", n)
	}
	if got := q.DLQ().Depth(); got != (sqstest.Depth{}) {
		t.Errorf("the dead-letter queue is %+v", got)
	}
	for _, id := range ids {
		receives, held := q.Receives(id), 1+gaveBack.of(id)
		if receives != held {
			t.Errorf("%s was received %d times by %d processes", id, receives, held)
		}
		if done.of(id) != 1 {
			t.Errorf("%s was done %d times", id, done.of(id))
		}
		if a, _ := attempts.Load(id); a != receives {
			t.Errorf("%s was done on attempt %v of the runtime after %d receives", id, a, receives)
		}
	}
	t.Logf("%d messages, %d given back, of which %d had begun", len(ids), gaveBack.total(), failures.total())
}
