package recent_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/idempotency/internal/recent"
)

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, f)
	})
}

func TestSet(t *testing.T) {
	t.Parallel()
	has := func(s *recent.Set, key string) bool { _, ok := s.Get(key); return ok }
	bubble(t, "what was added is known with its word until it expires", func(t *testing.T) {
		s := recent.New(10, 10*time.Minute)
		s.Add("a", "x", time.Hour)
		s.Add("b", "y", time.Minute)
		if word, ok := s.Get("a"); !ok || word != "x" {
			t.Errorf("a is %q, %v", word, ok)
		}
		s.Add("a", "z", time.Hour)
		if word, _ := s.Get("a"); word != "z" || has(s, "c") {
			t.Errorf("a is %q; c is known: %v", word, has(s, "c"))
		}
		time.Sleep(time.Minute)
		if has(s, "b") || !has(s, "a") {
			t.Errorf("after a minute a is known: %v, b: %v", has(s, "a"), has(s, "b"))
		}
		time.Sleep(4*time.Minute - time.Second)
		if !has(s, "a") {
			t.Error("a is forgotten within half of its life")
		}
		time.Sleep(5*time.Minute + time.Second)
		if has(s, "a") {
			t.Error("a outlives its life")
		}
	})
	bubble(t, "the younger half is always kept, and no more than all", func(t *testing.T) {
		s := recent.New(100, time.Hour)
		for n := range 1000 {
			s.Add(fmt.Sprint(n), "", time.Hour)
			for k := max(0, n-49); k <= n; k++ {
				if !has(s, fmt.Sprint(k)) {
					t.Fatalf("%d is forgotten after %d", k, n)
				}
			}
		}
		known := 0
		for n := range 1000 {
			if has(s, fmt.Sprint(n)) {
				known++
			}
		}
		if known > 100 {
			t.Errorf("%d are known", known)
		}
	})
	bubble(t, "what is forgotten is not known, in both generations", func(t *testing.T) {
		s := recent.New(10, 10*time.Minute)
		s.Add("a", "", time.Hour)
		time.Sleep(6 * time.Minute)
		s.Add("b", "", time.Hour)
		s.Forget("a")
		s.Forget("b")
		if has(s, "a") || has(s, "b") {
			t.Error("it is known")
		}
	})
	bubble(t, "a set of none knows none", func(t *testing.T) {
		for _, most := range []int{0, -1} {
			s := recent.New(most, time.Hour)
			s.Add("a", "", time.Hour)
			if has(s, "a") {
				t.Error("it is known")
			}
		}
	})
	bubble(t, "many use it at once", func(*testing.T) {
		s := recent.New(10, time.Minute)
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() {
				for i := range 100 {
					s.Add(fmt.Sprint(n+i), "", time.Second)
					s.Get(fmt.Sprint(i))
					s.Forget(fmt.Sprint(i - n))
				}
			})
		}
		wg.Wait()
	})
}
