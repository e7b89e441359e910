package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/sqstest"
)

// loaded is a queue under load that two processes work on, with one store.
type loaded struct {
	t       *testing.T
	q       *sqstest.Queue
	workers []*worker
	stop    func() // ends the load

	mu   sync.Mutex // guards all below
	ids  []string
	done []time.Time // when each handler was done
	lost []string    // the bodies of those whose handler was cancelled
}

// load sends messages, one each gap, of which body makes the body: how long the
// handler takes.
func load(t *testing.T, store idempotency.Store, concurrency int, gap time.Duration, body func(i int) string) *loaded {
	t.Helper()
	srv := sqstest.New(t, sqstest.LogLimit(0))
	l := &loaded{t: t, q: srv.Queue(t, "orders", sqstest.DLQ(20))}
	srv.Delay("", 5*time.Millisecond)
	h := handle(func(ctx context.Context, m *holdfast.Message) error {
		d, err := time.ParseDuration(m.Body)
		if err != nil {
			return err
		}
		if err := nap(ctx, d); err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.lost = append(l.lost, m.Body)
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.done = append(l.done, time.Now())
		return nil
	})
	for range 2 {
		l.workers = append(l.workers, startWorker(t, srv, l.q, store, h, consumer.Config{Concurrency: concurrency}, idempotency.Config{}))
	}
	ended := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := 0; !isClosed(ended); i++ {
			id := l.q.Send(t, body(i))
			l.mu.Lock()
			l.ids = append(l.ids, id)
			l.mu.Unlock()
			time.Sleep(gap)
		}
	})
	l.stop = func() { close(ended); sending.Wait() }
	return l
}

// away takes the store away from all for d.
func (l *loaded) away(d time.Duration) (back time.Time) {
	for _, w := range l.workers {
		w.store.set(true)
	}
	time.Sleep(d)
	for _, w := range l.workers {
		w.store.set(false)
	}
	return time.Now()
}

// rate is how many handlers were done per second in a stretch of time.
func (l *loaded) rate(from time.Time, d time.Duration) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, at := range l.done {
		if !at.Before(from) && at.Before(from.Add(d)) {
			n++
		}
	}
	return float64(n) / d.Seconds()
}

// burned counts the messages by the receives they took beyond one.
func (l *loaded) burned() map[int]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := make(map[int]int)
	for _, id := range l.ids {
		n[l.q.Receives(id)-1]++
	}
	return n
}

func TestNoBurnByAnOutageOfTheStore(t *testing.T) {
	t.Parallel()
	onEachStore(t, "10 min under load: no receive, nothing dead-lettered, full speed 10 s after", func(t *testing.T, store idempotency.Store) {
		const concurrency = 5
		random := rand.New(rand.NewPCG(1, 2))
		l := load(t, store, concurrency, 300*time.Millisecond, func(i int) string {
			if i%40 == 0 && i < 200 {
				return fmt.Sprint(time.Duration(random.IntN(60)) * time.Second)
			}
			return "1500ms"
		})
		time.Sleep(time.Minute)
		back := l.away(10 * time.Minute)
		time.Sleep(5 * time.Second)
		for i, w := range l.workers {
			w.mu.Lock()
			if len(w.down) != 1 || len(w.up) != 1 {
				t.Fatalf("process %d closed its gate %d times and opened it %d times, 5 s after the outage", i, len(w.down), len(w.up))
			}
			// A probe under way may fail late, the next comes 2 s after, and a fleet is spread over 1 s.
			if took := w.up[0].Sub(back); took > 4*time.Second {
				t.Errorf("process %d opened its gate %v after the store was back", i, took)
			}
			before, during := 0, 0
			for _, at := range w.receives {
				switch {
				case at.Before(w.down[0]):
					before++
				case at.After(w.down[0]) && at.Before(w.up[0]):
					during++
				}
			}
			if before == 0 || during > 0 {
				t.Errorf("process %d: %d receives before its gate closed, %d while it was", i, before, during)
			}
			w.mu.Unlock()
		}
		time.Sleep(2 * time.Minute)
		// The queue is full: two processes of five slots can do 10 each 1.5 s.
		full := l.rate(back.Add(time.Minute), time.Minute)
		if full < 0.85*2*concurrency/1.5 {
			t.Errorf("%.1f/s a minute after the store was back: this is not full speed", full)
		}
		if got := l.rate(back.Add(10*time.Second), 20*time.Second); got < 0.9*full {
			t.Errorf("%.1f/s from 10 s after the store was back, want %.1f/s", got, full)
		}
		if got := l.rate(back, 3*time.Second); got > 0.7*full {
			t.Errorf("%.1f/s at once: there is no ramp", got)
		}
		l.stop()
		until(t, 2*time.Hour, "all is done", empty(l.q))
		if n := len(l.q.DLQ().Messages()); n != 0 {
			t.Errorf("%d messages were dead-lettered", n)
		}
		burned := l.burned()
		t.Logf("messages by receives beyond one: %v; handlers cancelled: %d", burned, len(l.lost))
		for n := range burned {
			if n > 1 {
				t.Errorf("%d messages took %d receives more than one", burned[n], n)
			}
		}
		// Only what was held when the store went, and what the polls under way brought.
		if most := 2 * (concurrency + 10*concurrency); burned[1] > most {
			t.Errorf("%d messages were received twice, want at most the %d held", burned[1], most)
		}
	})
	onEachStore(t, "a failover of 40 s under load, which loses records, cancels no handler", func(t *testing.T, store idempotency.Store) {
		l := load(t, store, 20, 2*time.Second, func(i int) string {
			return fmt.Sprint(time.Duration(5+i%20*10) * time.Second)
		})
		time.Sleep(4 * time.Minute)
		go func() {
			// The replica that takes over lacks what was claimed last.
			time.Sleep(20 * time.Second)
			for _, w := range l.workers {
				for i, m := range w.InFlight() {
					if i%3 == 0 && m.Key != "" {
						if _, err := store.Forget(context.Background(), m.Key); err != nil {
							t.Error(err)
						}
					}
				}
			}
		}()
		back := l.away(40 * time.Second)
		time.Sleep(2 * time.Minute)
		l.stop()
		until(t, time.Hour, "all is done", empty(l.q))
		l.mu.Lock()
		if len(l.lost) != 0 {
			t.Errorf("%d handlers were cancelled", len(l.lost))
		}
		if len(l.done) != len(l.ids) {
			t.Errorf("%d handlers were done for %d messages", len(l.done), len(l.ids))
		}
		l.mu.Unlock()
		for i, w := range l.workers {
			for _, e := range w.log.all() {
				if e != "parked for the store" {
					t.Errorf("process %d: %s", i, e)
				}
			}
			if len(w.down) != 1 || len(w.up) != 1 || w.up[0].Before(back) {
				t.Errorf("process %d: down at %v, up at %v", i, w.down, w.up)
			}
		}
		if burned := l.burned(); burned[0] != len(l.ids) {
			t.Errorf("messages by receives beyond one: %v", burned)
		}
	})
	t.Run("it shows in health as not ready, and not as dead", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			l := load(t, idempotency.NewMemoryStore(), 2, 100*time.Millisecond, func(int) string { return "10ms" })
			time.Sleep(time.Second)
			go l.away(30 * time.Second)
			time.Sleep(10 * time.Second)
			for _, w := range l.workers {
				if err := problem(w.running, "gate"); !errors.Is(err, idempotency.ErrUnavailable) {
					t.Errorf("the problem of the gate is %v", err)
				}
				if h := w.Health(); !h.Live || h.Ready {
					t.Errorf("live is %v, ready is %v; want alive and not ready", h.Live, h.Ready)
				}
			}
			time.Sleep(time.Minute)
			for _, w := range l.workers {
				if h := w.Health(); !h.Live || !h.Ready {
					t.Errorf("after it: live is %v, ready is %v", h.Live, h.Ready)
				}
			}
			l.stop()
		})
	})
	t.Run("with FailOpen work goes on through it", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(20))
			var unprotected effects
			w := startWorker(t, srv, q, idempotency.NewMemoryStore(), handle(func(ctx context.Context, m *holdfast.Message) error {
				if c, _ := idempotency.FromContext(ctx); c.Unprotected {
					unprotected.add(m.ID)
				}
				return nil
			}), consumer.Config{}, idempotency.Config{StoreDown: idempotency.FailOpen})
			w.store.set(true)
			q.SendN(t, 200)
			until(t, 30*time.Second, "all is done", empty(q))
			if n := len(unprotected.all()); n != 200 {
				t.Errorf("%d of 200 ran without a claim", n)
			}
			w.store.set(false)
			time.Sleep(30 * time.Second)
			w.store.mu.Lock()
			defer w.store.mu.Unlock()
			if n := w.store.calls["complete"]; n < 200 {
				t.Errorf("%d completions were recorded afterwards, want 200", n)
			}
		})
	})
}
