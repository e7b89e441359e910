package sqsserver

// group is the messages of one message group, in the order they were sent.
type group struct {
	id       string
	messages messageList
	inFlight int

	next, prev *group // among the ready
	ready      bool
}

// fifoShelf serves groups in turn, and within a group in order. A group with a
// message in flight is locked: nothing of it is received until that message was
// deleted or is visible again.
//
// It looks for groups among the queue's oldest messages only, as AWS does: a
// backlog of one group hides the groups behind it ("FIFO queues: avoid having a
// large backlog of messages with the same message group ID").
type fifoShelf struct {
	groups     map[string]*group
	head, tail *group // groups that have something to give

	window int      // how many of the oldest messages are looked at
	n      int      // messages on the queue
	newest *message // the end of the list through ahead and behind
	edge   *message // the last message looked at, nil without messages
}

func newFIFOShelf(window int) *fifoShelf {
	return &fifoShelf{groups: make(map[string]*group), window: window}
}

// seen tells whether m is among the messages looked at.
func (s *fifoShelf) seen(m *message) bool { return m.serial <= s.edge.serial }

// line puts m at the end of the line.
func (s *fifoShelf) line(m *message) {
	m.ahead = s.newest
	if s.newest != nil {
		s.newest.behind = m
	}
	s.newest = m
	if s.n++; s.n <= s.window {
		s.edge = m
	}
}

// unline takes m out of the line. The one that is seen in its place, if any, may
// be the first of its group.
func (s *fifoShelf) unline(m *message) (appears *message) {
	s.n--
	if s.seen(m) {
		appears = s.edge.behind
		switch {
		case appears != nil:
			s.edge = appears
		case m == s.edge:
			s.edge = m.ahead
		}
	}
	if m.ahead != nil {
		m.ahead.behind = m.behind
	}
	if m.behind != nil {
		m.behind.ahead = m.ahead
	} else {
		s.newest = m.ahead
	}
	m.ahead, m.behind = nil, nil
	return appears
}

func (s *fifoShelf) enter(m *message) {
	s.line(m)
	g := s.groups[m.group]
	if g == nil {
		g = &group{id: m.group}
		s.groups[m.group] = g
	}
	g.messages.append(m)
	s.review(g)
}

func (s *fifoShelf) changed(m *message, from state) {
	g := s.groups[m.group]
	if from == inFlight {
		g.inFlight--
	}
	if m.state == inFlight {
		g.inFlight++
	}
	s.review(g)
}

func (s *fifoShelf) leave(m *message) {
	g := s.groups[m.group]
	if m.state == inFlight {
		g.inFlight--
	}
	g.messages.remove(m)
	appears := s.unline(m)
	s.review(g)
	if appears != nil {
		s.review(s.groups[appears.group])
	}
}

// offer gives all it can of one group before it turns to the next, as AWS does.
func (s *fifoShelf) offer(n int, take func(*message) bool) {
	for n > 0 && s.head != nil {
		g := s.head
		s.unready(g)
		for m := g.messages.head; n > 0 && m != nil && m.state == visible && s.seen(m); {
			next := m.next
			if take(m) {
				n--
			}
			m = next
		}
		s.review(g)
	}
}

// putBack does nothing: offer takes nothing from a group.
func (s *fifoShelf) putBack(*message) {}

// echo does nothing: a FIFO queue never has two receives of a message at once.
func (s *fifoShelf) echo(*message) {}

// review puts a group among the ready or takes it away, after any change to it.
func (s *fifoShelf) review(g *group) {
	head := g.messages.head
	if head == nil {
		s.unready(g)
		if s.groups[g.id] == g { // not a namesake that was begun meanwhile
			delete(s.groups, g.id)
		}
		return
	}
	if g.inFlight > 0 || head.state != visible || !s.seen(head) {
		s.unready(g)
		return
	}
	if g.ready {
		return
	}
	g.ready = true
	g.prev, g.next = s.tail, nil
	if s.tail != nil {
		s.tail.next = g
	} else {
		s.head = g
	}
	s.tail = g
}

func (s *fifoShelf) unready(g *group) {
	if !g.ready {
		return
	}
	if g.prev != nil {
		g.prev.next = g.next
	} else {
		s.head = g.next
	}
	if g.next != nil {
		g.next.prev = g.prev
	} else {
		s.tail = g.prev
	}
	g.next, g.prev, g.ready = nil, nil, false
}
