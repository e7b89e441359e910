package consumer_test

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

func TestSmoke(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(5))
		q.SendN(t, 100)
		var e effects
		r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			e.add(m.ID)
			if m.Attempt == 1 && len(e.all())%7 == 0 {
				return errTest
			}
			time.Sleep(40 * time.Second)
			return nil
		}), consumer.Config{Concurrency: 30})
		until(t, time.Hour, "all done", empty(q))
		t.Logf("%+v", r.Stats())
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v %+v", r.Stats(), r.Health())
	})
}
