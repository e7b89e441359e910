package batch_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/batch"
)

func granted(w *batch.Wait) bool {
	if w == nil {
		return true
	}
	select {
	case <-w.Granted:
		return true
	default:
		return false
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	used := func(t *testing.T, b *batch.Budget, items int, weight int64) {
		t.Helper()
		if i, w := b.Used(); i != items || w != weight {
			t.Errorf("%d items of weight %d are in use, want %d of %d", i, w, items, weight)
		}
	}
	t.Run("has room for so many items", func(t *testing.T) {
		t.Parallel()
		b := batch.NewBudget(2, 100)
		b.Acquire(1)
		b.Acquire(1)
		w := b.Acquire(1)
		if granted(w) {
			t.Error("a third item got room")
		}
		b.Release(1, 1)
		if !granted(w) {
			t.Error("room that was given back was not granted")
		}
		used(t, b, 2, 2)
	})
	t.Run("has room for so much weight, and for one item of any weight", func(t *testing.T) {
		t.Parallel()
		b := batch.NewBudget(10, 100)
		if b.Acquire(1000) != nil {
			t.Error("a heavy item got no room though nothing else had any")
		}
		w := b.Acquire(1)
		if granted(w) {
			t.Error("an item got room beside one that is too heavy")
		}
		b.Release(1, 1000)
		if !granted(w) || granted(b.Acquire(100)) {
			t.Error("99 are left: not what was granted")
		}
	})
	t.Run("serves in order, so that a heavy item is not passed for ever", func(t *testing.T) {
		t.Parallel()
		b := batch.NewBudget(10, 100)
		b.Acquire(60)
		heavy, light := b.Acquire(50), b.Acquire(1)
		if granted(heavy) || granted(light) {
			t.Error("a light item passed the heavy one")
		}
		b.Release(1, 60)
		if !granted(heavy) || !granted(light) {
			t.Error("both have room now")
		}
		used(t, b, 2, 51)
	})
	t.Run("lets a wait be cancelled, before and after it was granted", func(t *testing.T) {
		t.Parallel()
		b := batch.NewBudget(1, 100)
		b.Acquire(5)
		first, second := b.Acquire(1), b.Acquire(1)
		b.Cancel(first)
		b.Release(1, 5)
		if granted(first) || !granted(second) {
			t.Error("the cancelled one is still served")
		}
		third := b.Acquire(1)
		b.Cancel(second)
		if !granted(third) {
			t.Error("room that was granted and cancelled is lost")
		}
		b.Release(1, 1)
		used(t, b, 0, 0)
	})
}

// TestBudgetManyWait holds the cost of cancelling all who wait to about their number:
// what grows with its square takes 20 s and more.
func TestBudgetManyWait(t *testing.T) {
	t.Parallel()
	b := batch.NewBudget(1, 1)
	b.Acquire(1)
	waits := make([]*batch.Wait, 300_000)
	for i := range waits {
		waits[i] = b.Acquire(1)
	}
	began := time.Now()
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(len(waits)) {
		b.Cancel(waits[i])
	}
	if spent := time.Since(began); spent > 10*time.Second {
		t.Errorf("it took %v", spent)
	}
	b.Release(1, 1)
	if items, weight := b.Used(); items != 0 || weight != 0 {
		t.Errorf("%d items of %d are in use", items, weight)
	}
	if b.Acquire(1) != nil {
		t.Error("there is no room, though nobody has any")
	}
}
