package sqsserver

import "time"

// Departure is why a message is no longer on a queue.
type Departure string

// The ways a message leaves a queue.
const (
	Deleted      Departure = "deleted"
	DeadLettered Departure = "dead-lettered"
	Expired      Departure = "expired"
	Purged       Departure = "purged"
	Redriven     Departure = "redriven" // by a move task
)

// record is what tests may still ask about a message when it has gone.
type record struct {
	message  *message // nil when gone
	content  *content
	sent     time.Time
	receives int
}

// history is a queue's memory for tests.
type history struct {
	off     bool
	records map[string]*record // by message id
	deleted []Deletion
	left    map[Departure]int
}

// Deletion is one message that was deleted, and when.
type Deletion struct {
	ID   string
	At   time.Time
	Body string
}

func (h *history) entered(m *message) {
	if h.off {
		return
	}
	if h.records == nil {
		h.records = make(map[string]*record)
		h.left = make(map[Departure]int)
	}
	// The same id enters twice when a dead-letter queue is the message's own.
	r := h.records[m.id]
	if r == nil {
		r = &record{content: m.content, sent: m.enqueued}
		h.records[m.id] = r
	}
	r.message = m
}

func (h *history) received(m *message) {
	if r := h.records[m.id]; r != nil {
		r.receives++
	}
}

func (h *history) departed(m *message, why Departure) {
	if h.off {
		return
	}
	h.left[why]++
	if r := h.records[m.id]; r != nil && r.message == m {
		r.message = nil
	}
}

func (h *history) removed(m *message, now time.Time) {
	h.departed(m, Deleted)
	if !h.off {
		h.deleted = append(h.deleted, Deletion{ID: m.id, At: now, Body: m.body})
	}
}

func (h *history) expired(m *message, _ time.Time) { h.departed(m, Expired) }
func (h *history) purged(m *message, _ time.Time)  { h.departed(m, Purged) }
