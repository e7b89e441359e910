package sqsserver

import (
	"cmp"
	"slices"
	"time"
)

// Depth is a queue's counts, exact where AWS's are approximate.
type Depth struct{ Visible, InFlight, Delayed int }

// State is where a message is.
type State string

// The states of a message that is on a queue.
const (
	StateVisible  State = "visible"
	StateInFlight State = "in flight"
	StateDelayed  State = "delayed"
)

func (s state) view() State {
	switch s {
	case delayed:
		return StateDelayed
	case inFlight:
		return StateInFlight
	default:
		return StateVisible
	}
}

// MessageView is a copy of a message on a queue.
type MessageView struct {
	ID         string
	Body       string
	Attributes map[string]Attribute
	Group      string
	Dedup      string
	// ReceiveCount is ApproximateReceiveCount: over all queues it was on.
	ReceiveCount int
	State        State
	// VisibleAt is when the delay or the hold ends; zero for a visible message.
	VisibleAt       time.Time
	SentAt          time.Time
	FirstReceivedAt time.Time
	// DeadLetterSource is the ARN of the queue it was dead-lettered from.
	DeadLetterSource string
}

// QueueView is a copy of a queue.
type QueueView struct {
	ARN         string
	Name        string
	Depth       Depth
	MaxInFlight int
	Left        map[Departure]int // how many messages left it, and why
	Polls       int               // long polls that wait now
}

// at runs f with the queue of an ARN as it is now. It is false without one.
func (s *Server) at(arn string, f func(q *queue)) bool {
	s.lock()
	defer s.unlock()
	q := s.byARN(arn)
	if q == nil {
		return false
	}
	q.advance(time.Now())
	f(q)
	return true
}

func (q *queue) depth() Depth {
	return Depth{Visible: q.visible(), InFlight: q.inFlight, Delayed: q.delayed}
}

// Queue returns a queue by its ARN.
func (s *Server) Queue(arn string) (v QueueView, ok bool) {
	ok = s.at(arn, func(q *queue) { v = q.view() })
	return v, ok
}

func (q *queue) view() QueueView {
	v := QueueView{
		ARN: q.arn, Name: q.key.name, Depth: q.depth(), MaxInFlight: q.maxInFlight,
		Left: make(map[Departure]int, len(q.history.left)),
	}
	for why, n := range q.history.left {
		v.Left[why] = n
	}
	for w := q.waiters.head; w != nil; w = w.next {
		v.Polls++
	}
	return v
}

// Queues returns all queues by ARN, sorted.
func (s *Server) Queues() []QueueView {
	s.lock()
	defer s.unlock()
	now := time.Now()
	views := make([]QueueView, 0, len(s.queues))
	for _, q := range s.queues {
		q.advance(now)
		views = append(views, q.view())
	}
	slices.SortFunc(views, func(a, b QueueView) int { return cmp.Compare(a.ARN, b.ARN) })
	return views
}

// Messages returns the messages of a queue in the order they entered it.
func (s *Server) Messages(arn string) []MessageView {
	var views []MessageView
	s.at(arn, func(q *queue) {
		all := make([]*message, 0, len(q.messages))
		for _, m := range q.messages {
			all = append(all, m)
		}
		slices.SortFunc(all, func(a, b *message) int { return cmp.Compare(a.serial, b.serial) })
		views = make([]MessageView, len(all))
		for i, m := range all {
			views[i] = m.view()
		}
	})
	return views
}

// Message returns a message that is on the queue.
func (s *Server) Message(arn, id string) (v MessageView, ok bool) {
	s.at(arn, func(q *queue) {
		if r := q.history.records[id]; r != nil && r.message != nil {
			v, ok = r.message.view(), true
		}
	})
	return v, ok
}

// Receives is how often the queue has delivered a message, whether or not it is
// still there.
func (s *Server) Receives(arn, id string) (n int) {
	s.at(arn, func(q *queue) {
		if r := q.history.records[id]; r != nil {
			n = r.receives
		}
	})
	return n
}

// Deletions returns the messages deleted from a queue, in order.
func (s *Server) Deletions(arn string) (d []Deletion) {
	s.at(arn, func(q *queue) { d = slices.Clone(q.history.deleted) })
	return d
}

func (m *message) view() MessageView {
	v := MessageView{
		ID: m.id, Body: m.body, Group: m.group, Dedup: m.dedup, ReceiveCount: m.receives, State: m.state.view(),
		SentAt: m.enqueued, FirstReceivedAt: m.firstReceived, DeadLetterSource: m.deadLetterOf,
		Attributes: make(map[string]Attribute, len(m.attributes)),
	}
	if m.state != visible {
		v.VisibleAt = m.visibleAt
	}
	for _, a := range m.attributes {
		v.Attributes[a.name] = Attribute{Type: a.dataType, Text: a.text, Binary: slices.Clone(a.binary)}
	}
	return v
}
