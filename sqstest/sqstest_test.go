package sqstest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/holdfast-go/holdfast/sqstest"
)

// bubble runs a test in virtual time with a server and a client that does not
// retry, so that one call is one request.
func bubble(t *testing.T, test func(t *testing.T, srv *sqstest.Server, client *sqs.Client), opts ...sqstest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := sqstest.New(t, opts...)
		test(t, srv, srv.SQS(func(o *sqs.Options) { o.RetryMaxAttempts = 1 }))
	})
}

// receive takes up to ten messages with all attributes; change edits the input.
func receive(t *testing.T, client *sqs.Client, q *sqstest.Queue, change ...func(*sqs.ReceiveMessageInput)) []types.Message {
	t.Helper()
	in := &sqs.ReceiveMessageInput{
		QueueUrl: &q.URL, MaxNumberOfMessages: 10,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		MessageAttributeNames:       []string{"All"},
	}
	for _, f := range change {
		f(in)
	}
	out, err := client.ReceiveMessage(t.Context(), in)
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	return out.Messages
}

func waiting(seconds int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.WaitTimeSeconds = seconds }
}

func holding(seconds int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.VisibilityTimeout = seconds }
}

func atMost(n int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = n }
}

// wantCode fails the test unless err is an API error of that code.
func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Fatalf("error is %v, want code %s", err, code)
	}
}

// wantError fails the test unless err is of type E.
func wantError[E error](t *testing.T, err error) {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Fatalf("error is %v, want a %T", err, e)
	}
}

func TestALongPoll(t *testing.T) {
	t.Parallel()
	t.Run("comes back empty after its wait", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			begin := time.Now()
			if got := receive(t, client, q, waiting(20)); got != nil {
				t.Errorf("got %d messages", len(got))
			}
			if took := time.Since(begin); took != 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	})
	t.Run("ends when a message is sent", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			begin := time.Now()
			time.AfterFunc(7*time.Second, func() { q.Send(t, "late") })
			if got := receive(t, client, q, waiting(20)); len(got) != 1 {
				t.Errorf("got %d messages", len(got))
			}
			if took := time.Since(begin); took != 7*time.Second {
				t.Errorf("took %v", took)
			}
		})
	})
	t.Run("ends when a message becomes visible again", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q", sqstest.Visibility(9*time.Second))
			q.Send(t, "x")
			receive(t, client, q)
			begin := time.Now()
			if got := receive(t, client, q, waiting(20)); len(got) != 1 {
				t.Errorf("got %d messages", len(got))
			}
			if took := time.Since(begin); took != 9*time.Second {
				t.Errorf("took %v", took)
			}
		})
	})
	t.Run("leaves the queue when its context ends", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &q.URL, WaitTimeSeconds: 20})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error is %v", err)
			}
			q.Send(t, "x")
			if d := q.Depth(); d.Visible != 1 || q.Polls() != 0 {
				t.Errorf("depth %+v, %d polls", d, q.Polls())
			}
		})
	})
}

func TestAServerOutlivesABubble(t *testing.T) {
	t.Parallel()
	srv := sqstest.New(t)
	q := srv.Queue(t, "q", sqstest.Retention(14*24*time.Hour))
	q.Send(t, "sent long before the bubble's time began")
	if _, err := srv.SQS().PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &q.URL}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			q.Send(t, "x", sqstest.SendDelay(10*time.Second))
			begin := time.Now()
			if got := receive(t, srv.SQS(), q, waiting(20)); len(got) != 1 || time.Since(begin) != 10*time.Second {
				t.Errorf("received %d after %v", len(got), time.Since(begin))
			} else {
				del(t, srv.SQS(), q, got[0])
			}
			if got := receive(t, srv.SQS(), q, waiting(20)); got != nil {
				t.Errorf("received %d more", len(got))
			}
		})
	}
}

func TestPollsAreServedInTheOrderTheyCame(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q")
		got := make(chan string, 3)
		for i := range 3 {
			go func() {
				time.Sleep(time.Duration(i) * time.Second)
				got <- fmt.Sprintf("poll %d: %s", i, bodies(receive(t, client, q, waiting(20))))
			}()
		}
		time.Sleep(3 * time.Second)
		if n := q.Polls(); n != 3 {
			t.Errorf("%d polls wait", n)
		}
		for i := range 3 {
			q.Send(t, fmt.Sprint(i))
			if g, want := <-got, fmt.Sprintf("poll %d: %d", i, i); g != want {
				t.Errorf("%s, want %s", g, want)
			}
		}
	})
}

func TestAMessageThatIsHeld(t *testing.T) {
	t.Parallel()
	t.Run("comes back when its visibility ends", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			id := q.Send(t, "x")
			first := receive(t, client, q, holding(12*3600))
			time.Sleep(12*time.Hour - time.Nanosecond)
			if got := receive(t, client, q); got != nil {
				t.Fatal("came back early")
			}
			time.Sleep(time.Nanosecond)
			second := receive(t, client, q)
			if len(second) != 1 || *second[0].MessageId != id || second[0].Attributes["ApproximateReceiveCount"] != "2" {
				t.Fatalf("second receive: %+v", second)
			}
			if *first[0].ReceiptHandle == *second[0].ReceiptHandle {
				t.Error("the receipt handle is the old one")
			}
		})
	})
	t.Run("is not deleted by a stale handle", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q", sqstest.Visibility(time.Second))
			id := q.Send(t, "x")
			stale := receive(t, client, q)
			time.Sleep(time.Second)
			fresh := receive(t, client, q)
			for i, handle := range []*string{stale[0].ReceiptHandle, fresh[0].ReceiptHandle} {
				if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &q.URL, ReceiptHandle: handle}); err != nil {
					t.Fatal(err)
				}
				if _, there := q.Message(id); there == (i == 1) {
					t.Errorf("after delete %d the message is there: %v", i, there)
				}
			}
			if q.Receives(id) != 2 || len(q.Deleted()) != 1 {
				t.Errorf("%d receives, deleted %v", q.Receives(id), q.Deleted())
			}
		})
	})
	t.Run("is not held on by a stale handle, nor by one of another queue", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q, other := srv.Queue(t, "q", sqstest.Visibility(time.Second)), srv.Queue(t, "other")
			q.Send(t, "x")
			stale := receive(t, client, q)[0]
			time.Sleep(time.Second)
			fresh := receive(t, client, q)[0]
			_, err := client.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &q.URL, ReceiptHandle: stale.ReceiptHandle, VisibilityTimeout: 60})
			wantCode(t, err, "InvalidParameterValue")
			_, err = client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &other.URL, ReceiptHandle: fresh.ReceiptHandle})
			wantError[*types.ReceiptHandleIsInvalid](t, err)
			if m := q.Messages()[0]; !m.VisibleAt.Equal(time.Now().Add(time.Second)) {
				t.Errorf("visible at %v", m.VisibleAt)
			}
		})
	})
	t.Run("has twelve hours again after each receive", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			q.Send(t, "x")
			receive(t, client, q, holding(6*3600))
			time.Sleep(6 * time.Hour)
			change(t, client, q, receive(t, client, q)[0], 12*3600)
		})
	})
	t.Run("cannot be held for more than twelve hours from its receive", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			q.Send(t, "x")
			got := receive(t, client, q, holding(3600))
			time.Sleep(30 * time.Minute)
			change := func(seconds int32) error {
				_, err := client.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{
					QueueUrl: &q.URL, ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: seconds,
				})
				return err
			}
			wantCode(t, change(12*3600-1800+1), "InvalidParameterValue")
			if err := change(12*3600 - 1800); err != nil {
				t.Fatal(err)
			}
			time.Sleep(12*time.Hour - 30*time.Minute)
			wantError[*types.MessageNotInflight](t, change(0))
		})
	})
}

func TestReceivesOnOneQueueDoNotCountOnTheNext(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		policy := func(to *sqstest.Queue) sqstest.QueueOption {
			return sqstest.QueueAttribute("RedrivePolicy", `{"deadLetterTargetArn":"`+to.ARN+`","maxReceiveCount":"2"}`)
		}
		last := srv.Queue(t, "last")
		middle := srv.Queue(t, "middle", policy(last))
		first := srv.Queue(t, "first", policy(middle))
		id := first.Send(t, "x")
		for _, q := range []*sqstest.Queue{first, middle, last} {
			for range 2 {
				if got := receive(t, client, q, holding(1)); len(got) != 1 {
					t.Fatalf("%s delivered %d messages", q.Name, len(got))
				}
				time.Sleep(time.Second)
			}
			receive(t, client, q)
		}
		if m, _ := last.Message(id); m.ReceiveCount != 7 || m.DeadLetterSource != middle.ARN {
			t.Errorf("at the end: %+v", m)
		}
	})
}

func TestWhoMayUseADeadLetterQueue(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		use := func(client *sqs.Client, name, dlq string) error {
			_, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{
				"RedrivePolicy": `{"deadLetterTargetArn":"` + dlq + `","maxReceiveCount":2}`,
			}})
			return err
		}
		none := srv.Queue(t, "none", sqstest.QueueAttribute("RedriveAllowPolicy", `{"redrivePermission":"denyAll"}`))
		some := srv.Queue(t, "some", sqstest.QueueAttribute("RedriveAllowPolicy",
			`{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:us-east-1:000000000000:friend"]}`))
		wantCode(t, use(client, "a", none.ARN), "InvalidParameterValue")
		wantCode(t, use(client, "a", some.ARN), "InvalidParameterValue")
		if err := use(client, "friend", some.ARN); err != nil {
			t.Error(err)
		}
		stranger := srv.SQS(func(o *sqs.Options) {
			o.RetryMaxAttempts, o.Credentials = 1, aws.CredentialsProviderFunc(accountCredentials("111111111111"))
		})
		wantCode(t, use(stranger, "a", srv.Queue(t, "open").ARN), "InvalidParameterValue")
	})
}

func TestADeadLetterQueue(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q", sqstest.DLQ(2), sqstest.Visibility(time.Second))
		id := q.Send(t, "poison", sqstest.StringAttribute("a", "b"))
		sent := q.Messages()[0].SentAt
		for range 2 {
			if got := receive(t, client, q); len(got) != 1 {
				t.Fatal("no message")
			}
			time.Sleep(time.Second)
		}
		if got := receive(t, client, q); got != nil {
			t.Fatal("received a third time")
		}
		got := receive(t, client, q.DLQ())
		if len(got) != 1 || *got[0].MessageId != id || *got[0].Body != "poison" || *got[0].MessageAttributes["a"].StringValue != "b" {
			t.Fatalf("dead letter: %+v", got)
		}
		if a := got[0].Attributes; a["DeadLetterQueueSourceArn"] != q.ARN || a["ApproximateReceiveCount"] != "3" {
			t.Errorf("attributes %v", a)
		}
		if m, _ := q.DLQ().Message(id); !m.SentAt.Equal(sent) {
			t.Errorf("sent at %v, want %v", m.SentAt, sent)
		}
	})
}

func TestAFIFOGroupIsLockedWhileOneOfItsMessagesIsHeld(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q.fifo")
		ids := q.SendN(t, 3, sqstest.Group("a"))
		other := q.Send(t, "other", sqstest.Group("b"))
		head := receive(t, client, q, atMost(1))
		if *head[0].MessageId != ids[0] {
			t.Fatal("not the head")
		}
		if got := receive(t, client, q); len(got) != 1 || *got[0].MessageId != other {
			t.Fatalf("got %d messages, want that of the other group", len(got))
		}
		if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &q.URL, ReceiptHandle: head[0].ReceiptHandle}); err != nil {
			t.Fatal(err)
		}
		got := receive(t, client, q)
		if len(got) != 2 || *got[0].MessageId != ids[1] || *got[1].MessageId != ids[2] {
			t.Fatalf("got %d messages", len(got))
		}
		time.Sleep(30 * time.Second)
		_, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &q.URL, ReceiptHandle: got[0].ReceiptHandle})
		wantCode(t, err, "InvalidParameterValue")
	})
}

func accountCredentials(account string) func(context.Context) (aws.Credentials, error) {
	return func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: account, SecretAccessKey: "secret"}, nil
	}
}
