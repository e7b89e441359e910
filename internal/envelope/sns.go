// Package envelope recognises what other services wrap around a message's body
// before it comes to a queue.
package envelope

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast"
)

// Kind is what a body is.
type Kind uint8

// The kinds.
const (
	// None: the body is not an envelope.
	None Kind = iota
	// Notification: a message published to an SNS topic.
	Notification
	// SubscriptionConfirmation and UnsubscribeConfirmation: SNS asks the owner of
	// the queue about a subscription. Neither is work for a handler.
	SubscriptionConfirmation
	UnsubscribeConfirmation
)

// Message is what was in an SNS envelope.
type Message struct {
	// Body is the message that was published.
	Body string
	// Attributes are its message attributes, nil where it has none.
	Attributes map[string]holdfast.Attribute
	// Topic is what the envelope tells beside them.
	Topic holdfast.Topic
}

// SNS takes a message out of the envelope in which SNS delivers to SQS unless the
// subscription asks for raw delivery. A body that is not one gives None and the
// zero Message, and costs next to nothing where it has no "TopicArn" in it.
//
// Anyone who may send to the queue can write an envelope, so this is strict: one
// JSON object and nothing behind it, with a Type of the three, an ARN of SNS as
// TopicArn, a MessageId and a Message, all four strings and spelled just so; what
// else SNS writes may be missing but not malformed. The strings of the Message
// may share the memory of body. See "Parsing message formats"
// in the SNS developer guide.
func SNS(body string) (Message, Kind) {
	if !likely(body) {
		return Message{}, None
	}
	f, ok := scan(body)
	if !ok {
		f, ok = decode(body)
	}
	if !ok {
		return Message{}, None
	}
	kind := kindOf(f.typ)
	published, ok := timestamp(f.timestamp)
	if !ok || kind == None || f.messageID == "" || !f.hasMessage || !topicARN(f.topicARN) {
		return Message{}, None
	}
	return Message{
		Body:       f.message,
		Attributes: f.attributes,
		Topic:      holdfast.Topic{ARN: f.topicARN, MessageID: f.messageID, Subject: f.subject, PublishedAt: published},
	}, kind
}

// fields are those of an envelope that matter. A string that is missing is empty.
type fields struct {
	typ, topicARN, messageID, message, subject, timestamp string

	hasMessage bool // an empty message is one
	attributes map[string]holdfast.Attribute
}

// likely is false for what cannot be an envelope, without looking closely. SNS
// writes its keys plainly, so one that is there only in escapes is not its own.
func likely(body string) bool {
	start := strings.TrimLeft(body, " \t\r\n")
	return start != "" && start[0] == '{' && strings.Contains(start, `"TopicArn"`)
}

func kindOf(typ string) Kind {
	switch typ {
	case "Notification":
		return Notification
	case "SubscriptionConfirmation":
		return SubscriptionConfirmation
	case "UnsubscribeConfirmation":
		return UnsubscribeConfirmation
	}
	return None
}

// topicARN tells whether s is arn:partition:sns:region:account:name.
func topicARN(s string) bool {
	rest, ok := strings.CutPrefix(s, "arn:")
	_, rest, _ = strings.Cut(rest, ":")
	rest, sns := strings.CutPrefix(rest, "sns:")
	_, rest, _ = strings.Cut(rest, ":")
	_, name, _ := strings.Cut(rest, ":")
	return ok && sns && name != "" && !strings.Contains(name, ":")
}

func timestamp(s string) (time.Time, bool) {
	if s == "" {
		return time.Time{}, true
	}
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}

// attribute makes a message attribute of what SNS writes for it.
func attribute(typ, value string) (holdfast.Attribute, bool) {
	if typ != "Binary" && !strings.HasPrefix(typ, "Binary.") {
		return holdfast.Attribute{Type: typ, String: value}, typ != ""
	}
	binary, err := base64.StdEncoding.DecodeString(value)
	return holdfast.Attribute{Type: typ, Binary: binary}, err == nil
}
