package snsserver

import (
	"fmt"
	"strings"
	"time"
)

// outgoing is what a publisher gives for one message. A nil text was not given.
type outgoing struct {
	message    *string
	subject    *string
	structure  string
	attributes []attribute
	group      *string
	dedup      *string
	trace      string
}

// published is what a publisher gets back.
type published struct{ id, sequence string }

func (p published) write(w *xmlWriter) {
	w.text("MessageId", p.id)
	w.optional("SequenceNumber", p.sequence)
}

// readOutgoing reads a message; prefix is "" or that of a batch's entry, with its
// dot. place begins the name of an attribute in errors.
func (c *call) readOutgoing(prefix, place string) (outgoing, *Error) {
	text := func(name string) *string {
		if v, ok := c.form.lookup(prefix + name); ok {
			return &v
		}
		return nil
	}
	o := outgoing{
		message: text("Message"), subject: text("Subject"), structure: c.form.get(prefix + "MessageStructure"),
		group: text("MessageGroupId"), dedup: text("MessageDeduplicationId"), trace: c.trace,
	}
	wire, err := c.form.messageAttributes(prefix)
	if err != nil {
		return o, errMalformed.with("%v", err)
	}
	var refused *Error
	o.attributes, refused = readAttributes(wire, place)
	return o, refused
}

// publish is Publish.
func (s *Server) publish(c *call, w *xmlWriter) error {
	parameter := "TopicArn"
	switch target := c.form.get("TargetArn"); {
	case c.form.get("PhoneNumber") != "":
		return errUnsupported.with("PhoneNumber is not supported: this server has topics and their SQS subscriptions, not SMS.")
	case c.form.get("TopicArn") != "" && target != "":
		return errParameter.with("Invalid parameter: TopicArn or TargetArn Reason: only one of them can be given")
	case strings.Contains(target, ":endpoint/"):
		return errUnsupported.with("TargetArn of an endpoint is not supported: this server has topics and their SQS subscriptions, not mobile push.")
	case target != "":
		parameter = "TargetArn"
	}
	o, refused := c.readOutgoing("", "")
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.open(c, parameter)
	if err != nil {
		return err
	}
	if refused == nil {
		refused = o.check(t)
	}
	if refused != nil {
		return refused
	}
	result, refused := s.accept(t, o, time.Now())
	if refused != nil {
		return refused
	}
	result.write(w)
	return nil
}

// check holds a message against the rules of its topic's kind.
func (o *outgoing) check(t *topic) *Error {
	bad := func(format string, args ...any) *Error {
		return errParameter.with("Invalid parameter: "+format, args...)
	}
	switch {
	case t.settings.fifo && o.group == nil:
		return bad("The MessageGroupId parameter is required for FIFO topics")
	case t.settings.fifo && o.dedup == nil && !t.settings.contentDedup:
		return bad("The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	case !t.settings.fifo && o.dedup != nil:
		return bad("MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this topic type")
	}
	for _, token := range []struct {
		name  string
		value *string
	}{{"MessageGroupId", o.group}, {"MessageDeduplicationId", o.dedup}} {
		if token.value != nil && !validToken(*token.value) {
			return bad("%s Reason: %s can only include alphanumeric and punctuation characters, 1 to %d of them", token.name, token.name, maxToken)
		}
	}
	return nil
}

// content is the checked text of a message: that for SQS.
func (o *outgoing) content() (string, *Error) {
	switch {
	case o.message == nil || *o.message == "":
		return "", errParameter.with("Invalid parameter: Empty message")
	case o.subject != nil && !validSubject(*o.subject):
		return "", errParameter.with("Invalid parameter: Subject")
	case o.structure != "" && o.structure != "json":
		return "", errParameter.with("Invalid parameter: MessageStructure Reason: the only value is json")
	}
	if r, bad := badCharacter(*o.message); bad {
		return "", errParameter.with("Invalid parameter: Message Reason: Invalid character '#x%X' was found in the message body", r)
	}
	if o.structure == "" {
		return *o.message, nil
	}
	const prefix = "Invalid parameter: Message Structure - "
	root, err := parseJSON(*o.message)
	if err != nil || root.kind != isObject {
		return "", errParameter.with(prefix + "JSON message body failed to parse")
	}
	texts := make(map[string]string, len(root.keys))
	for i, key := range root.keys {
		if _, again := texts[key]; again {
			return "", errParameter.with(prefix+"JSON message body has the key %q twice", key)
		}
		if root.items[i].kind == isString { // others are ignored
			texts[key] = root.items[i].text
		}
	}
	fallback, ok := texts["default"]
	if !ok {
		return "", errParameter.with(prefix + "No default entry in JSON message body")
	}
	if text, ok := texts["sqs"]; ok {
		return text, nil
	}
	return fallback, nil
}

// size is what counts against the topic's MaximumMessageSize: body and attributes.
func (o *outgoing) size() int {
	n := 0
	if o.message != nil {
		n = len(*o.message)
	}
	for i := range o.attributes {
		n += o.attributes[i].size()
	}
	return n
}

// accept takes a message into the topic and sends it to all subscriptions, or
// recognises it as one that was there.
func (s *Server) accept(t *topic, o outgoing, now time.Time) (published, *Error) {
	body, err := o.content()
	if err != nil {
		return published{}, err
	}
	if o.size() > t.settings.maxSize {
		return published{}, errParameter.with("Invalid parameter: Message too long")
	}
	m := &message{
		typ: "Notification", topic: t, body: body, subject: text(o.subject), attributes: o.attributes,
		group: text(o.group), trace: o.trace, at: now,
	}
	if t.settings.fifo {
		if m.dedup = text(o.dedup); m.dedup == "" {
			m.dedup = contentID(*o.message)
		}
		key := m.dedup
		if t.settings.groupScope {
			key = m.group + "\x00" + m.dedup
		}
		if twin, ok := t.dedup.get(key, now); ok {
			m.id, m.sequence = twin.id, twin.sequence
			s.journal.publish(m, true)
			return published(twin), nil
		}
		s.sequence++
		m.id, m.sequence = s.uuid(), fmt.Sprintf("1%019d", s.sequence)
		t.dedup.put(key, sentBefore{m.id, m.sequence}, now)
	} else {
		m.id = s.uuid()
	}
	s.journal.publish(m, false)
	for _, sub := range t.subs {
		s.deliver(m, sub, now)
	}
	return published{m.id, m.sequence}, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
