package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// TestBadDeployKeepsWhatIsInHand: the guard needs twenty to judge by, and the
// twentieth closes it, so nineteen are dead-lettered however many more were in hand
// by then.
func TestBadDeployKeepsWhatIsInHand(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		queue     string
		maxParked int
		parked    int
	}{
		"they wait": {"orders", 0, 181},
		"they go back where they find no place to wait": {"orders", -1, 0},
		"they wait on FIFO, too":                        {"orders.fifo", 0, 181},
		"on FIFO where they find no place, too":         {"orders.fifo", -1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				const messages = 200
				srv := sqstest.New(t)
				q := srv.Queue(t, c.queue, sqstest.DLQ(100))
				for i := range messages {
					var opts []sqstest.SendOption
					if strings.HasSuffix(c.queue, ".fifo") {
						opts = append(opts, sqstest.Group(fmt.Sprint(i)))
					}
					q.Send(t, fmt.Sprint(i), opts...)
				}
				var fixed atomic.Bool
				var probes atomic.Int64
				fail := make(chan struct{})
				r := start(t, srv, q, handle(func(context.Context, *holdfast.Message) error {
					select {
					case <-fail:
						probes.Add(1)
					default:
						<-fail
					}
					if fixed.Load() {
						return nil
					}
					return holdfast.Permanent(errTest)
				}), consumer.Config{Concurrency: messages, MaxParked: c.maxParked})
				until(t, time.Minute, "all are in hand", func() bool { return r.Stats().Running == messages })
				close(fail)
				for range 20 {
					time.Sleep(time.Minute)
					synctest.Wait()
					if dead := q.DLQ().Depth().Visible; dead != 19 {
						t.Fatalf("%d messages were dead-lettered; want the 19 from before the gate closed", dead)
					}
				}
				if problem(r, "gate") == nil {
					t.Error("the gate is open")
				}
				if n := r.Stats().Parked; n < c.parked-1 || n > c.parked { // one may be out as the probe
					t.Errorf("%d messages are parked, want %d", n, c.parked)
				}
				if n := probes.Load(); n == 0 {
					t.Error("no probe ran")
				}
				fixed.Store(true)
				until(t, 2*time.Hour, "the queue is drained", empty(q))
				if dead := q.DLQ().Depth().Visible; int(r.Stats().Done)+dead != messages || dead != 19 {
					t.Errorf("%d done, %d dead-lettered of %d", r.Stats().Done, dead, messages)
				}
			})
		})
	}
}
