package snsserver

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// timestamp is how envelopes write a time.
const timestamp = "2006-01-02T15:04:05.000Z"

// confirmation is the message that asks the owner of a queue to confirm.
func (s *Server) confirmation(sub *subscription, now time.Time) *message {
	return &message{
		typ: "SubscriptionConfirmation", id: s.uuid(), topic: sub.topic, token: sub.token, at: now,
		body: fmt.Sprintf("You have chosen to subscribe to the topic %s.\nTo confirm the subscription, visit the SubscribeURL included in this message.", sub.topic.arn),
	}
}

// envelope is the JSON in which SNS delivers a message, laid out as AWS does.
func (s *Server) envelope(m *message, sub *subscription) string {
	topicARN := m.topic.arn.String()
	base := s.endpoint(m.topic.arn)
	e := envelopeWriter{}
	e.text("Type", m.typ)
	e.text("MessageId", m.id)
	if m.sequence != "" {
		e.text("SequenceNumber", m.sequence)
	}
	if m.token != "" {
		e.text("Token", m.token)
	}
	e.text("TopicArn", topicARN)
	if m.subject != "" {
		e.text("Subject", m.subject)
	}
	e.text("Message", m.body)
	if m.token != "" {
		e.text("SubscribeURL", s.subscribeURL(m))
	}
	e.text("Timestamp", m.at.UTC().Format(timestamp))
	e.text("SignatureVersion", m.topic.settings.signature)
	e.text("Signature", s.sign(m))
	e.text("SigningCertURL", base+certificatePath)
	if m.token == "" {
		e.text("UnsubscribeURL", base+"/?Action=Unsubscribe&SubscriptionArn="+sub.arn)
	}
	if len(m.attributes) > 0 {
		e.attributes(m.attributes)
	}
	return e.end()
}

func (s *Server) subscribeURL(m *message) string {
	return s.endpoint(m.topic.arn) + "/?Action=ConfirmSubscription&TopicArn=" + m.topic.arn.String() + "&Token=" + m.token
}

// sign returns the signature of a message, which is the same for all
// subscriptions.
func (s *Server) sign(m *message) string {
	if s.cfg.NoSignature {
		return "EXAMPLE"
	}
	if m.signature == "" {
		m.signature = signature(m.topic.settings.signature, s.stringToSign(m))
	}
	return m.signature
}

// stringToSign is the fields that a signature covers, in the order of their names
// (AWS, "Verifying the signatures of Amazon SNS messages").
func (s *Server) stringToSign(m *message) string {
	pairs := []string{"Message", m.body, "MessageId", m.id}
	if m.token != "" {
		pairs = append(pairs, "SubscribeURL", s.subscribeURL(m))
	}
	if m.subject != "" {
		pairs = append(pairs, "Subject", m.subject)
	}
	pairs = append(pairs, "Timestamp", m.at.UTC().Format(timestamp))
	if m.token != "" {
		pairs = append(pairs, "Token", m.token)
	}
	pairs = append(pairs, "TopicArn", m.topic.arn.String(), "Type", m.typ)
	return strings.Join(pairs, "\n") + "\n"
}

// envelopeWriter writes a JSON object with one member a line.
type envelopeWriter struct{ b []byte }

func (e *envelopeWriter) key(name string) {
	if e.b == nil {
		e.b = append(e.b, "{\n  "...)
	} else {
		e.b = append(e.b, ",\n  "...)
	}
	e.b = appendJSON(e.b, name)
	e.b = append(e.b, " : "...)
}

func (e *envelopeWriter) text(name, value string) {
	e.key(name)
	e.b = appendJSON(e.b, value)
}

func (e *envelopeWriter) attributes(all []attribute) {
	e.key("MessageAttributes")
	for i := range all {
		a := &all[i]
		e.b = append(e.b, map[bool]string{true: "{\n    ", false: ",\n    "}[i == 0]...)
		e.b = appendJSON(e.b, a.name)
		e.b = append(e.b, ` : {"Type":`...)
		e.b = appendJSON(e.b, a.dataType)
		e.b = append(e.b, `,"Value":`...)
		if a.kind() == "Binary" {
			e.b = appendJSON(e.b, base64.StdEncoding.EncodeToString(a.binary))
		} else {
			e.b = appendJSON(e.b, a.text)
		}
		e.b = append(e.b, '}')
	}
	e.b = append(e.b, "\n  }"...)
}

func (e *envelopeWriter) end() string { return string(append(e.b, "\n}"...)) }

// appendJSON appends a JSON string that escapes no more than it must, as AWS's.
func appendJSON(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	return append(append(b, s[start:]...), '"')
}
