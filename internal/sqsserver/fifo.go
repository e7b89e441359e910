package sqsserver

import "time"

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

// echo does nothing: a FIFO queue never has two receives of a message at once.
func (s *fifoShelf) echo(*message) {}

// review puts a group among the ready or takes it away, after any change to it.
func (s *fifoShelf) review(g *group) {
	head := g.messages.head
	if head == nil {
		s.unready(g)
		delete(s.groups, g.id)
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

// dedupInterval is for how long FIFO queues remember deduplication ids and
// receive attempts. AWS does not let one change it.
const dedupInterval = 5 * time.Minute

// remembered is a map whose entries end dedupInterval after they were made. The
// order of making is the order of ending, so forgetting is taking from a queue.
type remembered[V any] struct {
	entries map[string]memory[V]
	order   []memoryEnd
}

type memory[V any] struct {
	value V
	end   time.Time
}

type memoryEnd struct {
	key string
	end time.Time
}

func (r *remembered[V]) get(key string, now time.Time) (V, bool) {
	r.forget(now)
	m, ok := r.entries[key]
	return m.value, ok
}

func (r *remembered[V]) put(key string, value V, now time.Time) {
	r.forget(now)
	if r.entries == nil {
		r.entries = make(map[string]memory[V])
	}
	end := now.Add(dedupInterval)
	r.entries[key] = memory[V]{value, end}
	r.order = append(r.order, memoryEnd{key, end})
}

func (r *remembered[V]) drop(key string) { delete(r.entries, key) }

func (r *remembered[V]) forget(now time.Time) {
	n := 0
	for n < len(r.order) && !r.order[n].end.After(now) {
		// A key that was put again since lives on under its later end.
		if m, ok := r.entries[r.order[n].key]; ok && m.end.Equal(r.order[n].end) {
			delete(r.entries, r.order[n].key)
		}
		n++
	}
	r.order = r.order[n:]
}
