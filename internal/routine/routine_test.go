package routine_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-go/holdfast/internal/routine"
)

// hangHere is a name to look for in a stack.
func hangHere(name chan<- string, release <-chan struct{}) {
	name <- routine.Name()
	<-release
}

func TestStacks(t *testing.T) {
	t.Parallel()

	t.Run("the stack of another goroutine is found by its name", func(t *testing.T) {
		t.Parallel()
		name, release := make(chan string), make(chan struct{})
		defer close(release)
		go hangHere(name, release)
		n := <-name
		if !strings.HasPrefix(n, "goroutine ") {
			t.Fatalf("name is %q", n)
		}
		if got := routine.Stacks(n)[0]; !strings.HasPrefix(got, n+" [") || !strings.Contains(got, "hangHere") {
			t.Fatalf("stack is %q", got)
		}
	})
	t.Run("the caller's own stack is found", func(t *testing.T) {
		t.Parallel()
		if got := routine.Stacks(routine.Name())[0]; !strings.Contains(got, "TestStacks") {
			t.Fatalf("stack is %q", got)
		}
	})
	t.Run("several are found at once, the same one twice", func(t *testing.T) {
		t.Parallel()
		name, release := make(chan string), make(chan struct{})
		defer close(release)
		var names []string
		for range 3 {
			go hangHere(name, release)
			names = append(names, <-name)
		}
		names = append(names, names[0])
		for i, s := range routine.Stacks(names...) {
			if !strings.HasPrefix(s, names[i]+" [") {
				t.Fatalf("for %q: %q", names[i], s)
			}
		}
	})
	t.Run("one that has ended has none, and a name is matched as a whole", func(t *testing.T) {
		t.Parallel()
		var n string
		var wg sync.WaitGroup
		wg.Go(func() { n = routine.Name() })
		wg.Wait()
		got := routine.Stacks(n, "", "goroutine", "goroutine 99999999999", "no such")
		for i, s := range got[1:] {
			if s != "" {
				t.Fatalf("name %d has the stack %q", i+1, s)
			}
		}
	})
	t.Run("one is found among thousands", func(t *testing.T) {
		t.Parallel()
		name, release := make(chan string), make(chan struct{})
		defer close(release)
		var names []string
		for range 5000 {
			go hangHere(name, release)
			names = append(names, <-name)
		}
		for i, s := range routine.Stacks(names...) {
			if s == "" {
				t.Fatalf("%s, the %d. of 5000, was not found", names[i], i)
			}
		}
	})
}
