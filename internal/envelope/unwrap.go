package envelope

import (
	"errors"

	"github.com/holdfast-go/holdfast"
)

// ErrConfirmation is what Unwrap returns for a request of SNS about a subscription.
var ErrConfirmation = errors.New("consumer: SNS asks to confirm a subscription; confirm it at the SubscribeURL in the body")

var errTestEvent = holdfast.Discard(errors.New("S3 only tests whether it may send here"))

// Unwrap takes m out of its SNS envelope, where it is in one from one of topics
// (nil: from any), and notes which event it is. The error says why no handler can
// work on it and, as a handler's would, what becomes of it.
func Unwrap(m *holdfast.Message, topics map[string]bool) error {
	in, kind := SNS(m.Body)
	switch {
	case kind == None:
	case kind != Notification:
		return ErrConfirmation
	case topics == nil || topics[in.Topic.ARN]:
		m.Body, m.Attributes, m.Topic = in.Body, in.Attributes, in.Topic
	}
	event, test := Event(m.Body)
	if test {
		return errTestEvent
	}
	m.Event = event
	return nil
}
