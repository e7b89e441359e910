package sqsserver

import "time"

// schedule is a heap of messages by a time of theirs. It knows where each
// message stands, so one that is deleted early leaves at once: a queue's memory
// is that of the messages it holds.
type schedule struct {
	items []*message
	at    func(*message) time.Time
	place func(*message) *int
}

func visibilitySchedule() schedule {
	return schedule{
		at:    func(m *message) time.Time { return m.visibleAt },
		place: func(m *message) *int { return &m.timer },
	}
}

// first is the message that is due next, or nil.
func (s *schedule) first() *message {
	if len(s.items) == 0 {
		return nil
	}
	return s.items[0]
}

func (s *schedule) add(m *message) {
	s.items = append(s.items, m)
	*s.place(m) = len(s.items) - 1
	s.up(len(s.items) - 1)
}

// remove takes m off the schedule; it does nothing when m is on none.
func (s *schedule) remove(m *message) {
	i := *s.place(m)
	if i < 0 {
		return
	}
	last := len(s.items) - 1
	s.swap(i, last)
	s.items[last] = nil
	s.items = s.items[:last]
	*s.place(m) = -1
	if i < last {
		s.fix(i)
	}
}

// moved restores the order after m's time has changed.
func (s *schedule) moved(m *message) { s.fix(*s.place(m)) }

func (s *schedule) fix(i int) {
	if !s.down(i) {
		s.up(i)
	}
}

// before orders by time, and messages of the same time by age, so that what
// comes due together comes back in the order it was sent.
func (s *schedule) before(i, j int) bool {
	a, b := s.items[i], s.items[j]
	switch c := s.at(a).Compare(s.at(b)); {
	case c != 0:
		return c < 0
	default:
		return a.serial < b.serial
	}
}

func (s *schedule) swap(i, j int) {
	s.items[i], s.items[j] = s.items[j], s.items[i]
	*s.place(s.items[i]) = i
	*s.place(s.items[j]) = j
}

func (s *schedule) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !s.before(i, parent) {
			return
		}
		s.swap(i, parent)
		i = parent
	}
}

func (s *schedule) down(i int) (moved bool) {
	for {
		child := 2*i + 1
		if child >= len(s.items) {
			return moved
		}
		if r := child + 1; r < len(s.items) && s.before(r, child) {
			child = r
		}
		if !s.before(child, i) {
			return moved
		}
		s.swap(i, child)
		i, moved = child, true
	}
}
