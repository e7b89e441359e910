package sqsserver_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/internal/sqsserver"
)

// move starts a task; destination "" is none, rate 0 is none.
func (b *bundle) move(source, destination string, rate int32) (handle string, err error) {
	in := &sqs.StartMessageMoveTaskInput{SourceArn: &source}
	if destination != "" {
		in.DestinationArn = &destination
	}
	if rate > 0 {
		in.MaxNumberOfMessagesPerSecond = &rate
	}
	out, err := b.client.StartMessageMoveTask(b.Context(), in)
	if err != nil {
		return "", err
	}
	return *out.TaskHandle, nil
}

// tasks lists a queue's tasks, the newest first.
func (b *bundle) tasks(source string) []types.ListMessageMoveTasksResultEntry {
	b.Helper()
	out, err := b.client.ListMessageMoveTasks(b.Context(), &sqs.ListMessageMoveTasksInput{SourceArn: &source, MaxResults: aws.Int32(10)})
	if err != nil {
		b.Fatal(err)
	}
	return out.Results
}

func TestMessageMoveTask(t *testing.T) {
	t.Parallel()
	// moves runs a test in virtual time with a dead-letter queue, which keeps
	// messages for an hour, and its source.
	type queues struct{ dlqURL, dlq, url, arn string }
	moves := func(name string, test func(b *bundle, q queues)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				var q queues
				q.dlqURL, q.dlq = b.queue("dlq", "MessageRetentionPeriod", "3600")
				q.url, q.arn = b.source("orders", q.dlq)
				test(b, q)
			})
		})
	}

	moves("takes each message back to its own source, as a new one", func(b *bundle, q queues) {
		other, otherARN := b.source("other", q.dlq)
		old := b.deadLetter(q.url, 2)[0]
		b.deadLetter(other, 1)
		time.Sleep(30 * time.Minute)
		if _, err := b.move(q.dlq, "", 0); err != nil {
			b.Fatal(err)
		}
		if b.depth(q.arn) != 2 || b.depth(otherARN) != 1 || b.depth(q.dlq) != 0 {
			b.Errorf("%d in orders, %d in other, %d in dlq", b.depth(q.arn), b.depth(otherARN), b.depth(q.dlq))
		}
		m := b.server.Messages(q.arn)[0]
		if m.ID == old || m.ReceiveCount != 0 || !m.SentAt.Equal(time.Now()) || m.DeadLetterSource != "" || !m.FirstReceivedAt.IsZero() {
			b.Errorf("moved message %+v is not new", m)
		}
		task := b.tasks(q.dlq)[0]
		if aws.ToString(task.Status) != "COMPLETED" || task.ApproximateNumberOfMessagesMoved != 3 || aws.ToInt64(task.ApproximateNumberOfMessagesToMove) != 3 ||
			task.TaskHandle != nil || task.DestinationArn != nil || *task.SourceArn != q.dlq || task.StartedTimestamp != time.Now().UnixMilli() {
			b.Errorf("task %+v", task)
		}
	})
	moves("gives messages their whole retention again", func(b *bundle, q queues) {
		_, rescueARN := b.queue("rescue", "MessageRetentionPeriod", "3600")
		b.deadLetter(q.url, 1)
		time.Sleep(59 * time.Minute)
		if _, err := b.move(q.dlq, rescueARN, 0); err != nil {
			b.Fatal(err)
		}
		time.Sleep(59 * time.Minute)
		if b.depth(rescueARN) != 1 {
			b.Error("it expired by its old age")
		}
		time.Sleep(time.Minute)
		if b.depth(rescueARN) != 0 {
			b.Error("it did not expire")
		}
	})
	moves("keeps to its rate, and hands waiting polls what it moves", func(b *bundle, q queues) {
		b.deadLetter(q.url, 10)
		start := time.Now()
		if _, err := b.move(q.dlq, "", 2); err != nil {
			b.Fatal(err)
		}
		if out, err := b.client.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.url, WaitTimeSeconds: 20, VisibilityTimeout: 600}); err != nil ||
			len(out.Messages) != 1 || time.Since(start) != 500*time.Millisecond {
			b.Errorf("%v after %v", err, time.Since(start))
		}
		time.Sleep(time.Second + time.Millisecond)
		if n := b.tasks(q.dlq)[0].ApproximateNumberOfMessagesMoved; n != 3 {
			b.Errorf("%d were moved in 1.5 s", n)
		}
		if _, err := b.move(q.dlq, "", 2); code(err) != "AWS.SimpleQueueService.UnsupportedOperation" {
			b.Errorf("a second task: %v", err)
		}
		time.Sleep(4 * time.Second)
		if got := b.tasks(q.dlq)[0]; *got.Status != "COMPLETED" || got.ApproximateNumberOfMessagesMoved != 10 || *got.MaxNumberOfMessagesPerSecond != 2 {
			b.Errorf("task %+v", got)
		}
	})
	moves("moves no more than there was when it started", func(b *bundle, q queues) {
		b.deadLetter(q.url, 2)
		if _, err := b.move(q.dlq, "", 1); err != nil {
			b.Fatal(err)
		}
		b.deadLetter(q.url, 3)
		time.Sleep(time.Minute)
		if got := b.tasks(q.dlq)[0]; *got.Status != "COMPLETED" || got.ApproximateNumberOfMessagesMoved != 2 || b.depth(q.dlq) != 3 {
			b.Errorf("task %+v, %d left", got, b.depth(q.dlq))
		}
	})
	moves("can be cancelled, which takes nothing back", func(b *bundle, q queues) {
		b.deadLetter(q.url, 5)
		handle, err := b.move(q.dlq, "", 1)
		if err != nil {
			b.Fatal(err)
		}
		time.Sleep(2*time.Second + time.Millisecond)
		if running := b.tasks(q.dlq)[0]; aws.ToString(running.TaskHandle) != handle || *running.Status != "RUNNING" {
			b.Errorf("task %+v", running)
		}
		out, err := b.client.CancelMessageMoveTask(b.Context(), &sqs.CancelMessageMoveTaskInput{TaskHandle: &handle})
		if err != nil || out.ApproximateNumberOfMessagesMoved != 2 {
			b.Fatalf("%+v, %v", out, err)
		}
		time.Sleep(time.Minute)
		if b.depth(q.dlq) != 3 || *b.tasks(q.dlq)[0].Status != "CANCELLED" {
			b.Errorf("%d are left, the task is %s", b.depth(q.dlq), *b.tasks(q.dlq)[0].Status)
		}
		_, err = b.client.CancelMessageMoveTask(b.Context(), &sqs.CancelMessageMoveTaskInput{TaskHandle: &handle})
		wantCode(b, err, "AWS.SimpleQueueService.UnsupportedOperation")
	})
	moves("fails at a message that was sent to the dead-letter queue", func(b *bundle, q queues) {
		b.deadLetter(q.url, 1)
		if _, err := b.client.SendMessage(b.Context(), &sqs.SendMessageInput{QueueUrl: &q.dlqURL, MessageBody: aws.String("by hand")}); err != nil {
			b.Fatal(err)
		}
		if _, err := b.move(q.dlq, "", 0); err != nil {
			b.Fatal(err)
		}
		task := b.tasks(q.dlq)[0]
		if *task.Status != "FAILED" || aws.ToString(task.FailureReason) != "CouldNotDetermineMessageSource" || task.ApproximateNumberOfMessagesMoved != 1 {
			b.Errorf("task %+v, %s", task, aws.ToString(task.FailureReason))
		}
		if out, err := b.client.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.dlqURL}); err != nil || len(out.Messages) != 1 {
			b.Errorf("the message did not stay: %v", err)
		}
		if _, err := b.move(q.dlq, q.arn, 0); err != nil {
			b.Errorf("a task with a destination: %v", err)
		}
	})
	moves("fails when its destination goes away, and leaves what is in flight", func(b *bundle, q queues) {
		b.deadLetter(q.url, 3)
		if _, err := b.client.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.dlqURL, VisibilityTimeout: 600}); err != nil {
			b.Fatal(err)
		}
		if _, err := b.move(q.dlq, "", 1); err != nil {
			b.Fatal(err)
		}
		if _, err := b.client.DeleteQueue(b.Context(), &sqs.DeleteQueueInput{QueueUrl: &q.url}); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Minute)
		task := b.tasks(q.dlq)[0]
		if *task.Status != "FAILED" || *task.FailureReason != "AWS.SimpleQueueService.NonExistentQueue" || *task.ApproximateNumberOfMessagesToMove != 2 || b.depth(q.dlq) != 2 {
			b.Errorf("task %+v, %d left", task, b.depth(q.dlq))
		}
	})
	moves("keeps groups and their order on FIFO queues", func(b *bundle, _ queues) {
		_, dlq := b.queue("dlq.fifo")
		url, _ := b.source("orders.fifo", dlq)
		for _, body := range []string{"1", "2", "3"} {
			if _, err := b.client.SendMessage(b.Context(), &sqs.SendMessageInput{
				QueueUrl: &url, MessageBody: &body, MessageGroupId: aws.String("g"), MessageDeduplicationId: &body,
			}); err != nil {
				b.Fatal(err)
			}
		}
		for range 2 {
			if _, err := b.client.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10}); err != nil {
				b.Fatal(err)
			}
		}
		if b.depth(dlq) != 3 {
			b.Fatalf("%d in the dead-letter queue", b.depth(dlq))
		}
		if _, err := b.move(dlq, "", 0); err != nil {
			b.Fatal(err)
		}
		out, err := b.client.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
		if err != nil {
			b.Fatal(err)
		}
		var bodies []string
		for _, m := range out.Messages {
			bodies = append(bodies, *m.Body)
		}
		if got := strings.Join(bodies, ""); got != "123" {
			b.Errorf("received %s", got)
		}
	})
	moves("ends when its dead-letter queue is deleted", func(b *bundle, q queues) {
		b.deadLetter(q.url, 3)
		handle, err := b.move(q.dlq, q.arn, 1)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := b.client.DeleteQueue(b.Context(), &sqs.DeleteQueueInput{QueueUrl: &q.dlqURL}); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Minute)
		if b.depth(q.arn) != 0 {
			b.Error("it went on")
		}
		_, err = b.client.CancelMessageMoveTask(b.Context(), &sqs.CancelMessageMoveTaskInput{TaskHandle: &handle})
		wantCode(b, err, "ResourceNotFoundException")
	})
	moves("is remembered ten times", func(b *bundle, q queues) {
		for range 12 {
			if _, err := b.move(q.dlq, "", 0); err != nil {
				b.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		got := b.tasks(q.dlq)
		if len(got) != 10 || got[0].StartedTimestamp <= got[9].StartedTimestamp {
			b.Errorf("%d tasks", len(got))
		}
		out, err := b.client.ListMessageMoveTasks(b.Context(), &sqs.ListMessageMoveTasksInput{SourceArn: &q.dlq})
		if err != nil || len(out.Results) != 1 {
			b.Errorf("%d by default, %v", len(out.Results), err)
		}
	})
	moves("is refused where it makes no sense", func(b *bundle, q queues) {
		_, fifo := b.queue("x.fifo")
		none := strings.Replace(q.dlq, "dlq", "none", 1)
		if _, err := clientOf(b.server, stranger, "us-east-1").CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: aws.String("orders")}); err != nil {
			b.Fatal(err)
		}
		for _, tc := range []struct {
			source, destination string
			rate                int32
			want                string
		}{
			{q.arn, "", 0, "InvalidParameterValue"}, // not a dead-letter queue
			{none, "", 0, "ResourceNotFoundException"},
			{"dlq", "", 0, "InvalidParameterValue"},
			{q.dlq, none, 0, "ResourceNotFoundException"},
			{q.dlq, q.dlq, 0, "InvalidParameterValue"},
			{q.dlq, fifo, 0, "InvalidParameterValue"},
			{q.dlq, "orders", 0, "InvalidParameterValue"},
			{q.dlq, strings.Replace(q.arn, sqsserver.DefaultAccount, stranger, 1), 0, "InvalidParameterValue"},
			{q.dlq, "", 501, "InvalidParameterValue"},
		} {
			if _, err := b.move(tc.source, tc.destination, tc.rate); code(err) != tc.want {
				b.Errorf("%+v: %v", tc, err)
			}
		}
		_, err := b.client.ListMessageMoveTasks(b.Context(), &sqs.ListMessageMoveTasksInput{SourceArn: &q.dlq, MaxResults: aws.Int32(11)})
		wantCode(b, err, "InvalidParameterValue")
		_, err = b.client.CancelMessageMoveTask(b.Context(), &sqs.CancelMessageMoveTaskInput{TaskHandle: aws.String("made up")})
		wantCode(b, err, "InvalidParameterValue")
	})
}

// A task works in its caller's name, so its policy has to let it do all of that.
func TestAMoveTaskNeedsAllOfItsPermissions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, dlq := b.queue("dlq")
	_, orders := b.source("orders", dlq)
	_, other := b.queue("other")
	worker := clientOf(b.server, "WORKER", "us-east-1")
	start := func(destination string, lacks string) error {
		b.Helper()
		statements := []string{}
		for _, permission := range []string{
			"StartMessageMoveTask " + dlq, "ReceiveMessage " + dlq, "DeleteMessage " + dlq, "GetQueueAttributes " + dlq, "SendMessage " + orders, "SendMessage " + other,
		} {
			if action, arn, _ := strings.Cut(permission, " "); permission != lacks {
				statements = append(statements, `{"Effect":"Allow","Action":"sqs:`+action+`","Resource":"`+arn+`"}`)
			}
		}
		if err := b.server.Bind("WORKER", `{"Statement":[`+strings.Join(statements, ",")+`]}`); err != nil {
			b.Fatal(err)
		}
		in := &sqs.StartMessageMoveTaskInput{SourceArn: &dlq}
		if destination != "" {
			in.DestinationArn = &destination
		}
		_, err := worker.StartMessageMoveTask(b.Context(), in)
		return err
	}
	for _, c := range []struct{ destination, lacks string }{
		{"", "StartMessageMoveTask " + dlq},
		{"", "ReceiveMessage " + dlq},
		{"", "DeleteMessage " + dlq},
		{"", "GetQueueAttributes " + dlq},
		{"", "SendMessage " + orders},
		{other, "SendMessage " + other},
	} {
		err := start(c.destination, c.lacks)
		action, arn, _ := strings.Cut(c.lacks, " ")
		if code(err) != "AccessDenied" || !strings.Contains(err.Error(), "sqs:"+strings.ToLower(action)+" on resource: "+arn+" ") {
			t.Errorf("without %s: %v", c.lacks, err)
		}
	}
	for destination, lacks := range map[string]string{"": "SendMessage " + other, other: "SendMessage " + orders} {
		if err := start(destination, lacks); err != nil {
			t.Errorf("to %q: %v", destination, err)
		}
	}
}
