package snsserver

import (
	"errors"
	"math"
	"time"
)

// delivery is a message on its way to a queue.
type delivery struct {
	msg    *message
	sub    *subscription
	record *Delivery
	out    QueueMessage
	due    time.Time // while it waits
	serial uint64    // its place among those due at the same time
	late   *strike   // what befalls the next try, once its delay is over
}

// lane is a group of a FIFO topic on its way to a queue: while its head is not
// through, what comes after waits here.
type lane struct{ behind []*delivery }

// tries is how often a delivery is tried at most (AWS, "Message delivery
// retries"): 3 times without delay, 2 after 1 s, 10 with a backoff from 1 s to
// 20 s, 100,000 every 20 s.
const (
	immediateTries = 3
	secondTries    = 2
	backoffTries   = 10
	steadyTries    = 100_000
	maxTries       = immediateTries + secondTries + backoffTries + steadyTries
)

// pause is how long the next try waits after so many; more is false when there is
// none.
func pause(tries int) (wait time.Duration, more bool) {
	const first, last = time.Second, 20 * time.Second
	switch n := tries - immediateTries; {
	case tries >= maxTries:
		return 0, false
	case n < 0:
		return 0, true
	case n < secondTries:
		return first, true
	case n < secondTries+backoffTries:
		step := float64(n-secondTries) / (backoffTries - 1)
		return time.Duration(float64(first) * math.Pow(float64(last/first), step)).Round(time.Millisecond), true
	}
	return last, true
}

// deliver sends a message to a subscription, or notes why it does not. The caller
// holds the lock.
func (s *Server) deliver(m *message, sub *subscription, now time.Time) {
	record := &Delivery{
		Topic: m.topic.arn.String(), MessageID: m.id, Subscription: sub.arn, Queue: sub.endpoint,
		Type: m.typ, Raw: sub.raw && m.token == "", At: now, Settled: now,
	}
	s.journal.deliveries.add(record)
	switch {
	case sub.pending && m.token == "":
		record.Status = Unconfirmed
		record.Why = "the subscription waits for its confirmation, which was sent to the queue"
		return
	case sub.filter != nil && m.token == "":
		if miss := sub.filter.match(m.fields(sub.filter.scope)); miss != "" {
			record.Status, record.Why = Filtered, "the filter policy ("+sub.filter.scope+"): "+miss
			return
		}
	}
	record.Status = Underway
	d := &delivery{msg: m, sub: sub, record: record, out: s.prepare(m, sub)}
	if m.topic.settings.fifo && m.token == "" {
		if l := sub.lanes[m.group]; l != nil {
			record.Why = "an earlier message of the group is not through"
			l.behind = append(l.behind, d)
			return
		}
		if sub.lanes == nil {
			sub.lanes = make(map[string]*lane)
		}
		sub.lanes[m.group] = &lane{}
	}
	s.run(d, now)
}

// prepare makes the message for the queue.
func (s *Server) prepare(m *message, sub *subscription) QueueMessage {
	out := QueueMessage{Body: m.body, TraceHeader: m.trace, Sender: senderID}
	switch {
	case !sub.raw || m.token != "":
		out.Body = s.envelope(m, sub)
	case len(m.attributes) > 0:
		out.Attributes = make(map[string]Attribute, len(m.attributes))
		for i := range m.attributes {
			a := &m.attributes[i]
			out.Attributes[a.name] = Attribute{Type: a.dataType, Text: a.text, Binary: a.binary}
		}
	}
	switch fifoQueue := isFIFO(sub.endpoint); {
	case fifoQueue && m.token != "":
		out.Group, out.Dedup = m.id, m.id
	case fifoQueue:
		out.Group, out.Dedup = m.group, m.dedup
	case !m.topic.settings.fifo: // for fair queues
		out.Group = m.group
	}
	return out
}

// run tries a delivery, and once it is through those that waited behind it.
func (s *Server) run(d *delivery, now time.Time) {
	for d != nil && s.settle(d, now) {
		l := d.sub.lanes[d.msg.group]
		switch {
		case l == nil || d.msg.token != "":
			return
		case len(l.behind) == 0:
			delete(d.sub.lanes, d.msg.group)
			return
		}
		d, l.behind = l.behind[0], l.behind[1:]
	}
}

// settle tries a delivery until it has come to an end, or has to wait.
func (s *Server) settle(d *delivery, now time.Time) (settled bool) {
	r := d.record
	end := func(status Status, why string) bool {
		r.Status, r.Why, r.Settled = status, why, now
		return true
	}
	for {
		if d.sub.gone {
			return end(Lost, "the subscription ended while the message was on its way")
		}
		hit := d.late
		if d.late = nil; hit == nil {
			struck := s.faults.strikeAt(Deliver, d.msg.topic.name, d.sub.queue.resource)
			if hit = &struck; hit.delay > 0 {
				d.late = hit
				r.Why = "a Delay holds it back"
				s.putOff(d, now.Add(hit.delay))
				return false
			}
		}
		r.Tries++
		err := hit.fail
		if err == nil {
			err = s.send(d, d.sub.endpoint)
		}
		if err == nil && hit.drop {
			err = errReset
		}
		if err == nil {
			return end(Delivered, "")
		}
		wait, more := pause(r.Tries)
		if isClientSide(err) || !more {
			status, why := s.giveUp(d, err)
			return end(status, why)
		}
		if wait > 0 {
			r.Why = "tried again after: " + err.Error()
			s.putOff(d, now.Add(wait))
			return false
		}
	}
}

// isClientSide tells errors that AWS does not try again: a queue that is gone or
// refuses, a message it does not take.
func isClientSide(err error) bool {
	var refusal *RefusedError
	if errors.As(err, &refusal) {
		return true
	}
	var fault *Error
	return errors.As(err, &fault) && !fault.Receiver
}

// send gives a message to a queue, if the queue lets SNS.
func (s *Server) send(d *delivery, queueARN string) error {
	if n := len(d.out.Attributes); n > maxSQSAttributes {
		return &RefusedError{"InvalidParameterValue", "raw delivery of a message with more than 10 attributes: SQS takes no more"}
	}
	if err := s.admit(d.sub, queueARN); err != nil {
		return err
	}
	return s.queues.Send(queueARN, d.out)
}

// giveUp sends a message to the subscription's dead-letter queue, or loses it.
func (s *Server) giveUp(d *delivery, cause error) (Status, string) {
	why := cause.Error()
	if d.sub.deadLetter == "" {
		return Lost, why + " (the subscription has no RedrivePolicy)"
	}
	d.record.DeadLetterQueue = d.sub.deadLetter
	if len(d.out.Attributes) > maxSQSAttributes {
		// The dead-letter queue takes no more attributes than the queue does, an
		// envelope any number.
		d.out.Body, d.out.Attributes = s.envelope(d.msg, d.sub), nil
	}
	if err := s.send(d, d.sub.deadLetter); err != nil {
		return Lost, why + "; the dead-letter queue: " + err.Error()
	}
	return DeadLettered, why
}
