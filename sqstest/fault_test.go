package sqstest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/holdfast-go/holdfast/sqstest"
)

func TestFailAnswersAsAWSWould(t *testing.T) {
	t.Parallel()
	is := func(target any) func(error) bool { return func(err error) bool { return errors.As(err, target) } }
	for code, tc := range map[string]struct {
		fault   sqstest.Fault
		typed   func(error) bool
		status  int
		retried bool // by the SDK
	}{
		"ThrottlingException": {sqstest.Throttle, nil, 400, true},
		"RequestThrottled":    {sqstest.RequestThrottled, is(new(*types.RequestThrottled)), 403, true},
		"InternalFailure":     {sqstest.Internal500, nil, 500, true},
		"ServiceUnavailable":  {sqstest.ServiceUnavailable503, nil, 503, true},
		"ExpiredToken":        {sqstest.ExpiredToken, nil, 403, false},
		"AccessDenied":        {sqstest.AccessDenied, nil, 403, false},
		"OverLimit":           {sqstest.OverLimit, is(new(*types.OverLimit)), 403, false},
		"AWS.SimpleQueueService.NonExistentQueue": {sqstest.QueueDoesNotExist, is(new(*types.QueueDoesNotExist)), 400, false},
		"ReceiptHandleIsInvalid":                  {sqstest.ReceiptHandleIsInvalid, is(new(*types.ReceiptHandleIsInvalid)), 404, false},
		"KMS.ThrottlingException":                 {sqstest.Custom("KMS.ThrottlingException", 400, "slow"), nil, 400, false},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "q")
				q.Send(t, "x")
				fault := srv.Fail("ReceiveMessage", tc.fault, sqstest.Times(1))
				client := srv.SQS()
				out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.URL})
				if fault.Hits() != 1 {
					t.Errorf("%d hits", fault.Hits())
				}
				if log := srv.Log(); log[0].Err != code {
					t.Errorf("logged as %q", log[0].Err)
				}
				if tc.retried {
					if err != nil || len(out.Messages) != 1 || srv.Calls("ReceiveMessage") != 2 {
						t.Errorf("after %d calls: %v", srv.Calls("ReceiveMessage"), err)
					}
					return
				}
				wantCode(t, err, code)
				if tc.typed != nil && !tc.typed(err) {
					t.Errorf("%T is not the SDK's type", errors.Unwrap(err))
				}
				var status interface{ HTTPStatusCode() int }
				if !errors.As(err, &status) || status.HTTPStatusCode() != tc.status {
					t.Errorf("status of %v", err)
				}
				if d := q.Depth(); d.Visible != 1 {
					t.Errorf("a refused call was applied: %+v", d)
				}
			})
		})
	}
}

func TestTheFaultOfTheServiceIsToldFromThatOfTheSender(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		for fault, want := range map[*sqstest.Fault]smithy.ErrorFault{
			&sqstest.Internal500: smithy.FaultServer, &sqstest.ExpiredToken: smithy.FaultClient,
		} {
			f := srv.Fail("ListQueues", *fault)
			_, err := client.ListQueues(t.Context(), nil)
			var api smithy.APIError
			if !errors.As(err, &api) || api.ErrorFault() != want {
				t.Errorf("%v is the fault of %v", err, api.ErrorFault())
			}
			f.Stop()
		}
		if _, err := client.ListQueues(t.Context(), nil); err != nil {
			t.Errorf("after Stop: %v", err)
		}
	})
}

func TestConnectionFaults(t *testing.T) {
	t.Parallel()
	remove := func(t *testing.T, client *sqs.Client, q *sqstest.Queue, m types.Message) error {
		t.Helper()
		_, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &q.URL, ReceiptHandle: m.ReceiptHandle})
		return err
	}
	t.Run("a cut call was not applied", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			q.Send(t, "x")
			m := receive(t, client, q)[0]
			srv.Cut("DeleteMessage")
			if err := remove(t, client, q, m); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("error %v", err)
			}
			if len(q.Deleted()) != 0 {
				t.Error("it was deleted")
			}
		})
	})
	t.Run("a call whose reply is dropped was applied", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			id := q.Send(t, "x")
			m := receive(t, client, q)[0]
			srv.DropReply("DeleteMessage")
			if err := remove(t, client, q, m); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("error %v", err)
			}
			if !slices.Equal(q.Deleted(), []string{id}) {
				t.Errorf("deleted %v", q.Deleted())
			}
		})
	})
	t.Run("the SDK tries again after either", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, _ *sqs.Client) {
			client := srv.SQS()
			q := srv.Queue(t, "q")
			q.Send(t, "x")
			m := receive(t, client, q)[0]
			srv.Cut("DeleteMessage", sqstest.Times(1))
			srv.DropReply("DeleteMessage", sqstest.Times(1))
			if err := remove(t, client, q, m); err != nil || srv.Calls("DeleteMessage") != 3 || len(q.Deleted()) != 1 {
				t.Errorf("%d calls, deleted %v: %v", srv.Calls("DeleteMessage"), q.Deleted(), err)
			}
		})
	})
	t.Run("a lost receive leaves its messages in flight", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			id := q.Send(t, "x")
			srv.DropReply("ReceiveMessage", sqstest.Times(1))
			if _, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.URL}); err == nil {
				t.Fatal("no error")
			}
			if d := q.Depth(); d.InFlight != 1 || q.Receives(id) != 1 {
				t.Errorf("depth %+v, %d receives", d, q.Receives(id))
			}
		})
	})
	t.Run("a hanging call ends with its context, unapplied", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			q.Send(t, "x")
			srv.Hang("ReceiveMessage")
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			begin := time.Now()
			_, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &q.URL})
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Hour || q.Depth().Visible != 1 {
				t.Errorf("after %v: %v", time.Since(begin), err)
			}
		})
	})
	t.Run("a delay holds the call back, on reply the answer", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			for i, opts := range [][]sqstest.FaultOption{nil, {sqstest.OnReply()}} {
				q.Send(t, "x")
				srv.Delay("ReceiveMessage", 3*time.Second, append(opts, sqstest.Times(1))...)
				begin := time.Now()
				seen := make(chan sqstest.Depth, 1)
				time.AfterFunc(time.Second, func() { seen <- q.Depth() })
				if got := receive(t, client, q); len(got) != 1 || time.Since(begin) != 3*time.Second {
					t.Errorf("received %d after %v", len(got), time.Since(begin))
				} else {
					del(t, client, q, got[0])
				}
				if d := <-seen; d.InFlight != i {
					t.Errorf("a second into the call: %+v", d)
				}
			}
		})
	})
	t.Run("a call under way ends with its context", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			srv.Delay("", time.Hour)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := client.ListQueues(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		})
	})
}

func TestFaultOptions(t *testing.T) {
	t.Parallel()
	// Which of 12 calls are struck.
	for name, tc := range map[string]struct {
		opts []sqstest.FaultOption
		want string
	}{
		"always":         {nil, "xxxxxxxxxxxx"},
		"times":          {[]sqstest.FaultOption{sqstest.Times(2)}, "xx.........."},
		"after":          {[]sqstest.FaultOption{sqstest.After(10)}, "..........xx"},
		"every":          {[]sqstest.FaultOption{sqstest.Every(5)}, "....x....x.."},
		"all of them":    {[]sqstest.FaultOption{sqstest.After(1), sqstest.Every(3), sqstest.Times(2)}, "...x..x....."},
		"never":          {[]sqstest.FaultOption{sqstest.Probability(0, 1)}, "............"},
		"certainly":      {[]sqstest.FaultOption{sqstest.Probability(1, 1)}, "xxxxxxxxxxxx"},
		"another queue":  {[]sqstest.FaultOption{sqstest.OnQueue("other")}, "............"},
		"this queue":     {[]sqstest.FaultOption{sqstest.OnQueue("q")}, "xxxxxxxxxxxx"},
		"by chance, so":  {[]sqstest.FaultOption{sqstest.Probability(0.5, 1)}, ""},
		"by chance, too": {[]sqstest.FaultOption{sqstest.Probability(0.5, 2)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := func() (struck string) {
				bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
					q := srv.Queue(t, "q")
					fault := srv.Fail("PurgeQueue", sqstest.Internal500, tc.opts...)
					for range 12 {
						_, err := client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &q.URL})
						struck += map[bool]string{true: ".", false: "x"}[err == nil]
					}
					if n := strings.Count(struck, "x"); n != fault.Hits() {
						t.Errorf("%d struck, %d hits", n, fault.Hits())
					}
				}, sqstest.NoCooldown())
				return struck
			}
			got := run()
			if tc.want == "" { // by chance: some, not all, and the same again
				if n := strings.Count(got, "x"); n == 0 || n == 12 || got != run() {
					t.Errorf("struck %s", got)
				}
			} else if got != tc.want {
				t.Errorf("struck %s, want %s", got, tc.want)
			}
		})
	}
}

func TestABatchThatFailsInPart(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q")
		q.SendN(t, 4)
		srv.FailEntries("DeleteMessageBatch", "InternalError", false, sqstest.Every(2))
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &q.URL}
		for i, m := range receive(t, client, q) {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), ReceiptHandle: m.ReceiptHandle})
		}
		out, err := client.DeleteMessageBatch(t.Context(), in)
		if err != nil || len(out.Successful) != 2 || len(out.Failed) != 2 || *out.Failed[0].Code != "InternalError" || out.Failed[0].SenderFault {
			t.Fatalf("%+v, %v", out, err)
		}
		if d := q.Depth(); d.InFlight != 2 {
			t.Errorf("depth %+v", d)
		}
	})
}

func TestADuplicate(t *testing.T) {
	t.Parallel()
	t.Run("is delivered once more while in flight and makes the old handle stale", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			id := q.Send(t, "x")
			srv.Duplicate("q") // without end, and yet only one echo of each receive
			first, second, third := receive(t, client, q), receive(t, client, q), receive(t, client, q)
			if len(first) != 1 || len(second) != 1 || third != nil || *second[0].MessageId != id {
				t.Fatalf("receives brought %d, %d and %d", len(first), len(second), len(third))
			}
			if d := q.Depth(); d != (sqstest.Depth{InFlight: 1}) {
				t.Errorf("depth %+v", d)
			}
			del(t, client, q, first[0])
			if len(q.Deleted()) != 0 {
				t.Error("the old handle deleted it")
			}
			del(t, client, q, second[0])
			if d := q.Depth(); d != (sqstest.Depth{}) || q.Receives(id) != 2 {
				t.Errorf("depth %+v, %d receives", d, q.Receives(id))
			}
		})
	})
	t.Run("wakes a poll that waits", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			srv.Duplicate("")
			got := make(chan int, 2)
			for range 2 {
				go func() { got <- len(receive(t, client, q, waiting(20))) }()
			}
			synctest.Wait()
			q.Send(t, "x")
			if n, m := <-got, <-got; n != 1 || m != 1 {
				t.Errorf("polls got %d and %d", n, m)
			}
		})
	})
	t.Run("that was deleted before its echo has none", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
			q := srv.Queue(t, "q")
			q.Send(t, "x")
			srv.Duplicate("q")
			del(t, client, q, receive(t, client, q)[0])
			if got := receive(t, client, q); got != nil {
				t.Error("received after the delete")
			}
		})
	})
}

func TestAGhost(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q")
		id := q.Send(t, "x")
		srv.Ghost("q")
		for want := 1; want >= 0; want-- {
			m := receive(t, client, q)[0]
			del(t, client, q, m)
			del(t, client, q, m) // a repeated delete is not a second one
			if d := q.Depth(); d.Visible != want {
				t.Errorf("depth %+v, want %d visible", d, want)
			}
		}
		if !slices.Equal(q.Deleted(), []string{id, id}) || q.Receives(id) != 2 {
			t.Errorf("deleted %v, %d receives", q.Deleted(), q.Receives(id))
		}
	})
}

// recorder is a test that notes its failures instead of failing.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper()        {}
func (r *recorder) Cleanup(func()) {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(r)
}

func TestAFaultThatMakesNoSenseFailsTheTest(t *testing.T) {
	t.Parallel()
	for want, do := range map[string]func(*sqstest.Server){
		`Action "RecieveMessage"`:        func(s *sqstest.Server) { s.Fail("RecieveMessage", sqstest.Throttle) },
		`Queue "a b"`:                    func(s *sqstest.Server) { s.Cut("", sqstest.OnQueue("a b")) },
		`After -1`:                       func(s *sqstest.Server) { s.Cut("", sqstest.After(-1)) },
		`Times(0) is below 1`:            func(s *sqstest.Server) { s.Cut("", sqstest.Times(0)) },
		`Every(0) is below 1`:            func(s *sqstest.Server) { s.Cut("", sqstest.Every(0)) },
		`is not in 0..1`:                 func(s *sqstest.Server) { s.Cut("", sqstest.Probability(1.5, 1)) },
		`Delay -1ns`:                     func(s *sqstest.Server) { s.Delay("", -1) },
		`OnReply is for`:                 func(s *sqstest.Server) { s.Cut("", sqstest.OnReply()) },
		`has no entries that could fail`: func(s *sqstest.Server) { s.FailEntries("DeleteMessage", "X", true) },
		`it delivers nothing twice`:      func(s *sqstest.Server) { s.Duplicate("q.fifo") },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			r := &recorder{TB: t}
			srv := sqstest.New(r)
			do(srv)
			if len(r.failures) != 1 || !strings.Contains(r.failures[0], want) {
				t.Errorf("failures %q", r.failures)
			}
		})
	}
}
