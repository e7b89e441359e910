package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// groupRun is one run of a handler.
type groupRun struct {
	group      string
	n, attempt int
	began, end time.Time
	err        error
}

// groupRuns records runs in the order in which they ended, and how many went on at once.
type groupRuns struct {
	mu       sync.Mutex // guards all below
	list     []groupRun
	now, top int
}

// record wraps a handler of numbered messages ({"n":3}-like bodies are plain
// numbers here).
func (r *groupRuns) record(f func(ctx context.Context, m *holdfast.Message, n int) error) holdfast.Handler {
	return handle(func(ctx context.Context, m *holdfast.Message) error {
		n, err := strconv.Atoi(m.Body)
		if err != nil {
			return holdfast.Permanent(err)
		}
		began := time.Now()
		r.mu.Lock()
		r.now++
		r.top = max(r.top, r.now)
		r.mu.Unlock()
		err = f(ctx, m, n)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.now--
		r.list = append(r.list, groupRun{m.GroupID, n, m.Attempt, began, time.Now(), err})
		return err
	})
}

func (r *groupRuns) all() []groupRun {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]groupRun(nil), r.list...)
}

// of returns the runs of one group.
func (r *groupRuns) of(group string) (list []groupRun) {
	for _, one := range r.all() {
		if one.group == group {
			list = append(list, one)
		}
	}
	return list
}

// sendGroups sends each of the groups the numbers 0 to each-1, all groups in turn,
// and returns the ids by group and number.
func sendGroups(t *testing.T, q *sqstest.Queue, groups, each int) [][]string {
	t.Helper()
	ids := make([][]string, groups)
	for n := range each {
		for g := range groups {
			ids[g] = append(ids[g], q.Send(t, strconv.Itoa(n), sqstest.Group(groupName(g))))
		}
	}
	return ids
}

func groupName(g int) string { return fmt.Sprintf("g%02d", g) }

func TestGroupOrder(t *testing.T) {
	t.Parallel()
	t.Run("order holds in each of 50 groups whose handlers fail and are slow", orderIn50Groups)
	t.Run("a failed message holds back its own group alone", failedHoldsBackItsGroup)
	t.Run("a head that always fails is dead-lettered and its nine followers run", headDeadLettered)
	t.Run("followers of a head that is lost are given back and do not overtake it", lostHead)
	t.Run("a head that waits by RetryAfter keeps its followers waiting", waitingHead)
	t.Run("a stop gives the group back in order", stopMidGroup)
	t.Run("a fair standard queue is not ordered and tells the group", fairQueue)
}

func orderIn50Groups(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const groups, each = 50, 10
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo", sqstest.DLQ(10))
		ids := sendGroups(t, q, groups, each)
		var rs groupRuns
		began := time.Now()
		start(t, srv, q, rs.record(func(ctx context.Context, m *holdfast.Message, n int) error {
			g, _ := strconv.Atoi(m.GroupID[1:])
			// Some are slower than their visibility.
			time.Sleep(time.Duration((g*7+n*13)%23) * 2 * time.Second)
			if (g+n)%5 == 0 && m.Attempt < 3 {
				return errTest
			}
			return nil
		}), consumer.Config{Concurrency: groups, BackoffMax: 8 * time.Second})
		until(t, time.Hour, "all done", empty(q))
		took := time.Since(began)

		deleted := make(map[string]time.Time)
		for _, d := range q.Deletions() {
			deleted[d.ID] = d.At
		}
		var serial time.Duration
		for g := range groups {
			var numbers []int
			for i, one := range rs.of(groupName(g)) {
				serial += one.end.Sub(one.began)
				if one.err == nil {
					numbers = append(numbers, one.n)
				}
				if one.n > 0 && one.began.Before(deleted[ids[g][one.n-1]]) {
					t.Errorf("group %d, run %d: message %d began before message %d was settled", g, i, one.n, one.n-1)
				}
			}
			if diff := cmp.Diff([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, numbers); diff != "" {
				t.Errorf("done in group %d (-want +got):\n%s", g, diff)
			}
			for n, id := range ids[g] {
				if got := q.Receives(id); got != 1 {
					t.Errorf("message %d of group %d was received %d times, want once", n, g, got)
				}
			}
		}
		if got := len(q.DLQ().Messages()); got != 0 {
			t.Errorf("%d messages in the dead-letter queue, want none", got)
		}
		if rs.top != groups {
			t.Errorf("at most %d handlers ran at once, want one for each of %d groups", rs.top, groups)
		}
		if took > serial/10 {
			t.Errorf("took %v where the handlers took %v in all: groups do not run in parallel", took, serial)
		}
	})
}

func failedHoldsBackItsGroup(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const groups, each = 20, 10
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo", sqstest.DLQ(100))
		ids := sendGroups(t, q, groups, each)
		var rs groupRuns
		heal := time.Now().Add(3 * time.Minute)
		start(t, srv, q, rs.record(func(ctx context.Context, m *holdfast.Message, n int) error {
			time.Sleep(time.Second)
			if m.GroupID == "g03" && n == 4 && time.Now().Before(heal) {
				return errTest
			}
			return nil
		}), consumer.Config{Concurrency: groups, BackoffMax: time.Minute})
		until(t, time.Minute, "all but the failing message and its followers done", func() bool {
			return len(q.Deleted()) == groups*each-6
		})
		for _, one := range rs.of("g03") {
			if one.n > 4 {
				t.Errorf("message %d of the failing group ran before its predecessor was settled", one.n)
			}
		}
		until(t, time.Hour, "all done", empty(q))
		for g := range groups {
			for n, id := range ids[g] {
				if got := q.Receives(id); got != 1 {
					t.Errorf("message %d of group %d was received %d times, want once", n, g, got)
				}
			}
		}
		attempt := 0
		for _, one := range rs.of("g03") {
			if one.n != 4 {
				continue
			}
			if attempt++; one.attempt != attempt {
				t.Errorf("run %d of the failing message was attempt %d", attempt, one.attempt)
			}
		}
		if attempt < 5 {
			t.Errorf("the failing message ran %d times in 3 minutes, want several", attempt)
		}
	})
}

func headDeadLettered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo", sqstest.DLQ(3))
		ids := sendGroups(t, q, 2, 10)
		var rs groupRuns
		start(t, srv, q, rs.record(func(ctx context.Context, m *holdfast.Message, n int) error {
			if m.GroupID == "g00" && n == 0 {
				return errTest
			}
			return nil
		}), consumer.Config{})
		until(t, 10*time.Minute, "all settled", empty(q))

		var order []string
		for _, one := range rs.of("g00") {
			order = append(order, fmt.Sprintf("%d/%d", one.n, one.attempt))
		}
		want := []string{"0/1", "0/2", "0/3", "1/1", "2/1", "3/1", "4/1", "5/1", "6/1", "7/1", "8/1", "9/1"}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("runs as message/attempt (-want +got):\n%s", diff)
		}
		for n, id := range ids[0] {
			if got := q.Receives(id); got != 1 {
				t.Errorf("message %d was received %d times, want once", n, got)
			}
		}
		dead := q.DLQ().Messages()
		if len(dead) != 1 {
			t.Fatalf("%d messages in the dead-letter queue, want the head alone", len(dead))
		}
		if c := causeOf(t, dead[0]); c.Cause != "exhausted" || c.Attempt != 3 || c.Message != ids[0][0] {
			t.Errorf("cause %+v, want exhausted on attempt 3 of %s", c, ids[0][0])
		}
		if dead[0].DeadLetterSource != "" {
			t.Errorf("dead-lettered by the queue, want by the consumer")
		}
	})
}

func lostHead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo", sqstest.DLQ(10))
		ids := sendGroups(t, q, 1, 5)
		// The first extension is the head's, half a visibility after the receive.
		srv.FailEntries("ChangeMessageVisibilityBatch", "ReceiptHandleIsInvalid", true, sqstest.Times(1))
		var rs groupRuns
		var mu sync.Mutex
		var cause error
		start(t, srv, q, rs.record(func(ctx context.Context, m *holdfast.Message, n int) error {
			if n == 0 && m.ReceiveCount == 1 {
				<-ctx.Done()
				mu.Lock()
				defer mu.Unlock()
				cause = context.Cause(ctx)
				return cause
			}
			return nil
		}), consumer.Config{})
		until(t, 16*time.Second, "the head's handler cancelled", func() bool { return len(rs.all()) == 1 })
		if !errors.Is(cause, holdfast.ErrLeaseLost) {
			t.Errorf("the head was cancelled for %v, want ErrLeaseLost", cause)
		}
		until(t, time.Second, "its followers given back", func() bool { return q.Depth() == sqstest.Depth{Visible: 4, InFlight: 1} })
		until(t, time.Minute, "all done", empty(q))
		var order []int
		for _, one := range rs.all()[1:] {
			order = append(order, one.n)
		}
		if diff := cmp.Diff([]int{0, 1, 2, 3, 4}, order); diff != "" {
			t.Errorf("order after the loss (-want +got):\n%s", diff)
		}
		for n, id := range ids[0] {
			if got := q.Receives(id); got > 2 {
				t.Errorf("message %d was received %d times, want at most twice", n, got)
			}
		}
	})
}

func waitingHead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo", sqstest.DLQ(3))
		ids := sendGroups(t, q, 1, 3)
		var rs groupRuns
		waits := 0
		start(t, srv, q, rs.record(func(ctx context.Context, m *holdfast.Message, n int) error {
			if n == 0 && waits < 5 {
				waits++
				return holdfast.RetryAfter(time.Minute, errTest)
			}
			return nil
		}), consumer.Config{})
		until(t, 10*time.Minute, "all done", empty(q))
		for i, one := range rs.all() {
			if wantN := max(0, i-5); one.n != wantN || one.attempt != 1 {
				t.Errorf("run %d was attempt %d of message %d, want attempt 1 of message %d: waiting is no attempt", i, one.attempt, one.n, wantN)
			}
			if i > 0 && i <= 5 {
				if gap := one.began.Sub(rs.all()[i-1].end); gap != time.Minute {
					t.Errorf("run %d came %v after the one before, want 1m", i, gap)
				}
			}
		}
		for n, id := range ids[0] {
			if got := q.Receives(id); got != 1 {
				t.Errorf("message %d was received %d times, want once", n, got)
			}
		}
	})
}

func stopMidGroup(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo", sqstest.DLQ(3))
		sendGroups(t, q, 1, 10)
		var rs groupRuns
		work := rs.record(func(ctx context.Context, m *holdfast.Message, n int) error {
			if n == 2 && m.ReceiveCount == 1 {
				return errTest // its backoff is under way when the stop comes
			}
			return nil
		})
		r := start(t, srv, q, work, consumer.Config{BackoffBase: time.Hour, BackoffMax: time.Hour})
		until(t, time.Second, "the third failed", func() bool { return len(rs.all()) == 3 })
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if got := q.Depth(); got != (sqstest.Depth{Visible: 8}) {
			t.Errorf("after the stop the queue is %+v, want the 8 that are not done visible", got)
		}
		start(t, srv, q, work, consumer.Config{})
		until(t, time.Minute, "all done", empty(q))
		var order []int
		for _, one := range rs.all() {
			order = append(order, one.n)
		}
		if diff := cmp.Diff([]int{0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9}, order); diff != "" {
			t.Errorf("order over the restart (-want +got):\n%s", diff)
		}
	})
}

func fairQueue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		sendGroups(t, q, 1, 20)
		var rs groupRuns
		r := start(t, srv, q, rs.record(func(ctx context.Context, m *holdfast.Message, n int) error {
			if n == 0 && m.Attempt == 1 {
				return errTest // must hold nobody back
			}
			time.Sleep(10 * time.Second)
			return nil
		}), consumer.Config{Concurrency: 20, BackoffBase: time.Minute})
		until(t, 5*time.Second, "the 19 others of the group at work at once", func() bool { return r.Stats().Running == 19 })
		synctest.Wait()
		for _, f := range r.InFlight() {
			if f.GroupID != "g00" {
				t.Errorf("in flight with group %q, want g00", f.GroupID)
			}
		}
		until(t, 5*time.Minute, "all done", empty(q))
		if got := len(rs.of("g00")); got != 21 {
			t.Errorf("%d runs that know their group, want 21", got)
		}
	})
}

// What rests is counted as groups change; a walk over them says the same.
func TestRestingMessagesAreCounted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo", sqstest.DLQ(4))
		srv.Fail("", sqstest.Throttle, sqstest.Probability(0.1, 5))
		srv.FailEntries(extendAction, "ReceiptHandleIsInvalid", true, sqstest.Probability(0.2, 6)) // holds are lost, too
		for i := range 400 {
			q.Send(t, strconv.Itoa(i), sqstest.Group(strconv.Itoa(i%40)))
		}
		open := make(chan struct{})
		began := time.Now()
		time.AfterFunc(20*time.Second, func() { close(open) })
		var runs groupRuns
		r := start(t, srv, q, runs.record(func(_ context.Context, _ *holdfast.Message, n int) error {
			switch {
			case n%7 == 0: // until it is dead-lettered
				return errTest
			case n%5 == 0:
				return holdfast.Permanent(errTest)
			case n%3 == 0 && time.Since(began) < 20*time.Second:
				return holdfast.RetryAfter(2*time.Second, errTest)
			case n%11 == 0 && time.Since(began) < 20*time.Second:
				return holdfast.Park(open, errTest)
			}
			time.Sleep(time.Second)
			return nil
		}), consumer.Config{Concurrency: 20, MaxParked: 30, BackoffMax: 5 * time.Second, DeadLetterShare: -1})
		most := 0
		compare := func() bool {
			counted, found := consumer.Resting(r.Consumer)
			if counted != found {
				t.Fatalf("%d messages rest, %d are counted", found, counted)
			}
			most = max(most, found)
			return empty(q)()
		}
		until(t, 10*time.Minute, "done", compare)
		if most < 20 {
			t.Errorf("%d messages rested at most: the test shows nothing", most)
		}
		if counted, found := consumer.Resting(r.Consumer); counted != 0 || found != 0 {
			t.Errorf("%d counted of %d at the end", counted, found)
		}
	})
}
