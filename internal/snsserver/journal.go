package snsserver

import (
	"fmt"
	"strings"
	"time"
)

// Status is what has become of a delivery.
type Status string

// What becomes of a message on its way to a queue.
const (
	// Underway: it is tried again, or waits behind an earlier message of its group.
	Underway Status = "underway"
	// Delivered: it is in the queue.
	Delivered Status = "delivered"
	// Filtered: the subscription's filter policy does not let it pass.
	Filtered Status = "filtered"
	// Unconfirmed: the subscription is not confirmed.
	Unconfirmed Status = "unconfirmed"
	// DeadLettered: it is in the subscription's dead-letter queue.
	DeadLettered Status = "dead-lettered"
	// Lost: it is nowhere.
	Lost Status = "lost"
)

// Delivery is a copy of what is known of a message's way to one queue.
type Delivery struct {
	Topic, Subscription, Queue string // ARNs
	MessageID                  string
	// Type is Notification, or SubscriptionConfirmation for what SNS itself sends.
	Type   string
	Raw    bool
	Status Status
	// Why tells people what decided: the key that a filter did not find, the
	// statements of a policy that do not fit, the error of the last try.
	Why string
	// Tries is how often SNS tried to send it to the queue.
	Tries int
	// DeadLetterQueue is the ARN of the queue it was, or should have been, sent to
	// instead.
	DeadLetterQueue string
	At              time.Time // when it was published
	Settled         time.Time // when Status came to be
}

// Publication is a copy of a message that a topic has accepted.
type Publication struct {
	Topic      string // ARN
	MessageID  string
	Body       string // that for SQS, where the publisher gave several
	Subject    string
	Attributes map[string]Attribute
	Group      string
	// Dedup and Sequence are of FIFO topics. Repeat: it was not delivered, since it
	// repeats the message of that id.
	Dedup, Sequence string
	Repeat          bool
	At              time.Time
}

// maxPublished bounds the bodies that a journal keeps, in bytes.
const maxPublished = 64 << 20

// journal is what a server remembers for tests.
type journal struct {
	deliveries ring[*Delivery]
	published  ring[Publication]
	bytes      int // of published
}

func newJournal(limit int) journal {
	return journal{deliveries: ring[*Delivery]{limit: limit}, published: ring[Publication]{limit: limit}}
}

func (j *journal) publish(m *message, repeat bool) {
	if j.published.limit <= 0 {
		return
	}
	if j.bytes += len(m.body); j.bytes > maxPublished {
		j.published.items, j.bytes = nil, len(m.body)
	}
	p := Publication{
		Topic: m.topic.arn.String(), MessageID: m.id, Body: m.body, Subject: m.subject,
		Group: m.group, Dedup: m.dedup, Sequence: m.sequence, Repeat: repeat, At: m.at,
	}
	if len(m.attributes) > 0 {
		p.Attributes = make(map[string]Attribute, len(m.attributes))
		for i := range m.attributes {
			a := &m.attributes[i]
			p.Attributes[a.name] = Attribute{Type: a.dataType, Text: a.text, Binary: a.binary}
		}
	}
	j.published.add(p)
}

// Deliveries returns the deliveries of a topic's messages that are remembered,
// oldest first; topicARN "" stands for all topics.
func (s *Server) Deliveries(topicARN string) []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Delivery
	for _, d := range s.journal.deliveries.kept() {
		if topicARN == "" || d.Topic == topicARN {
			out = append(out, *d)
		}
	}
	return out
}

// Published returns the messages that a topic has accepted and that are
// remembered, oldest first; topicARN "" stands for all topics. The journal keeps
// up to 64 MiB of bodies; when they are more it starts anew.
func (s *Server) Published(topicARN string) []Publication {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Publication
	for _, p := range s.journal.published.kept() {
		if topicARN == "" || p.Topic == topicARN {
			out = append(out, p)
		}
	}
	return out
}

// Why tells people what became of a message on its way to a queue.
func (s *Server) Why(messageID, queueARN string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var told []string
	for _, d := range s.journal.deliveries.kept() {
		if d.MessageID == messageID && d.Queue == queueARN {
			told = append(told, d.String())
		}
	}
	if told != nil {
		return strings.Join(told, "\n")
	}
	for _, p := range s.journal.published.kept() {
		if p.MessageID == messageID {
			return fmt.Sprintf("%s has no subscription of %s when %s was published", p.Topic, queueARN, messageID)
		}
	}
	return "no message " + messageID + " is remembered"
}

// String tells the delivery in one line.
func (d *Delivery) String() string {
	s := string(d.Status)
	switch d.Status {
	case DeadLettered:
		s += " to " + d.DeadLetterQueue
	case Delivered:
		if d.Tries > 1 {
			s += fmt.Sprintf(" at try %d", d.Tries)
		}
	case Underway:
		s += fmt.Sprintf(" after %d tries", d.Tries)
	}
	if d.Why != "" {
		s += ": " + d.Why
	}
	return s
}
