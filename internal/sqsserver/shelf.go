package sqsserver

// shelf decides which messages of a queue may be received next. A queue tells
// it each change of a message's state; it never searches.
type shelf interface {
	// enter takes up a message new to the queue, whatever its state.
	enter(m *message)
	// changed is told after a message went from one state to another.
	changed(m *message, from state)
	// leave forgets a message that is no longer on the queue; m.state is still
	// the one it left in.
	leave(m *message)
	// offer hands messages to take, in order, until n were taken or none is
	// left. take returns false for a message that left the queue instead.
	offer(n int, take func(*message) bool)
	// putBack returns a message that offer handed out, and that stays as it was, to
	// the place it was taken from.
	putBack(m *message)
	// echo makes a message that is in flight available once more.
	echo(m *message)
}

// standardShelf serves what became visible first, first. AWS promises no order
// on standard queues; this one is the same in every run.
type standardShelf struct{ ready messageList }

func (s *standardShelf) enter(m *message) {
	if m.state == visible {
		s.ready.append(m)
	}
}

func (s *standardShelf) changed(m *message, _ state) {
	switch {
	case m.state == visible && !m.shelved:
		s.ready.append(m)
	case m.state == inFlight:
		s.ready.remove(m)
	}
}

func (s *standardShelf) leave(m *message) { s.ready.remove(m) }

func (s *standardShelf) offer(n int, take func(*message) bool) {
	for n > 0 && s.ready.head != nil {
		m := s.ready.head
		s.ready.remove(m)
		if take(m) {
			n--
		}
	}
}

func (s *standardShelf) putBack(m *message) { s.ready.prepend(m) }

func (s *standardShelf) echo(m *message) {
	if !m.shelved {
		s.ready.append(m)
	}
}
