package fanout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/holdfast-go/holdfast"
)

// ConfirmAPI is what Confirm calls of the SDK's client; *sns.Client has it.
type ConfirmAPI interface {
	ConfirmSubscription(context.Context, *sns.ConfirmSubscriptionInput, ...func(*sns.Options)) (*sns.ConfirmSubscriptionOutput, error)
}

// Confirmation is a middleware for consumers that confirms subscriptions of their
// queue to listed topics; make one with Confirm. Safe for concurrent use.
type Confirmation struct {
	client ConfirmAPI
	topics []string
}

// Confirm makes a middleware that confirms a subscription when SNS asks the queue for
// it, if it is to one of topics, by their ARNs: at least one. SNS asks where the owner
// of a topic subscribes a queue of another account. For all other topics the request
// is dead-lettered, as it is without this middleware.
//
// It calls ConfirmSubscription in the topic's region and never opens the URL in the
// message, which anyone who may send to the queue could have written; a made-up token
// is refused by SNS, and the message is dead-lettered. Unsubscribing then needs a
// signed request: the link in each message does not do. The role of the consumer needs
// sns:ConfirmSubscription on the topics.
func Confirm(client ConfirmAPI, topics ...string) *Confirmation {
	return &Confirmation{client: client, topics: slices.Clone(topics)}
}

// Wrap implements holdfast.Middleware; it returns next.
func (c *Confirmation) Wrap(next holdfast.Handler) holdfast.Handler { return next }

// Validate implements holdfast.Validator. It returns a *ConfigError for a client that
// is missing and for each topic that is not the ARN of one.
func (c *Confirmation) Validate() error {
	var errs []error
	if v := reflect.ValueOf(c.client); c.client == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		errs = append(errs, &ConfigError{"client", nil, "a client"})
	}
	if len(c.topics) == 0 {
		errs = append(errs, &ConfigError{"topics", "", "at least one topic"})
	}
	for i, topic := range c.topics {
		if a, ok := parseARN(topic); !ok || a.service != "sns" {
			errs = append(errs, &ConfigError{fmt.Sprintf("topics[%d]", i), topic, "the ARN of a topic"})
		}
	}
	return errors.Join(errs...)
}

// Confirm implements holdfast.Confirmer.
func (c *Confirmation) Confirm(ctx context.Context, m *holdfast.Message) (confirmed bool, err error) {
	var in struct{ Type, TopicArn, Token string }
	if err := json.Unmarshal([]byte(m.Body), &in); err != nil || in.Type != "SubscriptionConfirmation" || !slices.Contains(c.topics, in.TopicArn) {
		return false, nil //nolint:nilerr // it is another kind of message
	}
	topic, _ := parseARN(in.TopicArn) // Validate has seen it
	_, err = c.client.ConfirmSubscription(ctx, &sns.ConfirmSubscriptionInput{
		TopicArn: &in.TopicArn, Token: &in.Token, AuthenticateOnUnsubscribe: aws.String("true"),
	}, func(o *sns.Options) { o.Region = topic.region })
	var token *snstypes.InvalidParameterException
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &token), missing(err):
		return false, holdfast.Permanent(fmt.Errorf("fanout: SNS does not take the token for %s: it was used up, is more than two days old or made up: %w", in.TopicArn, err))
	}
	return false, explain("sns:ConfirmSubscription", in.TopicArn, err)
}
