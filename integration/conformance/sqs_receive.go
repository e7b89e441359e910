package conformance

import (
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func receiveCases() []Case {
	var cases []Case
	for _, row := range []struct {
		what    string
		change  func(*sqs.ReceiveMessageInput)
		refused bool
	}{
		{"refuses a MaxNumberOfMessages of 11", atMost(11), true},
		{"refuses a negative MaxNumberOfMessages", atMost(-1), true},
		{"refuses a WaitTimeSeconds of 21", waiting(21), true},
		{"refuses a negative WaitTimeSeconds", waiting(-1), true},
		{"refuses a VisibilityTimeout of 43,201", hold(43201), true},
		{"refuses a negative VisibilityTimeout", hold(-1), true},
		{"takes a MaxNumberOfMessages of 1", atMost(1), false},
		{"takes a MaxNumberOfMessages of 10", atMost(10), false},
		{"takes a VisibilityTimeout of 43,200", hold(43200), false},
	} {
		cases = append(cases, Case{"ReceiveMessage/" + row.what, "ReceiveMessage", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			_, err := c.tryReceive(url, row.change)
			if row.refused {
				c.refused(err, "InvalidParameterValue")
			} else {
				c.ok(err)
			}
		}})
	}
	return append(cases, []Case{
		{"ReceiveMessage/refuses a queue that is not there", "ReceiveMessage, QueueDoesNotExist", func(c *Check) {
			_, err := c.tryReceive(noQueue(c.queue()))
			c.refused(err, "QueueDoesNotExist")
		}},
		{"ReceiveMessage/brings id, body and MD5 as they were sent, and a handle", "ReceiveMessage", func(c *Check) {
			url := c.queue()
			out := c.send(url, "hello")
			m := c.one(url)
			c.equal("message", []string{*m.MessageId, *m.Body, *m.MD5OfBody}, []string{*out.MessageId, "hello", *out.MD5OfMessageBody})
			if aws.ToString(m.ReceiptHandle) == "" {
				c.errorf("no receipt handle")
			}
		}},
		{"ReceiveMessage/brings one message where no number is given", "ReceiveMessage, MaxNumberOfMessages: default 1", func(c *Check) {
			url := c.queue()
			_, err := c.sendAll(url, entries(3)...)
			c.ok(err)
			got, err := c.SQS.ReceiveMessage(c.ctx(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 5})
			c.ok(err)
			c.equal("messages", len(got.Messages), 1)
		}},
		{"ReceiveMessage/never brings more than asked for", "ReceiveMessage, MaxNumberOfMessages", func(c *Check) {
			url := c.queue()
			_, err := c.sendAll(url, entries(10)...)
			c.ok(err)
			got, err := c.tryReceive(url, atMost(3), waiting(5))
			c.ok(err)
			if len(got) < 1 || len(got) > 3 {
				c.errorf("%d messages", len(got))
			}
		}},
		{"ReceiveMessage/brings nothing from an empty queue", "ReceiveMessage", func(c *Check) {
			c.none(c.queue())
		}},
		{"ReceiveMessage/waits as long as asked where nothing comes", "ReceiveMessage, WaitTimeSeconds", func(c *Check) {
			url := c.queue()
			began := time.Now()
			got, err := c.tryReceive(url, waiting(2))
			c.ok(err)
			c.equal("messages", len(got), 0)
			c.notBefore(began, 2*time.Second)
		}},
		{"ReceiveMessage/waits as long as the queue's ReceiveMessageWaitTimeSeconds says", "CreateQueue, ReceiveMessageWaitTimeSeconds", func(c *Check) {
			url := c.queue("ReceiveMessageWaitTimeSeconds", "2")
			began := time.Now()
			c.none(url)
			c.notBefore(began, 2*time.Second)
		}},
		{"ReceiveMessage/ends its wait when a message comes", "Amazon SQS short and long polling", func(c *Check) {
			url := c.queue()
			c.send(url, "x", func(in *sqs.SendMessageInput) { in.DelaySeconds = 1 })
			began := time.Now()
			got, err := c.tryReceive(url, waiting(20))
			c.ok(err)
			c.equal("messages", len(got), 1)
			if took := time.Since(began); took > 15*time.Second {
				c.errorf("after %v", took)
			}
		}},
		{"ReceiveMessage/brings the system attributes asked for", "ReceiveMessage, MessageSystemAttributeNames", func(c *Check) {
			url := c.queue()
			before := time.Now().Add(-time.Second)
			c.send(url, "x")
			m := c.one(url)
			c.equal("ApproximateReceiveCount", m.Attributes["ApproximateReceiveCount"], "1")
			for _, name := range []string{"SentTimestamp", "ApproximateFirstReceiveTimestamp"} {
				ms, err := strconv.ParseInt(m.Attributes[name], 10, 64)
				if at := time.UnixMilli(ms); err != nil || at.Before(before) || at.After(time.Now().Add(time.Second)) {
					c.errorf("%s is %q", name, m.Attributes[name])
				}
			}
			if m.Attributes["SenderId"] == "" {
				c.errorf("no SenderId")
			}
			for _, name := range []string{"SequenceNumber", "MessageGroupId", "MessageDeduplicationId"} {
				if v, there := m.Attributes[name]; there {
					c.errorf("a standard queue gave %s %q", name, v)
				}
			}
		}},
		{"ReceiveMessage/brings no system attributes unasked", "ReceiveMessage, MessageSystemAttributeNames", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			c.equal("attributes", len(c.one(url, func(in *sqs.ReceiveMessageInput) { in.MessageSystemAttributeNames = nil }).Attributes), 0)
		}},
		{"ReceiveMessage/takes the older AttributeNames too", "ReceiveMessage, AttributeNames", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			m := c.one(url, func(in *sqs.ReceiveMessageInput) {
				in.MessageSystemAttributeNames = nil
				//nolint:staticcheck // it is the deprecated one that is asked about
				in.AttributeNames = []types.QueueAttributeName{"ApproximateReceiveCount"}
			})
			c.equal("attributes", m.Attributes, map[string]string{"ApproximateReceiveCount": "1"})
		}},
		{"ReceiveMessage/refuses an unknown system attribute", "ReceiveMessage, MessageSystemAttributeNames", func(c *Check) {
			_, err := c.tryReceive(c.queue(), func(in *sqs.ReceiveMessageInput) {
				in.MessageSystemAttributeNames = []types.MessageSystemAttributeName{"Colour"}
			})
			c.refused(err, "")
		}},
		{"ReceiveMessage/counts receives and keeps the time of the first", "ReceiveMessage, ApproximateReceiveCount", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			first := c.one(url, hold(1))
			second := c.one(url, hold(1))
			third := c.one(url)
			c.equal("counts", []string{first.Attributes["ApproximateReceiveCount"], second.Attributes["ApproximateReceiveCount"], third.Attributes["ApproximateReceiveCount"]}, []string{"1", "2", "3"})
			c.equal("first received", third.Attributes["ApproximateFirstReceiveTimestamp"], first.Attributes["ApproximateFirstReceiveTimestamp"])
			c.equal("ids", []string{*second.MessageId, *third.MessageId}, []string{*first.MessageId, *first.MessageId})
		}},
		{"ReceiveMessage/gives another handle each time", "ReceiveMessage, ReceiptHandle", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			first, second := c.one(url, hold(1)), c.one(url)
			if *first.ReceiptHandle == *second.ReceiptHandle {
				c.errorf("the same handle twice")
			}
		}},
	}...)
}

func visibilityCases() []Case {
	return []Case{
		{"Visibility/hides a message for the queue's VisibilityTimeout", "Amazon SQS visibility timeout", func(c *Check) {
			url := c.queue("VisibilityTimeout", "2")
			c.send(url, "x")
			got, err := c.SQS.ReceiveMessage(c.ctx(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 5})
			c.ok(err)
			began := time.Now()
			c.equal("messages", len(got.Messages), 1)
			c.one(url)
			c.notBefore(began, 1500*time.Millisecond)
		}},
		{"Visibility/hides a message for the VisibilityTimeout of its receive", "ReceiveMessage, VisibilityTimeout", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			c.one(url, hold(2))
			began := time.Now()
			c.one(url)
			c.notBefore(began, 1500*time.Millisecond)
		}},
		{"Visibility/may be 0 for a receive", "ReceiveMessage, VisibilityTimeout", func(c *Check) {
			url := c.queue("VisibilityTimeout", "0")
			c.send(url, "x")
			for range 2 {
				got, err := c.SQS.ReceiveMessage(c.ctx(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 5})
				c.ok(err)
				c.equal("messages", len(got.Messages), 1)
			}
		}},
		{"ChangeMessageVisibility/gives a message back at once with 0", "ChangeMessageVisibility", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			c.ok(c.extend(url, c.one(url).ReceiptHandle, 0))
			c.equal("receives", c.one(url).Attributes["ApproximateReceiveCount"], "2")
		}},
		{"ChangeMessageVisibility/extends a hold, counted from the call", "ChangeMessageVisibility", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			m := c.one(url, hold(3))
			began := time.Now()
			c.sleep(time.Second)
			c.ok(c.extend(url, m.ReceiptHandle, 3))
			c.one(url)
			c.notBefore(began, 3500*time.Millisecond)
		}},
		{"ChangeMessageVisibility/shortens a hold", "ChangeMessageVisibility", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			c.ok(c.extend(url, c.one(url, hold(1000)).ReceiptHandle, 1))
			c.one(url)
		}},
		{"ChangeMessageVisibility/changes this hold only, not the next", "ChangeMessageVisibility: the next time the original timeout holds", func(c *Check) {
			url := c.queue("VisibilityTimeout", "1")
			c.send(url, "x")
			bare := func() types.Message {
				got, err := c.SQS.ReceiveMessage(c.ctx(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 5})
				c.ok(err)
				if len(got.Messages) != 1 {
					c.fatalf("%d messages", len(got.Messages))
				}
				return got.Messages[0]
			}
			c.ok(c.extend(url, bare().ReceiptHandle, 2))
			bare()
			bare()
		}},
		{"ChangeMessageVisibility/refuses 43,201 s", "ChangeMessageVisibility, VisibilityTimeout", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			c.refused(c.extend(url, c.one(url).ReceiptHandle, 43201), "InvalidParameterValue")
		}},
		{"ChangeMessageVisibility/refuses a negative timeout", "ChangeMessageVisibility, VisibilityTimeout", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			c.refused(c.extend(url, c.one(url).ReceiptHandle, -1), "InvalidParameterValue")
		}},
		{"ChangeMessageVisibility/refuses more than 12 h from the receive in all", "ChangeMessageVisibility: an error, not recalculated to the maximum remaining time", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			m := c.one(url)
			c.sleep(1100 * time.Millisecond)
			c.refused(c.extend(url, m.ReceiptHandle, 43200), "InvalidParameterValue")
		}},
		{"ChangeMessageVisibility/refuses a message that is not in flight any more", "ChangeMessageVisibility, MessageNotInflight", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			m := c.one(url)
			c.ok(c.extend(url, m.ReceiptHandle, 0))
			c.refused(c.extend(url, m.ReceiptHandle, 10), "MessageNotInflight")
		}},
		{"ChangeMessageVisibility/refuses a deleted message", "ChangeMessageVisibility", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			m := c.one(url)
			c.ok(c.remove(url, m.ReceiptHandle))
			c.refused(c.extend(url, m.ReceiptHandle, 10), "")
		}},
		{"ChangeMessageVisibility/refuses a made-up handle", "ChangeMessageVisibility, ReceiptHandleIsInvalid", func(c *Check) {
			c.refused(c.extend(c.queue(), aws.String("made up"), 10), "ReceiptHandleIsInvalid")
		}},
		{"ChangeMessageVisibility/refuses a queue that is not there", "ChangeMessageVisibility, QueueDoesNotExist", func(c *Check) {
			c.refused(c.extend(noQueue(c.queue()), aws.String("made up"), 10), "QueueDoesNotExist")
		}},
	}
}

func deleteCases() []Case {
	return []Case{
		{"DeleteMessage/deletes for good", "DeleteMessage", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			c.ok(c.remove(url, c.one(url, hold(1)).ReceiptHandle))
			got, err := c.tryReceive(url, waiting(2))
			c.ok(err)
			c.equal("messages", len(got), 0)
		}},
		{"DeleteMessage/may be said twice", "DeleteMessage", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			m := c.one(url)
			c.ok(c.remove(url, m.ReceiptHandle))
			c.ok(c.remove(url, m.ReceiptHandle))
		}},
		{"DeleteMessage/deletes a message whose hold has ended, on a standard queue", "DeleteMessage", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			m := c.one(url)
			c.ok(c.extend(url, m.ReceiptHandle, 0))
			c.ok(c.remove(url, m.ReceiptHandle))
			c.none(url)
		}},
		{"DeleteMessage/takes the handle of an older receive without an error", "DeleteMessage: the request succeeds, but the message might not be deleted", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			old := c.one(url, hold(1))
			c.one(url, hold(1))
			c.ok(c.remove(url, old.ReceiptHandle))
		}},
		{"DeleteMessage/refuses a made-up handle", "DeleteMessage, ReceiptHandleIsInvalid", func(c *Check) {
			c.refused(c.remove(c.queue(), aws.String("made up")), "ReceiptHandleIsInvalid")
		}},
		{"DeleteMessage/refuses the handle of another queue", "DeleteMessage, ReceiptHandleIsInvalid", func(c *Check) {
			a, b := c.queue(), c.queue()
			c.send(a, "x")
			c.refused(c.remove(b, c.one(a).ReceiptHandle), "")
		}},
		{"DeleteMessage/refuses a queue that is not there", "DeleteMessage, QueueDoesNotExist", func(c *Check) {
			c.refused(c.remove(noQueue(c.queue()), aws.String("made up")), "QueueDoesNotExist")
		}},
	}
}
