package sqstest_test

import (
	"context"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// fast wants a test in virtual time to take less than limit of real time, as far as
// this process is to blame for it: all the CPU that it uses meanwhile counts, not
// what else the machine does. The best of some runs is taken.
func fast(t *testing.T, limit time.Duration, test func(t *testing.T)) {
	t.Helper()
	var best time.Duration
	for range 20 {
		start, cpu := time.Now(), processCPU(t)
		synctest.Test(t, test)
		took := processCPU(t) - cpu
		t.Logf("%v of CPU, %v by the clock", took, time.Since(start))
		if best == 0 || took < best {
			best = took
		}
		if best < limit {
			return
		}
	}
	t.Errorf("at best %v, want less than %v", best, limit)
}

// processCPU is the CPU time that this process has used.
func processCPU(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Not parallel: what other tests use would count.
//
//nolint:paralleltest // see above
func TestVirtualTimeIsNearlyFree(t *testing.T) {
	t.Run("a handler is tested through the real runtime in less than 5 ms", func(t *testing.T) {
		limit := 5 * time.Millisecond
		if raceDetector {
			limit *= 10
		}
		fast(t, limit, func(t *testing.T) {
			srv := sqstest.New(t)
			orders := srv.Queue(t, "orders")
			runs := 0
			start(t, srv, func(context.Context, Order) error {
				runs++
				return nil
			}, consumer.Config{Concurrency: 1})
			orders.Send(t, `{"ID": 7}`)
			pass(time.Second)
			if runs != 1 || len(orders.Deleted()) != 1 {
				t.Errorf("%d runs, deleted %v", runs, orders.Deleted())
			}
		})
	})
	t.Run("14 days of retention and 5 min of deduplication take less than 100 ms", func(t *testing.T) {
		fast(t, 100*time.Millisecond, func(t *testing.T) {
			srv := sqstest.New(t)
			client := srv.SQS()
			const fortnight = 14 * 24 * time.Hour
			q := srv.Queue(t, "q.fifo", sqstest.Retention(fortnight))
			first := sendFIFO(t, client, q, "g", "id", "x")
			time.Sleep(5*time.Minute - time.Nanosecond)
			if twin := sendFIFO(t, client, q, "g", "id", "x"); *twin.MessageId != *first.MessageId {
				t.Error("within five minutes the message was taken twice")
			}
			time.Sleep(time.Nanosecond)
			if later := sendFIFO(t, client, q, "g", "id", "x"); *later.MessageId == *first.MessageId {
				t.Error("after five minutes the message was not taken")
			}
			time.Sleep(fortnight - 5*time.Minute - time.Nanosecond)
			if d := q.Depth(); d.Visible != 2 {
				t.Errorf("a moment before the end of its retention: %+v", d)
			}
			time.Sleep(time.Nanosecond)
			if d := q.Depth(); d.Visible != 1 {
				t.Errorf("at the end of its retention: %+v", d)
			}
		})
	})
	t.Run("23 days of SNS's retries take less than 2 s", func(t *testing.T) {
		fast(t, 2*time.Second, func(t *testing.T) {
			srv := sqstest.New(t)
			q, dead := srv.Queue(t, "q"), srv.Queue(t, "dead")
			events := srv.Topic(t, "events")
			events.Subscribe(t, q, sqstest.Undelivered(dead))
			outage := srv.Fail(sqstest.Deliver, sqstest.Internal500, sqstest.OnQueue("q"))
			events.Publish(t, "x")
			time.Sleep(23*24*time.Hour + 12*time.Hour)
			synctest.Wait()
			if outage.Hits() != 100_015 || q.Depth().Visible != 0 || dead.Depth().Visible != 1 {
				t.Errorf("%d tries, %d messages arrived, %d were dead-lettered", outage.Hits(), q.Depth().Visible, dead.Depth().Visible)
			}
		})
	})
}
