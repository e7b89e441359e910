// Package backlog is a first-in first-out queue whose items can lapse while they
// wait: those are passed over when their turn comes, which saves taking them out
// of the middle.
package backlog

// Queue is such a queue. Valid tells what has not lapsed; set it before the first
// use. It is not safe for concurrent use.
type Queue[T any] struct {
	Valid func(T) bool

	items []T
	head  int
}

// Push appends an item.
func (q *Queue[T]) Push(item T) {
	if q.head > 64 && q.head*2 > len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, item)
}

// Pop takes the first valid item; ok is false where there is none.
func (q *Queue[T]) Pop() (item T, ok bool) {
	var zero T
	for q.head < len(q.items) {
		item, q.items[q.head] = q.items[q.head], zero
		q.head++
		if q.Valid(item) {
			return item, true
		}
	}
	q.items, q.head = q.items[:0], 0
	return zero, false
}

// Len is the number of items, lapsed ones that have not been passed over yet
// included.
func (q *Queue[T]) Len() int { return len(q.items) - q.head }
