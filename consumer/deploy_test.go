package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// problem returns the consumer's problem of that name, or nil.
func problem(r *running, name string) error {
	for _, p := range r.Health().Problems {
		if p.Name == name {
			return p.Err
		}
	}
	return nil
}

// order is what the handlers of these tests decode.
type order struct{ N int }

func TestBadDeploy(t *testing.T) {
	t.Parallel()
	t.Run("a worker that can decode nothing keeps the queue, turns red and goes on by itself when it can", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			const messages = 10_000
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(10))
			q.SendN(t, messages)
			var fixed atomic.Bool
			var closed, opened atomic.Int32
			cfg := consumer.Config{}
			cfg.Hooks.Gate = func(e holdfast.GateEvent) {
				if e.Closed {
					closed.Add(1)
				} else {
					opened.Add(1)
				}
			}
			bad := holdfast.JSON(func(context.Context, struct{ N string }) error { return nil })
			good := holdfast.JSON(func(context.Context, order) error { return nil })
			r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				if fixed.Load() {
					return good.Handle(ctx, m)
				}
				return bad.Handle(ctx, m)
			}), cfg)
			until(t, 5*time.Minute, "the gate closes", func() bool { return closed.Load() > 0 })
			until(t, time.Second, "health is red", func() bool { return problem(r, "gate") != nil })
			if h := r.Health(); h.Ready || !h.Live {
				t.Errorf("Health is %+v; want it alive and not ready", h)
			}

			time.Sleep(time.Minute) // for polls that were under way
			srv.ResetLog()
			time.Sleep(time.Hour)
			probes := 0
			for _, c := range srv.Log() {
				if c.Action != "ReceiveMessage" {
					continue
				}
				probes++
				if c.MaxMessages != 1 {
					t.Errorf("a receive of %d messages while the gate is closed", c.MaxMessages)
				}
			}
			if probes < 30 || probes > 125 {
				t.Errorf("%d receives in an hour; want one per backoff of half a minute to a minute", probes)
			}
			dead := q.DLQ().Depth().Visible
			if dead >= 100 {
				t.Errorf("%d messages were dead-lettered; want fewer than 100", dead)
			}
			if h := r.Health(); h.Ready {
				t.Error("ready after an hour behind the gate")
			}

			fixed.Store(true)
			until(t, 10*time.Minute, "the queue is drained", empty(q))
			if h := r.Health(); !h.Ready || len(h.Problems) > 0 {
				t.Errorf("Health is %+v after the repair", h)
			}
			dead = q.DLQ().Depth().Visible
			if done := int(r.Stats().Done); done+dead != messages || dead >= 100 {
				t.Errorf("%d done and %d dead-lettered of %d", done, dead, messages)
			}
			if closed.Load() != opened.Load() {
				t.Errorf("hooks were told of %d closings and %d openings", closed.Load(), opened.Load())
			}
			t.Logf("%d dead-lettered, %d probes", dead, probes)
		})
	})
	t.Run("a handler that fails them all until their receives are used up does not empty the queue either", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(5))
			q.SendN(t, 1000)
			var fixed atomic.Bool
			r := start(t, srv, q, handle(func(context.Context, *holdfast.Message) error {
				if fixed.Load() {
					return nil
				}
				return errTest
			}), consumer.Config{})
			until(t, 10*time.Minute, "the gate closes", func() bool { return problem(r, "gate") != nil })
			time.Sleep(30 * time.Minute)
			if dead := q.DLQ().Depth().Visible; dead >= 100 {
				t.Errorf("%d messages were dead-lettered; want fewer than 100", dead)
			}
			fixed.Store(true)
			until(t, 20*time.Minute, "the queue is drained", empty(q))
			if dead := q.DLQ().Depth().Visible; int(r.Stats().Done)+dead != 1000 || dead >= 100 {
				t.Errorf("%d done, %d dead-lettered of 1000", r.Stats().Done, dead)
			}
		})
	})
	t.Run("what finds no place to wait goes back to the queue and is not dead-lettered", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(10))
			q.SendN(t, 300)
			var fixed atomic.Bool
			r := start(t, srv, q, handle(func(context.Context, *holdfast.Message) error {
				if fixed.Load() {
					return nil
				}
				return holdfast.Permanent(errTest)
			}), consumer.Config{MaxParked: -1})
			until(t, 10*time.Minute, "the gate closes", func() bool { return problem(r, "gate") != nil })
			time.Sleep(2 * time.Minute)
			if n := r.Stats().Parked; n != 0 {
				t.Errorf("%d messages are parked", n)
			}
			fixed.Store(true)
			until(t, 40*time.Minute, "the queue is drained", empty(q))
			if dead := q.DLQ().Depth().Visible; int(r.Stats().Done)+dead != 300 || dead >= 100 {
				t.Errorf("%d done, %d dead-lettered of 300", r.Stats().Done, dead)
			}
		})
	})
	t.Run("few poison messages in healthy traffic are dead-lettered and stop nothing", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(10))
			for i := range 2000 {
				body := fmt.Sprintf(`{"n":%d}`, i)
				if i%20 == 7 {
					body = "poison"
				}
				q.Send(t, body)
			}
			cfg := consumer.Config{}
			cfg.Hooks.Gate = func(e holdfast.GateEvent) { t.Errorf("the gate moved: %+v", e) }
			r := start(t, srv, q, holdfast.JSON(func(context.Context, order) error {
				time.Sleep(200 * time.Millisecond)
				return nil
			}), cfg)
			until(t, 10*time.Minute, "all is settled", empty(q))
			if dead := q.DLQ().Depth().Visible; dead != 100 || r.Stats().Done != 1900 {
				t.Errorf("%d done, %d dead-lettered; want 1900 and 100", r.Stats().Done, dead)
			}
		})
	})
	t.Run("switched off, all of it is dead-lettered", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(10))
			q.SendN(t, 200)
			start(t, srv, q, handle(func(context.Context, *holdfast.Message) error {
				return holdfast.Permanent(errTest)
			}), consumer.Config{DeadLetterShare: -1})
			until(t, time.Minute, "all is dead-lettered", func() bool { return q.DLQ().Depth().Visible == 200 })
		})
	})
}

// deafHandler ignores its context until release is closed. Messages whose body is
// not "deaf" are done at once.
func deafHandler(release <-chan struct{}) holdfast.Handler {
	return handle(func(ctx context.Context, m *holdfast.Message) error {
		if m.Body == "deaf" && m.Attempt == 1 {
			<-release
		}
		return nil
	})
}

func TestAbandoned(t *testing.T) {
	t.Parallel()
	t.Run("a deaf handler is cancelled, a minute later given up and shown with its stack, and its message runs again", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(5))
			id := q.Send(t, "deaf")
			release := make(chan struct{})
			var mu sync.Mutex
			var events []holdfast.AbandonedEvent
			var abandonedAt, cancelledAt time.Time
			var cause error
			cfg := consumer.Config{Concurrency: 4, HandlerTimeout: 5 * time.Minute}
			cfg.Hooks.Abandoned = func(e holdfast.AbandonedEvent) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, e)
				abandonedAt = time.Now()
			}
			began := time.Now()
			var second time.Time
			r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				if m.Attempt > 1 {
					mu.Lock()
					defer mu.Unlock()
					second = time.Now()
					return nil
				}
				context.AfterFunc(ctx, func() {
					mu.Lock()
					defer mu.Unlock()
					cancelledAt, cause = time.Now(), context.Cause(ctx)
				})
				return deafHandler(release).Handle(ctx, m)
			}), cfg)
			until(t, 10*time.Minute, "the message is done", empty(q))
			mu.Lock()
			defer mu.Unlock()
			if !errors.Is(cause, holdfast.ErrHandlerTimeout) || cancelledAt.Sub(began) < 5*time.Minute || cancelledAt.Sub(began) > 5*time.Minute+time.Second {
				t.Errorf("cancelled after %v with %v", cancelledAt.Sub(began), cause)
			}
			if len(events) != 1 {
				t.Fatalf("%d abandoned events", len(events))
			}
			if e := events[0]; e.Message.ID != id || e.Running < 6*time.Minute || !strings.Contains(e.Stack, "deafHandler") {
				t.Errorf("the event tells of %s, running for %v, at %s", e.Message.ID, e.Running, e.Stack)
			}
			if d := abandonedAt.Sub(cancelledAt); d < time.Minute || d > time.Minute+2*time.Second {
				t.Errorf("given up %v after the cancel", d)
			}
			if d := second.Sub(abandonedAt); d > 30*time.Second {
				t.Errorf("the message ran again %v after its handler was given up; want its visibility at most", d)
			}
			if n := q.Receives(id); n != 2 {
				t.Errorf("received %d times", n)
			}
			s := r.Stats()
			if s.Abandoned != 1 || s.Running != 1 || s.Done != 1 {
				t.Errorf("Stats is %+v; want one abandoned handler that still has its slot", s)
			}
			if h := r.Health(); !h.Live || !h.Ready || problem(r, "abandoned") == nil {
				t.Errorf("Health is %+v; one slot of four leaves it alive and ready, and says so", h)
			}
			close(release)
			until(t, time.Second, "the slot comes back", func() bool { return r.Stats().Running == 0 })
			if err := problem(r, "abandoned"); err != nil {
				t.Errorf("still a problem: %v", err)
			}
			if s := r.Stats(); s.Done != 1 || s.Unsettled != 1 {
				t.Errorf("Stats is %+v; the late return of the abandoned handler settles nothing", s)
			}
		})
	})
	t.Run("at half the slots it is not live, below and after it is", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(5))
			release := make(chan struct{})
			one := make(chan struct{})
			var first atomic.Bool
			r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				if m.Body == "deaf" && m.Attempt == 1 && first.CompareAndSwap(false, true) {
					<-one
					return nil
				}
				return deafHandler(release).Handle(ctx, m)
			}), consumer.Config{Concurrency: 6, HandlerTimeout: time.Minute})
			for i := range 3 {
				if !r.Health().Live {
					t.Fatalf("not live with %d of 6 slots abandoned", i)
				}
				q.Send(t, "deaf")
				until(t, 5*time.Minute, "it is given up", func() bool { return r.Stats().Abandoned == int64(i+1) })
			}
			if h := r.Health(); h.Live || h.Ready {
				t.Fatalf("Health is %+v with half of the slots abandoned", h)
			}
			q.Send(t, "other")
			until(t, time.Minute, "the free slots go on working", empty(q))
			close(one)
			until(t, time.Second, "it is live again", func() bool { return r.Health().Live })
			if h := r.Health(); !h.Ready {
				t.Errorf("Health is %+v", h)
			}
			close(release)
			until(t, time.Second, "all slots are back", func() bool { return r.Stats().Running == 0 && len(r.Health().Problems) == 0 })
		})
	})
	t.Run("on FIFO the message runs again before its followers, none of which is lost", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo", sqstest.DLQ(5))
			q.Send(t, "deaf", sqstest.Group("g"))
			for i := range 5 {
				q.Send(t, fmt.Sprint(i), sqstest.Group("g"))
			}
			release := make(chan struct{})
			var e effects
			start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				if err := deafHandler(release).Handle(ctx, m); err != nil {
					return err
				}
				e.add(m.Body)
				return nil
			}), consumer.Config{Concurrency: 4, HandlerTimeout: time.Minute})
			until(t, 10*time.Minute, "all is done", empty(q))
			if got := fmt.Sprint(e.all()); got != "[deaf 0 1 2 3 4]" {
				t.Errorf("the order was %s", got)
			}
			close(release)
			synctest.Wait()
		})
	})
	t.Run("with no timeout nothing is given up", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			id := q.Send(t, "deaf")
			release := make(chan struct{})
			r := start(t, srv, q, deafHandler(release), consumer.Config{HandlerTimeout: -1})
			time.Sleep(3 * time.Hour)
			if s := r.Stats(); s.Abandoned != 0 || s.Running != 1 || q.Receives(id) != 1 {
				t.Errorf("Stats is %+v, received %d times", s, q.Receives(id))
			}
			close(release)
			until(t, time.Minute, "it is done", empty(q))
		})
	})
}
