package sqstest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/sqstest"
)

func TestViews(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q")
		begin := time.Now()
		held := q.Send(t, "held", sqstest.StringAttribute("a", "b"), sqstest.Group("g"))
		waits := q.Send(t, "waits")
		later := q.Send(t, "later", sqstest.SendDelay(time.Minute))
		time.Sleep(time.Second)
		m := receive(t, client, q, atMost(1))[0]
		want := []sqstest.Message{
			{ID: held, Body: "held", Attributes: map[string]sqstest.Attribute{"a": {Type: "String", Text: "b"}}, Group: "g",
				ReceiveCount: 1, State: sqstest.InFlight, VisibleAt: begin.Add(31 * time.Second), SentAt: begin, FirstReceivedAt: begin.Add(time.Second)},
			{ID: waits, Body: "waits", Attributes: map[string]sqstest.Attribute{}, State: sqstest.Visible, SentAt: begin},
			{ID: later, Body: "later", Attributes: map[string]sqstest.Attribute{}, State: sqstest.Delayed, VisibleAt: begin.Add(time.Minute), SentAt: begin},
		}
		if diff := cmp.Diff(want, q.Messages()); diff != "" {
			t.Error(diff)
		}
		if d := q.Depth(); d != (sqstest.Depth{Visible: 1, InFlight: 1, Delayed: 1}) || q.MaxInFlight() != 1 {
			t.Errorf("depth %+v, at most %d in flight", d, q.MaxInFlight())
		}
		del(t, client, q, m)
		if diff := cmp.Diff([]sqstest.Deletion{{ID: held, At: time.Now(), Body: "held"}}, q.Deletions()); diff != "" {
			t.Error(diff)
		}
		if _, there := q.Message(held); there || q.Receives(held) != 1 {
			t.Errorf("there: %v, %d receives", there, q.Receives(held))
		}
	})
}

func TestTheDumpTellsWhatIsWhere(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "orders", sqstest.DLQ(3))
		for i := range 23 {
			q.Send(t, fmt.Sprintf("%d %s", i, strings.Repeat("long ", 30)), sqstest.Group("tenant"))
		}
		got := receive(t, client, q, atMost(2))
		del(t, client, q, got[0])
		dump := srv.Dump()
		for _, want := range []string{
			"orders: 21 visible, 1 in flight (at most 2), 0 delayed, 0 polls waiting; gone: 1 deleted\n",
			"orders-dlq: 0 visible", "in flight received 1 times group tenant visible at 00:00:30.000", `..."`, "and 2 more",
		} {
			if !strings.Contains(dump, want) {
				t.Errorf("no %q in\n%s", want, dump)
			}
		}
	})
}

// failing is a test that has failed, and notes what it logs.
type failing struct {
	testing.TB
	failed bool
	ends   []func()
	logged string
}

func (f *failing) Failed() bool       { return f.failed }
func (f *failing) Cleanup(end func()) { f.ends = append(f.ends, end) }
func (f *failing) Log(args ...any)    { f.logged += fmt.Sprint(args...) }

func TestAFailedTestGetsADumpOfItsServer(t *testing.T) {
	t.Parallel()
	for _, failed := range []bool{false, true} {
		f := &failing{TB: t}
		srv := sqstest.New(f)
		srv.Queue(t, "orders").Send(t, "x")
		f.failed = failed
		for _, end := range f.ends {
			end()
		}
		if got := strings.Contains(f.logged, "orders: 1 visible"); got != failed {
			t.Errorf("failed %v, logged %q", failed, f.logged)
		}
	}
}

func TestTheLog(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q", sqstest.QueueAttribute("ReceiveMessageWaitTimeSeconds", "5"))
		begin := time.Now()
		receive(t, client, q)
		q.SendN(t, 2)
		receive(t, client, q, waiting(20), atMost(3))
		_, err := client.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: new(string)})
		if err == nil {
			t.Fatal("deleted a queue without a name")
		}
		want := []sqstest.Call{
			{Action: "ReceiveMessage", Queue: "q", At: begin, Entries: 1, MaxMessages: 10, Wait: 5 * time.Second, Took: 5 * time.Second},
			{Action: "ReceiveMessage", Queue: "q", At: begin.Add(5 * time.Second), Entries: 1, MaxMessages: 3, Wait: 20 * time.Second, Messages: 2},
			{Action: "DeleteQueue", At: begin.Add(5 * time.Second), Entries: 1, Err: "MissingParameter"},
		}
		if diff := cmp.Diff(want, srv.Log()); diff != "" {
			t.Error(diff)
		}
		if a, b := srv.Calls("ReceiveMessage"), srv.Calls(""); a != 2 || b != 3 {
			t.Errorf("%d receives of %d calls", a, b)
		}
		for range 10 {
			receive(t, client, q, atMost(1))
		}
		if n := len(srv.Log()); n != 4 {
			t.Errorf("%d calls kept, want the last 4", n)
		}
		srv.ResetLog()
		if len(srv.Log()) != 0 || srv.Calls("") != 0 {
			t.Error("the log was not forgotten")
		}
	}, sqstest.LogLimit(4))
}

func TestAServerWithoutMemory(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q")
		id := q.Send(t, "x")
		del(t, client, q, receive(t, client, q)[0])
		if q.Receives(id) != 0 || q.Deleted() != nil || srv.Log() != nil && len(srv.Log()) != 0 || srv.Calls("") != 2 {
			t.Errorf("receives %d, deleted %v, log %v, calls %d", q.Receives(id), q.Deleted(), srv.Log(), srv.Calls(""))
		}
	}, sqstest.NoHistory(), sqstest.LogLimit(-1))
}
