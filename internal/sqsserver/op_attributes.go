package sqsserver

import "time"

// getQueueAttributes is GetQueueAttributes.
type getQueueAttributes struct {
	QueueURL       string `json:"QueueUrl"`
	AttributeNames []string
}

func (r *getQueueAttributes) target() string { return r.QueueURL }
func (r *getQueueAttributes) entries() int   { return 1 }

func (r *getQueueAttributes) serve(s *Server, c *call, w *jsonWriter) error {
	s.lock()
	defer s.unlock()
	q, err := s.open(c, r.QueueURL, time.Now())
	if err != nil {
		return err
	}
	wanted := make(map[string]bool, len(r.AttributeNames))
	for _, name := range r.AttributeNames {
		if name != "All" && attributeByName[name] == nil {
			return errAttributeName.with("Unknown Attribute %s.", name)
		}
		wanted[name] = true
	}
	if len(wanted) == 0 {
		return nil
	}
	w.key("Attributes")
	w.open('{')
	for i := range attributeTable {
		spec := &attributeTable[i]
		if (wanted["All"] || wanted[spec.name]) && (!spec.fifoOnly || q.settings.fifo) {
			w.text(spec.name, spec.get(q))
		}
	}
	w.close('}')
	return nil
}

// setQueueAttributes is SetQueueAttributes. Changes hold at once; on AWS they
// take up to 60 s, retention up to 15 min.
type setQueueAttributes struct {
	QueueURL   string `json:"QueueUrl"`
	Attributes map[string]string
}

func (r *setQueueAttributes) target() string { return r.QueueURL }
func (r *setQueueAttributes) entries() int   { return 1 }

func (r *setQueueAttributes) serve(s *Server, c *call, _ *jsonWriter) error {
	now := time.Now()
	s.lock()
	defer s.unlock()
	q, err := s.open(c, r.QueueURL, now)
	if err != nil {
		return err
	}
	if len(r.Attributes) == 0 {
		return errMissing.with("The request must contain the parameter Attribute.Name.")
	}
	set := q.settings
	if err := set.apply(r.Attributes, false); err != nil {
		return err
	}
	if _, ok := r.Attributes["RedrivePolicy"]; ok {
		if err := s.checkRedrive(q.key, &set); err != nil {
			return err
		}
	}
	if set.policy != q.settings.policy {
		q.policySet, q.policyBefore = now, q.settings.policy
	}
	before := q.settings.delay
	q.settings = set
	q.modified = now
	if set.fifo && set.delay != before {
		q.redelay(now)
	}
	q.advance(now)
	q.touch()
	return nil
}

// redelay gives messages already on a FIFO queue its new delay. On standard
// queues a new delay holds for new messages only (AWS, "Amazon SQS delay
// queues").
func (q *queue) redelay(now time.Time) {
	for _, m := range q.messages {
		if m.state == delayed {
			m.visibleAt = m.enqueued.Add(q.settings.delay)
			q.timers.moved(m)
		}
	}
	q.advance(now)
}
