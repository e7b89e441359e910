package pace_test

import (
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/pace"
)

func TestRoom(t *testing.T) {
	t.Parallel()
	// 100 slots of 100 ms each, all busy: 1,000 runs end in a second, 20 in a receive.
	p := simulate(100, 100*ms, 1, 20*ms)
	for _, c := range []struct {
		name   string
		held   pace.Held
		waited bool
		want   int
		again  time.Duration
	}{
		{"nothing held", pace.Held{Slots: 100, Prefetch: 800, Free: 100}, false, 10, 0},
		{"all slots busy, some free within a receive", pace.Held{Slots: 100, Prefetch: 800, Live: 100}, false, 10, 0},
		{"as many held as come free", pace.Held{Slots: 100, Prefetch: 800, Live: 200}, false, 0, 0},
		{"no more than Prefetch ahead", pace.Held{Slots: 100, Prefetch: 4, Live: 100, Settling: 1}, false, 0, 0},
		{"what is settled counts to the bound", pace.Held{Slots: 100, Prefetch: 800, Live: 50, Settling: 844, Free: 50}, false, 0, pace.Gather},
		{"... and is asked for in part after a wait", pace.Held{Slots: 100, Prefetch: 800, Live: 50, Settling: 844, Free: 50}, true, 6, 0},
		{"... but not for slots that wait for what was asked for", pace.Held{Slots: 100, Prefetch: 800, Live: 50, Settling: 844, Free: 50, Asked: 50}, true, 0, 0},
		{"FIFO: ten for each slot where slots are idle", pace.Held{Slots: 100, Prefetch: 10, FIFO: true, Live: 900, Free: 2, Polls: 1}, false, 10, 0},
		{"FIFO: no more than that", pace.Held{Slots: 100, Prefetch: 10, FIFO: true, Live: 1000, Free: 2, Polls: 1}, false, 0, 0},
		{"FIFO: not where a receive is under way for each", pace.Held{Slots: 100, Prefetch: 10, FIFO: true, Live: 900, Free: 2, Polls: 2}, false, 0, 0},
	} {
		if n, again := p.Room(c.held, c.waited); n != c.want || again != c.again {
			t.Errorf("%s: %d, %v; want %d, %v", c.name, n, again, c.want, c.again)
		}
	}
}
