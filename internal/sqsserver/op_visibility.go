package sqsserver

import "time"

// changeVisibility is ChangeMessageVisibility.
type changeVisibility struct {
	QueueURL          string `json:"QueueUrl"`
	ReceiptHandle     *string
	VisibilityTimeout *int
}

func (r *changeVisibility) target() string { return r.QueueURL }
func (r *changeVisibility) entries() int   { return 1 }

func (r *changeVisibility) serve(s *Server, c *call, _ *jsonWriter) error {
	now := time.Now()
	s.lock()
	defer s.unlock()
	q, err := s.open(c, r.QueueURL, now)
	if err != nil {
		return err
	}
	if err := q.changeVisibility(r.ReceiptHandle, r.VisibilityTimeout, now); err != nil {
		return err
	}
	return nil
}

// changeVisibilityBatch is ChangeMessageVisibilityBatch.
type changeVisibilityBatch struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []struct {
		ID                string `json:"Id"`
		ReceiptHandle     *string
		VisibilityTimeout *int
	}
}

func (r *changeVisibilityBatch) target() string { return r.QueueURL }
func (r *changeVisibilityBatch) entries() int   { return len(r.Entries) }

func (r *changeVisibilityBatch) serve(s *Server, c *call, w *jsonWriter) error {
	now := time.Now()
	s.lock()
	defer s.unlock()
	q, err := s.open(c, r.QueueURL, now)
	if err != nil {
		return err
	}
	if err := checkBatch(len(r.Entries), "ChangeMessageVisibilityBatchRequestEntry", func(i int) string { return r.Entries[i].ID }); err != nil {
		return err
	}
	out := newBatchResult(len(r.Entries))
	for _, e := range r.Entries {
		fail := s.faults.entry(c.action, c.name)
		if fail == nil {
			fail = q.changeVisibility(e.ReceiptHandle, e.VisibilityTimeout, now)
		}
		out.add(e.ID, fail, nil)
	}
	out.write(w)
	return nil
}

// changeVisibility sets the end of a message's hold, counted from now. The end
// may not lie beyond twelve hours from the receive; more is refused, not cut.
func (q *queue) changeVisibility(handle *string, timeout *int, now time.Time) *Error {
	if handle == nil || *handle == "" {
		return errMissing.with("The request must contain the parameter ReceiptHandle.")
	}
	if timeout == nil {
		return errMissing.with("The request must contain the parameter VisibilityTimeout.")
	}
	hold, err := visibility(*timeout)
	if err != nil {
		return err
	}
	m, newest, err := q.byReceipt(*handle)
	switch {
	case err != nil:
		return err
	case q.settings.fifo && m != nil && (!newest || m.state != inFlight):
		return expiredHandle(*handle)
	case m == nil || !newest:
		return errParameter.with("Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", *handle)
	case m.state != inFlight:
		return errNotInflight
	case now.Add(hold).After(m.received.Add(maxHold)):
		return errParameter.with("Value %d for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds]", *timeout)
	}
	m.changed = true
	if hold == 0 {
		q.show(m)
		return nil
	}
	q.hide(m, now.Add(hold))
	q.touch()
	return nil
}
