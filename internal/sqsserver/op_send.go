package sqsserver

import (
	"cmp"
	"strconv"
	"time"
)

// attributeValue is a message attribute on the wire.
type attributeValue struct {
	DataType         string
	StringValue      *string
	BinaryValue      []byte
	StringListValues []string
	BinaryListValues [][]byte
}

// outgoing is what a sender gives for one message.
type outgoing struct {
	MessageBody             *string
	DelaySeconds            *int
	MessageAttributes       map[string]attributeValue
	MessageSystemAttributes map[string]attributeValue
	MessageDeduplicationID  *string `json:"MessageDeduplicationId"`
	MessageGroupID          *string `json:"MessageGroupId"`
}

// sent is what it gets back.
type sent struct {
	id            string
	sequence      string
	bodyMD5       string
	attrsMD5      string
	systemAttrMD5 string
}

func (r *sent) write(w *jsonWriter) {
	w.text("MD5OfMessageBody", r.bodyMD5)
	w.text("MD5OfMessageAttributes", r.attrsMD5)
	w.text("MD5OfMessageSystemAttributes", r.systemAttrMD5)
	w.text("MessageId", r.id)
	w.text("SequenceNumber", r.sequence)
}

// sendMessage is SendMessage.
type sendMessage struct {
	QueueURL string `json:"QueueUrl"`
	outgoing
}

func (r *sendMessage) target() string { return r.QueueURL }
func (r *sendMessage) entries() int   { return 1 }

func (r *sendMessage) serve(s *Server, c *call, w *jsonWriter) error {
	p, err := r.prepare(c.id.sender())
	now := time.Now()
	s.lock()
	defer s.unlock()
	q, missing := s.open(c, r.QueueURL, now)
	if missing != nil {
		return missing
	}
	if err != nil {
		return err
	}
	result, err := q.send(p, now)
	if err != nil {
		return err
	}
	result.write(w)
	return nil
}

// sendMessageBatch is SendMessageBatch.
type sendMessageBatch struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []sendEntry
}

type sendEntry struct {
	ID string `json:"Id"`
	outgoing
}

func (r *sendMessageBatch) target() string { return r.QueueURL }
func (r *sendMessageBatch) entries() int   { return len(r.Entries) }

func (r *sendMessageBatch) serve(s *Server, c *call, w *jsonWriter) error {
	err := checkBatch(len(r.Entries), "SendMessageBatchRequestEntry", func(i int) string { return r.Entries[i].ID })
	prepared := make([]prepared, len(r.Entries))
	refused := make([]*Error, len(r.Entries))
	total := 0
	for i := range r.Entries {
		prepared[i], refused[i] = r.Entries[i].prepare(c.id.sender())
		total += prepared[i].size
	}
	if err == nil && total > maxMessageSize {
		err = errBatchTooLong.with("Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxMessageSize, total)
	}

	now := time.Now()
	s.lock()
	defer s.unlock()
	q, missing := s.open(c, r.QueueURL, now)
	if missing != nil {
		return missing
	}
	if err != nil {
		return err
	}
	out := newBatchResult(len(r.Entries))
	for i := range r.Entries {
		fail := cmp.Or(s.faults.entry(c.action, c.name), refused[i])
		var result sent
		if fail == nil {
			result, fail = q.send(prepared[i], now)
		}
		out.add(r.Entries[i].ID, fail, result.write)
	}
	out.write(w)
	return nil
}

// prepared is an outgoing message that was checked as far as that goes without
// knowing the queue.
type prepared struct {
	content       content
	systemAttrMD5 string
	delay         *int
	group, dedup  *string
	size          int // bytes of body and attributes
}

func (o *outgoing) prepare(sender string) (prepared, *Error) {
	p := prepared{delay: o.DelaySeconds, group: o.MessageGroupID, dedup: o.MessageDeduplicationID}
	if o.MessageBody == nil || *o.MessageBody == "" {
		return p, errMissing.with("The request must contain the parameter MessageBody.")
	}
	body := *o.MessageBody
	p.size = len(body)
	attrs, err := readAttributes(o.MessageAttributes)
	if err != nil {
		return p, err
	}
	for i := range attrs {
		p.size += attrs[i].size()
	}
	if r, bad := badCharacter(body); bad {
		return p, errContents.with("Invalid binary character '#x%X' was found in the message body, the set of allowed characters is #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF", r)
	}
	trace, system, err := readSystemAttributes(o.MessageSystemAttributes)
	if err != nil {
		return p, err
	}
	if p.delay != nil && (*p.delay < 0 || *p.delay > 900) {
		return p, errParameter.with("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", *p.delay)
	}
	for name, v := range map[string]*string{"MessageGroupId": p.group, "MessageDeduplicationId": p.dedup} {
		if v != nil && !validToken(*v) {
			return p, errParameter.with("Value %s for parameter %s is invalid. Reason: %s can only include alphanumeric and punctuation characters. 1 to 128 in length.", *v, name, name)
		}
	}
	p.content = content{
		body:       body,
		bodyMD5:    bodyDigest(body),
		attributes: attrs,
		trace:      trace,
		sender:     sender,
	}
	p.systemAttrMD5 = attributesDigest(system)
	return p, nil
}

// send puts a message on the queue, or recognises it as one that is there.
func (q *queue) send(p prepared, now time.Time) (sent, *Error) {
	if p.size > q.settings.maxSize {
		return sent{}, errParameter.with("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", q.settings.maxSize)
	}
	delay := q.settings.delay
	if p.delay != nil {
		if q.settings.fifo && *p.delay != 0 {
			return sent{}, wrongType("DelaySeconds", strconv.Itoa(*p.delay))
		}
		if !q.settings.fifo {
			delay = time.Duration(*p.delay) * time.Second
		}
	}
	msg := p.content
	if p.group != nil {
		msg.group = *p.group
	}
	result := sent{bodyMD5: msg.bodyMD5, attrsMD5: attributesDigest(msg.attributes), systemAttrMD5: p.systemAttrMD5}

	var key string
	if q.settings.fifo {
		var err *Error
		if msg.dedup, err = q.dedupID(p); err != nil {
			return sent{}, err
		}
		key = msg.dedup
		if q.settings.dedupScope == "messageGroup" {
			key = msg.group + "\x00" + msg.dedup
		}
		if twin, ok := q.dedup.get(key, now); ok {
			result.id, result.sequence = twin.id, twin.sequence
			return result, nil
		}
	} else if p.dedup != nil {
		return sent{}, wrongType("MessageDeduplicationId", *p.dedup)
	}

	// A queue may hold a million messages: each is few objects for the garbage
	// collector to visit.
	fresh := &struct {
		message
		content
	}{content: msg}
	names := q.server.uuid() + msg.bodyMD5
	fresh.id, fresh.bodyMD5 = names[:len(names)-len(msg.bodyMD5)], names[len(names)-len(msg.bodyMD5):]
	m := &fresh.message
	m.content, m.enqueued = &fresh.content, now
	q.enter(m, delay, now)
	result.id, result.sequence = m.id, m.sequence
	if q.settings.fifo {
		q.dedup.put(key, sentBefore{m.id, m.sequence}, now)
	}
	return result, nil
}

// sentBefore is what a duplicate is answered with.
type sentBefore struct{ id, sequence string }

// dedupID is a FIFO message's deduplication id: the sender's, else that of its
// content where the queue makes one.
func (q *queue) dedupID(p prepared) (string, *Error) {
	switch {
	case p.group == nil:
		return "", errMissing.with("The request must contain the parameter MessageGroupId.")
	case p.dedup != nil:
		return *p.dedup, nil
	case q.settings.contentDedup:
		return contentID(p.content.body), nil
	}
	return "", errParameter.with("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
}

func wrongType(parameter, value string) *Error {
	return errParameter.with("Value %s for parameter %s is invalid. Reason: The request include parameter that is not valid for this queue type.", value, parameter)
}
