package sqstest

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/internal/sqsserver"
)

// Depth is how many messages a queue holds, exact and of this moment.
type Depth struct{ Visible, InFlight, Delayed int }

// State is where a message on a queue is: Visible, InFlight or Delayed.
type State string

// The states of a message.
const (
	Visible  = State(sqsserver.StateVisible)
	InFlight = State(sqsserver.StateInFlight)
	Delayed  = State(sqsserver.StateDelayed)
)

// Attribute is a message attribute.
type Attribute struct {
	// Type is String, Number or Binary, with an optional label ("String.email").
	Type   string
	Text   string
	Binary []byte
}

// Message is a copy of a message on a queue.
type Message struct {
	ID         string
	Body       string
	Attributes map[string]Attribute
	Group      string
	Dedup      string
	// ReceiveCount is ApproximateReceiveCount: receives on all queues it was on.
	ReceiveCount int
	State        State
	// VisibleAt is when its delay or its hold ends; zero for a visible message.
	VisibleAt       time.Time
	SentAt          time.Time
	FirstReceivedAt time.Time
	// DeadLetterSource is the ARN of the queue that dead-lettered it, "" if none.
	DeadLetterSource string
}

// Deletion is a message that was deleted.
type Deletion struct {
	ID   string
	At   time.Time
	Body string
}

// Depth counts the queue's messages; zero for a queue that was deleted.
func (q *Queue) Depth() Depth {
	v, _ := q.server.inner.Queue(q.ARN)
	return Depth(v.Depth)
}

// MaxInFlight is the most messages that were ever in flight at once.
func (q *Queue) MaxInFlight() int {
	v, _ := q.server.inner.Queue(q.ARN)
	return v.MaxInFlight
}

// Polls is how many long polls wait on the queue now.
func (q *Queue) Polls() int {
	v, _ := q.server.inner.Queue(q.ARN)
	return v.Polls
}

// Messages returns the messages on the queue in the order they came.
func (q *Queue) Messages() []Message {
	views := q.server.inner.Messages(q.ARN)
	out := make([]Message, len(views))
	for i, v := range views {
		out[i] = message(v)
	}
	return out
}

// Message returns a message on the queue by its id; ok is false when it has left.
func (q *Queue) Message(id string) (m Message, ok bool) {
	v, ok := q.server.inner.Message(q.ARN, id)
	return message(v), ok
}

// Receives is how often this queue has delivered a message, whether or not it is
// still there.
func (q *Queue) Receives(id string) int { return q.server.inner.Receives(q.ARN, id) }

// Deleted returns the ids of the messages that were deleted, in order. Messages
// that were dead-lettered by the queue, expired or were purged are not among
// them.
func (q *Queue) Deleted() []string {
	var ids []string
	for _, d := range q.server.inner.Deletions(q.ARN) {
		ids = append(ids, d.ID)
	}
	return ids
}

// Deletions is Deleted with times and bodies.
func (q *Queue) Deletions() []Deletion {
	var out []Deletion
	for _, d := range q.server.inner.Deletions(q.ARN) {
		out = append(out, Deletion(d))
	}
	return out
}

func message(v sqsserver.MessageView) Message {
	m := Message{
		ID: v.ID, Body: v.Body, Group: v.Group, Dedup: v.Dedup, ReceiveCount: v.ReceiveCount, State: State(v.State),
		VisibleAt: v.VisibleAt, SentAt: v.SentAt, FirstReceivedAt: v.FirstReceivedAt,
		DeadLetterSource: v.DeadLetterSource, Attributes: make(map[string]Attribute, len(v.Attributes)),
	}
	for name, a := range v.Attributes {
		m.Attributes[name] = Attribute(a)
	}
	return m
}

// dumpMessages and dumpBody bound a dump.
const (
	dumpMessages = 20
	dumpBody     = 60
)

// Dump returns all queues with their first messages, and all topics with what
// they could not deliver, as text for people. New's
// servers log it when their test fails.
func (s *Server) Dump() string {
	var b strings.Builder
	b.WriteString("sqstest: queues at the end of the test:\n")
	for _, q := range s.inner.Queues() {
		fmt.Fprintf(&b, "%s: %d visible, %d in flight (at most %d), %d delayed, %d polls waiting",
			q.Name, q.Depth.Visible, q.Depth.InFlight, q.MaxInFlight, q.Depth.Delayed, q.Polls)
		var left []string
		for why, n := range q.Left {
			left = append(left, fmt.Sprintf("%d %s", n, why))
		}
		sort.Strings(left)
		if len(left) > 0 {
			fmt.Fprintf(&b, "; gone: %s", strings.Join(left, ", "))
		}
		b.WriteByte('\n')
		messages := s.inner.Messages(q.ARN)
		for i, m := range messages {
			if i == dumpMessages {
				fmt.Fprintf(&b, "  and %d more\n", len(messages)-i)
				break
			}
			body := m.Body
			if len(body) > dumpBody {
				body = body[:dumpBody] + "..."
			}
			fmt.Fprintf(&b, "  %s %-9s received %d times", m.ID, m.State, m.ReceiveCount)
			if m.Group != "" {
				fmt.Fprintf(&b, " group %s", m.Group)
			}
			if !m.VisibleAt.IsZero() {
				fmt.Fprintf(&b, " visible at %s", m.VisibleAt.UTC().Format("15:04:05.000"))
			}
			fmt.Fprintf(&b, " %q\n", body)
		}
	}
	s.dumpTopics(&b)
	return b.String()
}
