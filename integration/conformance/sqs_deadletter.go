package conformance

import (
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/integration"
)

func deadLetterCases() []Case {
	var cases []Case
	for _, row := range []struct {
		what, count string
		refused     bool
	}{
		{"takes a maxReceiveCount of 1", "1", false},
		{"takes a maxReceiveCount of 1,000", "1000", false},
		{"takes a maxReceiveCount as text", `"5"`, false},
		{"refuses a maxReceiveCount of 0", "0", true},
		{"refuses a maxReceiveCount of 1,001", "1001", true},
		{"refuses a maxReceiveCount that is no number", `"many"`, true},
	} {
		cases = append(cases, Case{"RedrivePolicy/" + row.what, "SetQueueAttributes, RedrivePolicy", func(c *Check) {
			dlq, source := c.queue(), c.queue()
			err := c.set(source, "RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%s}`, c.arn(dlq), row.count))
			if row.refused {
				c.refused(err, "")
			} else {
				c.ok(err)
			}
		}})
	}
	return append(cases, []Case{
		{"RedrivePolicy/refuses what is not JSON", "SetQueueAttributes, RedrivePolicy, InvalidAttributeValue", func(c *Check) {
			c.refused(c.set(c.queue(), "RedrivePolicy", "dlq please"), "")
		}},
		{"RedrivePolicy/refuses a target that is no ARN", "SetQueueAttributes, RedrivePolicy", func(c *Check) {
			c.refused(c.set(c.queue(), "RedrivePolicy", `{"deadLetterTargetArn":"dlq","maxReceiveCount":3}`), "")
		}},
		{"RedrivePolicy/refuses a target that is not there", "SetQueueAttributes, RedrivePolicy", func(c *Check) {
			url := c.queue()
			c.refused(c.set(url, "RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":3}`, c.arn(url)+"-none")), "")
		}},
		{"RedrivePolicy/refuses a standard dead-letter queue of a FIFO queue", "SetQueueAttributes, RedrivePolicy: must also be a FIFO queue", func(c *Check) {
			c.refused(c.set(c.fifo(), "RedrivePolicy", c.policy(c.queue(), 3)), "")
		}},
		{"RedrivePolicy/refuses a FIFO dead-letter queue of a standard queue", "SetQueueAttributes, RedrivePolicy: must also be a standard queue", func(c *Check) {
			c.refused(c.set(c.queue(), "RedrivePolicy", c.policy(c.fifo(), 3)), "")
		}},
		{"RedrivePolicy/is taken away by an empty one", "SetQueueAttributes, RedrivePolicy", func(c *Check) {
			dlq, source := c.queue(), c.queue()
			c.redrive(source, dlq, 1)
			c.ok(c.set(source, "RedrivePolicy", ""))
			c.equal("RedrivePolicy", c.attribute(source, "RedrivePolicy"), "")
		}},
		{"RedrivePolicy/comes back as it was set", "GetQueueAttributes, RedrivePolicy", func(c *Check) {
			dlq, source := c.queue(), c.queue()
			c.redrive(source, dlq, 7)
			c.equal("RedrivePolicy", c.attribute(source, "RedrivePolicy"), c.policy(dlq, 7))
		}},
		{"RedrivePolicy/may be given to CreateQueue", "CreateQueue, RedrivePolicy", func(c *Check) {
			dlq := c.queue()
			_, err := c.create(integration.Unique("source"), "RedrivePolicy", c.policy(dlq, 3))
			c.ok(err)
		}},
		{"RedriveAllowPolicy/comes back as it was set", "GetQueueAttributes, RedriveAllowPolicy", func(c *Check) {
			url := c.queue()
			c.ok(c.set(url, "RedriveAllowPolicy", `{"redrivePermission":"denyAll"}`))
			c.equal("RedriveAllowPolicy", c.attribute(url, "RedriveAllowPolicy"), `{"redrivePermission":"denyAll"}`)
		}},
		{"RedriveAllowPolicy/denies all", "SetQueueAttributes, RedriveAllowPolicy: denyAll", func(c *Check) {
			dlq, source := c.queue("RedriveAllowPolicy", `{"redrivePermission":"denyAll"}`), c.queue()
			c.refused(c.set(source, "RedrivePolicy", c.policy(dlq, 3)), "")
		}},
		{"RedriveAllowPolicy/allows the queues it names", "SetQueueAttributes, RedriveAllowPolicy: byQueue", func(c *Check) {
			dlq, source := c.queue(), c.queue()
			c.ok(c.set(dlq, "RedriveAllowPolicy", fmt.Sprintf(`{"redrivePermission":"byQueue","sourceQueueArns":[%q]}`, c.arn(source))))
			c.ok(c.set(source, "RedrivePolicy", c.policy(dlq, 3)))
		}},
		{"RedriveAllowPolicy/denies the queues it does not name", "SetQueueAttributes, RedriveAllowPolicy: byQueue", func(c *Check) {
			dlq, source, other := c.queue(), c.queue(), c.queue()
			c.ok(c.set(dlq, "RedriveAllowPolicy", fmt.Sprintf(`{"redrivePermission":"byQueue","sourceQueueArns":[%q]}`, c.arn(other))))
			c.refused(c.set(source, "RedrivePolicy", c.policy(dlq, 3)), "")
		}},
		{"RedriveAllowPolicy/refuses an unknown permission", "SetQueueAttributes, RedriveAllowPolicy", func(c *Check) {
			c.refused(c.set(c.queue(), "RedriveAllowPolicy", `{"redrivePermission":"perhaps"}`), "")
		}},
		{"RedriveAllowPolicy/refuses what is not JSON", "SetQueueAttributes, RedriveAllowPolicy", func(c *Check) {
			c.refused(c.set(c.queue(), "RedriveAllowPolicy", "all"), "")
		}},
		{"DeadLetter/moves a message after maxReceiveCount receives, not before", "Amazon SQS dead-letter queues", func(c *Check) {
			dlq, source := c.queue(), c.queue()
			c.redrive(source, dlq, 2)
			c.send(source, "x")
			for range 2 {
				c.ok(c.extend(source, c.one(source).ReceiptHandle, 0))
			}
			c.none(dlq)
			got, err := c.tryReceive(source, waiting(1)) // moves it
			c.ok(err)
			c.equal("on the source", bodies(got), []string(nil))
			c.equal("on the dead-letter queue", bodies(c.receive(dlq, 1)), []string{"x"})
		}},
		{"DeadLetter/keeps the id and counts on", "ReceiveMessage, ApproximateReceiveCount: across all queues", func(c *Check) {
			dlq, source := c.queue(), c.queue()
			c.redrive(source, dlq, 1)
			out := c.send(source, "x")
			c.ok(c.extend(source, c.one(source).ReceiptHandle, 0))
			c.none(source)
			m := c.one(dlq)
			c.equal("id", *m.MessageId, *out.MessageId)
			c.equal("receives", m.Attributes["ApproximateReceiveCount"], "2")
		}},
		{"DeadLetter/names the source", "ReceiveMessage, DeadLetterQueueSourceArn", func(c *Check) {
			dlq, source := c.queue(), c.queue()
			c.redrive(source, dlq, 1)
			c.send(source, "x")
			c.ok(c.extend(source, c.one(source).ReceiptHandle, 0))
			c.none(source)
			c.equal("DeadLetterQueueSourceArn", c.one(dlq).Attributes["DeadLetterQueueSourceArn"], c.arn(source))
		}},
		{"DeadLetter/keeps the time a message was sent, on standard queues", "Amazon SQS dead-letter queues: the original enqueue timestamp is unchanged", func(c *Check) {
			dlq, source := c.queue(), c.queue()
			c.redrive(source, dlq, 1)
			c.send(source, "x")
			first := c.one(source)
			c.sleep(20 * time.Millisecond)
			c.ok(c.extend(source, first.ReceiptHandle, 0))
			c.none(source)
			c.equal("SentTimestamp", c.one(dlq).Attributes["SentTimestamp"], first.Attributes["SentTimestamp"])
		}},
		{"DeadLetter/lets the next of a FIFO group through", "Amazon SQS dead-letter queues", func(c *Check) {
			dlq, source := c.fifo(), c.fifo()
			c.redrive(source, dlq, 1)
			c.send(source, "1", group("g", "1"))
			c.send(source, "2", group("g", "2"))
			c.ok(c.extend(source, c.one(source, atMost(1)).ReceiptHandle, 0))
			c.equal("on the source", bodies(c.receive(source, 1, atMost(1))), []string{"2"})
			m := c.one(dlq)
			c.equal("on the dead-letter queue", []string{*m.Body, m.Attributes["MessageGroupId"]}, []string{"1", "g"})
		}},
	}...)
}
