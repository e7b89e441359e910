package sqstest_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/sqstest"
)

// sendFIFO sends through the client; dedup "" leaves the id out.
func sendFIFO(t *testing.T, client *sqs.Client, q *sqstest.Queue, group, dedup, body string) *sqs.SendMessageOutput {
	t.Helper()
	in := &sqs.SendMessageInput{QueueUrl: &q.URL, MessageBody: &body, MessageGroupId: &group}
	if dedup != "" {
		in.MessageDeduplicationId = &dedup
	}
	out, err := client.SendMessage(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func del(t *testing.T, client *sqs.Client, q *sqstest.Queue, m types.Message) {
	t.Helper()
	if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &q.URL, ReceiptHandle: m.ReceiptHandle}); err != nil {
		t.Fatal(err)
	}
}

func change(t *testing.T, client *sqs.Client, q *sqstest.Queue, m types.Message, seconds int32) {
	t.Helper()
	if _, err := client.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &q.URL, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds,
	}); err != nil {
		t.Fatal(err)
	}
}

func bodies(messages []types.Message) string {
	all := ""
	for _, m := range messages {
		all += *m.Body
	}
	return all
}

func TestFIFODeduplication(t *testing.T) {
	t.Parallel()
	t.Run("holds for five minutes, also after the delete", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q.fifo")
			first := sendFIFO(t, client, q, "g", "id", "x")
			del(t, client, q, receive(t, client, q)[0])
			time.Sleep(5*time.Minute - time.Nanosecond)
			again := sendFIFO(t, client, q, "g", "id", "y")
			if *again.MessageId != *first.MessageId || *again.SequenceNumber != *first.SequenceNumber {
				t.Errorf("the twin is %s/%s, not %s/%s", *again.MessageId, *again.SequenceNumber, *first.MessageId, *first.SequenceNumber)
			}
			if d := q.Depth(); d != (sqstest.Depth{}) {
				t.Errorf("depth %+v", d)
			}
			time.Sleep(time.Nanosecond)
			if later := sendFIFO(t, client, q, "g", "id", "z"); *later.MessageId == *first.MessageId || *later.SequenceNumber <= *first.SequenceNumber {
				t.Errorf("five minutes later it is still %s, sequence %s", *later.MessageId, *later.SequenceNumber)
			}
		})
	})
	t.Run("goes by the content where the queue says so", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q.fifo", sqstest.QueueAttribute("ContentBasedDeduplication", "true"))
			sendFIFO(t, client, q, "g", "", "x")
			sendFIFO(t, client, q, "g", "", "x")
			sendFIFO(t, client, q, "g", "own", "x")
			sendFIFO(t, client, q, "g", "", "y")
			if d := q.Depth(); d.Visible != 3 {
				t.Errorf("depth %+v", d)
			}
		})
	})
	t.Run("spans groups unless the queue says otherwise", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			wide := srv.Queue(t, "wide.fifo")
			narrow := srv.Queue(t, "narrow.fifo", sqstest.QueueAttribute("DeduplicationScope", "messageGroup"))
			for _, q := range []*sqstest.Queue{wide, narrow} {
				sendFIFO(t, client, q, "a", "id", "x")
				sendFIFO(t, client, q, "b", "id", "x")
			}
			if a, b := wide.Depth().Visible, narrow.Depth().Visible; a != 1 || b != 2 {
				t.Errorf("depths %d and %d", a, b)
			}
		})
	})
	t.Run("is demanded", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q.fifo")
			for code, in := range map[string]*sqs.SendMessageInput{
				"InvalidParameterValue": {MessageGroupId: aws.String("g")},
				"MissingParameter":      {MessageDeduplicationId: aws.String("d")},
			} {
				in.QueueUrl, in.MessageBody = &q.URL, aws.String("x")
				_, err := client.SendMessage(t.Context(), in)
				wantCode(t, err, code)
			}
			_, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{
				QueueUrl: &q.URL, MessageBody: aws.String("x"), MessageGroupId: aws.String("g"),
				MessageDeduplicationId: aws.String("d"), DelaySeconds: 1,
			})
			wantCode(t, err, "InvalidParameterValue")
		})
	})
}

func TestFIFOOrder(t *testing.T) {
	t.Parallel()
	t.Run("a failed head comes again before its followers", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q.fifo", sqstest.Visibility(10*time.Second))
			for _, b := range []string{"1", "2", "3"} {
				q.Send(t, b, sqstest.Group("g"))
			}
			if got := bodies(receive(t, client, q, atMost(1))); got != "1" {
				t.Fatalf("received %s", got)
			}
			if got := bodies(receive(t, client, q)); got != "" {
				t.Fatalf("received %s while the head is held", got)
			}
			time.Sleep(10 * time.Second)
			if got := bodies(receive(t, client, q)); got != "123" {
				t.Fatalf("received %s", got)
			}
		})
	})
	t.Run("a group stays locked until the last of a batch is settled", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q.fifo")
			for _, b := range []string{"1", "2", "3"} {
				q.Send(t, b, sqstest.Group("g"))
			}
			got := receive(t, client, q, atMost(2))
			del(t, client, q, got[0])
			if more := receive(t, client, q); more != nil {
				t.Fatalf("received %s", bodies(more))
			}
			del(t, client, q, got[1])
			if more := bodies(receive(t, client, q)); more != "3" {
				t.Fatalf("received %s", more)
			}
		})
	})
	t.Run("a follower that is delayed waits, the head does not", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q.fifo", sqstest.QueueAttribute("DelaySeconds", "10"))
			q.Send(t, "1", sqstest.Group("g"))
			time.Sleep(5 * time.Second)
			q.Send(t, "2", sqstest.Group("g"))
			time.Sleep(5 * time.Second)
			if got := bodies(receive(t, client, q)); got != "1" {
				t.Errorf("received %q", got)
			}
		})
	})
	t.Run("groups take turns", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q.fifo")
			for _, b := range []string{"a", "A"} {
				q.Send(t, b, sqstest.Group("a"))
			}
			q.Send(t, "b", sqstest.Group("b"))
			first := receive(t, client, q, atMost(1))
			del(t, client, q, first[0])
			if second := receive(t, client, q, atMost(1)); bodies(first)+bodies(second) != "ab" {
				t.Errorf("received %s then %s", bodies(first), bodies(second))
			}
		})
	})
	t.Run("a long poll ends when a group is free again", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q.fifo")
			q.Send(t, "1", sqstest.Group("g"))
			q.Send(t, "2", sqstest.Group("g"))
			head := receive(t, client, q, atMost(1))[0]
			begin := time.Now()
			time.AfterFunc(4*time.Second, func() { del(t, client, q, head) })
			if got := bodies(receive(t, client, q, waiting(20))); got != "2" || time.Since(begin) != 4*time.Second {
				t.Errorf("received %q after %v", got, time.Since(begin))
			}
		})
	})
	t.Run("a dead-lettered head frees its group and goes to the FIFO dead-letter queue with group, id, a new time and its id as deduplication id", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q.fifo", sqstest.DLQ(1), sqstest.Visibility(time.Second))
			head := q.Send(t, "1", sqstest.Group("g"), sqstest.Dedup("d"))
			q.Send(t, "2", sqstest.Group("g"))
			receive(t, client, q, atMost(1))
			time.Sleep(time.Second)
			if got := bodies(receive(t, client, q)); got != "2" {
				t.Fatalf("received %q", got)
			}
			m, ok := q.DLQ().Message(head)
			if !ok || m.Group != "g" || m.Dedup != head || !m.SentAt.Equal(time.Now()) {
				t.Errorf("dead letter %+v", m)
			}
		})
	})
}

func TestAReceiveAttempt(t *testing.T) {
	t.Parallel()
	attempt := func(id string) func(*sqs.ReceiveMessageInput) {
		return func(in *sqs.ReceiveMessageInput) { in.ReceiveRequestAttemptId = &id }
	}
	handles := func(m []types.Message) string {
		all := ""
		for i := range m {
			all += *m[i].ReceiptHandle
		}
		return all
	}
	t.Run("repeated brings the same messages under the same handles, held anew", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q.fifo")
			ids := q.SendN(t, 3, sqstest.Group("g"))
			first := receive(t, client, q, attempt("a"), atMost(2))
			time.Sleep(20 * time.Second)
			again := receive(t, client, q, attempt("a"), atMost(2))
			if handles(first) != handles(again) || len(again) != 2 {
				t.Fatal("other messages or handles")
			}
			if other := receive(t, client, q, attempt("b")); other != nil {
				t.Error("another attempt got a message of the locked group")
			}
			time.Sleep(29 * time.Second)
			if m, _ := q.Message(ids[0]); m.State != sqstest.InFlight || m.ReceiveCount != 1 {
				t.Errorf("49 s after the first receive: %+v", m)
			}
		})
	})
	t.Run("is new once a message of it was changed", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q.fifo")
			q.SendN(t, 3, sqstest.Group("g"))
			first := receive(t, client, q, attempt("a"), atMost(2))
			del(t, client, q, first[0])
			if again := receive(t, client, q, attempt("a")); again != nil {
				t.Errorf("got %d messages of a locked group", len(again))
			}
		})
	})
	t.Run("is new once a hold of it was changed, until the message is received anew", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q.fifo")
			q.Send(t, "x", sqstest.Group("g"))
			first := receive(t, client, q, attempt("a"))
			change(t, client, q, first[0], 60)
			if again := receive(t, client, q, attempt("a")); again != nil {
				t.Error("the attempt brought a message whose hold was changed")
			}
			change(t, client, q, first[0], 0)
			second := receive(t, client, q, attempt("b"))
			if again := receive(t, client, q, attempt("b")); handles(again) != handles(second) {
				t.Error("the change before this receive counts")
			}
		})
	})
	t.Run("is void once another receive has its messages", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q.fifo", sqstest.Visibility(time.Second))
			q.Send(t, "x", sqstest.Group("g"))
			receive(t, client, q, attempt("a"))
			time.Sleep(time.Second)
			if got := receive(t, client, q, attempt("b")); len(got) != 1 {
				t.Fatal("it did not come back")
			}
			if got := receive(t, client, q, attempt("a")); got != nil {
				t.Error("two attempts hold one message")
			}
		})
	})
	t.Run("is forgotten after five minutes", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q.fifo")
			q.Send(t, "x", sqstest.Group("g"))
			receive(t, client, q, attempt("a"), holding(3600))
			time.Sleep(5 * time.Minute)
			if again := receive(t, client, q, attempt("a")); again != nil {
				t.Error("got the message again")
			}
		})
	})
}

// AWS looks through the first 120,000 messages of a FIFO queue for groups.
func TestABacklogOfOneGroupHidesTheOthers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q.fifo")
		q.SendN(t, 3, sqstest.Group("hot"))
		q.Send(t, "b", sqstest.Group("cold"))
		hot := receive(t, client, q, atMost(1))
		if got := receive(t, client, q, waiting(20)); len(got) != 0 {
			t.Errorf("received %s though its group is hidden", bodies(got))
		}
		if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &q.URL, ReceiptHandle: hot[0].ReceiptHandle}); err != nil {
			t.Fatal(err)
		}
		if got := bodies(receive(t, client, q)); got != `{"n":1}{"n":2}b` {
			t.Errorf("received %s", got)
		}
	}, sqstest.InFlightLimit(3))
}
