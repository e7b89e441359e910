package conformance

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
)

func publishCases() []Case {
	var cases []Case
	structured := func(in *sns.PublishInput) { in.MessageStructure = aws.String("json") }
	for _, row := range []struct {
		what, body string
		change     func(*sns.PublishInput)
	}{
		{"an empty message", "", nil},
		{"a message of 256 KiB and 1", strings.Repeat("x", 256<<10+1), nil},
		{"attributes that make a message too long", strings.Repeat("x", 256<<10-5), having("name", "String", "value")},
		{"an empty subject", "x", subject("")},
		{"a subject of 101 characters", "x", subject(strings.Repeat("x", 101))},
		{"a subject of two lines", "x", subject("a\nb")},
		{"an attribute without a type", "x", having("a", "", "v")},
		{"an attribute of an unknown type", "x", having("a", "Colour", "green")},
		{"an empty attribute", "x", having("a", "String", "")},
		{"a number that is none", "x", having("a", "Number", "many")},
		{"an attribute whose name has a space", "x", having("a b", "String", "v")},
		{"an attribute whose name begins with AWS.", "x", having("AWS.a", "String", "v")},
		{"an attribute whose name begins with a period", "x", having(".a", "String", "v")},
		{"a structured message that is not JSON", "x", structured},
		{"a structured message without a default", `{"sqs":"x"}`, structured},
		{"an unknown MessageStructure", "x", func(in *sns.PublishInput) { in.MessageStructure = aws.String("yaml") }},
		{"a MessageDeduplicationId on a standard topic", "x", func(in *sns.PublishInput) { in.MessageDeduplicationId = aws.String("d") }},
	} {
		cases = append(cases, Case{"Publish/refuses " + row.what, "Publish, InvalidParameter and InvalidParameterValue", func(c *Check) {
			change := row.change
			if change == nil {
				change = func(*sns.PublishInput) {}
			}
			_, err := c.tryPublish(c.topic(), row.body, change)
			if kind(err) == "InvalidParameterValueException" { // of attributes and sizes, AWS does not say which
				return
			}
			c.refused(err, invalid)
		}})
	}
	return append(cases, []Case{
		{"Publish/brings a MessageId", "Publish, MessageId", func(c *Check) {
			topic := c.topic()
			a, b := c.publish(topic, "x"), c.publish(topic, "x")
			if aws.ToString(a.MessageId) == "" || *a.MessageId == *b.MessageId {
				c.errorf("ids %q and %q", aws.ToString(a.MessageId), aws.ToString(b.MessageId))
			}
			c.equal("SequenceNumber of a standard topic", aws.ToString(a.SequenceNumber), "")
		}},
		{"Publish/takes a message of 256 KiB", "Publish, Message: at most 256 KB", func(c *Check) {
			c.publish(c.topic(), strings.Repeat("x", 256<<10))
		}},
		{"Publish/takes a message of as many bytes as MaximumMessageSize says, and no more", "SetTopicAttributes, MaximumMessageSize", func(c *Check) {
			topic := c.topic()
			c.ok(c.setTopic(topic, "MaximumMessageSize", "1024"))
			c.publish(topic, strings.Repeat("x", 1024))
			_, err := c.tryPublish(topic, strings.Repeat("x", 1025))
			c.refused(err, invalid)
		}},
		{"Publish/refuses a topic that is not there", "Publish, NotFound", func(c *Check) {
			_, err := c.tryPublish(c.topic()+"-none", "x")
			c.refused(err, notFound)
		}},
		{"Publish/refuses to go nowhere", "Publish: you must specify a value for the TopicArn, TargetArn or PhoneNumber parameters", func(c *Check) {
			_, err := c.SNS.Publish(c.ctx(), &sns.PublishInput{Message: aws.String("x")})
			c.refused(err, invalid)
		}},
		{"Publish/takes a topic as TargetArn", "Publish, TargetArn", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			c.subscribe(topic, queue)
			_, err := c.SNS.Publish(c.ctx(), &sns.PublishInput{TargetArn: &topic, Message: aws.String("x")})
			c.ok(err)
			c.equal("Message", c.wrapping(c.one(queue))["Message"], any("x"))
		}},
		{"Publish/sends queues what a structured message has for them", "Publish, MessageStructure", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			c.subscribe(topic, queue)
			c.publish(topic, `{"default":"for all","sqs":"for queues"}`, structured)
			c.equal("Message", c.wrapping(c.one(queue))["Message"], any("for queues"))
		}},
		{"Publish/sends queues the default of a structured message", "Publish, MessageStructure", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			c.subscribe(topic, queue)
			c.publish(topic, `{"default":"for all","email":"for people"}`, structured)
			c.equal("Message", c.wrapping(c.one(queue))["Message"], any("for all"))
		}},
	}...)
}

func publishFIFOCases() []Case {
	// fanout is a FIFO topic with a queue.
	fanout := func(c *Check, attributes ...string) (topic, queue string) {
		topic, queue = c.fifoTopic(attributes...), c.fifo()
		c.subscribe(topic, queue, "RawMessageDelivery", "true")
		return topic, queue
	}
	return []Case{
		{"PublishFIFO/refuses a message without a group", "Publish, MessageGroupId: required for FIFO topics", func(c *Check) {
			_, err := c.tryPublish(c.fifoTopic("ContentBasedDeduplication", "true"), "x")
			c.refused(err, invalid)
		}},
		{"PublishFIFO/refuses a message without a deduplication id", "Publish, MessageDeduplicationId", func(c *Check) {
			_, err := c.tryPublish(c.fifoTopic(), "x", toGroup("g", ""))
			c.refused(err, invalid)
		}},
		{"PublishFIFO/refuses a group of 129 characters", "Publish, MessageGroupId: at most 128", func(c *Check) {
			_, err := c.tryPublish(c.fifoTopic(), "x", toGroup(strings.Repeat("g", 129), "d"))
			c.refused(err, invalid)
		}},
		{"PublishFIFO/refuses a group with a space", "Publish, MessageGroupId: alphanumeric and punctuation", func(c *Check) {
			_, err := c.tryPublish(c.fifoTopic(), "x", toGroup("a b", "d"))
			c.refused(err, invalid)
		}},
		{"PublishFIFO/refuses a deduplication id of 129 characters", "Publish, MessageDeduplicationId: at most 128", func(c *Check) {
			_, err := c.tryPublish(c.fifoTopic(), "x", toGroup("g", strings.Repeat("d", 129)))
			c.refused(err, invalid)
		}},
		{"PublishFIFO/brings sequence numbers that grow", "Publish, SequenceNumber: 20 digits, increases", func(c *Check) {
			topic := c.fifoTopic()
			a, b := aws.ToString(c.publish(topic, "1", toGroup("g", "1")).SequenceNumber), aws.ToString(c.publish(topic, "2", toGroup("g", "2")).SequenceNumber)
			if len(a) != 20 || len(b) != 20 || a >= b {
				c.errorf("sequence numbers %q and %q", a, b)
			}
		}},
		{"PublishFIFO/keeps the order of a group, and its id", "Amazon SNS FIFO topics, message ordering", func(c *Check) {
			topic, queue := fanout(c)
			var want []string
			for i := range 8 {
				body := strconv.Itoa(i)
				want = append(want, body)
				c.publish(topic, body, toGroup("g", body))
			}
			got := c.drain(queue, 8)
			c.equal("bodies", bodies(got), want)
			c.equal("group", got[0].Attributes["MessageGroupId"], "g")
			c.equal("deduplication id", got[0].Attributes["MessageDeduplicationId"], "0")
		}},
		{"PublishFIFO/delivers the same deduplication id once", "Amazon SNS FIFO topics, message deduplication", func(c *Check) {
			topic, queue := fanout(c)
			c.publish(topic, "x", toGroup("g", "d"))
			c.publish(topic, "again", toGroup("g", "d"))
			c.publish(topic, "end", toGroup("g", "e"))
			c.equal("bodies", bodies(c.drain(queue, 2)), []string{"x", "end"})
		}},
		{"PublishFIFO/delivers the same content once, where deduplication is by content", "CreateTopic, ContentBasedDeduplication", func(c *Check) {
			topic, queue := fanout(c, "ContentBasedDeduplication", "true")
			for _, body := range []string{"x", "x", "y"} {
				c.publish(topic, body, toGroup("g", ""))
			}
			c.equal("bodies", bodies(c.drain(queue, 2)), []string{"x", "y"})
		}},
		{"PublishFIFO/prefers the deduplication id to the content", "CreateTopic, ContentBasedDeduplication: you can override it by specifying a MessageDeduplicationId", func(c *Check) {
			topic, queue := fanout(c, "ContentBasedDeduplication", "true")
			c.publish(topic, "x", toGroup("g", "1"))
			c.publish(topic, "x", toGroup("g", "2"))
			c.equal("bodies", bodies(c.drain(queue, 2)), []string{"x", "x"})
		}},
		{"PublishFIFO/tells the sequence number in the envelope", "Amazon SNS FIFO topics, message metadata", func(c *Check) {
			topic, queue := c.fifoTopic(), c.fifo()
			c.subscribe(topic, queue)
			out := c.publish(topic, "x", toGroup("g", "d"))
			c.equal("SequenceNumber", c.wrapping(c.one(queue))["SequenceNumber"], any(aws.ToString(out.SequenceNumber)))
		}},
		{"Publish/forwards the group of a standard topic to standard queues", "Publish, MessageGroupId: SNS standard topics forward it to activate fair queues", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			c.subscribe(topic, queue)
			c.publish(topic, "x", toGroup("tenant-1", ""))
			c.equal("MessageGroupId", c.one(queue).Attributes["MessageGroupId"], "tenant-1")
		}},
	}
}

func publishBatchCases() []Case {
	entry := func(id, body string) snstypes.PublishBatchRequestEntry {
		return snstypes.PublishBatchRequestEntry{Id: &id, Message: &body}
	}
	try := func(c *Check, topic string, entries ...snstypes.PublishBatchRequestEntry) (*sns.PublishBatchOutput, error) {
		return c.SNS.PublishBatch(c.ctx(), &sns.PublishBatchInput{TopicArn: &topic, PublishBatchRequestEntries: entries})
	}
	eleven := make([]snstypes.PublishBatchRequestEntry, 11)
	for i := range eleven {
		eleven[i] = entry(strconv.Itoa(i), "x")
	}
	var cases []Case
	for _, row := range []struct {
		what, want string
		entries    []snstypes.PublishBatchRequestEntry
	}{
		{"an empty batch", "EmptyBatchRequestException", []snstypes.PublishBatchRequestEntry{}},
		{"eleven entries", "TooManyEntriesInBatchRequestException", eleven},
		{"two entries of one id", "BatchEntryIdsNotDistinctException", []snstypes.PublishBatchRequestEntry{entry("a", "x"), entry("a", "y")}},
		{"an id with a period", "InvalidBatchEntryIdException", []snstypes.PublishBatchRequestEntry{entry("a.b", "x")}},
		{"an id of 81 characters", "InvalidBatchEntryIdException", []snstypes.PublishBatchRequestEntry{entry(strings.Repeat("a", 81), "x")}},
		{"more than 256 KiB in all", "BatchRequestTooLongException", []snstypes.PublishBatchRequestEntry{entry("a", strings.Repeat("x", 200<<10)), entry("b", strings.Repeat("x", 57<<10))}},
	} {
		cases = append(cases, Case{"PublishBatch/refuses " + row.what, "PublishBatch, " + row.want, func(c *Check) {
			_, err := try(c, c.topic(), row.entries...)
			c.refused(err, row.want)
		}})
	}
	return append(cases, []Case{
		{"PublishBatch/publishes each entry", "PublishBatch, Successful", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			c.subscribe(topic, queue, "RawMessageDelivery", "true")
			out, err := try(c, topic, eleven[:10]...)
			c.ok(err)
			c.equal("results", []int{len(out.Successful), len(out.Failed)}, []int{10, 0})
			ids := map[string]bool{}
			for _, s := range out.Successful {
				ids[aws.ToString(s.MessageId)] = true
			}
			c.equal("message ids", len(ids), 10)
			c.receive(queue, 10)
		}},
		{"PublishBatch/fails one entry and publishes the others", "PublishBatch, Failed: the result of each message is reported individually", func(c *Check) {
			topic, queue := c.topic(), c.queue()
			c.subscribe(topic, queue, "RawMessageDelivery", "true")
			good, bad := entry("good", "x"), entry("bad", "no JSON")
			bad.MessageStructure = aws.String("json")
			out, err := try(c, topic, good, bad)
			c.ok(err)
			if len(out.Successful) != 1 || len(out.Failed) != 1 {
				c.fatalf("%d successful, %d failed", len(out.Successful), len(out.Failed))
			}
			c.equal("ids", []string{*out.Successful[0].Id, *out.Failed[0].Id}, []string{"good", "bad"})
			c.equal("SenderFault", out.Failed[0].SenderFault, true)
			c.equal("bodies", bodies(c.drain(queue, 1)), []string{"x"})
		}},
		{"PublishBatch/keeps the order of entries on FIFO topics", "PublishBatch, FIFO topics", func(c *Check) {
			topic, queue := c.fifoTopic(), c.fifo()
			c.subscribe(topic, queue, "RawMessageDelivery", "true")
			var batch []snstypes.PublishBatchRequestEntry
			var want []string
			for i := range 5 {
				e := entry(strconv.Itoa(i), strconv.Itoa(i))
				e.MessageGroupId, e.MessageDeduplicationId = aws.String("g"), e.Id
				batch, want = append(batch, e), append(want, *e.Message)
			}
			out, err := try(c, topic, batch...)
			c.ok(err)
			c.equal("bodies", bodies(c.drain(queue, 5)), want)
			var numbers []string
			for _, s := range out.Successful {
				numbers = append(numbers, aws.ToString(s.SequenceNumber))
			}
			c.equal("sequence numbers grow", slices.IsSorted(numbers), true)
		}},
		{"PublishBatch/refuses a topic that is not there", "PublishBatch, NotFound", func(c *Check) {
			_, err := try(c, c.topic()+"-none", entry("a", "x"))
			c.refused(err, notFound)
		}},
	}...)
}
