package twins_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/idempotency/internal/twins"
)

// lease is the hold on a message.
type lease struct {
	mu   sync.Mutex // guards over
	over error
}

func (l *lease) Err() error { l.mu.Lock(); defer l.mu.Unlock(); return l.over }
func (l *lease) end()       { l.mu.Lock(); defer l.mu.Unlock(); l.over = errors.New("settled") }

// store answers polls.
type store struct {
	mu    sync.Mutex // guards all below
	err   error
	known map[string]twins.Answer
	polls [][]string
	times []time.Time
}

func (s *store) poll(keys []string) ([]twins.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polls, s.times = append(s.polls, slices.Clone(keys)), append(s.times, time.Now())
	if s.err != nil {
		return nil, s.err
	}
	answers := make([]twins.Answer, len(keys))
	for i, key := range keys {
		answers[i] = s.known[key]
	}
	return answers, nil
}

func (s *store) set(key string, a twins.Answer) { s.mu.Lock(); defer s.mu.Unlock(); s.known[key] = a }
func (s *store) fail(err error)                 { s.mu.Lock(); defer s.mu.Unlock(); s.err = err }
func (s *store) count() int                     { s.mu.Lock(); defer s.mu.Unlock(); return len(s.polls) }

func setup(t *testing.T) (*twins.Table, *store) {
	t.Helper()
	s := &store{known: make(map[string]twins.Answer)}
	return twins.New(s.poll), s
}

// enter takes the seat of a key that is free.
func enter(t *testing.T, table *twins.Table, key, hash string) *twins.Seat {
	t.Helper()
	seat, wait := table.Enter(key, hash, &lease{})
	if seat == nil || wait != nil {
		t.Fatalf("%s has no free seat", key)
	}
	return seat
}

// join waits for a key that runs.
func join(t *testing.T, table *twins.Table, key, hash string, l *lease) *twins.Wait {
	t.Helper()
	seat, wait := table.Enter(key, hash, l)
	if seat != nil || wait == nil {
		t.Fatalf("%s: seat %v, wait %v; want to wait", key, seat, wait)
	}
	return wait
}

// over tells whether a wait is over.
func over(w *twins.Wait) bool {
	synctest.Wait()
	select {
	case <-w.Ready():
		return true
	default:
		return false
	}
}

// verdict wants the wait to be over with a verdict, told once.
func verdict(t *testing.T, table *twins.Table, w *twins.Wait, l *lease, want twins.Verdict) {
	t.Helper()
	if !over(w) {
		t.Fatal("it still waits")
	}
	if got := table.Back(l).Verdict; got != want {
		t.Errorf("verdict %d, want %d", got, want)
	}
	if got := table.Back(l).Verdict; got != twins.None {
		t.Errorf("verdict %d a second time", got)
	}
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { t.Parallel(); synctest.Test(t, f) })
}

func TestTwinsInThisProcess(t *testing.T) {
	t.Parallel()
	bubble(t, "a twin waits until its key is done, and asks the store for nothing", func(t *testing.T) {
		table, s := setup(t)
		seat := enter(t, table, "a", "h")
		enter(t, table, "b", "h")
		l := &lease{}
		w := join(t, table, "a", "h", l)
		time.Sleep(time.Hour)
		if over(w) {
			t.Fatal("it does not wait")
		}
		seat.Leave(true, time.Minute)
		verdict(t, table, w, l, twins.Done)
		if s.count() != 0 {
			t.Errorf("%d polls", s.count())
		}
		enter(t, table, "a", "h").Leave(false, 0)
	})
	bubble(t, "one of many takes over where the work failed, after its rest, and the others wait for that one", func(t *testing.T) {
		table, _ := setup(t)
		seat := enter(t, table, "a", "")
		ls, ws := make([]*lease, 6), make([]*twins.Wait, 6)
		for i := range ls {
			if i == 5 { // the last comes while the key rests
				seat.Leave(false, 3*time.Second)
			}
			ls[i] = &lease{}
			ws[i] = join(t, table, "a", "", ls[i])
		}
		time.Sleep(2 * time.Second)
		if over(ws[0]) {
			t.Error("it did not wait for the rest")
		}
		time.Sleep(time.Second)
		seats := 0
		for i, l := range ls {
			verdict(t, table, ws[i], l, twins.Again)
			if seat, _ := table.Enter("a", "", l); seat != nil {
				seats++
			}
		}
		if seats != 1 {
			t.Errorf("%d run at once", seats)
		}
	})
	bubble(t, "without anybody waiting a key rests for nobody", func(t *testing.T) {
		table, _ := setup(t)
		enter(t, table, "a", "").Leave(false, time.Hour)
		enter(t, table, "a", "").Leave(true, 0)
	})
	bubble(t, "another payload under the key is no twin", func(t *testing.T) {
		table, _ := setup(t)
		enter(t, table, "a", "one")
		if seat, wait := table.Enter("a", "two", &lease{}); seat != nil || wait != nil {
			t.Errorf("seat %v, wait %v; want neither, so that the store decides", seat, wait)
		}
		join(t, table, "a", "", &lease{})
		if seat, wait := table.Enter("a", "one", nil); seat != nil || wait != nil {
			t.Errorf("without a lease: seat %v, wait %v; want neither", seat, wait)
		}
	})
	bubble(t, "a lost claim keeps its twins waiting for the handler, a minute at most", func(t *testing.T) {
		table, _ := setup(t)
		seat := enter(t, table, "heeds", "")
		l := &lease{}
		w := join(t, table, "heeds", "", l)
		seat.Lost()
		time.Sleep(10 * time.Second)
		if over(w) {
			t.Error("let go beside a handler that still runs")
		}
		seat.Leave(false, 0)
		verdict(t, table, w, l, twins.Again)

		deaf := enter(t, table, "deaf", "")
		w = join(t, table, "deaf", "", l)
		deaf.Lost()
		time.Sleep(time.Minute)
		verdict(t, table, w, l, twins.Again)
		next := enter(t, table, "deaf", "")
		deaf.Leave(true, 0) // must not end the other's turn
		w = join(t, table, "deaf", "", l)
		next.Leave(true, 0)
		verdict(t, table, w, l, twins.Done)
	})
	bubble(t, "a message that the runtime runs again for reasons of its own may wait again", func(t *testing.T) {
		table, _ := setup(t)
		seat := enter(t, table, "a", "")
		l := &lease{}
		join(t, table, "a", "", l)
		if v := table.Back(l).Verdict; v != twins.Again {
			t.Errorf("verdict %d", v)
		}
		w := join(t, table, "a", "", l)
		seat.Leave(true, 0)
		verdict(t, table, w, l, twins.Done)
	})
	bubble(t, "messages that never come back are forgotten", func(t *testing.T) {
		table, _ := setup(t)
		for i := range 10_000 {
			l := &lease{}
			key := fmt.Sprint(i)
			seat := enter(t, table, key, "")
			join(t, table, key, "", l)
			l.end()
			seat.Leave(true, 0)
		}
		if n := table.Waits(); n > 256 {
			t.Errorf("%d are remembered", n)
		}
		var none *twins.Seat
		none.Leave(true, 0)
		none.Lost()
		if v := table.Back(nil).Verdict; v != twins.None {
			t.Errorf("verdict %d for no lease", v)
		}
	})
}

func TestTwinsElsewhere(t *testing.T) {
	t.Parallel()
	bubble(t, "a key is looked at again at half of what is left of its lease, and no sooner than after 250 ms", func(t *testing.T) {
		table, s := setup(t)
		began := time.Now()
		end := began.Add(24 * time.Second)
		l := &lease{}
		s.set("a", twins.Answer{Left: 24 * time.Second}) // as extended each time
		w := enter(t, table, "a", "").Busy(l, 24*time.Second)
		time.Sleep(60 * time.Second)
		if over(w) || s.count() != 5 {
			t.Fatalf("%d polls in a minute of a lease that is extended, want 5", s.count())
		}
		for !over(w) {
			s.set("a", twins.Answer{Left: time.Until(end) + time.Minute})
			time.Sleep(50 * time.Millisecond)
		}
		verdict(t, table, w, l, twins.Again)
		if n := s.count(); n > 20 {
			t.Errorf("%d polls", n)
		}
		for i := 1; i < len(s.times); i++ {
			if d := s.times[i].Sub(s.times[i-1]); d < 250*time.Millisecond {
				t.Errorf("poll %d came %v after the one before", i, d)
			}
		}
	})
	bubble(t, "all keys are polled in one call, and done ones are told so", func(t *testing.T) {
		table, s := setup(t)
		ls, ws := make([]*lease, 100), make([]*twins.Wait, 100)
		for i := range ls {
			key := fmt.Sprint(i)
			s.set(key, twins.Answer{Left: 20 * time.Second})
			ls[i] = &lease{}
			ws[i] = enter(t, table, key, "h").Busy(ls[i], 20*time.Second)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		if s.count() != 1 || len(s.polls[0]) != 100 {
			t.Fatalf("%d polls, the first of %d keys; want one of 100", s.count(), len(s.polls[0]))
		}
		twin := &lease{}
		w := join(t, table, "7", "h", twin) // no claim of its own
		s.set("7", twins.Answer{Done: true, Hash: "h"})
		s.set("8", twins.Answer{Done: true, Hash: "other"})
		s.set("9", twins.Answer{})
		time.Sleep(10 * time.Second)
		verdict(t, table, ws[7], ls[7], twins.Done)
		verdict(t, table, w, twin, twins.Done)
		verdict(t, table, ws[8], ls[8], twins.Again) // the claim says mismatch
		verdict(t, table, ws[9], ls[9], twins.Again)
		if over(ws[10]) {
			t.Error("one that is busy still was let go")
		}
		for _, l := range ls {
			l.end()
		}
		time.Sleep(time.Minute)
		if n := s.count(); n != 2 {
			t.Errorf("%d polls, although nobody waits any more", n)
		}
	})
	bubble(t, "a poll that fails is tried again, and a key that fell due meanwhile is not forgotten", func(t *testing.T) {
		table, s := setup(t)
		s.fail(errors.New("down"))
		l := &lease{}
		w := enter(t, table, "a", "").Busy(l, time.Second)
		time.Sleep(time.Minute)
		if n := s.count(); n < 55 || n > 130 {
			t.Errorf("%d polls in a minute, want one each 0.5 to 1 s", n)
		}
		s.set("a", twins.Answer{Done: true})
		s.fail(nil)
		time.Sleep(time.Second)
		verdict(t, table, w, l, twins.Done)
	})
	bubble(t, "those that waited here wait for the other process as well", func(t *testing.T) {
		table, s := setup(t)
		seat := enter(t, table, "a", "")
		follower, runner := &lease{}, &lease{}
		w := join(t, table, "a", "", follower)
		s.set("a", twins.Answer{Left: 4 * time.Second})
		mine := seat.Busy(runner, 4*time.Second)
		seat.Leave(false, 0)
		seat.Lost()
		time.Sleep(2 * time.Minute)
		if over(w) || over(mine) {
			t.Fatal("let go although the key is busy")
		}
		s.set("a", twins.Answer{Done: true})
		time.Sleep(2 * time.Second)
		verdict(t, table, w, follower, twins.Done)
		verdict(t, table, mine, runner, twins.Done)
	})
}

func TestWaitingForTheStore(t *testing.T) {
	t.Parallel()
	bubble(t, "waits end spread over the ramp, in the order they began", func(t *testing.T) {
		table, _ := setup(t)
		ls, ws := make([]*lease, 10), make([]*twins.Wait, 10)
		began := time.Now()
		for i := range ls {
			ls[i] = &lease{}
			ws[i] = table.Outage(ls[i], time.Minute, twins.Past{Since: began, Token: "t"})
		}
		time.Sleep(30 * time.Second)
		table.Reopened(5 * time.Second)
		for i, w := range ws {
			<-w.Ready()
			if got, want := time.Since(began), 30*time.Second+time.Duration(i)*500*time.Millisecond; got != want {
				t.Errorf("wait %d ended after %v, want %v", i, got, want)
			}
			if past := table.Back(ls[i]); past.Verdict != twins.Again || !past.Since.Equal(began) || past.Token != "t" {
				t.Errorf("came back with %+v", past)
			}
		}
	})
	bubble(t, "the budget counts from when the outage began for the message", func(t *testing.T) {
		table, _ := setup(t)
		l := &lease{}
		began := time.Now()
		w := table.Pause(l, time.Second, twins.Past{Verdict: twins.Again, Since: began})
		<-w.Ready()
		w = table.Outage(l, time.Minute, table.Back(l))
		<-w.Ready()
		if got := time.Since(began); got != time.Minute {
			t.Errorf("spent after %v, want a minute", got)
		}
		table.Reopened(5 * time.Second)
		verdict(t, table, w, l, twins.Spent)
		w = table.Pause(l, time.Second, twins.Past{Verdict: twins.Turn})
		<-w.Ready()
		verdict(t, table, w, l, twins.Turn)
	})
}
