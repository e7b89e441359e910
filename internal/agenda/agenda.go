// Package agenda keeps things in the order in which they are due.
//
// It is made for times that mostly come in order, as when each thing is due the
// same time after it came: then putting one at the end, and taking one off
// wherever it stands, cost the same however many there are. What is put out of
// order is kept apart in a heap, where it costs the logarithm of how many those are,
// whatever their times.
package agenda

import (
	"container/heap"
	"time"
)

// Entry is one thing's place in an Agenda. It is a part of the thing, which Item
// points back to; set Item before the first Put. An Entry must not be copied.
type Entry[T any] struct {
	Item T

	at         time.Time
	put        int       // the how manieth Put it was, for what is due at the same moment
	prev, next *Entry[T] // in line
	place      int       // nowhere, inLine, or 1 + the index in the heap
}

const (
	nowhere = 0
	inLine  = -1
)

// At returns when the entry is due, as of the last Put.
func (e *Entry[T]) At() time.Time { return e.at }

// Agenda is a list of entries by the time they are due. The zero value is empty
// and ready. It is not safe for concurrent use.
type Agenda[T any] struct {
	first, last *Entry[T] // those that were put in order, linked
	others      others[T]
	puts        int
}

// First returns the entry that is due first, nil where there is none.
func (a *Agenda[T]) First() *Entry[T] {
	if len(a.others.heap) == 0 {
		return a.first
	}
	if other := a.others.heap[0]; a.first == nil || a.others.before(other, a.first) {
		return other
	}
	return a.first
}

// Due returns what is due at now, in any order.
func (a *Agenda[T]) Due(now time.Time) (due []T) {
	for e := a.first; e != nil && !e.at.After(now); e = e.next {
		due = append(due, e.Item)
	}
	return a.others.due(0, now, due)
}

// Put puts e in its place for at, behind what is due at the same moment. It moves
// e where it is on the agenda already.
func (a *Agenda[T]) Put(e *Entry[T], at time.Time) {
	a.Remove(e)
	a.puts++
	e.at, e.put = at, a.puts
	if a.last != nil && a.others.before(e, a.last) {
		heap.Push(&a.others, e)
		return
	}
	e.place, e.prev, a.last = inLine, a.last, e
	if e.prev != nil {
		e.prev.next = e
	} else {
		a.first = e
	}
}

// Remove takes e off, if it is on.
func (a *Agenda[T]) Remove(e *Entry[T]) {
	switch e.place {
	case nowhere:
		return
	case inLine:
		if e.prev != nil {
			e.prev.next = e.next
		} else {
			a.first = e.next
		}
		if e.next != nil {
			e.next.prev = e.prev
		} else {
			a.last = e.prev
		}
		e.prev, e.next = nil, nil
	default:
		heap.Remove(&a.others, e.place-1)
	}
	e.place = nowhere
}

// Earlier returns the earlier of two times.
func Earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// others are the entries that were put out of order, a heap.Interface.
type others[T any] struct {
	heap     []*Entry[T]
	compared int // how often, for tests: what all else depends on
}

// before tells whether e is due before f.
func (o *others[T]) before(e, f *Entry[T]) bool {
	o.compared++
	c := e.at.Compare(f.at)
	return c < 0 || c == 0 && e.put < f.put
}

func (o *others[T]) Len() int           { return len(o.heap) }
func (o *others[T]) Less(i, j int) bool { return o.before(o.heap[i], o.heap[j]) }

func (o *others[T]) Swap(i, j int) {
	o.heap[i], o.heap[j] = o.heap[j], o.heap[i]
	o.heap[i].place, o.heap[j].place = i+1, j+1
}

func (o *others[T]) Push(e any) {
	o.heap = append(o.heap, e.(*Entry[T]))
	o.heap[len(o.heap)-1].place = len(o.heap)
}

func (o *others[T]) Pop() any {
	last := len(o.heap) - 1
	e := o.heap[last]
	o.heap[last] = nil
	o.heap = o.heap[:last]
	return e
}

// due appends what is due of the entry at i and those below it.
func (o *others[T]) due(i int, now time.Time, due []T) []T {
	if i >= len(o.heap) || o.heap[i].at.After(now) {
		return due
	}
	due = append(due, o.heap[i].Item)
	return o.due(2*i+2, now, o.due(2*i+1, now, due))
}
