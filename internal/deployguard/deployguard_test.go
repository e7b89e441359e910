package deployguard_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/internal/deployguard"
)

// letters asks n times to dead-letter and counts how often that was granted.
func letters(g *deployguard.Guard, n int) (granted int) {
	for i := range n {
		if g.MayDeadLetter(fmt.Sprintf("dead-%d", i), time.Now()) {
			granted++
		}
	}
	return granted
}

// linear is a backoff that tells which try it was asked for.
func linear(try int) time.Duration { return time.Duration(try) * time.Second }

func successes(g *deployguard.Guard, n int) {
	for i := range n {
		g.Succeeded(fmt.Sprintf("done-%d", i), time.Now())
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// probeDue waits until the guard's next probe is due and takes it.
func probeDue(t *testing.T, g *deployguard.Guard) {
	t.Helper()
	_, due := g.State()
	time.Sleep(time.Until(due))
	if !g.TakeProbe() {
		t.Fatal("no probe when one was due")
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	in := func(name string, share float64, f func(t *testing.T, g *deployguard.Guard)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { f(t, deployguard.New(share, linear)) })
		})
	}

	in("nineteen messages are too few to judge by, the twentieth closes it", 0.2, func(t *testing.T, g *deployguard.Guard) {
		if got := letters(g, 19); got != 19 || g.Closed() {
			t.Fatalf("granted %d of 19, closed %v", got, g.Closed())
		}
		if got := letters(g, 10); got != 0 || !g.Closed() {
			t.Fatalf("granted %d beyond 19, closed %v", got, g.Closed())
		}
	})
	in("exactly the share does not close it, one more does", 0.2, func(t *testing.T, g *deployguard.Guard) {
		successes(g, 80)
		if got := letters(g, 20); got != 20 || g.Closed() {
			t.Fatalf("granted %d of 20 in 100, closed %v", got, g.Closed())
		}
		if got := letters(g, 1); got != 0 || !g.Closed() {
			t.Fatalf("granted %d beyond the share, closed %v", got, g.Closed())
		}
	})
	in("runs that will be repeated do not water the share down", 0.2, func(t *testing.T, g *deployguard.Guard) {
		for i := range 1000 {
			g.Failed(fmt.Sprint(i))
		}
		if got := letters(g, 100); got != 19 {
			t.Fatalf("granted %d; want 19", got)
		}
	})
	in("what happened half a minute ago does not count", 0.2, func(t *testing.T, g *deployguard.Guard) {
		letters(g, 19)
		time.Sleep(31 * time.Second)
		if got := letters(g, 19); got != 19 || g.Closed() {
			t.Fatalf("granted %d of 19, closed %v", got, g.Closed())
		}
	})
	in("the window slides: a slow trickle never closes it", 0.2, func(t *testing.T, g *deployguard.Guard) {
		for range 100 {
			letters(g, 1)
			time.Sleep(2 * time.Second)
		}
		if g.Closed() {
			t.Fatal("closed by 15 in half a minute")
		}
	})
	in("a share of -1 never closes it", -1, func(t *testing.T, g *deployguard.Guard) {
		if got := letters(g, 1000); got != 1000 || g.Closed() {
			t.Fatalf("granted %d of 1000", got)
		}
	})
	in("each probe waits for its own backoff, counted from one", 0.2, func(t *testing.T, g *deployguard.Guard) {
		letters(g, 20)
		for try := 1; try <= 5; try++ {
			_, due := g.State()
			if wait := time.Until(due); wait != time.Duration(try)*time.Second {
				t.Fatalf("probe %d is due in %v", try, wait)
			}
			if g.TakeProbe() {
				t.Fatal("a probe before it was due")
			}
			probeDue(t, g)
		}
	})
	in("a probe that succeeds opens it and begins to count anew", 0.2, func(t *testing.T, g *deployguard.Guard) {
		letters(g, 20)
		reopened, _ := g.State()
		probeDue(t, g)
		g.Probe("probe")
		g.Succeeded("probe", time.Now())
		if g.Closed() || !isClosed(reopened) {
			t.Fatal("still closed")
		}
		if got := letters(g, 19); got != 19 {
			t.Fatalf("granted %d of 19 after it opened", got)
		}
	})
	in("success of what was held before does not open it", 0.2, func(t *testing.T, g *deployguard.Guard) {
		letters(g, 20)
		successes(g, 100)
		if !g.Closed() {
			t.Fatal("opened by a message that was no probe")
		}
	})
	in("a probe that failed is one no more", 0.2, func(t *testing.T, g *deployguard.Guard) {
		letters(g, 20)
		g.Probe("retried")
		g.Probe("dead")
		g.Failed("retried")
		if g.MayDeadLetter("dead", time.Now()) {
			t.Fatal("a probe was dead-lettered while closed")
		}
		g.Succeeded("retried", time.Now())
		g.Succeeded("dead", time.Now())
		if !g.Closed() {
			t.Fatal("opened by a probe that had failed before")
		}
	})
	in("messages that wait here go as probes one at a time, and all when it opens", 0.2, func(t *testing.T, g *deployguard.Guard) {
		letters(g, 20)
		a, b, c := g.WaitFor("a"), g.WaitFor("b"), g.WaitFor("c")
		probeDue(t, g)
		if !isClosed(a) || isClosed(b) || isClosed(c) {
			t.Fatal("the first probe did not release the first alone")
		}
		g.MayDeadLetter("a", time.Now())
		probeDue(t, g)
		if !isClosed(b) || isClosed(c) {
			t.Fatal("the second probe did not release the second alone")
		}
		g.Succeeded("b", time.Now())
		if !isClosed(c) || g.Closed() {
			t.Fatal("the rest was not released")
		}
		if !isClosed(g.WaitFor("d")) {
			t.Fatal("waiting for an open guard does not end at once")
		}
	})
	in("marking a probe while it is open changes nothing", 0.2, func(t *testing.T, g *deployguard.Guard) {
		g.Probe("early")
		if g.TakeProbe() {
			t.Fatal("a probe was due while open")
		}
		letters(g, 20)
		g.Succeeded("early", time.Now())
		if !g.Closed() {
			t.Fatal("opened by a message that was received before it closed")
		}
	})
}
