package snsserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/internal/envelope"
	"github.com/holdfast-go/holdfast/internal/snsserver"
)

func TestSubscribe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	topic, fifo, queue := b.topic("orders"), b.topic("orders.fifo"), b.queue("billing")
	subscribe := func(topic, protocol, endpoint string, attributes ...string) string {
		out, err := b.client.Subscribe(b.ctx, &sns.SubscribeInput{TopicArn: &topic, Protocol: &protocol, Endpoint: &endpoint, Attributes: pairs(attributes)})
		if err != nil {
			return told(err)
		}
		return *out.SubscriptionArn
	}
	sub := subscribe(topic, "sqs", queue)
	if !strings.HasPrefix(sub, topic+":") {
		t.Fatalf("subscription %s", sub)
	}
	for _, c := range []struct {
		name                      string
		topic, protocol, endpoint string
		attributes                []string
		want                      string
	}{
		{"again", topic, "sqs", queue, nil, sub},
		{"again with what is the default", topic, "sqs", queue, []string{"RawMessageDelivery", "false"}, sub},
		{"again with other attributes", topic, "sqs", queue, []string{"RawMessageDelivery", "true"}, "InvalidParameter: Invalid parameter: Attributes Reason: Subscription already exists with different attributes"},
		{"a protocol of AWS that is not here", topic, "email", "x@example.com", nil, "InvalidParameter: Invalid parameter: Protocol Reason: email is not supported: this server delivers to SQS queues only"},
		{"a protocol that is none", topic, "pigeon", queue, nil, "InvalidParameter: Invalid parameter: Amazon SNS does not support this protocol string: pigeon"},
		{"an endpoint that is none", topic, "sqs", "billing", nil, "InvalidParameter: Invalid parameter: SQS endpoint ARN"},
		{"a FIFO queue", topic, "sqs", queueARN("x.fifo"), nil, "InvalidParameter: Invalid parameter: Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics"},
		{"an attribute that is none", topic, "sqs", queueARN("x"), []string{"Colour", "red"}, "InvalidParameter: Invalid parameter: Attributes Reason: AttributeName"},
		{"raw that is neither", topic, "sqs", queueARN("x"), []string{"RawMessageDelivery", "maybe"}, "InvalidParameter: Invalid parameter: Attributes Reason: RawMessageDelivery: Invalid value [maybe]. Must be true or false."},
		{"redrive that is no JSON", topic, "sqs", queueARN("x"), []string{"RedrivePolicy", "dead"}, "InvalidParameter: Invalid parameter: Attributes Reason: RedrivePolicy: failed to parse JSON."},
		{"redrive to nowhere", topic, "sqs", queueARN("x"), []string{"RedrivePolicy", `{"deadLetterTargetArn":"dead"}`}, "InvalidParameter: Invalid parameter: Attributes Reason: RedrivePolicy: deadLetterTargetArn is an invalid arn"},
		{"redrive to another region", topic, "sqs", queueARN("x"), []string{"RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:000000000000:dead"}`}, "InvalidParameter: Invalid parameter: Attributes Reason: RedrivePolicy: the dead-letter queue must be in the account and the region of the subscription"},
		{"redrive to another account", topic, "sqs", queueARN("x"), []string{"RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:111111111111:dead"}`}, "InvalidParameter: Invalid parameter: Attributes Reason: RedrivePolicy: the dead-letter queue must be in the account and the region of the subscription"},
		{"redrive of standard to FIFO", topic, "sqs", queueARN("x"), []string{"RedrivePolicy", `{"deadLetterTargetArn":"` + queueARN("dead.fifo") + `"}`}, "InvalidParameter: Invalid parameter: Attributes Reason: RedrivePolicy: must use a standard queue as DLQ for a subscription of a standard queue"},
		{"redrive of FIFO to standard", fifo, "sqs", queueARN("x.fifo"), []string{"RedrivePolicy", `{"deadLetterTargetArn":"` + queue + `"}`}, "InvalidParameter: Invalid parameter: Attributes Reason: RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic."},
		{"replay", fifo, "sqs", queueARN("x.fifo"), []string{"ReplayPolicy", "{}"}, "UnsupportedOperation: ReplayPolicy is not supported: this server keeps no archive of messages."},
		{"no such topic", topic + "x", "sqs", queue, nil, "NotFound: Topic does not exist"},
	} {
		if got := subscribe(c.topic, c.protocol, c.endpoint, c.attributes...); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
	}

	redrive := `{"deadLetterTargetArn":"` + queueARN("dead") + `"}`
	other := subscribe(topic, "sqs", queueARN("other"), "RawMessageDelivery", "True", "FilterPolicy", `{"a":["x"]}`, "RedrivePolicy", redrive)
	got := must(b.client.GetSubscriptionAttributes(b.ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &other}))(t).Attributes
	want := map[string]string{
		"SubscriptionArn": other, "TopicArn": topic, "Endpoint": queueARN("other"), "Protocol": "sqs", "Owner": account,
		"PendingConfirmation": "false", "ConfirmationWasAuthenticated": "true", "RawMessageDelivery": "true",
		"SubscriptionPrincipal": "arn:aws:iam::000000000000:user/AKIDTEST",
		"FilterPolicy":          `{"a":["x"]}`, "FilterPolicyScope": "MessageAttributes", "RedrivePolicy": redrive,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if again := subscribe(topic, "sqs", queueARN("other"), "RawMessageDelivery", "true", "FilterPolicy", `{"a":["x"]}`); again != other {
		t.Errorf("again with the same attributes: %s, want %s", again, other)
	}
	if again := subscribe(topic, "sqs", queueARN("other"), "RedrivePolicy", "{}"); !strings.HasPrefix(again, "InvalidParameter") {
		t.Errorf("again without its redrive policy: %s", again)
	}
}

func TestUnsubscribe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	topic, queue := b.topic("orders"), b.queue("billing")
	sub := b.subscribe(topic, queue)
	unsubscribe := func(c *sns.Client, arn string) string {
		_, err := c.Unsubscribe(b.ctx, &sns.UnsubscribeInput{SubscriptionArn: &arn})
		return told(err)
	}
	if got := unsubscribe(clientOf(b.server, "111111111111"), sub); !strings.HasPrefix(got, "AuthorizationError") {
		t.Errorf("a stranger: %s", got)
	}
	for arn, want := range map[string]string{
		"x":   "InvalidParameter: Invalid parameter: SubscriptionArn Reason: An ARN must have at least 6 elements, not 1",
		topic: "InvalidParameter: Invalid parameter: SubscriptionId",
		topic + ":00000000-0000-0000-0000-000000000000": "<nil>",
	} {
		if got := unsubscribe(b.client, arn); got != want {
			t.Errorf("%s: %s, want %s", arn, got, want)
		}
	}
	b.publish(topic, "one")
	for range 2 {
		if got := unsubscribe(b.client, sub); got != "<nil>" {
			t.Errorf("%s", got)
		}
	}
	id := b.publish(topic, "two")
	if n := len(b.queues.got(queue)); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	if got, want := b.server.Why(id, queue), topic+" has no subscription of "+queue+" when "+id+" was published"; got != want {
		t.Errorf("Why: %s, want %s", got, want)
	}
	_, err := b.client.GetSubscriptionAttributes(b.ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &sub})
	if got := told(err); got != "NotFound: Subscription does not exist" {
		t.Errorf("its attributes: %s", got)
	}
	if got := must(b.client.GetTopicAttributes(b.ctx, &sns.GetTopicAttributesInput{TopicArn: &topic}))(t).Attributes["SubscriptionsDeleted"]; got != "1" {
		t.Errorf("SubscriptionsDeleted %s", got)
	}
}

// visit follows a URL of an envelope.
func visit(t *testing.T, s *snsserver.Server, url string) (int, string) {
	t.Helper()
	res, err := (&http.Client{Transport: s.Transport()}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestUnsubscribeURL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	topic, queue := b.topic("orders"), b.queue("billing")
	b.subscribe(topic, queue)
	b.publish(topic, "x")
	var e struct{ UnsubscribeURL string }
	must(0, json.Unmarshal([]byte(b.queues.bodies(queue)[0]), &e))(t)
	if status, body := visit(t, b.server, e.UnsubscribeURL); status != 200 {
		t.Errorf("%d: %s", status, body)
	}
	if v, _ := b.server.Topic(topic); len(v.Subscriptions) != 0 {
		t.Errorf("subscriptions %+v", v.Subscriptions)
	}
}

// crossAccount is a queue of another account that the topic's owner subscribes.
func crossAccount(b *bundle) (topic, queue, sub string) {
	queue = "arn:aws:sqs:us-east-1:111111111111:theirs"
	b.queues.allow(queue, `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`)
	topic = b.topic("orders")
	return topic, queue, b.subscribe(topic, queue, "RawMessageDelivery", "true")
}

func TestCrossAccountSubscription(t *testing.T) {
	t.Parallel()

	bubble(t, "waits for a token that comes through the queue", func(b *bundle) {
		topic, queue, sub := crossAccount(b)
		if sub != "pending confirmation" {
			b.Fatalf("subscription %s", sub)
		}
		id := b.publish(topic, "early")
		if got := b.server.Why(id, queue); got != "unconfirmed: the subscription waits for its confirmation, which was sent to the queue" {
			b.Errorf("Why: %s", got)
		}
		body := b.queues.bodies(queue)[0]
		if _, kind := envelope.SNS(body); kind != envelope.SubscriptionConfirmation {
			b.Errorf("the runtime reads %s as %v", body, kind)
		}
		var e map[string]string
		must(0, json.Unmarshal([]byte(body), &e))(b)
		want := map[string]string{
			"Type": "SubscriptionConfirmation", "MessageId": e["MessageId"], "Token": e["Token"], "TopicArn": topic,
			"Message":      "You have chosen to subscribe to the topic " + topic + ".\nTo confirm the subscription, visit the SubscribeURL included in this message.",
			"SubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=" + topic + "&Token=" + e["Token"],
			"Timestamp":    "2000-01-01T00:00:00.000Z", "SignatureVersion": "1", "Signature": "EXAMPLE",
			"SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-686f6c6466617374.pem",
		}
		if diff := cmp.Diff(want, e); diff != "" {
			b.Errorf("confirmation (-want +got):\n%s", diff)
		}
		listed := must(b.client.ListSubscriptionsByTopic(b.ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: &topic}))(b).Subscriptions
		if got := *listed[0].SubscriptionArn; got != "PendingConfirmation" {
			b.Errorf("listed as %s", got)
		}
		time.Sleep(48*time.Hour - time.Second)
		their := clientOf(b.server, "111111111111")
		confirm := func(token string) string {
			out, err := their.ConfirmSubscription(b.ctx, &sns.ConfirmSubscriptionInput{TopicArn: &topic, Token: &token})
			if err != nil {
				return told(err)
			}
			return *out.SubscriptionArn
		}
		if got := confirm("x"); got != "InvalidParameter: Invalid parameter: Token" {
			b.Errorf("another token: %s", got)
		}
		first := confirm(e["Token"])
		if again := confirm(e["Token"]); !strings.HasPrefix(first, topic+":") || again != first {
			b.Errorf("confirmed %s, again %s", first, again)
		}
		b.publish(topic, "now")
		if got := b.queues.bodies(queue)[1:]; len(got) != 1 || got[0] != "now" {
			b.Errorf("messages %q", got)
		}
	})

	bubble(t, "cannot be confirmed after two days, and goes away", func(b *bundle) {
		topic, _, _ := crossAccount(b)
		v, _ := b.server.Topic(topic)
		time.Sleep(48 * time.Hour)
		_, err := b.client.ConfirmSubscription(b.ctx, &sns.ConfirmSubscriptionInput{TopicArn: &topic, Token: &v.Subscriptions[0].Token})
		if got := told(err); got != "InvalidParameter: Invalid parameter: Token" {
			b.Errorf("%s", got)
		}
		if v, _ := b.server.Topic(topic); len(v.Subscriptions) != 0 {
			b.Errorf("subscriptions %+v", v.Subscriptions)
		}
	})

	bubble(t, "gets a new token when it is asked for again", func(b *bundle) {
		topic, queue, _ := crossAccount(b)
		v, _ := b.server.Topic(topic)
		old := v.Subscriptions[0].Token
		time.Sleep(24 * time.Hour)
		sub := must(b.client.Subscribe(b.ctx, &sns.SubscribeInput{TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &queue, ReturnSubscriptionArn: true}))(b)
		if *sub.SubscriptionArn != v.Subscriptions[0].ARN || len(b.queues.got(queue)) != 2 {
			b.Errorf("subscription %s, %d confirmations", *sub.SubscriptionArn, len(b.queues.got(queue)))
		}
		if _, err := b.client.ConfirmSubscription(b.ctx, &sns.ConfirmSubscriptionInput{TopicArn: &topic, Token: &old}); err == nil {
			b.Error("the old token confirms")
		}
		time.Sleep(36 * time.Hour)
		v, _ = b.server.Topic(topic)
		must(b.client.ConfirmSubscription(b.ctx, &sns.ConfirmSubscriptionInput{TopicArn: &topic, Token: &v.Subscriptions[0].Token}))(b)
	})

	bubble(t, "cannot be confirmed for another topic, nor after it has ended", func(b *bundle) {
		topic, _, _ := crossAccount(b)
		v, _ := b.server.Topic(topic)
		confirm := func(topic string) string {
			_, err := b.client.ConfirmSubscription(b.ctx, &sns.ConfirmSubscriptionInput{TopicArn: &topic, Token: &v.Subscriptions[0].Token})
			return told(err)
		}
		if got := confirm(b.topic("other")); got != "InvalidParameter: Invalid parameter: Topic" {
			b.Errorf("another topic: %s", got)
		}
		must(b.client.Unsubscribe(b.ctx, &sns.UnsubscribeInput{SubscriptionArn: &v.Subscriptions[0].ARN}))(b)
		if got := confirm(topic); got != "InvalidParameter: Invalid parameter: Token" {
			b.Errorf("ended: %s", got)
		}
	})

	bubble(t, "is confirmed when the queue's owner asks for it as well", func(b *bundle) {
		topic, queue, _ := crossAccount(b)
		must(b.client.AddPermission(b.ctx, &sns.AddPermissionInput{
			TopicArn: &topic, Label: aws.String("x"), AWSAccountId: []string{"111111111111"}, ActionName: []string{"Subscribe"},
		}))(b)
		sub := must(clientOf(b.server, "111111111111").Subscribe(b.ctx, &sns.SubscribeInput{TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &queue}))(b)
		if v, _ := b.server.Topic(topic); *sub.SubscriptionArn != v.Subscriptions[0].ARN || v.Subscriptions[0].Pending {
			b.Errorf("%s, subscriptions %+v", *sub.SubscriptionArn, v.Subscriptions)
		}
	})

	bubble(t, "is confirmed by visiting the URL, without a signature", func(b *bundle) {
		topic, queue, _ := crossAccount(b)
		var e struct{ SubscribeURL string }
		must(0, json.Unmarshal([]byte(b.queues.bodies(queue)[0]), &e))(b)
		if status, body := visit(b.T, b.server, e.SubscribeURL); status != 200 {
			b.Fatalf("%d: %s", status, body)
		}
		v, _ := b.server.Topic(topic)
		if got := v.Subscriptions[0].Attributes; got["PendingConfirmation"] != "false" || got["ConfirmationWasAuthenticated"] != "false" {
			b.Errorf("attributes %v", got)
		}
	})

	bubble(t, "can be ended by signed requests only, if it was confirmed so", func(b *bundle) {
		topic, _, _ := crossAccount(b)
		v, _ := b.server.Topic(topic)
		sub := must(b.client.ConfirmSubscription(b.ctx, &sns.ConfirmSubscriptionInput{
			TopicArn: &topic, Token: &v.Subscriptions[0].Token, AuthenticateOnUnsubscribe: aws.String("true"),
		}))(b).SubscriptionArn
		if status, body := visit(b.T, b.server, "http://sns.test.invalid/?Action=Unsubscribe&SubscriptionArn="+*sub); status != 403 {
			b.Errorf("%d: %s", status, body)
		}
		must(b.client.Unsubscribe(b.ctx, &sns.UnsubscribeInput{SubscriptionArn: sub}))(b)
	})

	bubble(t, "is confirmed at once when the queue's owner subscribes", func(b *bundle) {
		topic := b.topic("orders")
		queue := "arn:aws:sqs:us-east-1:111111111111:theirs"
		b.queues.allow(queue, `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`)
		their := clientOf(b.server, "111111111111")
		in := &sns.SubscribeInput{TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &queue}
		if _, err := their.Subscribe(b.ctx, in); !strings.HasPrefix(told(err), "AuthorizationError") {
			b.Errorf("without a permission: %v", err)
		}
		must(b.client.AddPermission(b.ctx, &sns.AddPermissionInput{
			TopicArn: &topic, Label: aws.String("x"), AWSAccountId: []string{"111111111111"}, ActionName: []string{"Subscribe"},
		}))(b)
		must(their.Subscribe(b.ctx, in))(b)
		b.publish(topic, "x")
		if n := len(b.queues.got(queue)); n != 1 {
			b.Errorf("%d messages, want the published one", n)
		}
		if got := must(their.ListSubscriptions(b.ctx, &sns.ListSubscriptionsInput{}))(b).Subscriptions; len(got) != 1 || *got[0].Owner != "111111111111" {
			b.Errorf("their subscriptions %v", got)
		}
	})

	bubble(t, "says why the confirmation did not arrive", func(b *bundle) {
		topic, queue := b.topic("orders"), "arn:aws:sqs:us-east-1:111111111111:theirs"
		b.queues.allow(queue, "")
		b.subscribe(topic, queue)
		d := b.server.Deliveries(topic)[0]
		if d.Type != "SubscriptionConfirmation" || d.Status != snsserver.Lost || !strings.HasPrefix(d.Why, "AccessDenied") {
			b.Errorf("%+v", d)
		}
	})
}

func ExampleServer_Why() {
	// A Server stands on anything that takes messages for queues.
	q := newQueues()
	q.allow(queueARN("billing"), "")
	s := snsserver.New(snsserver.Config{}, q)
	topic, _ := s.Create("orders", nil)
	_, _ = clientOf(s, "AKID").Subscribe(context.Background(), &sns.SubscribeInput{TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: aws.String(queueARN("billing"))})

	id, _ := s.Publish(topic, snsserver.Message{Body: "hello"})
	fmt.Println(s.Why(id, queueARN("billing"))[:69])
	// Output: lost: AccessDenied: the queue has no access policy, so SNS may not se
}
