package sqsserver

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// check recounts a queue from its messages and holds all its books against that.
func check(t *testing.T, q *queue) {
	t.Helper()
	var nDelayed, nInFlight int
	for _, m := range q.messages {
		timed := m.timer >= 0
		switch m.state {
		case delayed:
			nDelayed++
		case inFlight:
			nInFlight++
		case visible:
		case gone:
			t.Fatalf("message %d has gone and is there", m.serial)
		}
		if timed != (m.state != visible) {
			t.Fatalf("message %d in state %d is timed: %v", m.serial, m.state, timed)
		}
		if timed && q.timers.items[m.timer] != m || m.late >= 0 && q.ages.late.items[m.late] != m {
			t.Fatalf("message %d is not where it thinks it is", m.serial)
		}
	}
	if nDelayed != q.delayed || nInFlight != q.inFlight {
		t.Fatalf("counted %d delayed and %d in flight, the books say %d and %d", nDelayed, nInFlight, q.delayed, q.inFlight)
	}
	aging := len(q.ages.late.items)
	for m := q.ages.head; m != nil; m = m.younger {
		aging++
		if m.younger != nil && m.younger.enqueued.Before(m.enqueued) {
			t.Fatal("the ages are out of order")
		}
	}
	if aging != len(q.messages) {
		t.Fatalf("%d messages age, %d are there", aging, len(q.messages))
	}
	if n := len(q.timers.items); n != nDelayed+nInFlight {
		t.Fatalf("%d timers for %d messages", n, nDelayed+nInFlight)
	}
	for _, s := range []*schedule{&q.timers, &q.ages.late} {
		for i := 1; i < len(s.items); i++ {
			if s.before(i, (i-1)/2) {
				t.Fatal("a schedule is out of order")
			}
		}
	}
	switch s := q.shelf.(type) {
	case *standardShelf:
		onShelf := 0
		for m := s.ready.head; m != nil; m = m.next {
			onShelf++
			if m.state == delayed {
				t.Fatalf("message %d is on the shelf and delayed", m.serial)
			}
		}
		if onShelf < q.visible() {
			t.Fatalf("%d on the shelf, %d visible", onShelf, q.visible())
		}
	case *fifoShelf:
		checkGroups(t, q, s)
	}
}

func checkGroups(t *testing.T, q *queue, s *fifoShelf) {
	t.Helper()
	ready := make(map[*group]bool)
	for g := s.head; g != nil; g = g.next {
		ready[g] = true
	}
	serials := slices.Sorted(maps.Keys(q.messages))
	edge := uint64(0) // the last message that is looked at
	if n := min(s.window, len(serials)); n > 0 {
		edge = serials[n-1]
	}
	if s.n != len(serials) || s.edge == nil && edge != 0 || s.edge != nil && s.edge.serial != edge {
		t.Fatalf("%d of %d messages stand in line, up to %+v are seen, want %d", s.n, len(serials), s.edge, edge)
	}
	total := 0
	for id, g := range s.groups {
		flying, last := 0, uint64(0)
		for m := g.messages.head; m != nil; m = m.next {
			total++
			if m.serial <= last || m.group != id {
				t.Fatalf("group %s is out of order", id)
			}
			last = m.serial
			if m.state == inFlight {
				flying++
			}
		}
		if flying != g.inFlight {
			t.Fatalf("group %s has %d in flight, thinks %d", id, flying, g.inFlight)
		}
		if want := flying == 0 && g.messages.head.state == visible && g.messages.head.serial <= edge; ready[g] != want || g.ready != want {
			t.Fatalf("group %s is ready: %v, want %v", id, ready[g], want)
		}
	}
	if total != len(q.messages) {
		t.Fatalf("groups hold %d messages, the queue %d", total, len(q.messages))
	}
}

// TestAQueueKeepsItsBooksUnderRandomUse does thousands of random steps on a
// standard and on a FIFO queue with dead-letter queues and recounts after each.
// It also follows each FIFO group from outside: what is received is what was sent
// next, or again what was received before.
func TestAQueueKeepsItsBooksUnderRandomUse(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", ".fifo"} {
		for seed := range uint64(5) {
			t.Run(fmt.Sprintf("%squeue, seed %d", suffix, seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { randomUse(t, suffix, seed) })
			})
		}
	}
}

func randomUse(t *testing.T, suffix string, seed uint64) {
	s := New(Config{InFlightLimit: 25})
	if suffix == "" {
		for _, r := range []Rule{{Duplicate: true, Spare: 0.8, Seed: seed}, {Ghost: true, Spare: 0.8, Seed: seed}} {
			if _, err := s.Inject(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	attrs := map[string]string{"MessageRetentionPeriod": "600", "VisibilityTimeout": "20"}
	if suffix != "" {
		attrs["FifoQueue"] = "true"
	}
	dlqARN, err := s.Create("dlq"+suffix, attrs)
	if err != nil {
		t.Fatal(err)
	}
	attrs["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":3}`, dlqARN)
	arn, err := s.Create("q"+suffix, attrs)
	if err != nil {
		t.Fatal(err)
	}
	q, dlq := s.byARN(arn), s.byARN(dlqARN)

	rng := rand.New(rand.NewPCG(seed, 1))
	var handles []string
	var sentTo, receivedFrom [4]int // by group: how many were sent, the newest received
	for range 1500 {
		now := time.Now()
		switch rng.IntN(8) {
		case 0, 1:
			g := rng.IntN(len(sentTo))
			out := Outgoing{Body: fmt.Sprint(sentTo[g]), Group: fmt.Sprint(g)}
			if suffix != "" {
				out.Dedup = fmt.Sprintf("%d-%d", g, sentTo[g])
			} else {
				out.Delay = time.Duration(rng.IntN(3)) * time.Second
			}
			sentTo[g]++
			if _, err := s.Send(arn, out); err != nil {
				t.Fatal(err)
			}
		case 2, 3:
			s.lock()
			from := q
			if rng.IntN(8) == 0 {
				from = dlq
			}
			from.advance(now)
			got := from.receive(&receiveRequest{max: 1 + rng.IntN(10)}, now)
			s.unlock()
			for _, m := range got {
				handles = append(handles, m.handle)
				if suffix == "" || from != q {
					continue
				}
				var g, n int
				fmt.Sscan(m.group, &g)
				fmt.Sscan(m.body, &n)
				if n > receivedFrom[g]+1 && receivedFrom[g] > 0 && m.receives == 1 {
					// Those between may only be missing by retention.
					if !q.history.records[m.id].sent.After(now.Add(-600 * time.Second)) {
						t.Fatalf("group %d: received %d after %d", g, n, receivedFrom[g])
					}
				}
				receivedFrom[g] = max(receivedFrom[g], n)
			}
		case 4, 5:
			if len(handles) == 0 {
				continue
			}
			i := rng.IntN(len(handles))
			s.lock()
			q.advance(now)
			_ = q.delete(&handles[i], now) // refusals are part of the game
			s.unlock()
			handles = slices.Delete(handles, i, i+1)
		case 6:
			if len(handles) == 0 {
				continue
			}
			timeout := rng.IntN(60)
			s.lock()
			q.advance(now)
			_ = q.changeVisibility(&handles[rng.IntN(len(handles))], &timeout, now)
			s.unlock()
		case 7:
			time.Sleep(time.Duration(rng.IntN(12)) * time.Second)
		}
		s.lock()
		check(t, q)
		check(t, dlq)
		if q.inFlight > 25 {
			t.Fatalf("%d in flight", q.inFlight)
		}
		s.unlock()
	}
	if q.history.left[DeadLettered] == 0 || q.history.left[Deleted] == 0 {
		t.Fatalf("the run did not reach all it should: %v", q.history.left)
	}
}
