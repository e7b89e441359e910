package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

func TestPark(t *testing.T) {
	t.Parallel()
	t.Run("frees the slot, keeps the hold and runs again under the same lease", parkKeepsTheHold)
	t.Run("lets ready messages run before all others", parkedGoFirst)
	t.Run("keeps a FIFO group waiting", parkedHead)
	t.Run("takes its fallback where MaxParked is full, and says so", parkFull)
	t.Run("makes room for a message that cannot afford another receive", parkEndangered)
	t.Run("takes its fallback where nothing can be parked", parkRefused)
	t.Run("takes its fallback where HeldBytes is full", parkBytes)
	t.Run("takes its fallback near the end of the 12 hours", parkNearLimit)
	t.Run("forgets a message whose hold is lost", parkLost)
	t.Run("gives messages back at the stop, and hooks hear of it before Run returns", parkStop)
	t.Run("costs a message that is not made ready its 12 hours, then comes again", parkForever)
}

func parkKeepsTheHold(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(2))
		id := q.Send(t, "park")
		ready := make(chan struct{})
		var leases []holdfast.Lease
		var attempts []int
		var rec told
		r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			if m.Body != "park" {
				return nil
			}
			lease, _ := holdfast.LeaseFrom(ctx)
			leases, attempts = append(leases, lease), append(attempts, m.Attempt)
			if len(leases) < 3 {
				return fmt.Errorf("wrapped: %w", holdfast.Park(ready, errTest))
			}
			return nil
		}), consumer.Config{Concurrency: 1, Hooks: rec.hooks()})
		time.Sleep(time.Second)
		synctest.Wait()
		if s := r.Stats(); s.Running != 0 || s.Parked != 1 || s.Held != 1 {
			t.Errorf("stats %+v, want one parked and no slot taken", s)
		}
		if list := r.InFlight(); len(list) != 1 || list[0].State != "parked" || list[0].ID != id {
			t.Errorf("in flight: %+v, want it parked", list)
		}
		q.SendN(t, 20)
		until(t, time.Second, "the one slot works on", func() bool { return len(q.Deleted()) == 20 })
		time.Sleep(5 * time.Minute) // ten times its visibility
		synctest.Wait()
		if got := q.Depth(); got != (sqstest.Depth{InFlight: 1}) {
			t.Errorf("the queue is %+v, want the parked message held", got)
		}
		if len(leases) != 1 || leases[0].Err() != nil {
			t.Fatalf("%d runs, lease %v; want one run whose lease holds", len(leases), leases[0].Err())
		}
		close(ready) // the second time it parks, it is ready at once
		until(t, time.Second, "done", empty(q))
		if len(leases) != 3 || leases[0] != leases[1] || leases[1] != leases[2] {
			t.Errorf("leases %v, want the same three times", leases)
		}
		if diff := cmp.Diff([]int{1, 1, 1}, attempts); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		if got := q.Receives(id); got != 1 {
			t.Errorf("received %d times, want once", got)
		}
		rec.mu.Lock()
		defer rec.mu.Unlock()
		if len(rec.parked) != 2 || rec.parked[0].Refused || rec.parked[0].Message.ID != id {
			t.Errorf("hooks were told %+v, want two parkings", rec.parked)
		}
	})
}

func parkedGoFirst(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		// A FIFO queue, of which the runtime holds ten messages for its one slot.
		q := srv.Queue(t, "orders.fifo")
		ready := make(chan struct{})
		var mu sync.Mutex
		var order []string
		r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			if strings.HasPrefix(m.Body, "park") {
				select {
				case <-ready:
				default:
					return holdfast.Park(ready, nil)
				}
			}
			mu.Lock()
			order = append(order, m.Body)
			mu.Unlock()
			time.Sleep(time.Second)
			return nil
		}), consumer.Config{Concurrency: 1})
		for n := range 10 {
			body := "other"
			if n < 2 {
				body = "park"
			}
			q.Send(t, body, sqstest.Group(groupName(n)))
		}
		time.Sleep(1500 * time.Millisecond) // in the middle of the second of the others
		synctest.Wait()
		if s := r.Stats(); s.Running != 1 || s.Waiting != 6 || s.Parked != 2 {
			t.Fatalf("stats %+v, want one at work, six waiting and two parked", s)
		}
		close(ready)
		until(t, time.Minute, "done", empty(q))
		want := []string{"other", "other", "park", "park", "other", "other", "other", "other", "other", "other"}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func parkedHead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo", sqstest.DLQ(2))
		sendGroups(t, q, 2, 3)
		ready := make(chan struct{})
		var rs groupRuns
		start(t, srv, q, rs.record(func(ctx context.Context, m *holdfast.Message, n int) error {
			if m.GroupID == "g00" && n == 0 {
				select {
				case <-ready:
				default:
					return holdfast.Park(ready, errTest)
				}
			}
			return nil
		}), consumer.Config{})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := len(rs.of("g00")); got != 1 {
			t.Errorf("%d runs in the group whose head is parked, want the head's alone", got)
		}
		if got := len(rs.of("g01")); got != 3 {
			t.Errorf("%d runs in the other group, want 3", got)
		}
		close(ready)
		until(t, time.Second, "done", empty(q))
		var order []int
		for _, one := range rs.of("g00") {
			order = append(order, one.n)
		}
		if diff := cmp.Diff([]int{0, 0, 1, 2}, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func parkFull(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		ids := q.SendN(t, 5)
		ready := make(chan struct{})
		var rec told
		last := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			select {
			case <-ready:
				return nil
			default:
				return holdfast.Park(ready, holdfast.RetryAfter(time.Minute, errTest))
			}
		}), consumer.Config{MaxParked: 3, Hooks: rec.hooks()})
		time.Sleep(time.Second)
		synctest.Wait()
		if got := last.Stats().Parked; got != 3 {
			t.Errorf("%d parked, want MaxParked", got)
		}
		retried := rec.retried()
		if len(retried) != 2 {
			t.Fatalf("%d took their fallback, want 2", len(retried))
		}
		for _, e := range retried {
			if e.Delay != time.Minute || !errors.Is(e.Err, errTest) {
				t.Errorf("fallback %+v, want RetryAfter of a minute", e)
			}
		}
		rec.mu.Lock()
		refused := 0
		for _, e := range rec.parked {
			if e.Refused {
				refused++
			}
		}
		if refused != 2 || len(rec.parked) != 5 {
			t.Errorf("hooks were told %+v, want 3 parked and 2 refused", rec.parked)
		}
		rec.mu.Unlock()
		close(ready)
		until(t, 2*time.Minute, "done", empty(q))
		for _, id := range ids {
			if got := q.Receives(id); got > 2 {
				t.Errorf("%s was received %d times, want at most twice", id, got)
			}
		}
	})
}

func parkEndangered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(5))
		ready := make(chan struct{})
		var rec told
		r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			switch {
			case isClosed(ready):
				return nil
			case m.Body == "endangered" && m.ReceiveCount < 4, m.Body == "worn" && m.ReceiveCount < 2:
				return holdfast.RetryAfter(time.Second, errTest)
			}
			return holdfast.Park(ready, holdfast.RetryAfter(time.Minute, errTest))
		}), consumer.Config{MaxParked: 3, Hooks: rec.hooks()})
		worn := q.Send(t, "worn")
		time.Sleep(5 * time.Second)
		fresh := q.SendN(t, 2)
		time.Sleep(5 * time.Second)
		endangered := []string{q.Send(t, "endangered"), q.Send(t, "endangered")}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if s := r.Stats(); s.Parked != 3 {
			t.Errorf("%d parked, want MaxParked", s.Parked)
		}
		gone := map[string]bool{}
		for _, e := range rec.retried() {
			if e.Delay == time.Minute {
				gone[e.Message.ID] = true
			}
		}
		if want := map[string]bool{fresh[0]: true, fresh[1]: true}; !cmp.Equal(gone, want) {
			t.Errorf("%v took their fallback, want those with the fewest receives, %v", gone, want)
		}
		close(ready)
		until(t, 5*time.Minute, "all is done", empty(q))
		for id, want := range map[string]int{endangered[0]: 4, endangered[1]: 4, worn: 2, fresh[0]: 2, fresh[1]: 2} {
			if n := q.Receives(id); n != want {
				t.Errorf("%s was received %d times, want %d", id, n, want)
			}
		}
	})
}

func parkRefused(t *testing.T) {
	never := make(chan struct{})
	for _, c := range []struct {
		name string
		err  error
		want holdfast.Outcome
		text string
	}{
		{"to an ordinary error", holdfast.Park(never, errTest), holdfast.Retried, "test failure"},
		{"to Permanent", holdfast.Park(never, holdfast.Permanent(errTest)), holdfast.DeadLettered, "permanent: test failure"},
		{"to Discard", holdfast.Park(never, holdfast.Discard(errTest)), holdfast.Discarded, "discard: test failure"},
		{"to an ordinary error where it is nil", holdfast.Park(never, nil), holdfast.Retried, "could not be parked"},
		{"to an ordinary error where it is Park again", holdfast.Park(never, holdfast.Park(never, nil)), holdfast.Retried, "could not be parked"},
		{"also where nothing can make it ready", holdfast.Park(nil, errTest), holdfast.Retried, "test failure"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(10))
				q.Send(t, "x")
				var rec told
				first := true
				cfg := consumer.Config{MaxParked: -1, Hooks: rec.hooks()}
				if strings.HasPrefix(c.name, "also") {
					cfg.MaxParked = 100
				}
				start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
					if !first {
						return nil
					}
					first = false
					return c.err
				}), cfg)
				until(t, time.Minute, "settled", empty(q))
				synctest.Wait()
				if got := rec.settled[0]; got.Outcome != c.want || !strings.Contains(got.Err.Error(), c.text) {
					t.Errorf("settled as %v for %v, want %v for %q", got.Outcome, got.Err, c.want, c.text)
				}
				if len(rec.parked) != 1 || !rec.parked[0].Refused {
					t.Errorf("hooks were told %+v, want one refusal", rec.parked)
				}
			})
		})
	}
}

func parkBytes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		for range 4 {
			q.Send(t, strings.Repeat("x", 512<<10))
		}
		var rec told
		start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			if m.Attempt > 1 {
				return nil
			}
			time.Sleep(time.Second) // until all have arrived
			return holdfast.Park(make(chan struct{}), holdfast.Discard(errTest))
		}), consumer.Config{HeldBytes: 2 << 20, Hooks: rec.hooks()})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		rec.mu.Lock()
		defer rec.mu.Unlock()
		if len(rec.parked) != 4 || len(rec.settled) == 0 || rec.settled[0].Outcome != holdfast.Discarded {
			t.Errorf("hooks were told of %d parkings and %+v, want the first refused and its fallback taken", len(rec.parked), rec.settled)
		}
	})
}

// pauses is a gate that closes with the first run and reopens when told, to save
// the polls of twelve hours.
type pauses struct {
	mu       sync.Mutex // guards reopened
	reopened chan struct{}
}

func (p *pauses) Wrap(next holdfast.Handler) holdfast.Handler {
	return handle(func(ctx context.Context, m *holdfast.Message) error {
		p.mu.Lock()
		if m.ReceiveCount == 1 && p.reopened == nil {
			p.reopened = make(chan struct{})
		}
		p.mu.Unlock()
		return next.Handle(ctx, m)
	})
}

func (p *pauses) Closed() (<-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.reopened:
		return nil, nil
	default:
		return p.reopened, errTest
	}
}

func (p *pauses) reopen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.reopened)
}

func parkNearLimit(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		id := q.Send(t, "x")
		var rec told
		var gate pauses
		start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			if m.Attempt > 1 {
				return nil
			}
			lease, _ := holdfast.LeaseFrom(ctx)
			time.Sleep(time.Until(lease.Limit()) - 10*time.Second)
			return holdfast.Park(make(chan struct{}), holdfast.RetryAfter(0, errTest))
		}), consumer.Config{HandlerTimeout: -1, Visibility: time.Hour, Hooks: rec.hooks(), Middleware: []holdfast.Middleware{&gate}})
		time.Sleep(12*time.Hour - 5*time.Second)
		gate.reopen()
		until(t, 10*time.Second, "done", empty(q))
		if got := q.Receives(id); got != 2 {
			t.Errorf("received %d times, want twice", got)
		}
		if len(rec.lost) != 0 || len(rec.parked) != 1 || !rec.parked[0].Refused {
			t.Errorf("lost %+v, parked %+v; want a refusal and nothing lost", rec.lost, rec.parked)
		}
	})
}

func parkForever(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		id := q.Send(t, "x")
		var rec told
		var gate pauses
		start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			if m.Attempt > 1 {
				return nil
			}
			return holdfast.Park(make(chan struct{}), errTest)
		}), consumer.Config{Visibility: time.Hour, Hooks: rec.hooks(), Middleware: []holdfast.Middleware{&gate}})
		time.Sleep(12*time.Hour - time.Minute)
		gate.reopen()
		if got := q.Receives(id); got != 1 {
			t.Errorf("received %d times within 12 h, want once", got)
		}
		until(t, 2*time.Minute, "done", empty(q))
		if got := q.Receives(id); got != 2 || len(rec.lost) != 1 {
			t.Errorf("received %d times and %d leases lost, want twice and one", got, len(rec.lost))
		}
	})
}

func parkLost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		id := q.Send(t, "x")
		lost := srv.FailEntries("ChangeMessageVisibilityBatch", "ReceiptHandleIsInvalid", true, sqstest.Times(1))
		ready := make(chan struct{})
		var rec told
		runs := 0
		r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			if runs++; runs == 1 {
				return holdfast.Park(ready, errTest)
			}
			return nil
		}), consumer.Config{Hooks: rec.hooks()})
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if s := r.Stats(); lost.Hits() != 1 || s.Held != 0 || s.Parked != 0 || s.LeasesLost != 1 {
			t.Errorf("stats %+v, want the message forgotten", s)
		}
		if len(rec.lost) != 1 || !errors.Is(rec.lost[0].Err, holdfast.ErrLeaseLost) || rec.lost[0].Message.ID != id {
			t.Errorf("hooks were told %+v, want the lease lost", rec.lost)
		}
		close(ready)
		synctest.Wait()
		if runs != 1 {
			t.Errorf("it ran %d times while somebody else may have it, want once", runs)
		}
		until(t, time.Minute, "done when it came back", empty(q))
		if runs != 2 || q.Receives(id) != 2 {
			t.Errorf("%d runs and %d receives, want two", runs, q.Receives(id))
		}
	})
}

func parkStop(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		ids := q.SendN(t, 20)
		var rec told
		cfg := consumer.Config{Hooks: rec.hooks()}
		cfg.Hooks.Settled = func(e holdfast.SettledEvent) {
			time.Sleep(50 * time.Millisecond) // Run must not return before
			rec.hooks().Settled(e)
		}
		r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			return holdfast.Park(make(chan struct{}), errTest)
		}), cfg)
		until(t, time.Second, "all parked", func() bool { return r.Stats().Parked == 20 })
		began := time.Now()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the stop took %v, want no longer than the poll's grace", took)
		}
		if got := q.Depth(); got != (sqstest.Depth{Visible: 20}) {
			t.Errorf("the queue is %+v, want all visible", got)
		}
		for _, id := range ids {
			if got := q.Receives(id); got != 1 {
				t.Errorf("%s was received %d times, want once", id, got)
			}
		}
		if s := r.Stats(); s.GaveBack != 20 || s.Held != 0 {
			t.Errorf("stats %+v, want all given back", s)
		}
		if got := len(rec.settled); got != 20 {
			t.Errorf("hooks were told of %d settlements before Run returned, want all", got)
		}
		for _, e := range rec.settled {
			if e.Outcome != holdfast.GaveBack || e.Delay != 0 || !errors.Is(e.Err, holdfast.ErrStopping) {
				t.Errorf("settled %+v, want given back for ErrStopping", e)
			}
		}
	})
}

func TestWritesOfHandlersDoNotSurvive(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"orders", "orders.fifo"} {
		t.Run("into the rerun or the dead-letter queue of "+name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, name, sqstest.DLQ(10))
				q.Send(t, `{"n":1}`, sqstest.Group("g"), sqstest.StringAttribute("kind", "paid"), sqstest.BinaryAttribute("raw", []byte{1, 2, 3}))
				before := q.Messages()[0]
				ready := make(chan struct{})
				close(ready)
				var seen []holdfast.Message
				start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
					copied := *m
					copied.Attributes = map[string]holdfast.Attribute{}
					for name, a := range m.Attributes {
						a.Binary = append([]byte(nil), a.Binary...)
						copied.Attributes[name] = a
					}
					copied.ReceiveCount, copied.Attempt = 0, 0
					copied.ReceivedAt, copied.FirstReceivedAt = time.Time{}, time.Time{}
					copied.Queue.Attributes = nil
					seen = append(seen, copied)

					m.ID, m.Body, m.GroupID, m.Queue.Name = "mine", "mine", "mine", "mine"
					m.Attributes["kind"] = holdfast.Attribute{Type: "String", String: "mine"}
					m.Attributes["more"] = holdfast.Attribute{Type: "String", String: "mine"}
					m.Attributes["raw"].Binary[0] = 9
					switch len(seen) {
					case 1:
						return holdfast.Park(ready, nil)
					case 2:
						return errTest
					}
					return holdfast.Permanent(errTest)
				}), consumer.Config{})
				until(t, time.Minute, "settled", empty(q))
				if len(seen) != 3 {
					t.Fatalf("%d runs, want 3", len(seen))
				}
				for i := range seen[1:] {
					if diff := cmp.Diff(seen[0], seen[i+1]); diff != "" {
						t.Errorf("run %d saw (-first +then):\n%s", i+2, diff)
					}
				}
				dead := q.DLQ().Messages()[0]
				causeOf(t, dead)
				delete(dead.Attributes, consumer.CauseAttribute)
				if diff := cmp.Diff(before.Attributes, dead.Attributes); diff != "" || dead.Body != before.Body || dead.Group != before.Group {
					t.Errorf("dead-lettered %q of group %q with attributes (-sent +dead):\n%s", dead.Body, dead.Group, diff)
				}
			})
		})
	}
}
