package fanout_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/fanout"
)

// confirmations are the calls of a client that takes every token.
type confirmations struct {
	made []*sns.ConfirmSubscriptionInput
}

func (c *confirmations) ConfirmSubscription(_ context.Context, in *sns.ConfirmSubscriptionInput, options ...func(*sns.Options)) (*sns.ConfirmSubscriptionOutput, error) {
	c.made = append(c.made, in)
	o := sns.Options{Region: "here"}
	for _, set := range options {
		set(&o)
	}
	if o.Region != "us-east-1" {
		panic("confirmed in " + o.Region)
	}
	return &sns.ConfirmSubscriptionOutput{}, nil
}

// FuzzConfirm holds that nothing that somebody sends to a queue has Holdfast subscribe
// to a topic that is not listed, and that no such body is taken for confirmed.
func FuzzConfirm(f *testing.F) {
	for _, seed := range []string{
		`{"Type":"SubscriptionConfirmation","TopicArn":"` + ordersARN + `","Token":"t","SubscribeURL":"http://169.254.169.254/"}`,
		`{"Type":"SubscriptionConfirmation","TopicArn":"` + theirsARN + `","Token":"t"}`,
		`{"Type":"Notification","TopicArn":"` + ordersARN + `","Token":"t"}`,
		`{"type":"SubscriptionConfirmation","topicarn":"` + theirsARN + `","TopicArn":"` + ordersARN + `"}`,
		`{"Type":"SubscriptionConfirmation","TopicArn":["` + ordersARN + `"]}`,
		`{"Type":"SubscriptionConfirmation","TopicArn":"` + ordersARN + `\u0000"}`,
		`[]`, `null`, ``, `{`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		client := new(confirmations)
		confirmed, err := fanout.Confirm(client, ordersARN).Confirm(t.Context(), &holdfast.Message{Body: body})
		if err != nil || confirmed != (len(client.made) == 1) || len(client.made) > 1 {
			t.Fatalf("confirmed is %v after %d calls, error %v", confirmed, len(client.made), err)
		}
		if !confirmed {
			return
		}
		var asked struct{ Type, Token string }
		err = json.Unmarshal([]byte(body), &asked)
		topic, token := aws.ToString(client.made[0].TopicArn), aws.ToString(client.made[0].Token)
		if err != nil || asked.Type != "SubscriptionConfirmation" || topic != ordersARN || token != asked.Token {
			t.Errorf("%q has us subscribe to %q by %q", body, topic, token)
		}
	})
}
