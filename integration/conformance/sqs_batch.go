package conformance

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// sendAll is SendMessageBatch.
func (c *Check) sendAll(url string, entries ...types.SendMessageBatchRequestEntry) (*sqs.SendMessageBatchOutput, error) {
	return c.SQS.SendMessageBatch(c.ctx(), &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries})
}

func entry(id, body string) types.SendMessageBatchRequestEntry {
	return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body}
}

// entries are n entries with the ids and bodies 0 to n-1.
func entries(n int) []types.SendMessageBatchRequestEntry {
	var all []types.SendMessageBatchRequestEntry
	for i := range n {
		all = append(all, entry(strconv.Itoa(i), strconv.Itoa(i)))
	}
	return all
}

// batchCall is one of the three batch calls with entries of the given ids.
type batchCall struct {
	name string
	do   func(c *Check, url string, ids []string) error
}

var batchCalls = []batchCall{
	{"SendMessageBatch", func(c *Check, url string, ids []string) error {
		in := &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{}}
		for _, id := range ids {
			in.Entries = append(in.Entries, entry(id, "x"))
		}
		_, err := c.SQS.SendMessageBatch(c.ctx(), in)
		return err
	}},
	{"DeleteMessageBatch", func(c *Check, url string, ids []string) error {
		c.send(url, "x")
		handle := c.one(url).ReceiptHandle
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{}}
		for _, id := range ids {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: handle})
		}
		_, err := c.SQS.DeleteMessageBatch(c.ctx(), in)
		return err
	}},
	{"ChangeMessageVisibilityBatch", func(c *Check, url string, ids []string) error {
		c.send(url, "x")
		handle := c.one(url).ReceiptHandle
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{}}
		for _, id := range ids {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: &id, ReceiptHandle: handle, VisibilityTimeout: 60})
		}
		_, err := c.SQS.ChangeMessageVisibilityBatch(c.ctx(), in)
		return err
	}},
}

func batchCases() []Case {
	var cases []Case
	eleven := strings.Split("a b c d e f g h i j k", " ")
	for _, call := range batchCalls {
		for _, row := range []struct {
			what    string
			ids     []string
			refused string
		}{
			{"takes ten entries", eleven[:10], ""},
			{"refuses eleven entries", eleven, "TooManyEntriesInBatchRequest"},
			{"refuses no entries", nil, "EmptyBatchRequest"},
			{"refuses an id that is there twice", []string{"a", "a"}, "BatchEntryIdsNotDistinct"},
			{"refuses an empty id", []string{""}, "InvalidBatchEntryId"},
			{"takes an id of 80 characters", []string{strings.Repeat("i", 80)}, ""},
			{"refuses an id of 81 characters", []string{strings.Repeat("i", 81)}, "InvalidBatchEntryId"},
			{"takes hyphens and underscores in an id", []string{"a-_Z9"}, ""},
			{"refuses a period in an id", []string{"a.b"}, "InvalidBatchEntryId"},
		} {
			cases = append(cases, Case{call.name + "/" + row.what, call.name, func(c *Check) {
				err := call.do(c, c.queue(), row.ids)
				if row.refused == "" {
					c.ok(err)
				} else {
					c.refused(err, row.refused)
				}
			}})
		}
		cases = append(cases, Case{call.name + "/refuses a queue that is not there", call.name + ", QueueDoesNotExist", func(c *Check) {
			url := noQueue(c.queue())
			var err error
			switch call.name {
			case "SendMessageBatch":
				_, err = c.sendAll(url, entry("a", "x"))
			case "DeleteMessageBatch":
				_, err = c.SQS.DeleteMessageBatch(c.ctx(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{{Id: aws.String("a"), ReceiptHandle: aws.String("h")}}})
			default:
				_, err = c.SQS.ChangeMessageVisibilityBatch(c.ctx(), &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{{Id: aws.String("a"), ReceiptHandle: aws.String("h")}}})
			}
			c.refused(err, "QueueDoesNotExist")
		}})
	}
	return append(cases, []Case{
		{"SendMessageBatch/sends every entry with an id and an MD5 of its own", "SendMessageBatch", func(c *Check) {
			url := c.queue()
			out, err := c.sendAll(url, entries(10)...)
			c.ok(err)
			c.equal("failed", len(out.Failed), 0)
			ids, sums := map[string]bool{}, map[string]bool{}
			for _, s := range out.Successful {
				ids[*s.MessageId], sums[*s.MD5OfMessageBody] = true, true
			}
			c.equal("message ids and MD5s", []int{len(ids), len(sums)}, []int{10, 10})
			got := bodies(c.receive(url, 10))
			slices.Sort(got)
			c.equal("bodies", got, strings.Split("0123456789", ""))
		}},
		{"SendMessageBatch/fails one entry and sends the others", "SendMessageBatch, Failed", func(c *Check) {
			url := c.queue()
			bad := entry("bad", "y")
			bad.DelaySeconds = 901
			out, err := c.sendAll(url, entry("good", "x"), bad)
			c.ok(err)
			if len(out.Successful) != 1 || len(out.Failed) != 1 {
				c.fatalf("%d successful, %d failed", len(out.Successful), len(out.Failed))
			}
			c.equal("the one that failed", []any{*out.Failed[0].Id, out.Failed[0].SenderFault, aws.ToString(out.Failed[0].Code)}, []any{"bad", true, "InvalidParameterValue"})
			c.equal("body", *c.one(url).Body, "x")
		}},
		{"SendMessageBatch/takes 1 MiB in all", "SendMessageBatch: the total of all messages is at most 1 MiB", func(c *Check) {
			half := strings.Repeat("x", mebibyte/2)
			out, err := c.sendAll(c.queue(), entry("a", half), entry("b", half))
			c.ok(err)
			c.equal("sent", len(out.Successful), 2)
		}},
		{"SendMessageBatch/refuses more than 1 MiB in all", "SendMessageBatch, BatchRequestTooLong", func(c *Check) {
			half := strings.Repeat("x", mebibyte/2)
			_, err := c.sendAll(c.queue(), entry("a", half), entry("b", half+"x"))
			c.refused(err, "BatchRequestTooLong")
		}},
		{"SendMessageBatch/delays each entry by its own DelaySeconds", "SendMessageBatch, DelaySeconds", func(c *Check) {
			url := c.queue()
			late := entry("late", "late")
			late.DelaySeconds = 900
			_, err := c.sendAll(url, entry("now", "now"), late)
			c.ok(err)
			c.equal("bodies", bodies(c.receive(url, 1)), []string{"now"})
		}},
		{"SendMessageBatch/keeps attributes with their entries", "SendMessageBatch, MessageAttributes", func(c *Check) {
			url := c.queue()
			a, b := entry("a", "a"), entry("b", "b")
			a.MessageAttributes = map[string]types.MessageAttributeValue{"of": text("a")}
			b.MessageAttributes = map[string]types.MessageAttributeValue{"of": text("b")}
			_, err := c.sendAll(url, a, b)
			c.ok(err)
			for _, m := range c.receive(url, 2) {
				c.equal("attribute of "+*m.Body, aws.ToString(m.MessageAttributes["of"].StringValue), *m.Body)
			}
		}},
		{"DeleteMessageBatch/deletes every entry", "DeleteMessageBatch", func(c *Check) {
			url := c.queue()
			_, err := c.sendAll(url, entries(5)...)
			c.ok(err)
			in := &sqs.DeleteMessageBatchInput{QueueUrl: &url}
			for i, m := range c.receive(url, 5) {
				in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
			}
			out, err := c.SQS.DeleteMessageBatch(c.ctx(), in)
			c.ok(err)
			c.equal("successful and failed", []int{len(out.Successful), len(out.Failed)}, []int{5, 0})
			c.equal("in flight", c.attribute(url, "ApproximateNumberOfMessagesNotVisible"), "0")
		}},
		{"DeleteMessageBatch/fails an entry with a made-up handle and deletes the others", "DeleteMessageBatch, Failed; ReceiptHandleIsInvalid", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			out, err := c.SQS.DeleteMessageBatch(c.ctx(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{
				{Id: aws.String("bad"), ReceiptHandle: aws.String("made up")}, {Id: aws.String("good"), ReceiptHandle: c.one(url).ReceiptHandle},
			}})
			c.ok(err)
			if len(out.Successful) != 1 || len(out.Failed) != 1 {
				c.fatalf("%d successful, %d failed", len(out.Successful), len(out.Failed))
			}
			c.equal("the one that failed", []any{*out.Failed[0].Id, out.Failed[0].SenderFault, aws.ToString(out.Failed[0].Code)}, []any{"bad", true, "ReceiptHandleIsInvalid"})
			c.equal("in flight", c.attribute(url, "ApproximateNumberOfMessagesNotVisible"), "0")
		}},
		{"ChangeMessageVisibilityBatch/changes each entry by its own timeout", "ChangeMessageVisibilityBatch", func(c *Check) {
			url := c.queue()
			_, err := c.sendAll(url, entries(2)...)
			c.ok(err)
			in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url}
			for _, m := range c.receive(url, 2) {
				timeout := int32(0)
				if *m.Body == "1" {
					timeout = 100
				}
				in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: m.Body, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: timeout})
			}
			out, err := c.SQS.ChangeMessageVisibilityBatch(c.ctx(), in)
			c.ok(err)
			c.equal("successful and failed", []int{len(out.Successful), len(out.Failed)}, []int{2, 0})
			c.equal("back at once", bodies(c.receive(url, 1)), []string{"0"})
		}},
		{"ChangeMessageVisibilityBatch/fails an entry with a timeout beyond 12 h and changes the others", "ChangeMessageVisibilityBatch, Failed", func(c *Check) {
			url := c.queue()
			_, err := c.sendAll(url, entries(2)...)
			c.ok(err)
			in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url}
			for _, m := range c.receive(url, 2) {
				timeout := int32(100)
				if *m.Body == "1" {
					timeout = 43201
				}
				in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: m.Body, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: timeout})
			}
			out, err := c.SQS.ChangeMessageVisibilityBatch(c.ctx(), in)
			c.ok(err)
			if len(out.Successful) != 1 || len(out.Failed) != 1 {
				c.fatalf("%d successful, %d failed", len(out.Successful), len(out.Failed))
			}
			c.equal("the one that failed", []any{*out.Failed[0].Id, out.Failed[0].SenderFault, aws.ToString(out.Failed[0].Code)}, []any{"1", true, "InvalidParameterValue"})
		}},
	}...)
}
