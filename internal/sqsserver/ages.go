package sqsserver

import "time"

// ages is the messages of a queue by the time their retention counts from.
//
// Messages come in that order, so a list holds them and neither a send nor a
// delete depends on the queue's depth. Only what a dead-letter queue is given may
// be older than what it has; that goes on a heap beside the list.
type ages struct {
	head, tail *message
	late       schedule
}

func newAges() ages {
	return ages{late: schedule{
		at:    func(m *message) time.Time { return m.enqueued },
		place: func(m *message) *int { return &m.late },
	}}
}

// oldest is the message whose retention ends first, or nil.
func (a *ages) oldest() *message {
	late := a.late.first()
	if late == nil || a.head != nil && a.head.enqueued.Before(late.enqueued) {
		return a.head
	}
	return late
}

func (a *ages) add(m *message) {
	m.late = -1
	if a.tail == nil {
		a.head, a.tail = m, m
		return
	}
	if m.enqueued.Before(a.tail.enqueued) {
		a.late.add(m)
		return
	}
	m.older, a.tail.younger = a.tail, m
	a.tail = m
}

func (a *ages) remove(m *message) {
	if m.late >= 0 {
		a.late.remove(m)
		return
	}
	if m.older != nil {
		m.older.younger = m.younger
	} else {
		a.head = m.younger
	}
	if m.younger != nil {
		m.younger.older = m.older
	} else {
		a.tail = m.older
	}
	m.older, m.younger = nil, nil
}
