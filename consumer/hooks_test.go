package consumer_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// A handler may write to its message, also while hooks read theirs. Run under the
// race detector this shows more than what is compared.
func TestHooksSeeTheMessageAsReceivedWhileItsHandlerRuns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		cfg   consumer.Config
		until func(t *testing.T, srv *sqstest.Server, r *running) // it has happened
	}{
		{"when its lease is lost", consumer.Config{}, func(t *testing.T, srv *sqstest.Server, r *running) {
			srv.Fail(extendAction, sqstest.Throttle)
			until(t, time.Minute, "lost", func() bool { return r.Stats().LeasesLost == 1 })
		}},
		{"when it is abandoned", consumer.Config{HandlerTimeout: time.Minute}, func(t *testing.T, _ *sqstest.Server, r *running) {
			until(t, 3*time.Minute, "abandoned", func() bool { return r.Stats().Abandoned == 1 })
		}},
		{"when it outlives the stop", consumer.Config{}, func(_ *testing.T, _ *sqstest.Server, r *running) {
			_ = r.stop()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(3))
				var received, seen []holdfast.Message
				keep := func(list *[]holdfast.Message, m *holdfast.Message) {
					*list = append(*list, *m)
				}
				c.cfg.Hooks.Started = func(e holdfast.StartedEvent) { keep(&received, e.Message) }
				c.cfg.Hooks.LeaseLost = func(e holdfast.LeaseLostEvent) { keep(&seen, e.Message) }
				c.cfg.Hooks.Abandoned = func(e holdfast.AbandonedEvent) { keep(&seen, e.Message) }
				release := make(chan struct{})
				defer close(release)
				q.Send(t, "order", sqstest.StringAttribute("tenant", "a"))
				r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
					if m.Attempt > 1 {
						return nil
					}
					m.Body = "unwrapped"
					m.Attributes = nil
					<-ctx.Done()
					for m.Attempt = 0; ; m.Attempt++ { // while hooks are called
						select {
						case <-release:
							return nil
						case <-time.After(10 * time.Millisecond):
						}
					}
				}), c.cfg)
				until(t, time.Second, "begun", func() bool { return r.Stats().Running == 1 })
				c.until(t, srv, r)
				if diff := cmp.Diff(received[:1], seen[:1], cmpopts.IgnoreUnexported(holdfast.Message{})); diff != "" {
					t.Errorf("message of the hook (-received +seen):\n%s", diff)
				}
			})
		})
	}
}
