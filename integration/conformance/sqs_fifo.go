package conformance

import (
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func fifoCases() []Case {
	var cases []Case
	for _, row := range []struct {
		what         string
		group, dedup *string
		refused      string // "-": accepted
	}{
		{"needs a MessageGroupId", nil, aws.String("d"), "MissingParameter"},
		{"needs a MessageDeduplicationId without ContentBasedDeduplication", aws.String("g"), nil, "InvalidParameterValue"},
		{"takes ids of 128 characters", aws.String(strings.Repeat("g", 128)), aws.String(strings.Repeat("d", 128)), "-"},
		{"refuses a MessageGroupId of 129 characters", aws.String(strings.Repeat("g", 129)), aws.String("d"), "InvalidParameterValue"},
		{"refuses a MessageDeduplicationId of 129 characters", aws.String("g"), aws.String(strings.Repeat("d", 129)), "InvalidParameterValue"},
		{"takes all punctuation in ids", aws.String("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), aws.String("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), "-"},
		{"refuses a space in a MessageGroupId", aws.String("a b"), aws.String("d"), "InvalidParameterValue"},
		{"refuses a space in a MessageDeduplicationId", aws.String("g"), aws.String("a b"), "InvalidParameterValue"},
		{"refuses an empty MessageGroupId", aws.String(""), aws.String("d"), ""},
		{"refuses an empty MessageDeduplicationId", aws.String("g"), aws.String(""), ""},
	} {
		cases = append(cases, Case{"FIFO/" + row.what, "SendMessage, MessageGroupId and MessageDeduplicationId", func(c *Check) {
			_, err := c.trySend(c.fifo(), "x", func(in *sqs.SendMessageInput) { in.MessageGroupId, in.MessageDeduplicationId = row.group, row.dedup })
			if row.refused == "-" {
				c.ok(err)
			} else {
				c.refused(err, row.refused)
			}
		}})
	}
	return append(cases, []Case{
		{"FIFO/refuses a delay of a single message", "SendMessage, DelaySeconds: only for the whole queue", func(c *Check) {
			_, err := c.trySend(c.fifo(), "x", group("g", "d"), func(in *sqs.SendMessageInput) { in.DelaySeconds = 1 })
			c.refused(err, "InvalidParameterValue")
		}},
		{"FIFO/delays messages by the queue's DelaySeconds", "Amazon SQS delay queues", func(c *Check) {
			url := c.fifo("DelaySeconds", "2")
			began := time.Now()
			c.send(url, "x", group("g", "d"))
			c.none(url)
			c.one(url)
			c.notBefore(began, 2*time.Second)
		}},
		{"FIFO/gives growing sequence numbers of 20 digits", "SendMessage, SequenceNumber", func(c *Check) {
			url := c.fifo()
			var last string
			for i := range 3 {
				n := aws.ToString(c.send(url, "x", group("g", strconv.Itoa(i))).SequenceNumber)
				if len(n) != 20 || n <= last {
					c.errorf("%q after %q", n, last)
				}
				last = n
			}
		}},
		{"FIFO/hands group, deduplication id and sequence number on", "ReceiveMessage, MessageSystemAttributeNames", func(c *Check) {
			url := c.fifo()
			out := c.send(url, "x", group("g", "d"))
			m := c.one(url)
			c.equal("attributes", []string{m.Attributes["MessageGroupId"], m.Attributes["MessageDeduplicationId"], m.Attributes["SequenceNumber"]}, []string{"g", "d", *out.SequenceNumber})
		}},
		{"FIFO/accepts a deduplication id again and does not deliver it twice", "SendMessage, MessageDeduplicationId", func(c *Check) {
			url := c.fifo()
			first := c.send(url, "one", group("g", "d"))
			second := c.send(url, "two", group("g", "d"))
			c.equal("id", *second.MessageId, *first.MessageId)
			c.equal("bodies", bodies(c.receive(url, 1)), []string{"one"})
			c.equal("left", c.attribute(url, "ApproximateNumberOfMessages"), "0")
		}},
		{"FIFO/does not deliver a duplicate of a deleted message", "SendMessage: continues to keep track of the deduplication ID even after the message is received and deleted", func(c *Check) {
			url := c.fifo()
			c.send(url, "one", group("g", "d"))
			c.ok(c.remove(url, c.one(url).ReceiptHandle))
			c.send(url, "one", group("g", "d"))
			c.none(url)
		}},
		{"FIFO/deduplicates over groups where the scope is the queue", "CreateQueue, DeduplicationScope", func(c *Check) {
			url := c.fifo()
			c.send(url, "one", group("a", "d"))
			c.send(url, "two", group("b", "d"))
			c.equal("bodies", bodies(c.receive(url, 1)), []string{"one"})
			c.none(url)
		}},
		{"FIFO/deduplicates by group where the scope is the group", "CreateQueue, DeduplicationScope", func(c *Check) {
			url := c.fifo("DeduplicationScope", "messageGroup", "FifoThroughputLimit", "perMessageGroupId")
			c.send(url, "one", group("a", "d"))
			c.send(url, "two", group("b", "d"))
			c.receive(url, 2)
		}},
		{"FIFO/takes the body's SHA-256 for a deduplication id with ContentBasedDeduplication", "CreateQueue, ContentBasedDeduplication", func(c *Check) {
			url := c.fifo("ContentBasedDeduplication", "true")
			c.send(url, "same", group("g", ""))
			c.send(url, "same", group("g", ""))
			c.send(url, "other", group("g", ""))
			got := c.receive(url, 2)
			c.equal("bodies", bodies(got), []string{"same", "other"})
			c.equal("id", got[0].Attributes["MessageDeduplicationId"], "0967115f2813a3541eaef77de9d9d5773f1c0c04314b0bbfe4ff3b3b1c55b5d5")
		}},
		{"FIFO/deduplicates by content without looking at attributes", "CreateQueue, ContentBasedDeduplication: the body, but not the attributes", func(c *Check) {
			url := c.fifo("ContentBasedDeduplication", "true")
			c.send(url, "same", group("g", ""))
			c.send(url, "same", group("g", ""), with(map[string]types.MessageAttributeValue{"k": text("v")}))
			c.receive(url, 1)
			c.equal("left", c.attribute(url, "ApproximateNumberOfMessages"), "0")
		}},
		{"FIFO/prefers a given deduplication id to the content's", "SendMessage, MessageDeduplicationId: overrides the generated one", func(c *Check) {
			url := c.fifo("ContentBasedDeduplication", "true")
			c.send(url, "same", group("g", "1"))
			c.send(url, "same", group("g", "2"))
			c.receive(url, 2)
		}},
		{"FIFO/does not send the entry of a batch that lacks a group", "SendMessageBatch, MessageGroupId is required for FIFO queues", func(c *Check) {
			url := c.fifo("ContentBasedDeduplication", "true")
			good, bad := entry("good", "x"), entry("bad", "y")
			good.MessageGroupId = aws.String("g")
			out, err := c.sendAll(url, good, bad)
			// AWS does not say whether the entry or the whole batch is refused.
			if err != nil {
				c.refused(err, "")
				return
			}
			if len(out.Failed) != 1 || *out.Failed[0].Id != "bad" {
				c.errorf("%d entries failed", len(out.Failed))
			}
		}},
	}...)
}

func fifoOrderCases() []Case {
	send := func(c *Check, url, groupID string, all ...string) {
		for _, body := range all {
			c.send(url, body, group(groupID, body))
		}
	}
	return []Case{
		{"FIFO/delivers a group in order, in one receive", "Amazon SQS FIFO queue delivery logic", func(c *Check) {
			url := c.fifo()
			send(c, url, "g", "1", "2", "3", "4", "5")
			c.equal("bodies", bodies(c.receive(url, 5)), []string{"1", "2", "3", "4", "5"})
		}},
		{"FIFO/delivers nothing of a group while one of it is in flight", "Amazon SQS FIFO queue delivery logic", func(c *Check) {
			url := c.fifo()
			send(c, url, "g", "1", "2")
			c.equal("bodies", bodies(c.receive(url, 1, atMost(1))), []string{"1"})
			c.none(url)
		}},
		{"FIFO/delivers other groups meanwhile", "Amazon SQS FIFO queue delivery logic", func(c *Check) {
			url := c.fifo()
			send(c, url, "a", "a1", "a2")
			send(c, url, "b", "b1")
			c.receive(url, 1, atMost(1))
			c.equal("bodies", bodies(c.receive(url, 1)), []string{"b1"})
		}},
		{"FIFO/goes on with a group when its message is deleted", "Amazon SQS FIFO queue delivery logic", func(c *Check) {
			url := c.fifo()
			send(c, url, "g", "1", "2")
			c.ok(c.remove(url, c.one(url, atMost(1)).ReceiptHandle))
			c.equal("bodies", bodies(c.receive(url, 1)), []string{"2"})
		}},
		{"FIFO/delivers the same message again when its hold ends", "Amazon SQS FIFO queue delivery logic", func(c *Check) {
			url := c.fifo()
			send(c, url, "g", "1", "2")
			c.one(url, atMost(1), hold(1))
			c.equal("bodies", bodies(c.receive(url, 1, atMost(1))), []string{"1"})
		}},
		{"FIFO/delivers in order again what was given back out of order", "Amazon SQS FIFO queue delivery logic", func(c *Check) {
			url := c.fifo()
			send(c, url, "g", "1", "2", "3")
			got := c.receive(url, 3)
			for _, i := range []int{2, 0, 1} {
				c.ok(c.extend(url, got[i].ReceiptHandle, 0))
			}
			c.equal("bodies", bodies(c.receive(url, 3)), []string{"1", "2", "3"})
		}},
		{"FIFO/keeps the order of the entries of a batch", "SendMessageBatch", func(c *Check) {
			url := c.fifo("ContentBasedDeduplication", "true")
			all := entries(10)
			for i := range all {
				all[i].MessageGroupId = aws.String("g")
			}
			out, err := c.sendAll(url, all...)
			c.ok(err)
			c.equal("sent", len(out.Successful), 10)
			c.equal("bodies", bodies(c.receive(url, 10)), strings.Split("0123456789", ""))
		}},
		{"FIFO/refuses to delete with a handle whose hold has ended", "DeleteMessage, ReceiptHandleIsInvalid; Amazon SQS visibility timeout", func(c *Check) {
			url := c.fifo()
			send(c, url, "g", "1")
			m := c.one(url, hold(1))
			c.sleep(1500 * time.Millisecond)
			c.refused(c.remove(url, m.ReceiptHandle), "InvalidParameterValue")
		}},
		{"FIFO/repeats a receive of the same ReceiveRequestAttemptId", "ReceiveMessage, ReceiveRequestAttemptId", func(c *Check) {
			url := c.fifo()
			send(c, url, "g", "1", "2", "3")
			attempt := func(in *sqs.ReceiveMessageInput) { in.ReceiveRequestAttemptId = aws.String("attempt-1") }
			first := c.receive(url, 2, atMost(2), attempt)
			second, err := c.tryReceive(url, atMost(2), attempt)
			c.ok(err)
			c.equal("bodies", bodies(second), bodies(first))
		}},
		{"FIFO/does not repeat a receive of another ReceiveRequestAttemptId", "ReceiveMessage, ReceiveRequestAttemptId", func(c *Check) {
			url := c.fifo()
			send(c, url, "g", "1", "2")
			c.receive(url, 1, atMost(1), func(in *sqs.ReceiveMessageInput) { in.ReceiveRequestAttemptId = aws.String("attempt-1") })
			got, err := c.tryReceive(url, func(in *sqs.ReceiveMessageInput) { in.ReceiveRequestAttemptId = aws.String("attempt-2") })
			c.ok(err)
			c.equal("bodies", bodies(got), []string(nil))
		}},
		{"FIFO/refuses a ReceiveRequestAttemptId of 129 characters", "ReceiveMessage, ReceiveRequestAttemptId", func(c *Check) {
			_, err := c.tryReceive(c.fifo(), func(in *sqs.ReceiveMessageInput) { in.ReceiveRequestAttemptId = aws.String(strings.Repeat("a", 129)) })
			c.refused(err, "InvalidParameterValue")
		}},
	}
}
