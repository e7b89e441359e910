// Package envelope recognises what other services wrap around a message's body
// before it comes to a queue.
package envelope

import (
	"encoding/base64"
	"encoding/json"
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

var kinds = map[string]Kind{
	"Notification":             Notification,
	"SubscriptionConfirmation": SubscriptionConfirmation,
	"UnsubscribeConfirmation":  UnsubscribeConfirmation,
}

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
// else SNS writes may be missing but not malformed. See "Parsing message formats"
// in the SNS developer guide.
func SNS(body string) (Message, Kind) {
	if !likely(body) {
		return Message{}, None
	}
	// A map and not a struct: keys of structs match whatever their case.
	var fields map[string]any
	if err := json.Unmarshal([]byte(body), &fields); err != nil {
		return Message{}, None
	}
	typ, hasType := fields["Type"].(string)
	arn, hasARN := fields["TopicArn"].(string)
	id, hasID := fields["MessageId"].(string)
	message, hasMessage := fields["Message"].(string)
	subject, okSubject := optional(fields["Subject"])
	published, okPublished := timestamp(fields["Timestamp"])
	attributes, okAttributes := attributes(fields["MessageAttributes"])

	kind := kinds[typ]
	switch {
	case !hasType, !hasARN, !hasID, !hasMessage, !okSubject, !okPublished, !okAttributes,
		kind == None, id == "", !topicARN(arn):
		return Message{}, None
	}
	return Message{
		Body:       message,
		Attributes: attributes,
		Topic:      holdfast.Topic{ARN: arn, MessageID: id, Subject: subject, PublishedAt: published},
	}, kind
}

// likely is false for what cannot be an envelope, without looking closely. SNS
// writes its keys plainly, so one that is there only in escapes is not its own.
func likely(body string) bool {
	start := strings.TrimLeft(body, " \t\r\n")
	return start != "" && start[0] == '{' && strings.Contains(start, `"TopicArn"`)
}

// topicARN tells whether s is arn:partition:sns:region:account:name.
func topicARN(s string) bool {
	parts := strings.Split(s, ":")
	return len(parts) == 6 && parts[0] == "arn" && parts[2] == "sns" && parts[5] != ""
}

// optional takes a missing string, and a null in its place, for an empty one.
func optional(v any) (s string, ok bool) {
	if v == nil {
		return "", true
	}
	s, ok = v.(string)
	return s, ok
}

func timestamp(v any) (time.Time, bool) {
	s, ok := optional(v)
	if s == "" || !ok {
		return time.Time{}, ok
	}
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}

// attributes decodes {"name": {"Type": "String", "Value": "..."}}.
func attributes(v any) (map[string]holdfast.Attribute, bool) {
	if v == nil {
		return nil, true
	}
	fields, ok := v.(map[string]any)
	if !ok || len(fields) == 0 {
		return nil, ok
	}
	all := make(map[string]holdfast.Attribute, len(fields))
	for name, v := range fields {
		a, ok := attribute(v)
		if !ok {
			return nil, false
		}
		all[name] = a
	}
	return all, true
}

func attribute(v any) (holdfast.Attribute, bool) {
	fields, _ := v.(map[string]any)
	typ, hasType := fields["Type"].(string)
	value, hasValue := fields["Value"].(string)
	if !hasType || !hasValue || typ == "" {
		return holdfast.Attribute{}, false
	}
	if typ != "Binary" && !strings.HasPrefix(typ, "Binary.") {
		return holdfast.Attribute{Type: typ, String: value}, true
	}
	binary, err := base64.StdEncoding.DecodeString(value)
	return holdfast.Attribute{Type: typ, Binary: binary}, err == nil
}
