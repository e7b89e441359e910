package sqsserver

import "time"

// deleteMessage is DeleteMessage.
type deleteMessage struct {
	QueueURL      string `json:"QueueUrl"`
	ReceiptHandle *string
}

func (r *deleteMessage) target() string { return r.QueueURL }
func (r *deleteMessage) entries() int   { return 1 }

func (r *deleteMessage) serve(s *Server, c *call, _ *jsonWriter) error {
	now := time.Now()
	s.lock()
	defer s.unlock()
	q, err := s.open(c, r.QueueURL, now)
	if err != nil {
		return err
	}
	if err := q.delete(r.ReceiptHandle, now); err != nil {
		return err
	}
	return nil
}

// deleteMessageBatch is DeleteMessageBatch.
type deleteMessageBatch struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []deleteEntry
}

type deleteEntry struct {
	ID            string `json:"Id"`
	ReceiptHandle *string
}

func (r *deleteMessageBatch) target() string { return r.QueueURL }
func (r *deleteMessageBatch) entries() int   { return len(r.Entries) }

func (r *deleteMessageBatch) serve(s *Server, c *call, w *jsonWriter) error {
	now := time.Now()
	s.lock()
	defer s.unlock()
	q, err := s.open(c, r.QueueURL, now)
	if err != nil {
		return err
	}
	if err := checkBatch(len(r.Entries), "DeleteMessageBatchRequestEntry", func(i int) string { return r.Entries[i].ID }); err != nil {
		return err
	}
	out := newBatchResult(len(r.Entries))
	for _, e := range r.Entries {
		fail := s.faults.entry(c.action, c.name)
		if fail == nil {
			fail = q.delete(e.ReceiptHandle, now)
		}
		out.add(e.ID, fail, nil)
	}
	out.write(w)
	return nil
}

// delete deletes the message of a handle. A handle that is not the newest, or
// whose message has gone, succeeds on a standard queue and deletes nothing. A
// FIFO queue refuses one whose hold has ended.
func (q *queue) delete(handle *string, now time.Time) *Error {
	if handle == nil || *handle == "" {
		return errMissing.with("The request must contain the parameter ReceiptHandle.")
	}
	m, newest, err := q.byReceipt(*handle)
	switch {
	case err != nil:
		return err
	case m == nil:
		return nil
	case q.settings.fifo && (!newest || m.state != inFlight):
		return expiredHandle(*handle)
	case !newest:
		return nil
	}
	q.history.removed(m, now)
	if m.haunting == chosen {
		m.haunting = returned
		m.receipt = 0 // the old handle is worth nothing any more
		q.history.entered(m)
		q.show(m)
		return nil
	}
	q.drop(m)
	return nil
}

func expiredHandle(handle string) *Error {
	return errParameter.with("Value %s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.", handle)
}
