package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func envelopeCases() []Case {
	return []Case{
		{"Envelope/has the documented fields, and no others", "Parsing Amazon SNS message formats: HTTP/HTTPS notification JSON format", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			c.subscribe(topic, queue)
			out := c.publish(topic, `{"id":1}`, subject("hello"))
			got := c.wrapping(c.one(queue))
			c.equal("fields", slices.Sorted(maps.Keys(got)), []string{"Message", "MessageId", "Signature", "SignatureVersion", "SigningCertURL", "Subject", "Timestamp", "TopicArn", "Type", "UnsubscribeURL"})
			for name, want := range map[string]string{
				"Type": "Notification", "MessageId": *out.MessageId, "TopicArn": topic, "Subject": "hello", "Message": `{"id":1}`, "SignatureVersion": "1",
			} {
				c.equal(name, got[name], any(want))
			}
		}},
		{"Envelope/has no Subject where there is none", "Parsing Amazon SNS message formats", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			c.subscribe(topic, queue)
			c.publish(topic, "x")
			_, there := c.wrapping(c.one(queue))["Subject"]
			c.equal("Subject", there, false)
		}},
		{"Envelope/tells the time in GMT with milliseconds", "Parsing Amazon SNS message formats, Timestamp", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			c.subscribe(topic, queue)
			c.publish(topic, "x")
			text, _ := c.wrapping(c.one(queue))["Timestamp"].(string)
			if at, err := time.Parse("2006-01-02T15:04:05.000Z", text); err != nil || time.Since(at).Abs() > time.Minute {
				c.errorf("Timestamp %q", text)
			}
		}},
		{"Envelope/names signature version 2 where the topic does", "SetTopicAttributes, SignatureVersion", func(c *Check) {
			topic, queue := c.topic("SignatureVersion", "2"), c.queue()
			c.subscribe(topic, queue)
			c.publish(topic, "x")
			c.equal("SignatureVersion", c.wrapping(c.one(queue))["SignatureVersion"], any("2"))
		}},
		{"Envelope/carries attributes, as text", "Amazon SNS message attributes", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			c.subscribe(topic, queue)
			c.publish(topic, "x", having("s", "String", "v"), having("n", "Number", "1.5"), having("b", "Binary", "raw"), having("a", "String.Array", `["x",1]`))
			m := c.one(queue)
			c.equal("MessageAttributes", c.wrapping(m)["MessageAttributes"], any(map[string]any{
				"s": map[string]any{"Type": "String", "Value": "v"},
				"n": map[string]any{"Type": "Number", "Value": "1.5"},
				"b": map[string]any{"Type": "Binary", "Value": "cmF3"},
				"a": map[string]any{"Type": "String.Array", "Value": `["x",1]`},
			}))
			c.equal("attributes of the message on the queue", len(m.MessageAttributes), 0)
		}},
		{"Envelope/keeps quotes, line ends and text of all scripts", "Publish, Message: UTF-8", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			c.subscribe(topic, queue)
			body := "\"quoted\" \\ <tag> & \t\nГруппа 組 🚚"
			c.publish(topic, body)
			c.equal("Message", c.wrapping(c.one(queue))["Message"], any(body))
		}},
	}
}

func rawCases() []Case {
	fanout := func(c *Check) (topic, queue string) {
		topic, queue = c.topic(), c.queue()
		c.subscribe(topic, queue, "RawMessageDelivery", "true")
		return topic, queue
	}
	return []Case{
		{"Raw/delivers the message as it is", "Amazon SNS raw message delivery", func(c *Check) {
			topic, queue := fanout(c)
			c.publish(topic, "as \"it\" is", subject("lost"))
			c.equal("body", *c.one(queue).Body, "as \"it\" is")
		}},
		{"Raw/makes attributes those of the message on the queue", "Amazon SNS raw message delivery", func(c *Check) {
			topic, queue := fanout(c)
			c.publish(topic, "x", having("s", "String", "v"), having("n", "Number", "1.5"), having("b", "Binary", "raw"))
			got := map[string][2]string{}
			for name, a := range c.one(queue).MessageAttributes {
				got[name] = [2]string{aws.ToString(a.DataType), aws.ToString(a.StringValue) + string(a.BinaryValue)}
			}
			c.equal("attributes", got, map[string][2]string{"s": {"String", "v"}, "n": {"Number", "1.5"}, "b": {"Binary", "raw"}})
		}},
		{"Raw/delivers ten attributes", "Amazon SNS message attributes: up to 10 with raw delivery", func(c *Check) {
			topic, queue := fanout(c)
			c.publish(topic, "x", attributes(10)...)
			c.equal("attributes", len(c.one(queue).MessageAttributes), 10)
		}},
		{"Raw/discards a message of eleven attributes", "Amazon SNS message attributes: more than 10 are discarded as a client-side error", func(c *Check) {
			topic, queue := fanout(c)
			c.publish(topic, "eleven", attributes(11)...)
			c.publish(topic, "end")
			var came []string
			for try := 0; try < 3 && !slices.Contains(came, "end"); try++ {
				got, err := c.tryReceive(queue, waiting(5))
				c.ok(err)
				came = append(came, bodies(got)...)
			}
			slices.Sort(came)
			c.equal("bodies", came, []string{"end"})
			c.stays(queue)
		}},
		{"Raw/is of one subscription, not of the topic", "SetSubscriptionAttributes, RawMessageDelivery", func(c *Check) {
			topic, raw := fanout(c)
			wrapped := c.queue()
			c.subscribe(topic, wrapped)
			c.publish(topic, "x")
			c.equal("raw", *c.one(raw).Body, "x")
			c.equal("wrapped", c.wrapping(c.one(wrapped))["Message"], any("x"))
		}},
	}
}

func deliveryCases() []Case {
	// gone is a topic whose subscribed queue is not there any more, and the dead-letter
	// queue of its subscription.
	gone := func(c *Check, attributes ...string) (topic, dlq string) {
		topic, dlq = c.topic(), c.queue()
		c.admit(topic, dlq)
		queue := c.queue()
		c.subscribe(topic, queue, append(attributes, "RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":%q}`, c.arn(dlq)))...)
		_, err := c.SQS.DeleteQueue(c.ctx(), &sqs.DeleteQueueInput{QueueUrl: &queue})
		c.ok(err)
		return topic, dlq
	}
	// refused has a message published to a queue of a policy, which must not come; that
	// another subscription has it says that it had its time.
	refused := func(name, doc string, policy func(c *Check, topic, queue string)) Case {
		return Case{"Delivery/" + name, doc, func(c *Check) {
			topic, queue, control := c.topic(), c.queue(), c.queue()
			policy(c, topic, queue)
			_, err := c.trySubscribe(topic, queue)
			c.ok(err)
			c.subscribe(topic, control)
			c.publish(topic, "x")
			c.one(control)
			c.stays(queue)
		}}
	}
	allow := func(principal, action, condition string) func(*Check, string, string) {
		if condition != "" {
			condition = `,"Condition":` + condition
		}
		return func(c *Check, _, queue string) {
			c.ok(c.set(queue, "Policy", fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":%s,"Action":%q,"Resource":%q%s}]}`, principal, action, c.arn(queue), condition)))
		}
	}
	const service = `{"Service":"sns.amazonaws.com"}`
	return []Case{
		{"Delivery/brings a message to every subscription", "Fanout Amazon SNS notifications to Amazon SQS queues", func(c *Check) {
			topic := c.topic()
			queues := []string{c.queue(), c.queue(), c.queue()}
			for _, q := range queues {
				c.subscribe(topic, q)
			}
			c.publish(topic, "x")
			for _, q := range queues {
				c.equal("Message", c.wrapping(c.one(q))["Message"], any("x"))
			}
		}},
		{"Delivery/brings nothing that was published before the subscription", "Subscribe", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			c.publish(topic, "before")
			c.subscribe(topic, queue, "RawMessageDelivery", "true")
			c.publish(topic, "after")
			c.equal("bodies", bodies(c.receive(queue, 1)), []string{"after"})
			c.stays(queue)
		}},
		{"Delivery/gives the message on the queue an id of its own", "SendMessage, MessageId", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			c.subscribe(topic, queue)
			out := c.publish(topic, "x")
			if *c.one(queue).MessageId == *out.MessageId {
				c.errorf("the same id")
			}
		}},
		refused("is refused by a queue without a policy", "Amazon SNS, give permission to the topic to send messages to the queue", func(*Check, string, string) {}),
		refused("is refused by a policy for another topic", "Amazon SNS, aws:SourceArn", allow(service, "sqs:SendMessage", `{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:us-east-1:111122223333:another"}}`)),
		refused("is refused by a policy for another action", "Amazon SNS, sqs:SendMessage", allow(service, "sqs:ReceiveMessage", "")),
		refused("is refused by a policy for another service", "Amazon SNS, sns.amazonaws.com", allow(`{"Service":"s3.amazonaws.com"}`, "sqs:SendMessage", "")),
		{"Delivery/is allowed by a policy for all topics of the account", "Amazon SNS, aws:SourceArn with ArnLike", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			parts := strings.Split(topic, ":")
			allow(service, "sqs:SendMessage", fmt.Sprintf(`{"ArnLike":{"aws:SourceArn":"%s:*"}}`, strings.Join(parts[:5], ":")))(c, topic, queue)
			_, err := c.trySubscribe(topic, queue)
			c.ok(err)
			c.publish(topic, "x")
			c.one(queue)
		}},
		{"SubscriptionDLQ/gets what a queue that is gone did not", "Amazon SNS dead-letter queues: client-side errors are not retried", func(c *Check) {
			topic, dlq := gone(c)
			out := c.publish(topic, "x")
			got := c.wrapping(c.one(dlq))
			c.equal("Message and MessageId", []any{got["Message"], got["MessageId"]}, []any{"x", *out.MessageId})
		}},
		{"SubscriptionDLQ/gets the raw message where delivery is raw", "Amazon SNS dead-letter queues", func(c *Check) {
			topic, dlq := gone(c, "RawMessageDelivery", "true")
			c.publish(topic, "x")
			c.equal("body", *c.one(dlq).Body, "x")
		}},
		{"SubscriptionDLQ/gets what a queue refused that has no policy", "Amazon SNS dead-letter queues: client-side errors", func(c *Check) {
			topic, dlq, queue := c.topic(), c.queue(), c.queue()
			c.admit(topic, dlq)
			_, err := c.trySubscribe(topic, queue, "RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":%q}`, c.arn(dlq)))
			c.ok(err)
			c.publish(topic, "x")
			c.one(dlq)
		}},
		{"SubscriptionDLQ/gets nothing that was delivered or filtered", "Amazon SNS dead-letter queues", func(c *Check) {
			topic, dlq, queue := c.topic(), c.queue(), c.queue()
			c.admit(topic, dlq)
			c.subscribe(topic, queue, "FilterPolicy", `{"kind":["order"]}`, "RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":%q}`, c.arn(dlq)))
			c.publish(topic, "filtered")
			c.publish(topic, "x", having("kind", "String", "order"))
			c.one(queue)
			c.stays(dlq)
		}},
	}
}
