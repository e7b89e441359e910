package conformance

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

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
		{"DeadLetter/replaces the deduplication id by the message id", "Amazon SQS dead-letter queues: the original message's ID as the deduplication ID", func(c *Check) {
			dlq, source := c.fifo(), c.fifo()
			c.redrive(source, dlq, 1)
			out := c.send(source, "1", group("g", "order-7"))
			c.ok(c.extend(source, c.one(source).ReceiptHandle, 0))
			c.none(source)
			c.equal("MessageDeduplicationId", c.one(dlq).Attributes["MessageDeduplicationId"], *out.MessageId)
		}},
	}...)
}

// dead makes a queue and its dead-letter queue with n messages on the latter, which the
// queue itself put there.
func (c *Check) dead(n int) (source, dlq string) {
	source, dlq = c.queue(), c.queue()
	c.redrive(source, dlq, 1)
	for i := range n {
		c.send(source, fmt.Sprintf("m%d", i))
	}
	for _, m := range c.receive(source, n) {
		c.ok(c.extend(source, m.ReceiptHandle, 0))
	}
	c.none(source) // moves them
	if got := c.attribute(dlq, "ApproximateNumberOfMessages"); got != strconv.Itoa(n) {
		c.fatalf("%s messages on the dead-letter queue, want %d", got, n)
	}
	return source, dlq
}

// move is StartMessageMoveTask; an empty destination is left out.
func (c *Check) move(dlq, destination string, perSecond int32) (handle string, err error) {
	in := &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(c.arn(dlq))}
	if destination != "" {
		in.DestinationArn = aws.String(c.arn(destination))
	}
	if perSecond != 0 {
		in.MaxNumberOfMessagesPerSecond = &perSecond
	}
	out, err := c.SQS.StartMessageMoveTask(c.ctx(), in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.TaskHandle), nil
}

// task is the newest task of a dead-letter queue.
func (c *Check) task(dlq string) types.ListMessageMoveTasksResultEntry {
	got, err := c.SQS.ListMessageMoveTasks(c.ctx(), &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(c.arn(dlq))})
	c.ok(err)
	if len(got.Results) != 1 {
		c.fatalf("%d tasks", len(got.Results))
	}
	return got.Results[0]
}

// ends waits until the newest task of a dead-letter queue has a status.
func (c *Check) ends(dlq, status string) types.ListMessageMoveTasksResultEntry {
	for range 100 {
		if t := c.task(dlq); aws.ToString(t.Status) == status {
			return t
		}
		c.sleep(100 * time.Millisecond)
	}
	c.fatalf("the task is %s, want %s", aws.ToString(c.task(dlq).Status), status)
	panic("unreachable")
}

func moveCases() []Case {
	sources := func(c *Check, dlq string) []string {
		got, err := c.SQS.ListDeadLetterSourceQueues(c.ctx(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dlq})
		c.ok(err)
		slices.Sort(got.QueueUrls)
		return got.QueueUrls
	}
	return []Case{
		{"ListDeadLetterSourceQueues/lists the queues that dead-letter here", "ListDeadLetterSourceQueues", func(c *Check) {
			dlq, a, b := c.queue(), c.queue(), c.queue()
			c.redrive(a, dlq, 3)
			c.redrive(b, dlq, 3)
			want := []string{a, b}
			slices.Sort(want)
			c.equal("URLs", sources(c, dlq), want)
		}},
		{"ListDeadLetterSourceQueues/lists none where there are none", "ListDeadLetterSourceQueues", func(c *Check) {
			c.equal("URLs", len(sources(c, c.queue())), 0)
		}},
		{"ListDeadLetterSourceQueues/forgets a queue whose policy was taken away", "ListDeadLetterSourceQueues", func(c *Check) {
			dlq, source := c.queue(), c.queue()
			c.redrive(source, dlq, 3)
			c.ok(c.set(source, "RedrivePolicy", ""))
			c.equal("URLs", len(sources(c, dlq)), 0)
		}},
		{"ListDeadLetterSourceQueues/refuses a queue that is not there", "ListDeadLetterSourceQueues, QueueDoesNotExist", func(c *Check) {
			url := noQueue(c.queue())
			_, err := c.SQS.ListDeadLetterSourceQueues(c.ctx(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &url})
			c.refused(err, "QueueDoesNotExist")
		}},
		{"StartMessageMoveTask/moves messages back to where they came from", "StartMessageMoveTask", func(c *Check) {
			source, dlq := c.dead(3)
			_, err := c.move(dlq, "", 0)
			c.ok(err)
			got := bodies(c.receive(source, 3))
			slices.Sort(got)
			c.equal("bodies", got, []string{"m0", "m1", "m2"})
			t := c.ends(dlq, "COMPLETED")
			c.equal("moved", t.ApproximateNumberOfMessagesMoved, int64(3))
			c.equal("left", c.attribute(dlq, "ApproximateNumberOfMessages"), "0")
		}},
		{"StartMessageMoveTask/moves messages to the queue that is named", "StartMessageMoveTask, DestinationArn", func(c *Check) {
			_, dlq := c.dead(1)
			other := c.queue()
			_, err := c.move(dlq, other, 0)
			c.ok(err)
			c.equal("bodies", bodies(c.receive(other, 1)), []string{"m0"})
		}},
		{"StartMessageMoveTask/gives messages a new id", "StartMessageMoveTask: redriven messages are new messages with a new messageID", func(c *Check) {
			source, dlq := c.queue(), c.queue()
			c.redrive(source, dlq, 1)
			sent := c.send(source, "x")
			c.ok(c.extend(source, c.one(source).ReceiptHandle, 0))
			c.none(source)
			_, err := c.move(dlq, "", 0)
			c.ok(err)
			if *c.one(source).MessageId == *sent.MessageId {
				c.errorf("the same id")
			}
		}},
		{"StartMessageMoveTask/refuses a queue that is no dead-letter queue", "StartMessageMoveTask, SourceArn", func(c *Check) {
			_, err := c.move(c.queue(), c.queue(), 0)
			c.refused(err, "")
		}},
		{"StartMessageMoveTask/refuses a source that is not there", "StartMessageMoveTask, ResourceNotFoundException", func(c *Check) {
			_, err := c.SQS.StartMessageMoveTask(c.ctx(), &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(c.arn(c.queue()) + "-none")})
			c.refused(err, "ResourceNotFoundException")
		}},
		{"StartMessageMoveTask/refuses a destination that is not there", "StartMessageMoveTask, ResourceNotFoundException", func(c *Check) {
			_, dlq := c.dead(1)
			_, err := c.SQS.StartMessageMoveTask(c.ctx(), &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(c.arn(dlq)), DestinationArn: aws.String(c.arn(dlq) + "-none")})
			c.refused(err, "ResourceNotFoundException")
		}},
		{"StartMessageMoveTask/refuses more than 500 messages per second", "StartMessageMoveTask, MaxNumberOfMessagesPerSecond", func(c *Check) {
			_, dlq := c.dead(1)
			_, err := c.move(dlq, "", 501)
			c.refused(err, "")
		}},
		{"StartMessageMoveTask/refuses a second task while one runs", "StartMessageMoveTask: only one active message movement task is supported per queue", func(c *Check) {
			_, dlq := c.dead(5)
			handle, err := c.move(dlq, "", 1)
			c.ok(err)
			_, err = c.move(dlq, "", 1)
			c.refused(err, "")
			_, err = c.SQS.CancelMessageMoveTask(c.ctx(), &sqs.CancelMessageMoveTaskInput{TaskHandle: &handle})
			c.ok(err)
		}},
		{"CancelMessageMoveTask/ends a task and leaves what it moved where it is", "CancelMessageMoveTask", func(c *Check) {
			_, dlq := c.dead(5)
			handle, err := c.move(dlq, "", 1)
			c.ok(err)
			c.equal("status", aws.ToString(c.task(dlq).Status), "RUNNING")
			_, err = c.SQS.CancelMessageMoveTask(c.ctx(), &sqs.CancelMessageMoveTaskInput{TaskHandle: &handle})
			c.ok(err)
			c.ends(dlq, "CANCELLED")
			if c.attribute(dlq, "ApproximateNumberOfMessages") == "0" {
				c.errorf("all were moved")
			}
		}},
		{"CancelMessageMoveTask/refuses a made-up handle", "CancelMessageMoveTask", func(c *Check) {
			_, err := c.SQS.CancelMessageMoveTask(c.ctx(), &sqs.CancelMessageMoveTaskInput{TaskHandle: aws.String("made up")})
			c.refused(err, "")
		}},
		{"ListMessageMoveTasks/lists the newest only, where no number is given", "ListMessageMoveTasks, MaxResults: default 1", func(c *Check) {
			_, dlq := c.dead(1)
			for range 2 {
				_, err := c.move(dlq, "", 0)
				c.ok(err)
				c.ends(dlq, "COMPLETED") // wants one task in the list
			}
			all, err := c.SQS.ListMessageMoveTasks(c.ctx(), &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(c.arn(dlq)), MaxResults: aws.Int32(10)})
			c.ok(err)
			c.equal("tasks", len(all.Results), 2)
		}},
		{"ListMessageMoveTasks/refuses more than 10", "ListMessageMoveTasks, MaxResults: at most 10", func(c *Check) {
			_, dlq := c.dead(1)
			_, err := c.SQS.ListMessageMoveTasks(c.ctx(), &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(c.arn(dlq)), MaxResults: aws.Int32(11)})
			c.refused(err, "")
		}},
		{"ListMessageMoveTasks/refuses a source that is not there", "ListMessageMoveTasks, ResourceNotFoundException", func(c *Check) {
			_, err := c.SQS.ListMessageMoveTasks(c.ctx(), &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(c.arn(c.queue()) + "-none")})
			c.refused(err, "ResourceNotFoundException")
		}},
	}
}
