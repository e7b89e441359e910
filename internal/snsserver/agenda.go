package snsserver

import (
	"container/heap"
	"time"
)

// agenda is the deliveries that wait for their next try. While it is empty there
// is neither a timer nor a goroutine.
type agenda struct {
	waiting dueHeap
	timer   *time.Timer
	serial  uint64
}

// dueHeap orders deliveries by when they are due, and those due together by when
// they were put off.
type dueHeap []*delivery

// Len implements sort.Interface.
func (h *dueHeap) Len() int { return len(*h) }

// Less implements sort.Interface.
func (h *dueHeap) Less(i, j int) bool {
	a, b := (*h)[i], (*h)[j]
	if c := a.due.Compare(b.due); c != 0 {
		return c < 0
	}
	return a.serial < b.serial
}

// Swap implements sort.Interface.
func (h *dueHeap) Swap(i, j int) { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) { *h = append(*h, x.(*delivery)) }

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return d
}

// putOff has a delivery tried when it is due.
func (s *Server) putOff(d *delivery, due time.Time) {
	s.agenda.serial++
	d.due, d.serial = due, s.agenda.serial
	heap.Push(&s.agenda.waiting, d)
	if s.agenda.waiting[0] == d {
		s.wake(time.Until(due))
	}
}

// wake sets the timer.
func (s *Server) wake(in time.Duration) {
	if s.agenda.timer == nil {
		s.agenda.timer = time.AfterFunc(in, s.work)
		return
	}
	s.agenda.timer.Reset(in)
}

// work tries what has become due.
func (s *Server) work() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for len(s.agenda.waiting) > 0 && !s.agenda.waiting[0].due.After(now) {
		s.run(heap.Pop(&s.agenda.waiting).(*delivery), now)
	}
	if len(s.agenda.waiting) == 0 {
		s.agenda.timer = nil // the next one may belong to another synctest bubble
		return
	}
	s.wake(time.Until(s.agenda.waiting[0].due))
}
