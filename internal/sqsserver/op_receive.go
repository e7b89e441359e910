package sqsserver

import "time"

// receiveMessage is ReceiveMessage.
type receiveMessage struct {
	QueueURL                    string `json:"QueueUrl"`
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
	ReceiveRequestAttemptID     string `json:"ReceiveRequestAttemptId"`
}

func (r *receiveMessage) target() string { return r.QueueURL }
func (r *receiveMessage) entries() int   { return 1 }

// receiveRequest is what a receive asks of the queue, ready for when it is a
// long poll's turn.
type receiveRequest struct {
	max        int
	visibility *time.Duration // nil: the queue's
	attempt    string         // ReceiveRequestAttemptId
}

// received is one delivery, a copy that may be read without the lock.
type received struct {
	*content
	handle        string
	sequence      string
	deadLetterOf  string
	enqueued      time.Time
	firstReceived time.Time
	receives      int
}

func (r *receiveMessage) serve(s *Server, c *call, w *jsonWriter) error {
	req, wait, err := r.check()
	system, bad := selectSystem(r.AttributeNames, r.MessageSystemAttributeNames)
	if err == nil {
		err = bad
	}
	s.log.note(c.record, func(l *Call) { l.MaxMessages, l.Wait = req.max, max(wait, 0) })

	now := time.Now()
	s.lock()
	q, missing := s.open(c, r.QueueURL, now)
	var got []received
	var waiter *waiter
	switch {
	case missing != nil:
		s.unlock()
		return missing
	case err != nil:
		s.unlock()
		return err
	case wait < 0:
		wait = q.settings.wait
		s.log.note(c.record, func(l *Call) { l.Wait = wait })
	}
	got = q.receive(req, now)
	if len(got) == 0 {
		if wait == 0 && !q.settings.fifo && q.inFlight >= s.cfg.InFlightLimit {
			s.unlock()
			return errOverLimit
		}
		if wait > 0 {
			waiter = q.park(req)
		}
	}
	s.unlock()

	if waiter != nil {
		var err error
		if got, err = s.await(c.ctx, q, waiter, wait); err != nil {
			return err
		}
	}
	s.log.note(c.record, func(l *Call) { l.Messages = len(got) })
	r.write(w, got, system)
	return nil
}

// check reads the numbers. wait is negative where the queue's own holds.
func (r *receiveMessage) check() (req *receiveRequest, wait time.Duration, err *Error) {
	req = &receiveRequest{max: 1, attempt: r.ReceiveRequestAttemptID}
	wait = -1
	if n := r.MaxNumberOfMessages; n != nil {
		req.max = *n
		if *n < 1 || *n > maxBatch {
			return req, wait, errParameter.with("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", *n)
		}
	}
	if n := r.WaitTimeSeconds; n != nil {
		if *n < 0 || *n > 20 {
			return req, wait, errParameter.with("Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.", *n)
		}
		wait = time.Duration(*n) * time.Second
	}
	if n := r.VisibilityTimeout; n != nil {
		v, err := visibility(*n)
		if err != nil {
			return req, wait, err
		}
		req.visibility = &v
	}
	if r.ReceiveRequestAttemptID != "" && !validToken(r.ReceiveRequestAttemptID) {
		return req, wait, errParameter.with("Value %s for parameter ReceiveRequestAttemptId is invalid. Reason: ReceiveRequestAttemptId can only include alphanumeric and punctuation characters. 1 to 128 in length.", r.ReceiveRequestAttemptID)
	}
	return req, wait, nil
}

// visibility reads a VisibilityTimeout.
func visibility(n int) (time.Duration, *Error) {
	if n < 0 || n > 43200 {
		return 0, errParameter.with("Value %d for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200, if provided.", n)
	}
	return time.Duration(n) * time.Second, nil
}

// receive takes up to r.max messages off the shelf and puts them in flight.
func (q *queue) receive(r *receiveRequest, now time.Time) []received {
	hold := q.settings.visibility
	if r.visibility != nil {
		hold = *r.visibility
	}
	if r.attempt != "" && q.settings.fifo {
		if again := q.again(r.attempt, hold, now); again != nil {
			return again
		}
	}
	n := min(r.max, q.server.cfg.InFlightLimit-q.inFlight)
	if n <= 0 {
		return nil
	}
	var got []received
	var echoes []*message
	q.shelf.offer(n, func(m *message) bool {
		if q.deadLetter(m, now) {
			return false
		}
		if q.strange(m) {
			echoes = append(echoes, m)
		}
		got = append(got, q.deliver(m, hold, now))
		return true
	})
	for _, m := range echoes {
		q.shelf.echo(m)
	}
	if r.attempt != "" && q.settings.fifo && len(got) > 0 {
		q.remember(r.attempt, got, now)
	}
	return got
}

// strange asks the faults about a delivery. It is true where m, not yet in
// flight, is to be delivered once more. An echo has no echo and a ghost does not
// haunt again, else a rule without an end would keep a poller busy for ever.
func (q *queue) strange(m *message) (echo bool) {
	if q.settings.fifo || m.state == inFlight {
		return false
	}
	echo, ghost := q.server.faults.delivery(q.key.name)
	if ghost && m.haunting == mortal {
		m.haunting = chosen
	}
	return echo
}

// deliver puts m in flight under a new receipt.
func (q *queue) deliver(m *message, hold time.Duration, now time.Time) received {
	m.receives++
	m.receivesHere++
	m.receipt = q.server.nextSerial()
	m.received = now
	m.changed = false
	if m.firstReceived.IsZero() {
		m.firstReceived = now
	}
	q.hide(m, now.Add(hold))
	q.history.received(m)
	return q.delivery(m)
}

func (q *queue) delivery(m *message) received {
	return received{
		content:       m.content,
		handle:        receipt{q.serial, m.serial, m.receipt}.handle(),
		sequence:      m.sequence,
		deadLetterOf:  m.deadLetterOf,
		enqueued:      m.enqueued,
		firstReceived: m.firstReceived,
		receives:      m.receives,
	}
}

// wireSize is about how long a message is in a reply: a body of JSON has its
// quotes escaped.
func (m *received) wireSize() int {
	n := 512 + len(m.body) + len(m.body)/8
	for i := range m.attributes {
		n += 128 + m.attributes[i].size()*4/3
	}
	return n
}

// write writes the messages; an empty receive has no Messages at all.
func (r *receiveMessage) write(w *jsonWriter, got []received, system systemSet) {
	if len(got) == 0 {
		return
	}
	size := 0
	for i := range got {
		size += got[i].wireSize()
	}
	w.grow(size)
	w.key("Messages")
	w.open('[')
	for i := range got {
		m := &got[i]
		w.sep()
		w.open('{')
		w.text("MessageId", m.id)
		w.text("ReceiptHandle", m.handle)
		w.text("MD5OfBody", m.bodyMD5)
		w.text("Body", m.body)
		system.write(w, m)
		writeAttributes(w, selectAttributes(m.attributes, r.MessageAttributeNames))
		w.close('}')
	}
	w.close(']')
}
