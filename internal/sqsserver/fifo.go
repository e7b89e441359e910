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
type fifoShelf struct {
	groups     map[string]*group
	head, tail *group // groups that have something to give
}

func newFIFOShelf() *fifoShelf { return &fifoShelf{groups: make(map[string]*group)} }

func (s *fifoShelf) enter(m *message) {
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
	s.review(g)
}

// offer gives all it can of one group before it turns to the next, as AWS does.
func (s *fifoShelf) offer(n int, take func(*message) bool) {
	for n > 0 && s.head != nil {
		g := s.head
		s.unready(g)
		for m := g.messages.head; n > 0 && m != nil && m.state == visible; {
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
	if g.inFlight > 0 || head.state != visible {
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
