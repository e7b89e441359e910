package batch

import (
	"container/list"
	"sync"
)

// Budget bounds what is pending in a Batcher, in items and in weight: Add never
// blocks, so whoever must not run ahead of the flushes takes room here first and
// gives it back when an item is done with. Room is given in the order in which it
// was asked for, so that a heavy item is not passed by light ones for ever. Make one
// with NewBudget; its methods are safe for concurrent use.
type Budget struct {
	items  int
	weight int64

	mu      sync.Mutex // guards all below
	used    int
	heavy   int64     // weight in use
	waiting list.List // of *Wait, in the order in which they came
}

// Wait is a request for room that could not be granted at once.
type Wait struct {
	// Granted is closed when there is room, which is then taken.
	Granted chan struct{}

	weight int64
	place  *list.Element
}

// NewBudget returns a budget of so many items that weigh so much together. An item
// that alone weighs more gets room when nothing else has any.
func NewBudget(items int, weight int64) *Budget {
	return &Budget{items: items, weight: weight}
}

// Acquire takes room for an item of the given weight. It returns nil where there is
// room, else what to wait for.
func (b *Budget) Acquire(weight int64) *Wait {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting.Len() == 0 && b.fits(weight) {
		b.take(weight)
		return nil
	}
	w := &Wait{Granted: make(chan struct{}), weight: weight}
	w.place = b.waiting.PushBack(w)
	return w
}

// Cancel ends a wait. Room that was granted meanwhile is given back.
func (b *Budget) Cancel(w *Wait) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.Granted:
		b.used, b.heavy = b.used-1, b.heavy-w.weight
	default:
		b.waiting.Remove(w.place)
	}
	b.grant()
}

// Release gives back the room of so many items of that weight together.
func (b *Budget) Release(items int, weight int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used, b.heavy = b.used-items, b.heavy-weight
	b.grant()
}

// Used is how much is taken.
func (b *Budget) Used() (items int, weight int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used, b.heavy
}

func (b *Budget) fits(weight int64) bool {
	return b.used == 0 || b.used < b.items && b.heavy+weight <= b.weight
}

func (b *Budget) take(weight int64) { b.used, b.heavy = b.used+1, b.heavy+weight }

// grant serves those who wait, in order.
func (b *Budget) grant() {
	for {
		first := b.waiting.Front()
		if first == nil || !b.fits(first.Value.(*Wait).weight) {
			return
		}
		w := b.waiting.Remove(first).(*Wait)
		b.take(w.weight)
		close(w.Granted)
	}
}
