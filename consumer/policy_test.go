package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// setPolicy gives q a redrive policy.
func setPolicy(t *testing.T, srv *sqstest.Server, q, dlq *sqstest.Queue, most int) {
	t.Helper()
	policy := fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, dlq.ARN, most)
	_, err := srv.SQS().SetQueueAttributes(context.Background(), &sqs.SetQueueAttributesInput{QueueUrl: &q.URL, Attributes: map[string]string{"RedrivePolicy": policy}})
	if err != nil {
		t.Fatal(err)
	}
}

// removePolicy takes the redrive policy of q away.
func removePolicy(t *testing.T, srv *sqstest.Server, q *sqstest.Queue) {
	t.Helper()
	_, err := srv.SQS().SetQueueAttributes(context.Background(), &sqs.SetQueueAttributesInput{QueueUrl: &q.URL, Attributes: map[string]string{"RedrivePolicy": ""}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRedrivePolicyThatChangesWhileRunning(t *testing.T) {
	t.Parallel()
	permanent := handle(func(context.Context, *holdfast.Message) error { return holdfast.Permanent(errTest) })
	t.Run("a dead-letter queue in place of one that was deleted is found by the first refusal", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t, sqstest.NoCooldown())
			q, other := srv.Queue(t, "orders", sqstest.DLQ(1000)), srv.Queue(t, "other-dlq")
			r := start(t, srv, q, permanent, consumer.Config{BackoffMax: 10 * time.Second})
			time.Sleep(time.Second)
			setPolicy(t, srv, q, other, 1000)
			if _, err := srv.SQS().DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: &q.DLQ().URL}); err != nil {
				t.Fatal(err)
			}
			q.Send(t, "x")
			until(t, 30*time.Second, "dead-lettered to the other", func() bool { return other.Depth().Visible == 1 })
			until(t, time.Minute, "healthy", healthy(r))
		})
	})
	t.Run("one that the queue is given later is found when a message has nowhere to go", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q, dlq := srv.Queue(t, "orders"), srv.Queue(t, "orders-dlq")
			r := start(t, srv, q, permanent, consumer.Config{BackoffMax: 10 * time.Second})
			q.Send(t, "x")
			time.Sleep(time.Minute)
			if problem(r, "no-dead-letter-queue") == nil {
				t.Fatal("this shows nothing")
			}
			reads := srv.Calls("GetQueueAttributes")
			time.Sleep(10 * time.Minute)
			if n := srv.Calls("GetQueueAttributes") - reads; n > 21 {
				t.Errorf("%d reads in 10 min, want no more than one in 30 s", n)
			}
			setPolicy(t, srv, q, dlq, 1000)
			until(t, time.Minute, "dead-lettered", func() bool { return dlq.Depth().Visible == 1 })
			until(t, time.Second, "healthy", func() bool { return problem(r, "no-dead-letter-queue") == nil })
		})
	})
	t.Run("a queue that refused dead-letters and is taken away is no problem any more", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t, sqstest.NoCooldown())
			q := srv.Queue(t, "orders", sqstest.DLQ(1000))
			r := start(t, srv, q, permanent, consumer.Config{BackoffMax: 10 * time.Second})
			time.Sleep(time.Second)
			if _, err := srv.SQS().DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: &q.DLQ().URL}); err != nil {
				t.Fatal(err)
			}
			q.Send(t, "x")
			time.Sleep(5 * time.Second)
			if problem(r, "dead-letter") == nil {
				t.Fatal("this shows nothing")
			}
			removePolicy(t, srv, q)
			until(t, 45*time.Second, "ready", func() bool { return problem(r, "dead-letter") == nil && r.Health().Ready })
			until(t, time.Minute, "told that there is none", func() bool { return problem(r, "no-dead-letter-queue") != nil })
		})
	})
	t.Run("what was decided before is told as it was decided", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q, dlq := srv.Queue(t, "orders"), srv.Queue(t, "orders-dlq")
			q.Send(t, "x")
			told := make(chan error, 10)
			r := start(t, srv, q, permanent, consumer.Config{Hooks: holdfast.Hooks{
				Finished: func(holdfast.FinishedEvent) {
					if dlq.Depth().Visible == 0 {
						setPolicy(t, srv, q, dlq, 1000)
						time.Sleep(6 * time.Minute) // it is read meanwhile
					}
				},
				DeadLettered: func(e holdfast.DeadLetteredEvent) { told <- e.Err },
			}})
			until(t, 20*time.Minute, "dead-lettered", func() bool { return dlq.Depth().Visible == 1 && empty(q)() })
			if err := <-told; !errors.Is(err, consumer.ErrNoDeadLetterQueue) {
				t.Errorf("told %v, want that there was no dead-letter queue", err)
			}
			if len(told) != 1 || <-told != nil {
				t.Error("it was not told that it took the message then")
			}
			until(t, time.Minute, "healthy", healthy(r))
		})
	})
	t.Run("what is read first, but answered last, does not undo it", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t, sqstest.NoCooldown())
			q, other := srv.Queue(t, "orders", sqstest.DLQ(1000)), srv.Queue(t, "other-dlq")
			q.Send(t, "first")
			release := make(chan struct{})
			var refused atomic.Int32
			r := start(t, srv, q, handle(func(_ context.Context, m *holdfast.Message) error {
				if m.Body == "first" && m.Attempt == 1 {
					<-release
				}
				return holdfast.Permanent(errTest)
			}), consumer.Config{Wait: time.Second, BackoffMax: 10 * time.Second, Hooks: holdfast.Hooks{
				DeadLettered: func(e holdfast.DeadLetteredEvent) {
					if e.Err != nil && e.Message.Body == "second" {
						refused.Add(1)
					}
				},
			}})
			time.Sleep(5 * time.Second)
			// After an outage the attributes are read, and answered late.
			srv.Delay("GetQueueAttributes", 8*time.Second, sqstest.Times(1), sqstest.OnReply())
			srv.Fail("ReceiveMessage", sqstest.Internal500, sqstest.Times(3))
			reads := srv.Calls("GetQueueAttributes")
			until(t, 20*time.Second, "read after the outage", func() bool { return srv.Calls("GetQueueAttributes") == reads+1 })
			setPolicy(t, srv, q, other, 1000)
			if _, err := srv.SQS().DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: &q.DLQ().URL}); err != nil {
				t.Fatal(err)
			}
			close(release) // it is refused, and the attributes are read again for that
			time.Sleep(9 * time.Second)
			q.Send(t, "second")
			until(t, 20*time.Second, "both dead-lettered", func() bool { return other.Depth().Visible == 2 })
			if n := refused.Load(); n != 0 {
				t.Errorf("the second was refused %d times", n)
			}
			until(t, time.Second, "healthy", healthy(r))
		})
	})
	t.Run("it is found after an outage of receiving too", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q, dlq := srv.Queue(t, "orders"), srv.Queue(t, "orders-dlq")
			q.Send(t, "x")
			r := start(t, srv, q, permanent, consumer.Config{Wait: time.Second, BackoffMax: 12 * time.Hour, BackoffBase: 12 * time.Hour})
			time.Sleep(2 * time.Second)
			if problem(r, "no-dead-letter-queue") == nil {
				t.Fatal("this shows nothing")
			}
			setPolicy(t, srv, q, dlq, 1000)
			srv.Fail("ReceiveMessage", sqstest.Internal500, sqstest.Times(3))
			until(t, 20*time.Second, "healthy", func() bool { return problem(r, "no-dead-letter-queue") == nil })
		})
	})
	t.Run("one that is taken away before it is sent to is told as missing", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(1000))
			q.Send(t, "x")
			told := make(chan holdfast.DeadLetteredEvent, 10)
			r := start(t, srv, q, permanent, consumer.Config{BackoffMax: 12 * time.Hour, BackoffBase: 12 * time.Hour, Hooks: holdfast.Hooks{
				Finished: func(holdfast.FinishedEvent) { // it is decided, and not yet sent
					removePolicy(t, srv, q)
					time.Sleep(6 * time.Minute)
				},
				DeadLettered: func(e holdfast.DeadLetteredEvent) { told <- e },
			}})
			if e := <-told; !errors.Is(e.Err, consumer.ErrNoDeadLetterQueue) || e.Queue != "" {
				t.Errorf("told %+v", e)
			}
			if problem(r, "dead-letter") != nil || !errors.Is(problem(r, "no-dead-letter-queue"), consumer.ErrNoDeadLetterQueue) || !r.Health().Ready {
				t.Errorf("health %+v", r.Health())
			}
		})
	})
	t.Run("a lower maxReceiveCount is found within some minutes", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(1000))
			start(t, srv, q, handle(func(context.Context, *holdfast.Message) error { return errTest }), consumer.Config{})
			time.Sleep(time.Second)
			setPolicy(t, srv, q, q.DLQ(), 2)
			time.Sleep(6 * time.Minute)
			q.Send(t, "x")
			until(t, time.Minute, "dead-lettered", func() bool { return len(q.DLQ().Messages()) == 1 })
			if m := q.DLQ().Messages()[0]; m.Attributes[consumer.CauseAttribute].Text == "" {
				t.Errorf("moved by the queue, not by the consumer, which knows why: %+v", m)
			}
		})
	})
	t.Run("reading costs an idle consumer one call in about five minutes", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(5))
			client := &crowded{Client: srv.SQS()}
			startWith(t, settled{client}, q, nothing, consumer.Config{})
			time.Sleep(time.Hour)
			// Two at the start, and beside these those that look for the limit in flight.
			n := srv.Calls("GetQueueAttributes") - int(client.looks.Load()) - 2
			if n < 12 || n > 15 {
				t.Errorf("%d reads in an hour, want one in 4 to 5 minutes", n)
			}
		})
	})
}
