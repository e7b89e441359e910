package solo_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/idempotency/internal/solo"
)

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, f)
	})
}

func always() bool { return true }

func open(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return false
	default:
		return ch != nil
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	enter := func(t *testing.T, p *solo.Process) (leave func()) {
		t.Helper()
		if alone, wait := p.Enter("n"); wait != nil || alone {
			t.Fatal("a run was not let in")
		}
		return p.Leave
	}
	bubble(t, "runs go on side by side while none wants to be alone", func(t *testing.T) {
		var p solo.Process
		a, b := enter(t, &p), enter(t, &p)
		if p.Closed() != nil {
			t.Error("it is closed")
		}
		a()
		enter(t, &p)()
		b()
	})
	bubble(t, "in an idle process a run is alone at once, and keeps others out until it ends", func(t *testing.T) {
		var p solo.Process
		if wait := p.Alone("x", always); wait != nil {
			t.Fatal("it was not let in")
		}
		if _, wait := p.Enter("n"); !open(wait) || p.Closed() == nil {
			t.Fatal("another was let in beside it")
		}
		second := p.Alone("y", always)
		if !open(second) {
			t.Fatal("a second one was let in beside it")
		}
		time.Sleep(time.Hour) // however long it takes
		_, wait := p.Enter("n")
		if !open(wait) {
			t.Fatal("another was let in beside it")
		}
		p.Leave()
		if open(wait) {
			t.Error("those that wait were not told")
		}
	})
	bubble(t, "it waits until the others have ended, and keeps newcomers out meanwhile", func(t *testing.T) {
		var p solo.Process
		a, b := enter(t, &p), enter(t, &p)
		ready := p.Alone("x", always)
		if _, wait := p.Enter("n"); wait == nil {
			t.Error("a newcomer was let in")
		}
		a()
		if !open(ready) {
			t.Error("it was let in beside one")
		}
		b()
		if open(ready) {
			t.Error("it was not told that it is alone")
		}
		if _, wait := p.Enter("n"); wait == nil {
			t.Error("a newcomer was let in before it")
		}
		if p.Alone("x", always) != nil {
			t.Fatal("it was not let in")
		}
		p.Leave()
		enter(t, &p)()
	})
	bubble(t, "one that stands in the line enters alone", func(t *testing.T) {
		var p solo.Process
		a := enter(t, &p)
		ready := p.Alone("x", always)
		if _, wait := p.Enter("x"); wait != ready {
			t.Error("it lost its place")
		}
		a()
		<-ready
		if alone, wait := p.Enter("x"); !alone || wait != nil {
			t.Error("it was not let in alone")
		}
		if _, wait := p.Enter("n"); wait == nil {
			t.Error("another was let in beside it")
		}
		p.Leave()
		if alone, wait := p.Enter("x"); alone || wait != nil {
			t.Error("its next run is no ordinary one")
		}
		p.Leave()
	})
	bubble(t, "long runs keep newcomers out for no more than a minute at a time", func(t *testing.T) {
		var p solo.Process
		long := enter(t, &p) // hangs
		ready := p.Alone("x", always)
		_, wait := p.Enter("n")
		time.Sleep(time.Minute)
		synctest.Wait()
		if open(wait) {
			t.Fatal("newcomers are kept out after a minute")
		}
		enter(t, &p)()
		var closed time.Duration
		for range 24 * 60 * 6 {
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if p.Closed() != nil {
				closed += 10 * time.Second
			}
		}
		if closed > time.Hour || closed < 30*time.Minute {
			t.Errorf("newcomers were kept out for %v of a day", closed)
		}
		long()
		if open(ready) {
			t.Error("it was not told that it is alone")
		}
		if p.Alone("x", always) != nil {
			t.Fatal("it was not let in")
		}
		p.Leave()
	})
	bubble(t, "one that does not come back for its turn loses it", func(t *testing.T) {
		var p solo.Process
		a := enter(t, &p)
		p.Alone("x", always)
		next := p.Alone("y", always)
		a()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if open(next) {
			t.Error("the next did not have its turn")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		enter(t, &p)()
	})
	bubble(t, "one whose message is gone is forgotten", func(t *testing.T) {
		var p solo.Process
		a := enter(t, &p)
		gone := false
		p.Alone("x", func() bool { return !gone })
		if _, wait := p.Enter("n"); wait == nil {
			t.Error("a newcomer was let in")
		}
		gone = true
		enter(t, &p)()
		a()
	})
	bubble(t, "those that want to be alone have their turns in order, and newcomers theirs in between", func(t *testing.T) {
		var p solo.Process
		first := enter(t, &p)
		var mu sync.Mutex // guards order
		var order []string
		note := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, s)
		}
		var wg sync.WaitGroup
		for _, key := range []string{"x", "y", "z"} {
			ready := p.Alone(key, always)
			wg.Go(func() {
				for {
					<-ready
					if ready = p.Alone(key, always); ready != nil {
						continue
					}
					note(key)
					time.Sleep(5 * time.Second)
					p.Leave()
					return
				}
			})
		}
		newcomers := 0
		for range 20 {
			wg.Go(func() {
				for end := time.Now().Add(40 * time.Second); time.Now().Before(end); {
					if _, wait := p.Enter("n"); wait != nil {
						<-wait
						continue
					}
					mu.Lock()
					newcomers++
					mu.Unlock()
					time.Sleep(300 * time.Millisecond)
					p.Leave()
				}
			})
		}
		time.Sleep(time.Second)
		first()
		wg.Wait()
		if got := fmt.Sprint(order); got != "[x y z]" {
			t.Errorf("the order is %v", got)
		}
		if newcomers < 20*40 {
			t.Errorf("newcomers ran %d times in 40 s, three times 5 s of which they had to wait", newcomers)
		}
	})
}

// TestOneIsAlone has many runs come and go, and holds that what is alone is alone.
func TestOneIsAlone(t *testing.T) {
	t.Parallel()
	var p solo.Process
	var mu sync.Mutex // guards inside and alone
	inside, alone, lone := 0, false, 0
	var wg sync.WaitGroup
	for n := range 50 {
		wg.Go(func() {
			for i := range 40 {
				wantsAlone := n < 2
				ask := func() <-chan struct{} { _, wait := p.Enter("n"); return wait }
				if wantsAlone {
					ask = func() <-chan struct{} { return p.Alone(fmt.Sprint(n, ".", i), always) }
				}
				for wait := ask(); wait != nil; wait = ask() {
					<-wait
				}
				mu.Lock()
				if alone || wantsAlone && inside > 0 {
					t.Error("not alone")
				}
				inside++
				alone = wantsAlone
				if wantsAlone {
					lone++
				}
				mu.Unlock()
				runtime.Gosched()
				mu.Lock()
				inside--
				alone = false
				mu.Unlock()
				p.Leave()
				if wantsAlone && i == 3 {
					return // the open times between are of a second
				}
			}
		})
	}
	wg.Wait()
	if lone != 8 {
		t.Errorf("%d runs were alone, want 8", lone)
	}
}
