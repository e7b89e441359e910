package breaker_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/idempotency/internal/breaker"
)

var errDown = errors.New("connection refused")

// store is a store that is probed.
type store struct {
	down   atomic.Bool
	panics atomic.Bool
	probes atomic.Int32
	downs  atomic.Int32
	ups    atomic.Int32
	lasted atomic.Int64
	ctx    context.Context
	end    context.CancelFunc
}

func (s *store) probe(context.Context) error {
	s.probes.Add(1)
	if s.panics.Load() {
		panic("probe")
	}
	if s.down.Load() {
		return errDown
	}
	return nil
}

func setup(t *testing.T) (*breaker.Breaker, *store) {
	t.Helper()
	s := &store{}
	s.ctx, s.end = context.WithCancel(t.Context())
	return breaker.New(breaker.Config{
		Probe: s.probe, Timeout: time.Second, Life: func() context.Context { return s.ctx },
		Down: func(error) { s.downs.Add(1) },
		Up:   func(d time.Duration) { s.ups.Add(1); s.lasted.Store(int64(d)) },
	}), s
}

// fail has three calls in a row fail.
func fail(b *breaker.Breaker) {
	for range 3 {
		b.Failed(time.Now(), errDown)
	}
}

func isOpen(b *breaker.Breaker) bool { c, _ := b.Open(); return c != nil }

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { t.Parallel(); synctest.Test(t, f) })
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	bubble(t, "opens after three failures in a row, and says why", func(t *testing.T) {
		b, s := setup(t)
		s.down.Store(true)
		for range 2 {
			b.Failed(time.Now(), errDown)
			b.Failed(time.Now(), errDown)
			b.Succeeded()
		}
		if isOpen(b) || s.downs.Load() != 0 {
			t.Fatal("it opened although every third call succeeded")
		}
		fail(b)
		reopened, why := b.Closed()
		if reopened == nil || !errors.Is(why, errDown) || !strings.Contains(why.Error(), "store is down") {
			t.Errorf("the gate is %v, %v; want closed and why", reopened, why)
		}
		if s.downs.Load() != 1 {
			t.Errorf("%d outages were told, want one", s.downs.Load())
		}
		s.end()
	})
	bubble(t, "reopens within 3 s after the store is back, in a fleet not at once", func(t *testing.T) {
		first, last := time.Hour, time.Duration(0)
		for range 30 {
			b, s := setup(t)
			s.down.Store(true)
			fail(b)
			reopened, _ := b.Open()
			time.Sleep(2 * time.Minute)
			if n := s.probes.Load(); n < 60 || n > 125 {
				t.Errorf("%d probes in 2 minutes, want one each 1 to 2 s", n)
			}
			back := time.Now()
			s.down.Store(false)
			<-reopened
			took := time.Since(back)
			synctest.Wait() // it is told after the gate has opened
			first, last = min(first, took), max(last, took)
			if isOpen(b) || s.ups.Load() != 1 || time.Duration(s.lasted.Load()) != 2*time.Minute+took {
				t.Errorf("after the reopening: open %v, told %d times, of an outage of %v", isOpen(b), s.ups.Load(), time.Duration(s.lasted.Load()))
			}
		}
		if last > 3*time.Second || last-first < 500*time.Millisecond {
			t.Errorf("30 breakers reopened %v to %v after the store was back", first, last)
		}
	})
	bubble(t, "takes no notice of calls sent before it changed", func(t *testing.T) {
		b, s := setup(t)
		s.down.Store(true)
		old := time.Now()
		time.Sleep(time.Second)
		fail(b)
		s.down.Store(false)
		reopened, _ := b.Open()
		<-reopened
		for range 10 {
			b.Failed(old, errDown)
		}
		if isOpen(b) {
			t.Error("it opened by failures of before")
		}
		time.Sleep(time.Millisecond)
		fail(b)
		if !isOpen(b) {
			t.Error("it does not open a second time")
		}
		reopened, _ = b.Open()
		<-reopened
	})
	bubble(t, "stops probing where nobody waits, until somebody asks", func(t *testing.T) {
		b, s := setup(t)
		s.down.Store(true)
		fail(b)
		s.end()
		time.Sleep(time.Minute)
		n := s.probes.Load()
		time.Sleep(time.Hour)
		if got := s.probes.Load(); got != n {
			t.Errorf("%d more probes in an hour", got-n)
		}
		synctest.Wait() // for the last probe
		s.ctx = t.Context()
		s.down.Store(false)
		reopened, _ := b.Open()
		<-reopened
	})
	bubble(t, "survives a probe that panics", func(t *testing.T) {
		b, s := setup(t)
		s.panics.Store(true)
		fail(b)
		reopened, _ := b.Open()
		time.Sleep(time.Minute)
		if !isOpen(b) {
			t.Error("it reopened by a panic")
		}
		s.panics.Store(false)
		<-reopened
	})
}

func TestRamp(t *testing.T) {
	t.Parallel()
	bubble(t, "admits in proportion to the time since the reopening, all after 5 s", func(t *testing.T) {
		b, _ := setup(t)
		var tickets []int
		for range 100 {
			ticket, wait := b.Admit(false)
			if wait != 0 {
				t.Fatal("held back although nothing was wrong")
			}
			tickets = append(tickets, ticket)
		}
		fail(b)
		reopened, _ := b.Open()
		<-reopened
		began := time.Now()
		for _, ticket := range tickets[:50] {
			b.Leave(ticket) // those of before do not count
		}
		admitted := 0
		var waits []time.Duration
		for range 100 {
			_, wait := b.Admit(false)
			if wait == 0 {
				admitted++
			} else {
				waits = append(waits, wait)
			}
		}
		if admitted != 1 || len(waits) != 99 {
			t.Fatalf("%d admitted at once, want 1", admitted)
		}
		if c, why := b.Closed(); c == nil || why == nil {
			t.Error("the gate is open while messages are held back")
		}
		for _, wait := range waits {
			time.Sleep(time.Until(began.Add(wait)))
			share := float64(time.Since(began)) / float64(breaker.Ramp)
			if _, again := b.Admit(true); again != 0 {
				t.Errorf("held back again after %v", wait)
			}
			if admitted++; float64(admitted) > 100*share+1.5 {
				t.Errorf("%d admitted after %v of the ramp", admitted, time.Since(began))
			}
		}
		if took := time.Since(began); took > breaker.Ramp {
			t.Errorf("the last was admitted after %v", took)
		}
		time.Sleep(time.Until(began.Add(breaker.Ramp)))
		if c, _ := b.Closed(); c != nil {
			t.Error("the gate is closed after the ramp")
		}
	})
	bubble(t, "lets receives through as work ends", func(t *testing.T) {
		b, _ := setup(t)
		ticket, _ := b.Admit(false)
		fail(b)
		reopened, _ := b.Open()
		<-reopened
		b.Leave(ticket)
		if c, _ := b.Closed(); c != nil {
			t.Fatal("not even the first receive may begin")
		}
		ticket, _ = b.Admit(false)
		c, _ := b.Closed()
		if c == nil {
			t.Fatal("the gate is open although as many work as ever did")
		}
		b.Leave(ticket)
		asked := time.Now()
		<-c
		if d := time.Since(asked); d > 250*time.Millisecond {
			t.Errorf("asked again after %v", d)
		}
		if c, _ := b.Closed(); c != nil {
			t.Error("the gate is closed although nothing works")
		}
	})
}
