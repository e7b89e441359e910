package sqstest

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/internal/snsserver"
)

// Status is what has become of a message on its way from a topic to a queue.
type Status string

// What becomes of a delivery.
const (
	// Underway: SNS tries again, or it waits behind another of its group.
	Underway = Status(snsserver.Underway)
	// Delivered: it is in the queue.
	Delivered = Status(snsserver.Delivered)
	// Filtered: the filter policy did not let it through.
	Filtered = Status(snsserver.Filtered)
	// Unconfirmed: the subscription is not confirmed.
	Unconfirmed = Status(snsserver.Unconfirmed)
	// DeadLettered: it is in the subscription's dead-letter queue.
	DeadLettered = Status(snsserver.DeadLettered)
	// Lost: it is nowhere.
	Lost = Status(snsserver.Lost)
)

// Delivery is what is known of a message's way to one queue.
type Delivery struct {
	// Queue is the ARN of the subscribed queue.
	Queue string
	// MessageID is the id that Publish returned. A message on the queue has one of
	// its own.
	MessageID string
	Status    Status
	// Why tells people what decided: the key that a filter policy did not find, the
	// statements of an access policy that do not fit, the error of the last try.
	Why string
	// Tries is how often SNS tried to send it to the queue.
	Tries int
	// At is when it was published, Settled when Status came to be.
	At, Settled time.Time
}

// Deliveries returns the deliveries of the topic's messages, oldest first, as far
// back as LogLimit allows.
func (t *Topic) Deliveries() []Delivery {
	var out []Delivery
	for _, d := range t.server.deliveries(t.ARN) {
		out = append(out, Delivery{
			Queue: d.Queue, MessageID: d.MessageID, Status: Status(d.Status), Why: d.Why,
			Tries: d.Tries, At: d.At, Settled: d.Settled,
		})
	}
	return out
}

func (s *Server) deliveries(topicARN string) []snsserver.Delivery {
	return s.sns.Deliveries(topicARN)
}

// Why tells people what became of a published message on its way to a queue:
// whether it was delivered, what filtered it, or why the queue refused it.
func (t *Topic) Why(messageID string, q *Queue) string { return t.server.sns.Why(messageID, q.ARN) }

// Publication is a message that a topic has accepted.
type Publication struct {
	MessageID  string
	Body       string
	Subject    string
	Attributes map[string]Attribute
	Group      string
	Dedup      string
	// Repeat says that it repeats an earlier message of a FIFO topic, and was not
	// delivered.
	Repeat bool
	At     time.Time
}

// Published returns the messages that the topic has accepted, oldest first, as
// far back as LogLimit and 64 MiB of bodies allow.
func (t *Topic) Published() []Publication {
	var out []Publication
	for _, p := range t.server.sns.Published(t.ARN) {
		m := Publication{
			MessageID: p.MessageID, Body: p.Body, Subject: p.Subject, Group: p.Group, Dedup: p.Dedup,
			Repeat: p.Repeat, At: p.At, Attributes: make(map[string]Attribute, len(p.Attributes)),
		}
		for name, a := range p.Attributes {
			m.Attributes[name] = Attribute(a)
		}
		out = append(out, m)
	}
	return out
}

// dumpTopics tells of each topic and of the deliveries that did not arrive.
func (s *Server) dumpTopics(b *strings.Builder) {
	for _, t := range s.sns.Topics() {
		fmt.Fprintf(b, "topic %s: %d subscriptions\n", t.Name, len(t.Subscriptions))
		missing := 0
		for _, d := range s.deliveries(t.ARN) {
			if d.Status == snsserver.Delivered {
				continue
			}
			if missing++; missing <= dumpMessages {
				fmt.Fprintf(b, "  %s to %s: %s\n", d.MessageID, d.Queue[strings.LastIndexByte(d.Queue, ':')+1:], d.String())
			}
		}
		if missing > dumpMessages {
			fmt.Fprintf(b, "  and %d more\n", missing-dumpMessages)
		}
	}
}
