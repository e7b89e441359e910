package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
)

func subscribeCases() []Case {
	try := func(c *Check, topic, protocol, endpoint string) error {
		_, err := c.SNS.Subscribe(c.ctx(), &sns.SubscribeInput{TopicArn: &topic, Protocol: &protocol, Endpoint: &endpoint})
		return err
	}
	return []Case{
		{"Subscribe/confirms a queue of the same account and brings its ARN", "Subscribe, SubscriptionArn", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			out, err := c.SNS.Subscribe(c.ctx(), &sns.SubscribeInput{TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: aws.String(c.arn(queue))})
			c.ok(err)
			if arn := aws.ToString(out.SubscriptionArn); !strings.HasPrefix(arn, topic+":") {
				c.errorf("ARN %q of topic %q", arn, topic)
			}
		}},
		{"Subscribe/brings the same ARN for the same queue", "Subscribe", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			first := c.subscribe(topic, queue)
			c.equal("ARN", c.subscribe(topic, queue), first)
		}},
		{"Subscribe/refuses the same queue with other attributes", "Subscribe, InvalidParameter: subscription already exists with different attributes", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			c.subscribe(topic, queue)
			_, err := c.trySubscribe(topic, queue, "RawMessageDelivery", "true")
			c.refused(err, invalid)
		}},
		{"Subscribe/takes a queue for two topics", "Subscribe", func(c *Check) {
			queue := c.queue()
			if a, b := c.subscribe(c.topic(), queue), c.subscribe(c.topic(), queue); a == b {
				c.errorf("both are %s", a)
			}
		}},
		{"Subscribe/refuses an unknown protocol", "Subscribe, Protocol", func(c *Check) {
			c.refused(try(c, c.topic(), "pigeon", "loft"), invalid)
		}},
		{"Subscribe/refuses an endpoint that is no ARN", "Subscribe, Endpoint: for the sqs protocol, the ARN of a queue", func(c *Check) {
			c.refused(try(c, c.topic(), "sqs", "orders"), invalid)
		}},
		{"Subscribe/refuses the URL of a queue", "Subscribe, Endpoint", func(c *Check) {
			c.refused(try(c, c.topic(), "sqs", c.queue()), invalid)
		}},
		{"Subscribe/refuses a topic that is not there", "Subscribe, NotFound", func(c *Check) {
			c.refused(try(c, c.topic()+"-none", "sqs", c.arn(c.queue())), notFound)
		}},
		{"Subscribe/refuses a FIFO queue for a standard topic", "Amazon SNS FIFO topics: FIFO queues can't be subscribed to standard topics", func(c *Check) {
			_, err := c.trySubscribe(c.topic(), c.fifo())
			c.refused(err, invalid)
		}},
		{"Subscribe/takes a standard queue for a FIFO topic", "Amazon SNS FIFO topics: message delivery to standard queues", func(c *Check) {
			_, err := c.trySubscribe(c.fifoTopic(), c.queue())
			c.ok(err)
		}},
		{"Subscribe/refuses an unknown attribute", "Subscribe, Attributes", func(c *Check) {
			_, err := c.trySubscribe(c.topic(), c.queue(), "Colour", "green")
			c.refused(err, invalid)
		}},
		{"Subscribe/refuses a filter policy that is not JSON", "Subscribe, FilterPolicy", func(c *Check) {
			_, err := c.trySubscribe(c.topic(), c.queue(), "FilterPolicy", "orders")
			c.refused(err, invalid)
		}},
		{"Subscribe/takes all attributes at once", "Subscribe, Attributes", func(c *Check) {
			arn := c.subscribe(c.topic(), c.queue(), "RawMessageDelivery", "true", "FilterPolicy", `{"kind":["order"]}`, "FilterPolicyScope", "MessageBody")
			got := c.subscription(arn)
			c.equal("attributes", []string{got["RawMessageDelivery"], got["FilterPolicy"], got["FilterPolicyScope"]}, []string{"true", `{"kind":["order"]}`, "MessageBody"})
		}},
		{"ConfirmSubscription/refuses a made-up token", "ConfirmSubscription, InvalidParameter", func(c *Check) {
			_, err := c.SNS.ConfirmSubscription(c.ctx(), &sns.ConfirmSubscriptionInput{TopicArn: aws.String(c.topic()), Token: aws.String("made up")})
			c.refused(err, invalid)
		}},
	}
}

func subscriptionCases() []Case {
	var cases []Case
	for _, row := range []struct{ what, name, value string }{
		{"an unknown attribute", "Colour", "green"},
		{"a RawMessageDelivery that is no boolean", "RawMessageDelivery", "maybe"},
		{"an unknown FilterPolicyScope", "FilterPolicyScope", "Envelope"},
		{"a RedrivePolicy that is not JSON", "RedrivePolicy", "dlq please"},
		{"a RedrivePolicy without a target", "RedrivePolicy", `{"maxReceiveCount":3}`},
		{"a RedrivePolicy whose target is no ARN", "RedrivePolicy", `{"deadLetterTargetArn":"dlq"}`},
	} {
		cases = append(cases, Case{"SetSubscriptionAttributes/refuses " + row.what, "SetSubscriptionAttributes, InvalidParameter", func(c *Check) {
			c.refused(c.setSubscription(c.subscribe(c.topic(), c.queue()), row.name, row.value), invalid)
		}})
	}
	list := func(c *Check, topic string) []string {
		out, err := c.SNS.ListSubscriptionsByTopic(c.ctx(), &sns.ListSubscriptionsByTopicInput{TopicArn: &topic})
		c.ok(err)
		var all []string
		for _, s := range out.Subscriptions {
			all = append(all, *s.SubscriptionArn)
		}
		slices.Sort(all)
		return all
	}
	return append(cases, []Case{
		{"GetSubscriptionAttributes/tells of a new subscription", "GetSubscriptionAttributes", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			arn := c.subscribe(topic, queue)
			got := c.subscription(arn)
			for name, want := range map[string]string{
				"SubscriptionArn": arn, "TopicArn": topic, "Protocol": "sqs", "Endpoint": c.arn(queue), "Owner": strings.Split(topic, ":")[4],
				"PendingConfirmation": "false", "ConfirmationWasAuthenticated": "true", "RawMessageDelivery": "false", "FilterPolicy": "", "RedrivePolicy": "",
			} {
				c.equal(name, got[name], want)
			}
		}},
		{"GetSubscriptionAttributes/says MessageAttributes where a filter policy has no scope", "GetSubscriptionAttributes, FilterPolicyScope: the default", func(c *Check) {
			arn := c.subscribe(c.topic(), c.queue(), "FilterPolicy", `{"kind":["order"]}`)
			c.equal("FilterPolicyScope", c.subscription(arn)["FilterPolicyScope"], "MessageAttributes")
		}},
		{"GetSubscriptionAttributes/refuses a subscription that is not there", "GetSubscriptionAttributes, NotFound", func(c *Check) {
			_, err := c.SNS.GetSubscriptionAttributes(c.ctx(), &sns.GetSubscriptionAttributesInput{SubscriptionArn: aws.String(c.topic() + ":6b0e71bd-7e97-4d97-80ce-4a0994e55286")})
			c.refused(err, notFound)
		}},
		{"SetSubscriptionAttributes/sets RawMessageDelivery", "SetSubscriptionAttributes, RawMessageDelivery", func(c *Check) {
			arn := c.subscribe(c.topic(), c.queue())
			c.ok(c.setSubscription(arn, "RawMessageDelivery", "true"))
			c.equal("RawMessageDelivery", c.subscription(arn)["RawMessageDelivery"], "true")
		}},
		{"SetSubscriptionAttributes/sets RedrivePolicy", "SetSubscriptionAttributes, RedrivePolicy", func(c *Check) {
			arn := c.subscribe(c.topic(), c.queue())
			policy := fmt.Sprintf(`{"deadLetterTargetArn":%q}`, c.arn(c.queue()))
			c.ok(c.setSubscription(arn, "RedrivePolicy", policy))
			c.equal("RedrivePolicy", c.subscription(arn)["RedrivePolicy"], policy)
		}},
		{"SetSubscriptionAttributes/takes a filter policy away by an empty one", "SetSubscriptionAttributes, FilterPolicy", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			arn := c.subscribe(topic, queue, "FilterPolicy", `{"kind":["order"]}`)
			c.ok(c.setSubscription(arn, "FilterPolicy", "{}"))
			c.publish(topic, "x")
			c.one(queue)
		}},
		{"SetSubscriptionAttributes/refuses a subscription that is not there", "SetSubscriptionAttributes, NotFound", func(c *Check) {
			c.refused(c.setSubscription(c.topic()+":6b0e71bd-7e97-4d97-80ce-4a0994e55286", "RawMessageDelivery", "true"), notFound)
		}},
		{"ListSubscriptionsByTopic/lists the topic's own", "ListSubscriptionsByTopic", func(c *Check) {
			topic := c.topic()
			want := []string{c.subscribe(topic, c.queue()), c.subscribe(topic, c.queue())}
			c.subscribe(c.topic(), c.queue())
			slices.Sort(want)
			c.equal("ARNs", list(c, topic), want)
		}},
		{"ListSubscriptionsByTopic/refuses a topic that is not there", "ListSubscriptionsByTopic, NotFound", func(c *Check) {
			_, err := c.SNS.ListSubscriptionsByTopic(c.ctx(), &sns.ListSubscriptionsByTopicInput{TopicArn: aws.String(c.topic() + "-none")})
			c.refused(err, notFound)
		}},
		{"ListSubscriptions/lists those of all topics", "ListSubscriptions", func(c *Check) {
			want := []string{c.subscribe(c.topic(), c.queue()), c.subscribe(c.topic(), c.queue())}
			out, err := c.SNS.ListSubscriptions(c.ctx(), &sns.ListSubscriptionsInput{})
			c.ok(err)
			var got []string
			for _, s := range out.Subscriptions {
				got = append(got, *s.SubscriptionArn)
			}
			slices.Sort(got)
			slices.Sort(want)
			c.equal("ARNs", got, want)
		}},
		{"Unsubscribe/ends delivery", "Unsubscribe", func(c *Check) {
			topic, left, stayed := c.topic(), c.queue(), c.queue()
			arn := c.subscribe(topic, left)
			c.subscribe(topic, stayed)
			_, err := c.SNS.Unsubscribe(c.ctx(), &sns.UnsubscribeInput{SubscriptionArn: &arn})
			c.ok(err)
			c.publish(topic, "x")
			c.one(stayed)
			c.stays(left)
			c.equal("subscriptions", len(list(c, topic)), 1)
		}},
		{"Unsubscribe/refuses what is no ARN", "Unsubscribe, InvalidParameter", func(c *Check) {
			_, err := c.SNS.Unsubscribe(c.ctx(), &sns.UnsubscribeInput{SubscriptionArn: aws.String("orders")})
			c.refused(err, invalid)
		}},
	}...)
}

func filterPolicyCases() []Case {
	var values []string
	for i := range 151 {
		values = append(values, fmt.Sprintf("%q", fmt.Sprint("v", i)))
	}
	many := strings.Join(values, ",")
	var cases []Case
	for _, row := range []struct {
		what, scope, policy string
		refused             bool
	}{
		{"takes text, numbers, true, false and null", "MessageAttributes", `{"a":["x",1,true,false,null]}`, false},
		{"takes five keys", "MessageAttributes", `{"a":["1"],"b":["1"],"c":["1"],"d":["1"],"e":["1"]}`, false},
		{"takes nested keys in a body", "MessageBody", `{"a":{"b":{"c":["x"]}}}`, false},
		{"takes $or", "MessageAttributes", `{"$or":[{"a":["1"]},{"b":["2"]}]}`, false},
		{"refuses what is not JSON", "MessageAttributes", `a is x`, true},
		{"refuses a list", "MessageAttributes", `["a"]`, true},
		{"refuses a value outside a list", "MessageAttributes", `{"a":"x"}`, true},
		{"refuses an empty list", "MessageAttributes", `{"a":[]}`, true},
		{"refuses an unknown operator", "MessageAttributes", `{"a":[{"sounds-like":"x"}]}`, true},
		{"refuses two operators in one object", "MessageAttributes", `{"a":[{"prefix":"x","suffix":"y"}]}`, true},
		{"refuses six keys", "MessageAttributes", `{"a":["1"],"b":["1"],"c":["1"],"d":["1"],"e":["1"],"f":["1"]}`, true},
		{"refuses 151 combinations", "MessageAttributes", `{"a":[` + many + `]}`, true},
		{"refuses nested keys for attributes", "MessageAttributes", `{"a":{"b":["x"]}}`, true},
		{"refuses an exists that is no boolean", "MessageAttributes", `{"a":[{"exists":"yes"}]}`, true},
		{"refuses a prefix that is no text", "MessageAttributes", `{"a":[{"prefix":1}]}`, true},
		{"refuses an unknown comparison", "MessageAttributes", `{"a":[{"numeric":["~",1]}]}`, true},
		{"refuses a comparison without a number", "MessageAttributes", `{"a":[{"numeric":["="]}]}`, true},
		{"refuses a range whose ends are swapped", "MessageAttributes", `{"a":[{"numeric":[">",5,"<",1]}]}`, true},
		{"refuses a cidr that is none", "MessageAttributes", `{"a":[{"cidr":"10.0.0.0/99"}]}`, true},
		{"refuses two stars in a row", "MessageAttributes", `{"a":[{"wildcard":"x**y"}]}`, true},
	} {
		cases = append(cases, Case{"FilterPolicy/" + row.what, "Amazon SNS subscription filter policies, SetSubscriptionAttributes", func(c *Check) {
			_, err := c.trySubscribe(c.topic(), c.queue(), "FilterPolicyScope", row.scope, "FilterPolicy", row.policy)
			if row.refused {
				c.refused(err, invalid)
			} else {
				c.ok(err)
			}
		}})
	}
	return cases
}
