package sqsserver

import "time"

// content is what the sender gave. It never changes, so replies and views may
// read it without the lock, and a move to another queue shares it.
type content struct {
	id         string
	body       string
	bodyMD5    string
	attributes []attribute // sorted by name
	trace      string      // AWSTraceHeader
	sender     string      // SenderId
	group      string
	dedup      string // FIFO only
}

// state is where a message is in its life on a queue.
type state uint8

const (
	delayed  state = iota // sent, not yet due
	visible               // may be received
	inFlight              // received, hidden until visibleAt
	gone                  // not on this queue any more
)

// haunting is the course of the Ghost fault: a message is chosen for it once, and
// comes back once.
type haunting uint8

const (
	mortal   haunting = iota
	chosen            // comes back after its delete
	returned          // has come back
)

// message is a content on a queue.
type message struct {
	*content
	serial   uint64
	sequence string // FIFO only

	// enqueued is where retention counts from. A standard dead-letter queue
	// keeps that of the source queue.
	enqueued      time.Time
	deadLetterOf  string    // ARN of the queue it was moved from
	firstReceived time.Time // zero before
	received      time.Time // newest receive: the twelve hours count from here

	receives     int    // on all queues: ApproximateReceiveCount
	receivesHere int    // on this queue: what maxReceiveCount is compared with
	receipt      uint64 // serial of the newest receive, 0 before the first

	state     state
	visibleAt time.Time // end of delay or of visibility
	changed   bool      // visibility was changed since the newest receive
	haunting  haunting  // whether it comes back after its delete (a fault)

	timer          int      // place in queue.timers, -1 when in none
	older, younger *message // in queue.ages
	late           int      // place on the heap of queue.ages, -1 when in the list

	next, prev    *message // on its shelf, or in its group
	ahead, behind *message // FIFO: by age, through all groups
	shelved       bool
}

// messageList is a doubly linked list through the messages themselves.
type messageList struct{ head, tail *message }

func (l *messageList) append(m *message) {
	m.prev, m.next = l.tail, nil
	if l.tail != nil {
		l.tail.next = m
	} else {
		l.head = m
	}
	l.tail = m
	m.shelved = true
}

func (l *messageList) prepend(m *message) {
	m.prev, m.next = nil, l.head
	if l.head != nil {
		l.head.prev = m
	} else {
		l.tail = m
	}
	l.head = m
	m.shelved = true
}

func (l *messageList) remove(m *message) {
	if !m.shelved {
		return
	}
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		l.head = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	} else {
		l.tail = m.prev
	}
	m.next, m.prev, m.shelved = nil, nil, false
}
