package sqstest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/sqstest"
)

func TestAQueue(t *testing.T) {
	t.Parallel()
	t.Run("is made once, and again if it says the same", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			in := &sqs.CreateQueueInput{QueueName: aws.String("q"), Attributes: map[string]string{"VisibilityTimeout": "5"}}
			first, err := client.CreateQueue(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			again, err := client.CreateQueue(t.Context(), in)
			if err != nil || *again.QueueUrl != *first.QueueUrl {
				t.Errorf("again: %v, %v", again, err)
			}
			in.Attributes["VisibilityTimeout"] = "6"
			_, err = client.CreateQueue(t.Context(), in)
			wantError[*types.QueueNameExists](t, err)
			found, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("q")})
			if err != nil || *found.QueueUrl != *first.QueueUrl {
				t.Errorf("found: %v, %v", found, err)
			}
		})
	})
	t.Run("has the attributes AWS gives it", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q", sqstest.DLQ(3))
			q.SendN(t, 3)
			q.Send(t, "later", sqstest.SendDelay(time.Minute))
			receive(t, client, q, atMost(2))
			out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &q.URL, AttributeNames: []types.QueueAttributeName{"All"}})
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{
				"VisibilityTimeout": "30", "MaximumMessageSize": "1048576", "MessageRetentionPeriod": "345600",
				"DelaySeconds": "0", "ReceiveMessageWaitTimeSeconds": "0", "SqsManagedSseEnabled": "true",
				"ApproximateNumberOfMessages": "1", "ApproximateNumberOfMessagesNotVisible": "2",
				"ApproximateNumberOfMessagesDelayed": "1", "CreatedTimestamp": "946684800", "LastModifiedTimestamp": "946684800",
				"QueueArn":      "arn:aws:sqs:us-east-1:000000000000:q",
				"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:q-dlq","maxReceiveCount":3}`,
			}
			if diff := cmp.Diff(want, out.Attributes); diff != "" {
				t.Error(diff)
			}
		})
	})
	t.Run("uses new attributes at once, a new delay for new messages only", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q", sqstest.QueueAttribute("DelaySeconds", "100"))
			fifo := srv.Queue(t, "q.fifo", sqstest.QueueAttribute("DelaySeconds", "100"))
			q.Send(t, "old")
			fifo.Send(t, "old", sqstest.Group("g"))
			for _, url := range []string{q.URL, fifo.URL} {
				if _, err := client.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"DelaySeconds": "0", "VisibilityTimeout": "7"}}); err != nil {
					t.Fatal(err)
				}
			}
			q.Send(t, "new")
			if got := bodies(receive(t, client, q)); got != "new" {
				t.Errorf("received %q", got)
			}
			if d := fifo.Depth(); d != (sqstest.Depth{Visible: 1}) { // on FIFO queues the delay is the queue's
				t.Errorf("FIFO depth %+v", d)
			}
			time.Sleep(7 * time.Second)
			if d := q.Depth(); d != (sqstest.Depth{Visible: 1, Delayed: 1}) {
				t.Errorf("depth %+v", d)
			}
		})
	})
	t.Run("cannot be made again for 60 s after its deletion", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			if _, err := client.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &q.URL}); err != nil {
				t.Fatal(err)
			}
			create := func() error {
				_, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
				return err
			}
			time.Sleep(60*time.Second - time.Nanosecond)
			wantError[*types.QueueDeletedRecently](t, create())
			time.Sleep(time.Nanosecond)
			if err := create(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("can be purged once in 60 s", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			purge := func() error {
				_, err := client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &q.URL})
				return err
			}
			q.SendN(t, 3)
			held := receive(t, client, q, atMost(1))
			if err := purge(); err != nil || q.Depth() != (sqstest.Depth{}) {
				t.Fatalf("depth %+v, %v", q.Depth(), err)
			}
			del(t, client, q, held[0]) // succeeds, as on AWS
			time.Sleep(60*time.Second - time.Nanosecond)
			wantError[*types.PurgeQueueInProgress](t, purge())
			time.Sleep(time.Nanosecond)
			if err := purge(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("has no cooldowns where the test wants none", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			for range 2 {
				q := srv.Queue(t, "q")
				for range 2 {
					if _, err := client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &q.URL}); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := client.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &q.URL}); err != nil {
					t.Fatal(err)
				}
			}
		}, sqstest.NoCooldown())
	})
	t.Run("that is deleted ends the polls on it", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			time.AfterFunc(time.Second, func() {
				if _, err := client.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &q.URL}); err != nil {
					t.Error(err)
				}
			})
			_, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.URL, WaitTimeSeconds: 20})
			wantError[*types.QueueDoesNotExist](t, err)
		})
	})
	t.Run("is another one in another account or region", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, _ *sqs.Client) {
			urls := make(map[string]bool)
			for _, account := range []string{"111111111111", "222222222222"} {
				for _, region := range []string{"us-east-1", "eu-west-1"} {
					client := srv.SQS(func(o *sqs.Options) {
						o.Region, o.RetryMaxAttempts = region, 1
						o.Credentials = aws.CredentialsProviderFunc(accountCredentials(account))
					})
					_, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("q")})
					wantError[*types.QueueDoesNotExist](t, err)
					out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
					if err != nil {
						t.Fatal(err)
					}
					attrs, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: out.QueueUrl, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
					if err != nil {
						t.Fatal(err)
					}
					if want := "arn:aws:sqs:" + region + ":" + account + ":q"; attrs.Attributes["QueueArn"] != want {
						t.Errorf("ARN %s, want %s", attrs.Attributes["QueueArn"], want)
					}
					urls[*out.QueueUrl+region] = true
				}
			}
			if len(urls) != 4 {
				t.Errorf("URLs %v", urls)
			}
		})
	})
}

func TestListQueues(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		var want []string
		for i := range 25 {
			want = append(want, srv.Queue(t, fmt.Sprintf("a-%02d", i)).URL)
		}
		srv.Queue(t, "b")
		var got []string
		pages := sqs.NewListQueuesPaginator(client, &sqs.ListQueuesInput{QueueNamePrefix: aws.String("a-"), MaxResults: aws.Int32(10)})
		n := 0
		for ; pages.HasMorePages(); n++ {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.QueueUrls...)
		}
		if n != 3 || !slices.Equal(got, want) {
			t.Errorf("%d pages: %v", n, got)
		}
	})
}

func TestTimeOnAQueue(t *testing.T) {
	t.Parallel()
	t.Run("a message vanishes at the end of its retention, also while it is held", func(t *testing.T) {
		t.Parallel()
		for _, days := range []int{4, 14} {
			bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
				retention := time.Duration(days) * 24 * time.Hour
				q := srv.Queue(t, "q", sqstest.Retention(retention))
				q.Send(t, "waits")
				q.Send(t, "held")
				time.Sleep(retention - time.Hour)
				receive(t, client, q, atMost(1), holding(7200))
				time.Sleep(time.Hour - time.Nanosecond)
				if d := q.Depth(); d != (sqstest.Depth{Visible: 1, InFlight: 1}) {
					t.Errorf("after %v less a moment: %+v", retention, d)
				}
				time.Sleep(time.Nanosecond)
				if d := q.Depth(); d != (sqstest.Depth{}) {
					t.Errorf("after %v: %+v", retention, d)
				}
			})
		}
	})
	t.Run("retention goes on counting in a standard dead-letter queue", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q", sqstest.DLQ(1), sqstest.Visibility(time.Second))
			q.DLQ().Send(t, "younger, and there first")
			time.Sleep(time.Hour)
			q.Send(t, "older, by its first queue")
			q.DLQ().Send(t, "youngest")
			receive(t, client, q)
			time.Sleep(time.Second)
			receive(t, client, q)
			if d := q.DLQ().Depth(); d.Visible != 3 {
				t.Fatalf("depth %+v", d)
			}
			time.Sleep(4*24*time.Hour - time.Hour - time.Second)
			if d := q.DLQ().Depth(); d.Visible != 2 {
				t.Errorf("four days after the first: %+v", d)
			}
			time.Sleep(time.Hour)
			if d := q.DLQ().Depth(); d.Visible != 0 {
				t.Errorf("four days after the dead letter was sent: %+v", d)
			}
		})
	})
	t.Run("a delay of the message goes before that of the queue", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q", sqstest.QueueAttribute("DelaySeconds", "10"))
			q.Send(t, "queue")
			q.Send(t, "own", sqstest.SendDelay(900*time.Second))
			begin := time.Now()
			for _, want := range []struct {
				body string
				at   time.Duration
			}{{"queue", 10 * time.Second}, {"own", 900 * time.Second}} {
				for {
					got := receive(t, client, q, waiting(20))
					if got == nil {
						continue
					}
					del(t, client, q, got[0])
					if bodies(got) != want.body || time.Since(begin) != want.at {
						t.Errorf("%s after %v", bodies(got), time.Since(begin))
					}
					break
				}
			}
		})
	})
	t.Run("visibility counts from the change", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			id := q.Send(t, "x")
			m := receive(t, client, q, holding(60))[0]
			for _, step := range []struct{ wait, set time.Duration }{{50 * time.Second, 60 * time.Second}, {59 * time.Second, 10 * time.Second}, {9 * time.Second, 0}} {
				time.Sleep(step.wait)
				if d := q.Depth(); d.InFlight != 1 {
					t.Fatalf("depth %+v", d)
				}
				if _, err := client.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{
					QueueUrl: &q.URL, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: int32(step.set / time.Second),
				}); err != nil {
					t.Fatal(err)
				}
				if v, _ := q.Message(id); step.set > 0 && !v.VisibleAt.Equal(time.Now().Add(step.set)) {
					t.Errorf("visible at %v", v.VisibleAt)
				}
			}
			if d := q.Depth(); d.Visible != 1 {
				t.Errorf("given back: %+v", d)
			}
		})
	})
	t.Run("a hold that was changed is not remembered for the next receive", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			q.Send(t, "x")
			receive(t, client, q, holding(1))
			time.Sleep(time.Second)
			receive(t, client, q)
			if m := q.Messages()[0]; !m.VisibleAt.Equal(time.Now().Add(30 * time.Second)) {
				t.Errorf("visible at %v", m.VisibleAt)
			}
		})
	})
}

func TestTheInFlightLimit(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q, fifo := srv.Queue(t, "q"), srv.Queue(t, "q.fifo")
		q.SendN(t, 5)
		for i := range 5 {
			fifo.Send(t, "x", sqstest.Group(fmt.Sprint(i)))
		}
		held := receive(t, client, q)
		if n, m := len(held), len(receive(t, client, fifo)); n != 3 || m != 3 {
			t.Fatalf("received %d and %d", n, m)
		}
		_, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.URL})
		wantError[*types.OverLimit](t, err)
		if got := receive(t, client, fifo); got != nil {
			t.Error("the FIFO queue went over its limit")
		}
		begin := time.Now()
		if got := receive(t, client, q, waiting(20)); got != nil || time.Since(begin) != 20*time.Second {
			t.Errorf("a long poll got %d messages after %v", len(got), time.Since(begin))
		}
		time.AfterFunc(time.Second, func() { del(t, client, q, held[0]) })
		if got := receive(t, client, q, waiting(5)); len(got) != 1 {
			t.Errorf("after a delete a long poll got %d messages", len(got))
		}
		del(t, client, q, held[1])
		del(t, client, q, held[2])
		receive(t, client, q)
		if q.MaxInFlight() != 3 {
			t.Errorf("at most %d in flight", q.MaxInFlight())
		}
	}, sqstest.InFlightLimit(3))
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q")
		q.Send(t, "x")
		m := receive(t, client, q)[0]
		srv.Authorize(func(action, arn string) error {
			if action == "DeleteMessage" && arn == q.ARN {
				return errors.New("no identity-based policy allows it")
			}
			return nil
		})
		_, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &q.URL, ReceiptHandle: m.ReceiptHandle})
		wantCode(t, err, "AccessDenied")
		if want := "not authorized to perform: sqs:deletemessage on resource: " + q.ARN; !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
		_, err = client.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &q.URL, Entries: []types.DeleteMessageBatchRequestEntry{{Id: aws.String("1"), ReceiptHandle: m.ReceiptHandle}}})
		wantCode(t, err, "AccessDenied")
		if got := receive(t, client, q); got != nil {
			t.Error("received a message that is in flight")
		}
		srv.Authorize(nil)
		del(t, client, q, m)
	})
}
