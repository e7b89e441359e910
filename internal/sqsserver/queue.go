package sqsserver

import (
	"fmt"
	"time"
)

// maxHold is the longest a message may be in flight after one receive.
const maxHold = 12 * time.Hour

// queue is one queue and the life cycle of its messages. All of it is guarded
// by Server.mu.
type queue struct {
	server *Server
	key    queueKey
	arn    string
	serial uint64

	settings settings
	tags     map[string]string
	created  time.Time
	modified time.Time
	purged   time.Time

	policySet    time.Time // when the policy was set that took the place of policyBefore
	policyBefore string

	messages map[uint64]*message // by serial
	shelf    shelf
	timers   schedule // delayed and in flight, by visibleAt
	ages     ages     // all, by enqueued

	delayed     int
	inFlight    int
	maxInFlight int

	sequence uint64                        // FIFO: last sequence number
	dedup    remembered[sentBefore]        // FIFO: what was sent
	attempts remembered[[]receivedReceipt] // FIFO: what ReceiveRequestAttemptId brought

	moves []*moveTask // of this queue as the source, oldest first

	waiters waiterList
	alarm   *time.Timer // armed while waiters wait for a timer
	alarmAt time.Time
	dirty   bool // on Server.dirty

	history history
}

func newQueue(s *Server, key queueKey, set settings, now time.Time) *queue {
	q := &queue{
		server:   s,
		key:      key,
		arn:      key.arn(),
		serial:   s.nextSerial(),
		settings: set,
		created:  now,
		modified: now,
		messages: make(map[uint64]*message),
		timers:   visibilitySchedule(),
		ages:     newAges(),
		shelf:    &standardShelf{},
		history:  history{off: s.cfg.NoHistory},
	}
	if set.policy != "" {
		q.policySet = now
	}
	if set.fifo {
		q.shelf = newFIFOShelf(s.cfg.InFlightLimit)
	}
	return q
}

// visible is how many messages could be received now, locked groups aside.
func (q *queue) visible() int { return len(q.messages) - q.delayed - q.inFlight }

// touch has the queue's waiters looked at before the lock is left.
func (q *queue) touch() {
	if !q.dirty {
		q.dirty = true
		q.server.dirty = append(q.server.dirty, q)
	}
}

// advance does what has become due: delays and visibility that ended, messages
// whose retention is over. Every call on a queue begins with it.
func (q *queue) advance(now time.Time) {
	for m := q.timers.first(); m != nil && !m.visibleAt.After(now); m = q.timers.first() {
		q.show(m)
	}
	for m := q.ages.oldest(); m != nil && !m.enqueued.Add(q.settings.retention).After(now); m = q.ages.oldest() {
		q.history.expired(m, now)
		q.drop(m)
	}
}

// enter puts a content on the queue, hidden for delay.
func (q *queue) enter(m *message, delay time.Duration, now time.Time) {
	m.serial = q.server.nextSerial()
	m.timer = -1
	m.state = visible
	if q.settings.fifo {
		q.sequence++
		m.sequence = fmt.Sprintf("1%019d", q.sequence*256)
	}
	if delay > 0 {
		m.state = delayed
		m.visibleAt = now.Add(delay)
		q.timers.add(m)
		q.delayed++
	}
	q.messages[m.serial] = m
	q.ages.add(m)
	q.shelf.enter(m)
	q.history.entered(m)
	q.touch()
}

// hide makes m in flight until the given time.
func (q *queue) hide(m *message, until time.Time) {
	m.visibleAt = until
	if m.state == inFlight {
		q.timers.moved(m)
		return
	}
	from := m.state
	m.state = inFlight
	q.timers.add(m)
	q.inFlight++
	q.maxInFlight = max(q.maxInFlight, q.inFlight)
	q.shelf.changed(m, from)
}

// show makes a delayed message or one in flight visible.
func (q *queue) show(m *message) {
	from := m.state
	switch from {
	case delayed:
		q.delayed--
	case inFlight:
		q.inFlight--
	case visible, gone:
		return
	}
	q.timers.remove(m)
	m.state = visible
	q.shelf.changed(m, from)
	q.touch()
}

// drop takes m off the queue.
func (q *queue) drop(m *message) {
	switch m.state {
	case delayed:
		q.delayed--
	case inFlight:
		q.inFlight--
	case visible, gone:
	}
	q.timers.remove(m)
	q.ages.remove(m)
	q.shelf.leave(m)
	m.state = gone
	delete(q.messages, m.serial)
	q.touch() // a group may be free now, or a place below the in-flight limit
}

// clear drops all messages.
func (q *queue) clear(now time.Time) {
	for m := q.ages.oldest(); m != nil; m = q.ages.oldest() {
		q.history.purged(m, now)
		q.drop(m)
	}
}

// byReceipt finds the message of a handle. The message is nil where it has left
// the queue; newest is false where it was received again since.
func (q *queue) byReceipt(handle string) (m *message, newest bool, err *Error) {
	r, ok := parseReceipt(handle)
	if !ok || r.queue != q.serial {
		return nil, false, errReceiptHandle.with("The input receipt handle %q is not a valid receipt handle.", handle)
	}
	m = q.messages[r.message]
	return m, m != nil && m.receipt == r.receive, nil
}
