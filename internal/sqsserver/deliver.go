package sqsserver

import "time"

// Attribute is a message attribute handed over in the process.
type Attribute struct {
	// Type is String, Number or Binary, with an optional label ("String.email").
	Type   string
	Text   string
	Binary []byte
}

// Outgoing is a message handed over in the process, without HTTP: by SNS, or by
// a test.
type Outgoing struct {
	Body       string
	Attributes map[string]Attribute
	// Group is the MessageGroupId, "" for none; FIFO queues demand one.
	Group string
	// Dedup is the MessageDeduplicationId, FIFO queues only.
	Dedup string
	// TraceHeader is the AWSTraceHeader.
	TraceHeader string
	// Sender is the SenderId. Default: the server's account.
	Sender string
	// Delay holds the message back, in whole seconds. 0: as the queue says.
	Delay time.Duration
}

// Send puts a message on the queue with the given ARN under the rules of
// SendMessage and returns its id, or that of the message it repeats. The error
// is an *Error.
func (s *Server) Send(queueARN string, out Outgoing) (id string, err error) {
	wire := outgoing{MessageBody: &out.Body}
	if out.Group != "" {
		wire.MessageGroupID = &out.Group
	}
	if out.Dedup != "" {
		wire.MessageDeduplicationID = &out.Dedup
	}
	if out.Delay%time.Second != 0 {
		return "", errParameter.with("Delay %v is not in whole seconds", out.Delay)
	}
	if out.Delay != 0 {
		n := int(out.Delay / time.Second)
		wire.DelaySeconds = &n
	}
	if out.TraceHeader != "" {
		wire.MessageSystemAttributes = map[string]attributeValue{
			"AWSTraceHeader": {DataType: "String", StringValue: &out.TraceHeader},
		}
	}
	if len(out.Attributes) > 0 {
		wire.MessageAttributes = make(map[string]attributeValue, len(out.Attributes))
		for name, a := range out.Attributes {
			v := attributeValue{DataType: a.Type, BinaryValue: a.Binary}
			if a.Binary == nil {
				v.StringValue = &a.Text
			}
			wire.MessageAttributes[name] = v
		}
	}
	sender := out.Sender
	if sender == "" {
		sender = s.cfg.Account
	}
	p, refused := wire.prepare(sender)
	if refused != nil {
		return "", refused
	}
	now := time.Now()
	s.lock()
	defer s.unlock()
	q := s.byARN(queueARN)
	if q == nil {
		return "", errNoQueue
	}
	q.advance(now)
	result, refused := q.send(p, now)
	if refused != nil {
		return "", refused
	}
	return result.id, nil
}

// Create makes a queue as CreateQueue does, in the server's account and region,
// and returns its ARN. The error is an *Error.
func (s *Server) Create(name string, attributes map[string]string) (arn string, err error) {
	if !validQueueName(name) {
		return "", errParameter.with("Queue name %q: can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length", name)
	}
	key := queueKey{s.cfg.Account, s.cfg.Region, name}
	s.lock()
	defer s.unlock()
	if err := s.create(key, attributes, nil, time.Now()); err != nil {
		return "", err
	}
	return key.arn(), nil
}
