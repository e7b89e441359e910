package conformance

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/integration"
)

// attributeBounds is the table of numbers in CreateQueue and SetQueueAttributes.
func attributeBounds() []Case {
	var cases []Case
	for _, a := range []struct {
		name             string
		low, high, usual int
		needs            []string // other attributes without which it is not shown
	}{
		{"DelaySeconds", 0, 900, 0, nil},
		{"MaximumMessageSize", 1024, 1048576, 1048576, nil},
		{"MessageRetentionPeriod", 60, 1209600, 345600, nil},
		{"ReceiveMessageWaitTimeSeconds", 0, 20, 0, nil},
		{"VisibilityTimeout", 0, 43200, 30, nil},
		{"KmsDataKeyReusePeriodSeconds", 60, 86400, 300, []string{"KmsMasterKeyId", "alias/aws/sqs"}},
	} {
		name := types.QueueAttributeName(a.name)
		doc := a.name
		for what, value := range map[string]int{"lowest": a.low, "highest": a.high} {
			v := strconv.Itoa(value)
			cases = append(cases,
				Case{"CreateQueue/takes the " + what + " " + a.name + ", " + v, "CreateQueue, " + doc, func(c *Check) {
					c.equal(a.name, c.attribute(c.queue(append(a.needs, a.name, v)...), name), v)
				}},
				Case{"SetQueueAttributes/takes the " + what + " " + a.name + ", " + v, "SetQueueAttributes, " + doc, func(c *Check) {
					url := c.queue()
					c.ok(c.set(url, append(a.needs, a.name, v)...))
					c.equal(a.name, c.attribute(url, name), v)
				}},
			)
		}
		for what, v := range map[string]string{"below the lowest": strconv.Itoa(a.low - 1), "above the highest": strconv.Itoa(a.high + 1), "that is no number": "many"} {
			cases = append(cases,
				Case{"CreateQueue/refuses a " + a.name + " " + what, "CreateQueue, " + doc + ", InvalidAttributeValue", func(c *Check) {
					_, err := c.create(integration.Unique("q"), append(a.needs, a.name, v)...)
					c.refused(err, "InvalidAttributeValue")
				}},
				Case{"SetQueueAttributes/refuses a " + a.name + " " + what, "SetQueueAttributes, " + doc + ", InvalidAttributeValue", func(c *Check) {
					url := c.queue()
					c.refused(c.set(url, append(a.needs, a.name, v)...), "InvalidAttributeValue")
					if a.needs == nil {
						c.equal(a.name+" after the refusal", c.attribute(url, name), strconv.Itoa(a.usual))
					}
				}},
			)
		}
		cases = append(cases, Case{"CreateQueue/has a " + a.name + " of " + strconv.Itoa(a.usual) + " where none is given", "CreateQueue, " + doc, func(c *Check) {
			c.equal(a.name, c.attribute(c.queue(a.needs...), name), strconv.Itoa(a.usual))
		}})
	}
	return cases
}

func attributeCases() []Case {
	return []Case{
		{"GetQueueAttributes/returns All of a standard queue, without what only FIFO queues have", "GetQueueAttributes, AttributeNames", func(c *Check) {
			got := c.attributes(c.queue(), "All")
			for _, name := range []string{
				"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed",
				"CreatedTimestamp", "LastModifiedTimestamp", "DelaySeconds", "MaximumMessageSize", "MessageRetentionPeriod",
				"QueueArn", "ReceiveMessageWaitTimeSeconds", "VisibilityTimeout", "SqsManagedSseEnabled",
			} {
				if got[name] == "" {
					c.errorf("%s is missing", name)
				}
			}
			for _, name := range []string{"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"} {
				if v, there := got[name]; there {
					c.errorf("%s is %q", name, v)
				}
			}
		}},
		{"GetQueueAttributes/returns All of a FIFO queue", "GetQueueAttributes, AttributeNames", func(c *Check) {
			got := c.attributes(c.fifo(), "All")
			c.equal("FifoQueue", got["FifoQueue"], "true")
			c.equal("ContentBasedDeduplication", got["ContentBasedDeduplication"], "false")
			c.equal("DeduplicationScope", got["DeduplicationScope"], "queue")
			c.equal("FifoThroughputLimit", got["FifoThroughputLimit"], "perQueue")
		}},
		{"GetQueueAttributes/returns what is asked for and no more", "GetQueueAttributes, AttributeNames", func(c *Check) {
			got := c.attributes(c.queue(), "VisibilityTimeout", "DelaySeconds")
			c.equal("attributes", got, map[string]string{"VisibilityTimeout": "30", "DelaySeconds": "0"})
		}},
		{"GetQueueAttributes/returns nothing where nothing is asked for", "GetQueueAttributes, AttributeNames", func(c *Check) {
			c.equal("attributes", len(c.attributes(c.queue())), 0)
		}},
		{"GetQueueAttributes/refuses an unknown name", "GetQueueAttributes, InvalidAttributeName", func(c *Check) {
			url := c.queue()
			_, err := c.SQS.GetQueueAttributes(c.ctx(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"Colour"}})
			c.refused(err, "InvalidAttributeName")
		}},
		{"GetQueueAttributes/names the queue by region, account and name", "GetQueueAttributes, QueueArn", func(c *Check) {
			url := c.queue()
			parts := strings.Split(c.arn(url), ":")
			if len(parts) != 6 {
				c.fatalf("ARN %v", parts)
			}
			c.equal("ARN", strings.Join(parts[:4], ":"), "arn:aws:sqs:"+integration.Region)
			c.equal("account and name", parts[4]+"/"+parts[5], url[strings.LastIndex(url[:strings.LastIndex(url, "/")], "/")+1:])
		}},
		{"GetQueueAttributes/counts visible, delayed and in-flight messages", "GetQueueAttributes, ApproximateNumberOfMessages", func(c *Check) {
			url := c.queue()
			c.send(url, "flying")
			c.one(url)
			c.send(url, "lying")
			c.send(url, "lying too")
			c.send(url, "to come", func(in *sqs.SendMessageInput) { in.DelaySeconds = 900 })
			c.equal("counts", c.attributes(url, "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"), map[string]string{
				"ApproximateNumberOfMessages": "2", "ApproximateNumberOfMessagesNotVisible": "1", "ApproximateNumberOfMessagesDelayed": "1",
			})
		}},
		{"SetQueueAttributes/changes what it names and nothing else", "SetQueueAttributes", func(c *Check) {
			url := c.queue("VisibilityTimeout", "77")
			c.ok(c.set(url, "DelaySeconds", "5"))
			c.equal("attributes", c.attributes(url, "VisibilityTimeout", "DelaySeconds"), map[string]string{"VisibilityTimeout": "77", "DelaySeconds": "5"})
		}},
		{"SetQueueAttributes/refuses an unknown attribute", "SetQueueAttributes, InvalidAttributeName", func(c *Check) {
			c.refused(c.set(c.queue(), "Colour", "blue"), "InvalidAttributeName")
		}},
		{"SetQueueAttributes/refuses an attribute that is only read", "SetQueueAttributes, Attributes", func(c *Check) {
			c.refused(c.set(c.queue(), "QueueArn", "arn:aws:sqs:us-east-1:000000000000:other"), "InvalidAttributeName")
		}},
		{"SetQueueAttributes/refuses to make a queue FIFO", "CreateQueue, FifoQueue: cannot be changed for an existing queue", func(c *Check) {
			c.refused(c.set(c.queue(), "FifoQueue", "true"), "InvalidAttributeName")
		}},
		{"SetQueueAttributes/refuses ContentBasedDeduplication on a standard queue", "SetQueueAttributes: applies only to FIFO queues", func(c *Check) {
			c.refused(c.set(c.queue(), "ContentBasedDeduplication", "true"), "InvalidAttributeName")
		}},
		{"SetQueueAttributes/refuses DeduplicationScope on a standard queue", "SetQueueAttributes: applies only to high throughput for FIFO queues", func(c *Check) {
			c.refused(c.set(c.queue(), "DeduplicationScope", "messageGroup"), "InvalidAttributeName")
		}},
		{"SetQueueAttributes/switches high throughput on", "SetQueueAttributes, FifoThroughputLimit", func(c *Check) {
			url := c.fifo()
			c.ok(c.set(url, "DeduplicationScope", "messageGroup", "FifoThroughputLimit", "perMessageGroupId"))
			c.equal("attributes", c.attributes(url, "DeduplicationScope", "FifoThroughputLimit"), map[string]string{"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"})
		}},
		{"SetQueueAttributes/refuses perMessageGroupId while deduplication is by queue", "SetQueueAttributes, FifoThroughputLimit: allowed only when DeduplicationScope is messageGroup", func(c *Check) {
			c.refused(c.set(c.fifo(), "FifoThroughputLimit", "perMessageGroupId"), "")
		}},
		{"SetQueueAttributes/refuses an unknown DeduplicationScope", "SetQueueAttributes, DeduplicationScope", func(c *Check) {
			c.refused(c.set(c.fifo(), "DeduplicationScope", "galaxy"), "InvalidAttributeValue")
		}},
		{"SetQueueAttributes/refuses an unknown FifoThroughputLimit", "SetQueueAttributes, FifoThroughputLimit", func(c *Check) {
			c.refused(c.set(c.fifo(), "FifoThroughputLimit", "unlimited"), "InvalidAttributeValue")
		}},
		{"SetQueueAttributes/refuses a ContentBasedDeduplication that is no boolean", "SetQueueAttributes, ContentBasedDeduplication", func(c *Check) {
			c.refused(c.set(c.fifo(), "ContentBasedDeduplication", "perhaps"), "InvalidAttributeValue")
		}},
		{"SetQueueAttributes/keeps a policy", "SetQueueAttributes, Policy", func(c *Check) {
			url := c.queue()
			policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"` + c.arn(url) + `"}]}`
			c.ok(c.set(url, "Policy", policy))
			c.equal("Policy", c.attribute(url, "Policy"), policy)
		}},
		{"SetQueueAttributes/refuses a policy that is not JSON", "SetQueueAttributes, Policy", func(c *Check) {
			c.refused(c.set(c.queue(), "Policy", "let me in"), "InvalidAttributeValue")
		}},
		{"SetQueueAttributes/removes a policy with an empty one", "SetQueueAttributes, Policy", func(c *Check) {
			url := c.queue()
			c.ok(c.set(url, "Policy", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"`+c.arn(url)+`"}]}`))
			c.ok(c.set(url, "Policy", ""))
			c.equal("Policy", c.attribute(url, "Policy"), "")
		}},
		{"SetQueueAttributes/sets KmsMasterKeyId and ends SQS-managed encryption", "SetQueueAttributes, SqsManagedSseEnabled: only one option at a time", func(c *Check) {
			url := c.queue()
			c.ok(c.set(url, "KmsMasterKeyId", "alias/aws/sqs"))
			c.equal("attributes", c.attributes(url, "KmsMasterKeyId", "SqsManagedSseEnabled"), map[string]string{"KmsMasterKeyId": "alias/aws/sqs", "SqsManagedSseEnabled": "false"})
		}},
		{"SetQueueAttributes/refuses both kinds of encryption at once", "SetQueueAttributes, SqsManagedSseEnabled: only one option at a time", func(c *Check) {
			c.refused(c.set(c.queue(), "KmsMasterKeyId", "alias/aws/sqs", "SqsManagedSseEnabled", "true"), "")
		}},
		{"SetQueueAttributes/switches SQS-managed encryption off", "SetQueueAttributes, SqsManagedSseEnabled", func(c *Check) {
			url := c.queue()
			c.equal("at first", c.attribute(url, "SqsManagedSseEnabled"), "true")
			c.ok(c.set(url, "SqsManagedSseEnabled", "false"))
			c.equal("afterwards", c.attribute(url, "SqsManagedSseEnabled"), "false")
		}},
	}
}
