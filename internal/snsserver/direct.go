package snsserver

import (
	"time"

	"github.com/holdfast-go/holdfast/internal/partition"
)

// Message is what a test publishes in the process, without HTTP.
type Message struct {
	Body       string
	Subject    string
	Attributes map[string]Attribute
	// Group is the MessageGroupId, "" for none; FIFO topics demand one.
	Group string
	// Dedup is the MessageDeduplicationId, FIFO topics only.
	Dedup string
}

// Create makes a topic as CreateTopic does, in the server's account and region,
// and returns its ARN. A name that ends in .fifo makes a FIFO topic. The error is
// an *Error.
func (s *Server) Create(name string, attributes map[string]string) (topicARN string, err error) {
	names := sortedKeys(attributes)
	values := make(map[string]string, len(attributes)+1)
	for _, n := range names {
		values[n] = attributes[n]
	}
	if _, given := values["FifoTopic"]; isFIFO(name) && !given {
		names, values["FifoTopic"] = append(names, "FifoTopic"), "true"
	}
	key := arn{partition.Of(s.cfg.Region), "sns", s.cfg.Region, s.cfg.Account, name}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.create(key, names, values, make(map[string]string)); err != nil {
		return "", err
	}
	return key.String(), nil
}

// Publish publishes to the topic with the given ARN under the rules of Publish
// and returns the message's id, or that of the message it repeats. The error is an
// *Error.
func (s *Server) Publish(topicARN string, m Message) (id string, err error) {
	o := outgoing{message: &m.Body}
	for given, to := range map[*string]**string{&m.Subject: &o.subject, &m.Group: &o.group, &m.Dedup: &o.dedup} {
		if *given != "" {
			*to = given
		}
	}
	wire := make([]wireAttribute, 0, len(m.Attributes))
	for _, name := range sortedKeys(m.Attributes) {
		a := m.Attributes[name]
		wire = append(wire, wireAttribute{
			name: name, dataType: a.Type, hasType: a.Type != "",
			text: a.Text, hasText: a.Binary == nil, binary: a.Binary, hasBytes: a.Binary != nil,
		})
	}
	attributes, refused := readAttributes(wire, "")
	if refused != nil {
		return "", refused
	}
	o.attributes = attributes
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[topicARN]
	if t == nil {
		return "", errNoTopic
	}
	now := time.Now()
	s.newest(t, now)
	if refused := o.check(t); refused != nil {
		return "", refused
	}
	result, refused := s.accept(t, o, now)
	if refused != nil {
		return "", refused
	}
	return result.id, nil
}
