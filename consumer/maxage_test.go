package consumer_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

func TestMaxAge(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"orders", "orders.fifo"} {
		t.Run("dead-letters what is too old, with its cause, and runs the rest: "+name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, name, sqstest.DLQ(10))
				old := q.Send(t, "old", sqstest.Group("g"))
				time.Sleep(10*time.Minute + time.Second)
				q.Send(t, "young", sqstest.Group("g"))
				time.Sleep(time.Second)
				var rec told
				list := seen(t, srv, q, consumer.Config{MaxAge: 10 * time.Minute, Hooks: rec.hooks()}, nothing)
				if len(list) != 1 || list[0].Body != "young" {
					t.Errorf("handlers saw %+v, want the young one", list)
				}
				dead := q.DLQ().Messages()
				if len(dead) != 1 || dead[0].Body != "old" {
					t.Fatalf("dead-lettered is %+v, want the old one", dead)
				}
				if c := causeOf(t, dead[0]); c.Cause != "max-age" || c.Message != old || c.Attempt != 1 || !strings.Contains(c.Error, "older than Config.MaxAge (10m0s): the message is 10m2s old") {
					t.Errorf("cause %+v, want max-age with both ages", c)
				}
				if told := rec.deadLetters(); len(told) != 1 || told[0].Cause != "max-age" || told[0].Err != nil {
					t.Errorf("hooks were told %+v", told)
				}
			})
		})
	}
	t.Run("is looked at for each run: a retry that comes too late is not run", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(10))
			q.Send(t, "x")
			list := seen(t, srv, q, consumer.Config{MaxAge: time.Minute}, handle(func(context.Context, *holdfast.Message) error {
				return holdfast.RetryAfter(40*time.Second, errTest)
			}))
			if dead := q.DLQ().Messages(); len(list) != 2 || len(dead) != 1 || causeOf(t, dead[0]).Cause != "max-age" {
				t.Errorf("%d runs and %d dead-lettered, want two runs within the minute", len(list), len(dead))
			}
		})
	})
	t.Run("does not set off the guard against bad deploys", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(10))
			q.SendN(t, 50)
			time.Sleep(time.Minute)
			r := start(t, srv, q, nothing, consumer.Config{MaxAge: time.Second})
			until(t, 5*time.Second, "settled", empty(q))
			synctest.Wait()
			if got := len(q.DLQ().Messages()); got != 50 || !r.Health().Ready {
				t.Errorf("%d dead-lettered, health %+v; want all 50 and ready", got, r.Health())
			}
		})
	})
	t.Run("keeps the message, unrun, where there is no dead-letter queue, and says so", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.Send(t, "x")
			time.Sleep(time.Minute)
			ran := false
			r := start(t, srv, q, handle(func(context.Context, *holdfast.Message) error { ran = true; return nil }), consumer.Config{MaxAge: time.Second})
			time.Sleep(5 * time.Minute)
			if health := r.Health(); ran || empty(q)() || len(health.Problems) != 1 {
				t.Errorf("ran is %v, depth %+v, health %+v; want the message kept and health to tell of it", ran, q.Depth(), health)
			}
		})
	})
}
