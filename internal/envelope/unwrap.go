package envelope

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-go/holdfast"
)

// ErrConfirmation is what Unwrap returns for a request of SNS about a subscription.
var ErrConfirmation = errors.New("consumer: SNS asks to confirm a subscription; confirm it at the SubscribeURL in the body")

// ProbeAttribute is the message attribute that marks a message of fanout.Verify. Anyone
// can set it, so it only ever keeps a message from a handler: it is dead-lettered, and
// deleted by nobody but who knows the value to be its own.
const ProbeAttribute = "holdfast-probe"

// ErrProbe is what Unwrap returns for a probe, whichever topic it comes from.
var ErrProbe = errors.New("consumer: a probe of fanout.Verify, which no handler sees; who sent it takes it from the dead-letter queue")

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
	case isProbe(in.Attributes):
		return ErrProbe
	case topics == nil || topics[in.Topic.ARN]:
		m.Body, m.Attributes, m.Topic = in.Body, in.Attributes, in.Topic
	}
	if isProbe(m.Attributes) {
		return ErrProbe
	}
	event, test := Event(m.Body)
	if test {
		return errTestEvent
	}
	m.Event = event
	return nil
}

func isProbe(attributes map[string]holdfast.Attribute) bool {
	_, marked := attributes[ProbeAttribute]
	return marked
}

// Answer deals with a message that is no work, as Unwrap said why: a request to
// confirm a subscription is for the middleware that confirms. The error is as Unwrap's, nil for a
// subscription that was confirmed.
func Answer(ctx context.Context, why error, m *holdfast.Message, list []holdfast.Middleware) error {
	if !errors.Is(why, ErrConfirmation) {
		return why
	}
	for _, mw := range list {
		c, ok := mw.(holdfast.Confirmer)
		if !ok {
			continue
		}
		confirmed, err := c.Confirm(ctx, m)
		var hopeless *holdfast.PermanentError
		switch {
		case errors.As(err, &hopeless):
			return fmt.Errorf("%w: %w", ErrConfirmation, hopeless.Err)
		case confirmed || err != nil:
			return err
		}
	}
	return why
}
