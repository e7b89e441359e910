package pace_test

import (
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/pace"
)

const ms = time.Millisecond

// simulate has runs of work each on slots, of which only share are ever busy, for
// a second, and returns the measure.
func simulate(slots int, work time.Duration, share float64, receive time.Duration) *pace.Pace {
	p := &pace.Pace{}
	now := time.Unix(1_000_000, 0)
	p.Received(receive)
	busy := float64(slots) * share
	p.Running(now, int(busy))
	due := 0.0
	for range 1000 {
		now = now.Add(ms)
		for due += busy * float64(ms) / float64(work); due >= 1; due-- {
			p.Finished()
		}
		p.Running(now, int(busy))
		p.Sample(now)
	}
	return p
}

func TestPace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		slots   int
		work    time.Duration
		share   float64
		receive time.Duration
		slack   time.Duration
		lo, hi  int
	}{
		{"busy slots: as many as end within one receive", 100, 5 * ms, 1, 20 * ms, 0, 390, 410},
		{"the slack counts as part of the receive", 100, 5 * ms, 1, 20 * ms, 5 * ms, 490, 510},
		{"slow runs need none ahead", 50, time.Minute, 1, 20 * ms, 5 * ms, 0, 0},
		{"what is worth less than a tenth of a run is none, more is one", 1, 100 * ms, 1, 20 * ms, 0, 1, 1},
		{"slots idle by a fifth: as if all were busy", 100, 5 * ms, 0.8, 20 * ms, 0, 385, 410},
		{"starved slots: twice what they do, to grow from there", 100, 5 * ms, 0.2, 20 * ms, 0, 155, 165},
		{"nothing ran yet: none", 100, 5 * ms, 0, 20 * ms, 5 * ms, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := simulate(c.slots, c.work, c.share, c.receive).Ahead(c.slots, c.slack); got < c.lo || got > c.hi {
				t.Errorf("%d ahead; want %d to %d", got, c.lo, c.hi)
			}
		})
	}
	t.Run("the zero value expects nothing", func(t *testing.T) {
		t.Parallel()
		var p pace.Pace
		if got := p.Ahead(10, 5*ms); got != 0 {
			t.Errorf("%d ahead", got)
		}
	})
	t.Run("a shorter receive is believed at once, a longer one slowly and no longer than a second", func(t *testing.T) {
		t.Parallel()
		p := simulate(100, 5*ms, 1, 20*ms)
		p.Received(10 * ms)
		if got := p.Ahead(100, 0); got < 195 || got > 205 {
			t.Errorf("%d ahead at 10 ms", got)
		}
		p.Received(20 * time.Second)
		if got := p.Ahead(100, 0); got < 2600 || got > 2800 { // 10 ms and an eighth of 990 ms
			t.Errorf("%d ahead after a long poll that waited", got)
		}
	})
}
