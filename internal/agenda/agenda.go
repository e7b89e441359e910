// Package agenda keeps things in the order in which they are due.
//
// It is made for times that mostly come in order, as when each thing is due the
// same time after it came: then putting one at the end, and taking one off
// wherever it stands, cost the same however many there are. What is due out of
// turn is looked for from the front.
package agenda

import "time"

// Entry is one thing's place in an Agenda. It is a part of the thing, which Item
// points back to; set Item before the first Put. An Entry must not be copied.
type Entry[T any] struct {
	Item T

	at         time.Time
	prev, next *Entry[T]
	listed     bool
}

// At returns when the entry is due, as of the last Put.
func (e *Entry[T]) At() time.Time { return e.at }

// Next returns the entry that is due after e, nil where there is none or e is on no
// agenda.
func (e *Entry[T]) Next() *Entry[T] { return e.next }

// Agenda is a list of entries by the time they are due. The zero value is empty
// and ready. It is not safe for concurrent use.
type Agenda[T any] struct{ first, last *Entry[T] }

// First returns the entry that is due first, nil where there is none.
func (a *Agenda[T]) First() *Entry[T] { return a.first }

// Put puts e in its place for at, behind what is due at the same moment. It moves
// e where it is on the agenda already.
func (a *Agenda[T]) Put(e *Entry[T], at time.Time) {
	a.Remove(e)
	e.at, e.listed = at, true
	if a.last == nil || !at.Before(a.last.at) {
		e.prev = a.last
	} else {
		next := a.first
		for !at.Before(next.at) {
			next = next.next
		}
		e.prev, e.next = next.prev, next
	}
	if e.prev != nil {
		e.prev.next = e
	} else {
		a.first = e
	}
	if e.next != nil {
		e.next.prev = e
	} else {
		a.last = e
	}
}

// Remove takes e off, if it is on.
func (a *Agenda[T]) Remove(e *Entry[T]) {
	if !e.listed {
		return
	}
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
	e.prev, e.next, e.listed = nil, nil, false
}
