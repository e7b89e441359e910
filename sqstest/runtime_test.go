package sqstest_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// story is what the runtime made of a fault, in ten minutes, with one message.
type story struct {
	runs     int  // of the handler
	receives int  // of the message
	deletes  int  // of the message
	dead     int  // messages in the dead-letter queue
	failed   bool // a poll failed
	fatal    bool // and trying again did not promise to mend it
	lost     bool // a hold ended before its handler
	unready  bool // it said that it could not do its work
}

// tell runs a consumer, whose handler takes as long as work says, on a message that
// is sent once the fault is there.
func tell(t *testing.T, fault func(srv *sqstest.Server), work time.Duration) (s story) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := sqstest.New(t)
		orders := srv.Queue(t, "orders", sqstest.DLQ(20))
		events := srv.Topic(t, "events")
		events.Subscribe(t, orders, sqstest.Raw(), sqstest.Undelivered(orders.DLQ()))
		var runs atomic.Int64
		handler := holdfast.HandlerFunc(func(ctx context.Context, _ *holdfast.Message) error {
			runs.Add(1)
			select {
			case <-time.After(work):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		var failed, fatal, lost atomic.Bool
		c, err := consumer.New(srv.SQS(), orders.URL, handler, consumer.Config{Hooks: holdfast.Hooks{
			PollFailed: func(e holdfast.PollFailedEvent) {
				failed.Store(true)
				fatal.Store(fatal.Load() || e.Fatal)
			},
			LeaseLost: func(holdfast.LeaseLostEvent) { lost.Store(true) },
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		pass(time.Second) // it has found that it may do its work

		fault(srv)
		events.Publish(t, "x")
		for range 10 * 60 {
			pass(time.Second)
			s.unready = s.unready || !c.Health().Ready
		}
		if h := c.Health(); !h.Ready || len(h.Problems) > 0 {
			t.Errorf("after ten minutes: %+v", h)
		}
		if d := orders.Depth(); d != (sqstest.Depth{}) {
			t.Errorf("on the queue: %+v", d)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		s.runs, s.deletes, s.dead = int(runs.Load()), len(orders.Deleted()), orders.DLQ().Depth().Visible
		for _, m := range orders.Deletions() {
			s.receives = max(s.receives, orders.Receives(m.ID))
		}
		s.failed, s.fatal, s.lost = failed.Load(), fatal.Load(), lost.Load()
	})
	return s
}

// TestWhatTheRuntimeMakesOfEachFault strikes a consumer with each fault where it hurts.
// The faults end, and then nothing is left on the queue: what it could not do at once
// it did later, and where it had to give a message up it received it anew.
func TestWhatTheRuntimeMakesOfEachFault(t *testing.T) {
	t.Parallel()
	const (
		receive = "ReceiveMessage"
		extend  = "ChangeMessageVisibilityBatch"
		remove  = "DeleteMessageBatch"

		quick = 0
		slow  = 45 * time.Second // longer than a hold of 30 s
	)
	var (
		unharmed  = story{runs: 1, receives: 1, deletes: 1}
		sick      = story{runs: 1, receives: 1, deletes: 1, unready: true}
		pollLost  = story{runs: 1, receives: 1, deletes: 1, failed: true}
		pollsSick = story{runs: 1, receives: 1, deletes: 1, failed: true, unready: true}
		pollsEnd  = story{runs: 1, receives: 1, deletes: 1, failed: true, unready: true, fatal: true}
		again     = story{runs: 2, receives: 2, deletes: 1, lost: true}
		gone      = story{runs: 2, receives: 2, deletes: 1, lost: true, unready: true}
	)
	// The SDK tries a call three times where it takes the error for a passing one: six
	// strikes are two calls.
	fail := func(action string, f sqstest.Fault, n int) func(*sqstest.Server) {
		return func(srv *sqstest.Server) { srv.Fail(action, f, sqstest.Times(n)) }
	}
	entries := func(action, code string, sender bool) func(*sqstest.Server) {
		return func(srv *sqstest.Server) { srv.FailEntries(action, code, sender, sqstest.Times(1)) }
	}
	disabled := sqstest.Custom("KMS.DisabledException", 400, "the key is off")
	for _, c := range []struct {
		name  string
		fault func(srv *sqstest.Server)
		work  time.Duration
		want  story
	}{
		{"a receive is throttled", fail(receive, sqstest.Throttle, 6), quick, pollsSick},
		{"a receive is throttled by SQS itself", fail(receive, sqstest.RequestThrottled, 6), quick, pollsSick},
		{"a receive meets an internal error", fail(receive, sqstest.Internal500, 6), quick, pollsSick},
		{"a receive finds the service down", fail(receive, sqstest.ServiceUnavailable503, 6), quick, pollsSick},
		{"a receive has expired credentials", fail(receive, sqstest.ExpiredToken, 2), quick, pollsEnd},
		{"a receive is denied", fail(receive, sqstest.AccessDenied, 2), quick, pollsEnd},
		{"a receive does not find the queue", fail(receive, sqstest.QueueDoesNotExist, 2), quick, pollsEnd},
		{"a receive finds too many messages in flight", fail(receive, sqstest.OverLimit, 2), quick, pollsSick},
		{"a receive fails with an error of our own making", fail(receive, disabled, 2), quick, pollLost},
		{"a receive is cut", func(srv *sqstest.Server) { srv.Cut(receive, sqstest.Times(6)) }, quick, pollsSick},
		{"a receive's reply is lost", func(srv *sqstest.Server) { srv.DropReply(receive, sqstest.Times(1)) }, quick, pollLost},
		{"a receive hangs", func(srv *sqstest.Server) { srv.Hang(receive, sqstest.Times(1)) }, quick, pollLost},
		{"receives are slow", func(srv *sqstest.Server) { srv.Delay(receive, 3*time.Second) }, quick, unharmed},

		{"a delete is throttled", fail(remove, sqstest.Throttle, 6), quick, sick},
		{"a delete is throttled by SQS itself", fail(remove, sqstest.RequestThrottled, 6), quick, sick},
		{"a delete meets an internal error", fail(remove, sqstest.Internal500, 6), quick, sick},
		{"a delete finds the service down", fail(remove, sqstest.ServiceUnavailable503, 6), quick, sick},
		{"a delete has expired credentials", fail(remove, sqstest.ExpiredToken, 6), quick, sick},
		{"a delete is denied", fail(remove, sqstest.AccessDenied, 6), quick, sick},
		{"a delete does not find the queue", fail(remove, sqstest.QueueDoesNotExist, 1), quick, gone},
		{"a delete's handle is refused", fail(remove, sqstest.ReceiptHandleIsInvalid, 1), quick, again},
		{"a delete fails with an error of our own making", fail(remove, disabled, 1), quick, unharmed},
		{"a delete fails in part", entries(remove, "InternalError", false), quick, unharmed},
		{"a delete's entry has a stale handle", entries(remove, "ReceiptHandleIsInvalid", true), quick, again},
		{"a delete is cut", func(srv *sqstest.Server) { srv.Cut(remove, sqstest.Times(6)) }, quick, sick},
		{"a delete's reply is lost", func(srv *sqstest.Server) { srv.DropReply(remove, sqstest.Times(1)) }, quick, unharmed},
		{"a delete hangs", func(srv *sqstest.Server) { srv.Hang(remove, sqstest.Times(2)) }, quick, unharmed},
		{"deletes are slow", func(srv *sqstest.Server) { srv.Delay(remove, 3*time.Second) }, quick, unharmed},

		{"an extension is throttled", fail(extend, sqstest.Throttle, 6), slow, sick},
		{"an extension is denied", fail(extend, sqstest.AccessDenied, 2), slow, sick},
		{"an extension has expired credentials", fail(extend, sqstest.ExpiredToken, 2), slow, sick},
		{"extensions fail for longer than the hold", func(srv *sqstest.Server) {
			time.AfterFunc(40*time.Second, srv.Fail(extend, sqstest.Internal500).Stop)
		}, slow, gone},
		{"an extension fails in part", entries(extend, "InternalError", false), slow, unharmed},
		{"an extension's entry has a stale handle", entries(extend, "ReceiptHandleIsInvalid", true), slow, again},
		{"an extension is cut", func(srv *sqstest.Server) { srv.Cut(extend, sqstest.Times(6)) }, slow, sick},
		{"an extension's reply is lost", func(srv *sqstest.Server) { srv.DropReply(extend, sqstest.Times(1)) }, slow, unharmed},
		{"an extension hangs", func(srv *sqstest.Server) { srv.Hang(extend, sqstest.Times(1)) }, slow, unharmed},

		{"all replies are slow", func(srv *sqstest.Server) { srv.Delay("", 3*time.Second, sqstest.OnReply()) }, slow, unharmed},
		{"the queue delivers twice while the message is held", func(srv *sqstest.Server) { srv.Duplicate("orders") }, slow, story{runs: 1, receives: 2, deletes: 1}},
		{"the queue brings back what was deleted", func(srv *sqstest.Server) { srv.Ghost("orders") }, quick, story{runs: 2, receives: 2, deletes: 2}},

		{"SNS cannot reach the queue for a while", fail(sqstest.Deliver, sqstest.Internal500, 6), quick, unharmed},
		{"SNS is cut off while it sends", func(srv *sqstest.Server) { srv.Cut(sqstest.Deliver, sqstest.Times(4)) }, quick, unharmed},
		{"SNS does not hear that it has sent", func(srv *sqstest.Server) { srv.DropReply(sqstest.Deliver, sqstest.Times(1)) }, quick, story{runs: 2, receives: 1, deletes: 2}},
		{"SNS is slow", func(srv *sqstest.Server) { srv.Delay(sqstest.Deliver, time.Minute) }, quick, unharmed},
		{"SNS may not send to the queue", fail(sqstest.Deliver, sqstest.AccessDenied, 1), quick, story{dead: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := tell(t, c.fault, c.work); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// Permissions are asked for at the start, so that a program without them ends at once.
func TestTheRuntimeSaysWhichPermissionItLacks(t *testing.T) {
	t.Parallel()
	for name, forbid := range map[string]func(*sqstest.Server){
		"by a rule": func(srv *sqstest.Server) {
			srv.Authorize(func(action, _ string) error {
				if action == "DeleteMessage" {
					return errors.New("not here")
				}
				return nil
			})
		},
		"by an IAM policy": func(srv *sqstest.Server) {
			srv.Bind(t, "WORKER", `{"Statement": [
				{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"},
				{"Effect": "Deny", "Action": "sqs:DeleteMessage", "Resource": "*:orders"}]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sqstest.New(t)
				orders := srv.Queue(t, "orders")
				forbid(srv)
				c, err := consumer.New(srv.SQS(sqstest.As("WORKER")), orders.URL, holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error { return nil }), consumer.Config{})
				if err != nil {
					t.Fatal(err)
				}
				var lacks *consumer.AccessError
				if err := c.Run(t.Context()); !errors.As(err, &lacks) || !strings.Contains(err.Error(), "sqs:DeleteMessage") || !strings.Contains(err.Error(), orders.ARN) {
					t.Errorf("Run: %v", err)
				}
			})
		})
	}
}
