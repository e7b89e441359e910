package idempotency_test

import (
	"fmt"
	"strings"
	"time"
)

// simQueue is SQS as the protocol sees it: each receive has a handle of its own,
// counts, and hides the message; a handle that is not the newest may be accepted
// without effect; a deleted message may come once more; what was received too
// often goes to the dead-letter queue.
type simQueue struct {
	s        *sim
	messages []*simMessage
	waiting  []*simPoll
	lastID   int
}

type simMessage struct {
	id        int // a redrive changes it
	sent      time.Duration
	key       *simKey
	body      string
	receives  int
	handle    int
	visibleAt time.Duration
	received  time.Duration // when it was last
	ghost     bool          // deleted, and will come once more
	state     simFate
	dead      []string // causes of copies in the dead-letter queue
	redriven  bool     // a copy of it was moved back
	moved     bool     // it is such a copy
	// holder is whoever received it last, life the holder's at the time.
	holder *simWorker
	life   int
	// excuse says why the next receive does not burn one: what happened since the
	// last receive that the protocol cannot help. See I7.
	excuse string
}

type simFate byte

const (
	simLive simFate = iota
	simDeleted
	simDeadByQueue
)

// simPoll is a long poll that waits.
type simPoll struct {
	w     *simWorker
	life  int
	n     int
	until time.Duration
	reply func([]simDelivery)
}

// simDelivery is a message as a worker receives it.
type simDelivery struct {
	m        *simMessage
	handle   int
	receives int
}

func (q *simQueue) send(key *simKey, body string) *simMessage {
	q.lastID++
	m := &simMessage{id: q.lastID, sent: q.s.now, key: key, body: body, excuse: "sent"}
	q.messages = append(q.messages, m)
	q.s.logf("queue: m%d sent, %s %s", m.id, key.name, body)
	q.show(m, 0)
	return m
}

// show makes m visible after d.
func (q *simQueue) show(m *simMessage, d time.Duration) {
	m.visibleAt = q.s.now + d
	q.s.after(d, q.serve)
}

func (q *simQueue) receivable(m *simMessage) bool {
	return (m.state == simLive || m.ghost) && m.visibleAt <= q.s.now
}

// poll asks for up to n messages within wait.
func (q *simQueue) poll(p *simPoll) {
	q.waiting = append(q.waiting, p)
	q.serve()
	q.s.after(p.until-q.s.now, func() {
		for i, o := range q.waiting {
			if o == p {
				q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
				p.reply(nil)
				return
			}
		}
	})
}

// serve hands out what is visible to whoever waits, both drawn.
func (q *simQueue) serve() {
	s := q.s
	for len(q.waiting) > 0 {
		var visible []*simMessage
		for _, m := range q.messages {
			if q.receivable(m) {
				visible = append(visible, m)
			}
		}
		if len(visible) == 0 {
			return
		}
		i := s.r.IntN(len(q.waiting))
		p := q.waiting[i]
		q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
		s.r.Shuffle(len(visible), func(i, j int) { visible[i], visible[j] = visible[j], visible[i] })
		var got []simDelivery
		for _, m := range visible {
			if len(got) == p.n {
				break
			}
			if d, ok := q.receive(m, p); ok {
				got = append(got, d)
			}
		}
		if len(got) == 0 {
			q.waiting = append(q.waiting, p) // what it would have got went to the dead-letter queue
			continue
		}
		p.reply(got)
	}
}

func (q *simQueue) receive(m *simMessage, p *simPoll) (simDelivery, bool) {
	s := q.s
	if m.holder != nil && !m.ghost {
		q.excuseOf(m)
	}
	if m.receives >= s.plan.maxReceives && !m.ghost {
		m.state = simDeadByQueue
		m.dead = append(m.dead, "receives")
		s.count.deadByQueue++
		s.fresh++
		s.logf("queue: m%d dead-lettered by the queue after %d receives", m.id, m.receives)
		return simDelivery{}, false
	}
	m.receives++
	m.handle++
	m.excuse = ""
	m.ghost = false
	m.holder, m.life = p.w, p.life
	if p.w.frozen {
		m.excused("pause")
	}
	m.received = s.now
	q.show(m, s.plan.visibility)
	s.count.receives++
	s.logf("queue: m%d received by w%d, receive %d", m.id, p.w.id, m.receives)
	return simDelivery{m, m.handle, m.receives}, true
}

// excuseOf holds a receive after the first to I7: there must be a reason that the
// protocol cannot help, and it must have come up since the receive before.
func (q *simQueue) excuseOf(m *simMessage) {
	q.s.count.repeats++
	if m.excuse == "" && (m.holder.life != m.life || !m.holder.alive) {
		m.excuse = "crash"
	}
	if m.excuse == "" {
		q.s.violate("I7", "m%d comes again after %d receives although w%d lives and nothing happened to it", m.id, m.receives, m.holder.id)
	}
	q.s.count.reasons.add(m.excuse)
}

// excused notes why m may come again.
func (m *simMessage) excused(why string) {
	if m.excuse == "" {
		m.excuse = why
	}
}

type simAnswer byte

const (
	simDone  simAnswer = iota
	simStale           // the handle is no more: an error
	simTooLong
)

// change is ChangeMessageVisibility.
func (q *simQueue) change(m *simMessage, handle int, d time.Duration) simAnswer {
	s := q.s
	if m.handle != handle || m.visibleAt <= s.now {
		s.count.staleChanges++
		if s.chance(s.plan.staleError) {
			return simStale
		}
		return simDone // and nothing happens
	}
	if s.now+d-m.received > 12*time.Hour {
		return simTooLong
	}
	q.show(m, d)
	return simDone
}

// remove is DeleteMessage.
func (q *simQueue) remove(m *simMessage, handle int) simAnswer {
	s := q.s
	if m.handle != handle {
		s.count.staleDeletes++
		if s.chance(s.plan.staleError) {
			return simStale
		}
		return simDone // and nothing happens
	}
	if m.state != simLive {
		return simDone
	}
	s.count.deletes++
	if len(m.dead) == 0 && !m.key.wasDone(m.body) {
		s.violate("I4", "m%d (%s) was deleted: it is neither done nor dead-lettered", m.id, m.body)
	}
	m.state = simDeleted
	s.logf("queue: m%d deleted", m.id)
	if s.faulty() && s.chance(s.plan.ghosts) {
		m.ghost = true
		s.count.ghosts++
		q.show(m, s.draw(0, time.Minute))
	}
	return simDone
}

// bury puts a copy into the dead-letter queue.
func (q *simQueue) bury(m *simMessage, cause string) {
	m.dead = append(m.dead, cause)
	q.s.count.deadByUs++
	q.s.logf("queue: a copy of m%d is dead-lettered: %s", m.id, cause)
}

// redrive moves what is dead back, each copy as a message of its own. It returns
// false where nothing was.
func (q *simQueue) redrive() bool {
	moved := false
	for _, m := range q.messages {
		if m.redriven {
			continue
		}
		for range m.dead {
			n := q.send(m.key, m.body)
			n.moved = true
			q.s.count.redriven++
			q.s.fresh++
			moved = true
		}
		m.redriven = true
	}
	return moved
}

// quiet tells whether every message is settled.
func (q *simQueue) quiet() bool {
	for _, m := range q.messages {
		if m.state == simLive || m.ghost {
			return false
		}
	}
	return true
}

// left lists what is not settled.
func (q *simQueue) left() string {
	var b strings.Builder
	for _, m := range q.messages {
		if m.state == simLive || m.ghost {
			fmt.Fprintf(&b, "m%d received %d times, visible at %v; ", m.id, m.receives, m.visibleAt)
		}
	}
	return b.String()
}
