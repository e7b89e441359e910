package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// gauge is a count that remembers its highest.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) add(n int64) {
	v := g.now.Add(n)
	for m := g.most.Load(); v > m && !g.most.CompareAndSwap(m, v); m = g.most.Load() {
	}
}

// counted runs h and counts how many of it run.
func counted(g *gauge, h holdfast.Handler) holdfast.Handler {
	return handle(func(ctx context.Context, m *holdfast.Message) error {
		g.add(1)
		defer g.add(-1)
		return h.Handle(ctx, m)
	})
}

// sleeper is a handler that takes d, less when its context ends.
func sleeper(d time.Duration) holdfast.Handler {
	return handle(func(ctx context.Context, _ *holdfast.Message) error { return nap(ctx, d) })
}

// nap sleeps for d or until ctx ends, and returns the cause then.
func nap(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	t.Run("handlers stay within Concurrency, messages within Concurrency and Prefetch", func(t *testing.T) {
		for _, c := range []struct{ concurrency, prefetch int }{{1, 1}, {3, 1}, {7, 25}, {50, 200}} {
			t.Run(fmt.Sprintf("%d and %d", c.concurrency, c.prefetch), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					srv := sqstest.New(t)
					q := srv.Queue(t, "orders")
					q.SendN(t, 50*c.concurrency)
					srv.Delay("ReceiveMessage", 20*time.Millisecond)
					srv.Delay("DeleteMessageBatch", 10*time.Millisecond) // what waits for its delete is held too
					var g gauge
					var runs atomic.Int64
					start(t, srv, q, counted(&g, handle(func(context.Context, *holdfast.Message) error {
						time.Sleep(time.Duration(1+runs.Add(1)%17) * time.Millisecond)
						return nil
					})), consumer.Config{Concurrency: c.concurrency, Prefetch: c.prefetch})
					until(t, 10*time.Minute, "the queue is drained", empty(q))
					if got := int(g.most.Load()); got != c.concurrency {
						t.Errorf("%d handlers at once; want all %d slots used and no more", got, c.concurrency)
					}
					if got := q.MaxInFlight(); got > c.concurrency+c.prefetch {
						t.Errorf("%d messages were held; want at most %d", got, c.concurrency+c.prefetch)
					}
				})
			})
		}
	})
	t.Run("while deletes fail nothing is received beyond the bound", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.SendN(t, 500)
			throttled := srv.Fail("DeleteMessageBatch", sqstest.Throttle)
			r := start(t, srv, q, nothing, consumer.Config{Concurrency: 10, Prefetch: 30})
			time.Sleep(2 * time.Minute)
			if got := q.MaxInFlight(); got > 40 {
				t.Errorf("%d messages were held; want at most 40", got)
			}
			if s := r.Stats(); s.Held != 40 || s.Settling != 40 || s.LeasesLost != 0 {
				t.Errorf("Stats is %+v; want 40 messages held that wait for their delete", s)
			}
			throttled.Stop()
			until(t, time.Minute, "the queue is drained", empty(q))
			if s := r.Stats(); s.Received != 500 || s.Duplicates != 0 {
				t.Errorf("%d received, %d twice; want 500, each once", s.Received, s.Duplicates)
			}
		})
	})
	t.Run("parked messages come on top, up to MaxParked, also when all become ready at once in a full queue", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			const concurrency, prefetch, maxParked = 5, 15, 100
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			srv.Delay("ReceiveMessage", 10*time.Millisecond)
			for range maxParked {
				q.Send(t, "park")
			}
			first, second := make(chan struct{}), make(chan struct{})
			var g gauge
			var starts effects
			r := start(t, srv, q, counted(&g, handle(func(_ context.Context, m *holdfast.Message) error {
				starts.add(m.Body)
				time.Sleep(20 * time.Millisecond)
				if m.Body != "park" || isClosed(second) {
					return nil
				}
				if isClosed(first) { // parks once more while new messages come in
					return holdfast.Park(second, errTest)
				}
				return holdfast.Park(first, errTest)
			})), consumer.Config{Concurrency: concurrency, Prefetch: prefetch, MaxParked: maxParked})
			until(t, time.Minute, "all places are taken", func() bool { return r.Stats().Parked == maxParked })
			for range 1000 {
				q.Send(t, "new")
			}
			time.Sleep(time.Second)
			for _, ready := range []chan struct{}{first, second} {
				news := starts.count("new")
				close(ready)
				time.Sleep(400 * time.Millisecond) // what 100 of them take in 5 slots of 20 ms
				if got := starts.count("new") - news; got > 2*concurrency {
					t.Errorf("%d new messages started before 100 that were ready; want none but for slots that came free at that moment", got)
				}
				if got := q.Depth().Visible; got == 0 {
					t.Fatal("the queue ran empty: this shows nothing")
				}
				time.Sleep(time.Second)
			}
			until(t, time.Minute, "the queue is drained", empty(q))
			if got := int(g.most.Load()); got != concurrency {
				t.Errorf("%d handlers at once; want %d", got, concurrency)
			}
			if got := q.MaxInFlight(); got > concurrency+prefetch+maxParked || got < concurrency+maxParked {
				t.Errorf("%d messages were held; want all %d places used and at most %d", got, concurrency+maxParked, concurrency+prefetch+maxParked)
			}
			if s := r.Stats(); s.LeasesLost != 0 || s.Duplicates != 0 || s.Received != 1100 || s.Done != 1100 {
				t.Errorf("Stats is %+v", s)
			}
		})
	})
	t.Run("with MaxParked at -1 nothing is parked and the fallback settles it", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.SendN(t, 20)
			ready := make(chan struct{})
			r := start(t, srv, q, handle(func(context.Context, *holdfast.Message) error {
				return holdfast.Park(ready, holdfast.RetryAfter(time.Hour, errTest))
			}), consumer.Config{MaxParked: -1})
			time.Sleep(time.Minute)
			if s := r.Stats(); s.Parked != 0 || s.Held != 0 || s.Retried != 20 {
				t.Errorf("Stats is %+v; want 20 retried and none held", s)
			}
		})
	})
	t.Run("on FIFO groups of ten hold up to ten messages per slot", func(t *testing.T) {
		for _, c := range []struct{ concurrency, groups int }{{4, 12}, {4, 1}, {1, 3}, {20, 60}} {
			t.Run(fmt.Sprintf("%d slots and %d groups", c.concurrency, c.groups), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					srv := sqstest.New(t)
					q := srv.Queue(t, "orders.fifo")
					for i := range 10 * c.groups {
						q.Send(t, fmt.Sprint(i), sqstest.Group(fmt.Sprint(i%c.groups)))
					}
					srv.Delay("ReceiveMessage", 10*time.Millisecond)
					var g gauge
					r := start(t, srv, q, counted(&g, sleeper(100*time.Millisecond)), consumer.Config{Concurrency: c.concurrency})
					until(t, 10*time.Minute, "the queue is drained", empty(q))
					if got, want := int(g.most.Load()), min(c.concurrency, c.groups); got != want {
						t.Errorf("%d handlers at once; want %d", got, want)
					}
					if got := q.MaxInFlight(); got > 10*c.concurrency {
						t.Errorf("%d messages were held; want at most %d", got, 10*c.concurrency)
					}
					if s := r.Stats(); s.Received != int64(10*c.groups) || s.LeasesLost != 0 {
						t.Errorf("Stats is %+v; want every message received once", s)
					}
				})
			})
		}
	})
	t.Run("on FIFO parked heads and what waits behind them come on top, up to MaxParked", func(t *testing.T) {
		for _, c := range []struct{ concurrency, maxParked int }{{4, 30}, {1, 5}, {3, 100}} {
			t.Run(fmt.Sprintf("%d slots and %d parked", c.concurrency, c.maxParked), func(t *testing.T) {
				inBubble(t, func(t *testing.T) { parkedGroups(t, c.concurrency, c.maxParked) })
			})
		}
	})
	t.Run("no poll starts at HeldBytes, and each open poll may bring ten times 1 MiB beyond it", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			const limit = 4 << 20
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			body := strings.Repeat("x", 1<<20)
			for range 24 {
				q.Send(t, body)
			}
			srv.Delay("ReceiveMessage", 10*time.Millisecond)
			var most gauge
			var r *running
			cfg := consumer.Config{Concurrency: 100, HeldBytes: limit}
			cfg.Hooks.Received = func(holdfast.ReceivedEvent) { most.add(r.Stats().HeldBytes - most.now.Load()) }
			started := make(chan struct{})
			r = start(t, srv, q, handle(func(context.Context, *holdfast.Message) error {
				<-started
				time.Sleep(50 * time.Millisecond)
				return nil
			}), cfg)
			close(started)
			until(t, time.Minute, "the queue is drained", empty(q))
			open := openPolls(srv)
			if got := most.most.Load(); got >= limit+int64(open)*(10<<20) || got < limit {
				t.Errorf("%d MiB held with at most %d polls open; the limit is %d", got>>20, open, limit>>20)
			}
		})
	})
	t.Run("a full hold of bytes stops receives until some are settled", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			body := strings.Repeat("x", 1<<20)
			for range 30 {
				q.Send(t, body)
			}
			release := make(chan struct{})
			r := start(t, srv, q, handle(func(context.Context, *holdfast.Message) error {
				<-release
				return nil
			}), consumer.Config{Concurrency: 100, HeldBytes: 1 << 20})
			time.Sleep(time.Hour)
			if s := r.Stats(); s.HeldBytes != 10<<20 || s.Polls != 1 {
				t.Errorf("%d MiB held after %d polls; want ten from one poll", s.HeldBytes>>20, s.Polls)
			}
			close(release)
			until(t, time.Minute, "the queue is drained", empty(q))
			if s := r.Stats(); s.HeldBytes != 0 || s.Done != 30 {
				t.Errorf("Stats is %+v", s)
			}
		})
	})
	t.Run("bytes of parked messages count: at HeldBytes the next takes its fallback", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			body := strings.Repeat("x", 1<<20)
			for range 10 {
				q.Send(t, body)
			}
			ready := make(chan struct{})
			var runs atomic.Int64
			r := start(t, srv, q, handle(func(context.Context, *holdfast.Message) error {
				time.Sleep(time.Duration(runs.Add(1)) * time.Second)
				return holdfast.Park(ready, holdfast.RetryAfter(time.Hour, errTest))
			}), consumer.Config{Concurrency: 10, HeldBytes: 5 << 20})
			time.Sleep(10 * time.Minute)
			if s := r.Stats(); s.Parked != 4 || s.Retried != 6 || s.HeldBytes != 4<<20 {
				t.Errorf("Stats is %+v; want 6 to take the fallback, until 4 MiB are held", s)
			}
		})
	})
	t.Run("every message held is under heartbeat from its receipt until it is settled", func(t *testing.T) {
		for name, queue := range map[string]string{"standard": "orders", "FIFO": "orders.fifo"} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, func(t *testing.T) { heartbeatThroughout(t, queue) })
			})
		}
	})
}

// parkedGroups has the heads of groups of ten parked, all of them twice, and looks at
// what the server says is held while they wait, while all become ready at once and
// while the rest of a long queue follows.
func parkedGroups(t *testing.T, concurrency, maxParked int) {
	bound := 10*concurrency + maxParked
	groups := bound/5 + concurrency // twice the bound, at least
	srv := sqstest.New(t)
	q := srv.Queue(t, "orders.fifo")
	for i := range 10 * groups {
		body := "follower"
		if i < groups {
			body = "head"
		}
		q.Send(t, body, sqstest.Group(fmt.Sprint(i%groups)))
	}
	srv.Delay("ReceiveMessage", 10*time.Millisecond)
	srv.Delay("DeleteMessageBatch", 10*time.Millisecond)
	var g gauge
	first, second := make(chan struct{}), make(chan struct{})
	r := start(t, srv, q, counted(&g, handle(func(ctx context.Context, m *holdfast.Message) error {
		if err := nap(ctx, 20*time.Millisecond); err != nil {
			return err
		}
		switch {
		case m.Body != "head" || isClosed(second):
			return nil
		case isClosed(first):
			return holdfast.Park(second, errTest)
		}
		return holdfast.Park(first, errTest)
	})), consumer.Config{Concurrency: concurrency, MaxParked: maxParked})
	for _, ready := range []chan struct{}{first, second} {
		time.Sleep(time.Minute)
		if got := q.Depth().InFlight; got != bound {
			t.Errorf("%d messages are held while heads are parked; want all %d places used", got, bound)
		}
		if s := r.Stats(); s.Parked == 0 || q.Depth().Visible == 0 {
			t.Errorf("%d heads are parked, the queue is %+v: this shows nothing", s.Parked, q.Depth())
		}
		close(ready)
	}
	until(t, 10*time.Minute, "the queue is drained", empty(q))
	if got := q.MaxInFlight(); got > bound {
		t.Errorf("%d messages were held; want at most %d", got, bound)
	}
	if got := int(g.most.Load()); got > concurrency {
		t.Errorf("%d handlers at once; want at most %d", got, concurrency)
	}
	if s := r.Stats(); s.Received != int64(10*groups) || s.Done != int64(10*groups) || s.LeasesLost != 0 {
		t.Errorf("Stats is %+v; want every message received and done once", s)
	}
}

// heartbeatThroughout holds messages in every state for minutes on a visibility
// of ten seconds, through throttled deletes and a long drain, and looks each
// second whether any of them ever came free.
func heartbeatThroughout(t *testing.T, queue string) {
	srv := sqstest.New(t)
	q := srv.Queue(t, queue)
	fifo := queue == "orders.fifo"
	srv.Delay("ReceiveMessage", 100*time.Millisecond)
	send := func(body string, group int) {
		if !fifo {
			q.Send(t, body)
			return
		}
		q.Send(t, body, sqstest.Group(fmt.Sprint(group)))
	}
	// Fast messages first: they teach the consumer to have some on the way, so
	// that slow ones then wait for a slot.
	const fast = 300
	for i := range fast {
		send("fast", i)
	}
	for i := range 24 {
		kind := i / 6
		if fifo { // so that the groups have different heads
			kind = i % 4
		}
		send([]string{"park", "delete", "slow", "slow"}[kind], -1-i%6)
	}
	ready := make(chan struct{})
	r := start(t, srv, q, handle(func(_ context.Context, m *holdfast.Message) error {
		switch m.Body {
		case "fast":
			time.Sleep(5 * time.Millisecond)
		case "park":
			if !isClosed(ready) {
				return holdfast.Park(ready, errTest)
			}
		case "slow":
			time.Sleep(100 * time.Second)
		}
		return nil
	}), consumer.Config{Concurrency: 3, Prefetch: 100, Visibility: 10 * time.Second, StopTimeout: time.Hour})
	until(t, time.Minute, "the fast ones are done", func() bool { return len(q.Deleted()) >= fast-10 })
	throttled := srv.Fail("DeleteMessageBatch", sqstest.Throttle)

	states := make(map[string]bool)
	watch := func(d time.Duration) {
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
			for _, f := range r.InFlight() {
				states[f.State] = true
			}
			for _, m := range q.Messages() {
				if m.ReceiveCount > 0 && m.State == sqstest.Visible {
					t.Fatalf("%s came free while it was held: %s %q", m.ID, m.State, m.Body)
				}
			}
		}
	}
	watch(3 * time.Minute)
	close(ready)
	watch(time.Minute)
	r.cancel() // the rest is the drain
	watch(5 * time.Minute)
	// On FIFO the followers wait for the deletes of those before them.
	if s := r.Stats(); s.Settling == 0 || s.Running+s.Parked > 0 || (s.Waiting > 0) != fifo {
		t.Errorf("Stats is %+v; want nothing but what waits for deletes", s)
	}
	throttled.Stop()
	<-r.done
	if r.err != nil {
		t.Error(r.err)
	}
	for _, state := range []string{"queued", "running", "parked", "settling"} {
		if !states[state] {
			t.Errorf("no message was seen %s: this shows less than it should", state)
		}
	}
	for _, m := range q.Messages() {
		if m.ReceiveCount > 0 {
			t.Errorf("%s %q was received and is still there", m.ID, m.Body)
		}
	}
	for _, d := range q.Deletions() {
		if n := q.Receives(d.ID); n != 1 {
			t.Errorf("message %s %q was received %d times", d.ID, d.Body, n)
		}
	}
}

// openPolls tells how many receives that brought messages were under way at once.
func openPolls(srv *sqstest.Server) (most int) {
	log := srv.Log()
	for _, c := range log {
		if c.Action != "ReceiveMessage" || c.Messages == 0 {
			continue
		}
		n := 0
		for _, o := range log {
			if o.Action == "ReceiveMessage" && o.Messages > 0 && !o.At.After(c.At) && o.At.Add(o.Took).After(c.At) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// isClosed tells whether c is closed.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
