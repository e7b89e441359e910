package consumer_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/sqstest"
)

// TestRedriveIsANewLife dead-letters 1,000 messages, by SQS or by us, mends the
// handler, moves them all back by StartMessageMoveTask, and holds that each is done
// once. Among them are messages whose work was done before: those do not run.
func TestRedriveIsANewLife(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		poison idempotency.Poison
		byUs   bool
	}{
		{"dead-lettered by SQS", idempotency.Native, false},
		{"dead-lettered by us", idempotency.Explicit, true},
	} {
		onEachStore(t, c.name, func(t *testing.T, store idempotency.Store) { redrive(t, store, c.poison, c.byUs) })
	}
}

func redrive(t *testing.T, store idempotency.Store, poison idempotency.Poison, byUs bool) {
	const orders, doneBefore = 1000, 100
	srv := sqstest.New(t)
	q := srv.Queue(t, "orders", sqstest.DLQ(5))
	order := func(n int) sqstest.SendOption { return sqstest.StringAttribute("order", fmt.Sprint(n)) }
	client := srv.SQS()

	// Copies that another program received and never deleted: SQS dead-letters them.
	for n := range doneBefore {
		q.Send(t, "order", order(n))
	}
	for q.DLQ().Depth().Visible < doneBefore {
		if _, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.URL, MaxNumberOfMessages: 10}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
	}

	var done effects
	var duplicates atomic.Int32
	deploy := func(h holdfast.Handler, poison idempotency.Poison, hooks idempotency.Hooks) *running {
		return start(t, srv, q, h, consumer.Config{
			Concurrency: 50, BackoffBase: time.Second, BackoffMax: time.Second,
			DeadLetterShare: -1, // it would keep a handler that fails always from this
			Middleware: []holdfast.Middleware{idempotency.New(store, idempotency.Config{
				Consumer: "orders", KeyAttribute: "order", MaxAttempts: 2, Poison: poison, Hooks: hooks, Process: new(idempotency.Process),
			})},
		})
	}
	works := handle(func(ctx context.Context, m *holdfast.Message) error {
		time.Sleep(50 * time.Millisecond)
		done.add(m.Attr("order"))
		return nil
	})

	// Their work is done by other copies.
	for n := range doneBefore {
		q.Send(t, "order", order(n))
	}
	r := deploy(works, poison, idempotency.Hooks{})
	until(t, time.Hour, "the first orders are done", empty(q))
	r.stop()

	// A deploy that fails at everything.
	for n := range orders {
		q.Send(t, "order", order(doneBefore+n))
	}
	if !byUs { // the runtime may not send there, which it does on the last receive
		srv.Authorize(func(action, arn string) error {
			if action == "SendMessage" && arn == q.DLQ().ARN {
				return errTest
			}
			return nil
		})
	}
	r = deploy(handle(func(context.Context, *holdfast.Message) error { return errTest }), poison, idempotency.Hooks{})
	until(t, 24*time.Hour, "all are dead-lettered", func() bool { return empty(q)() && q.DLQ().Depth().Visible == doneBefore+orders })
	r.stop()
	explicit := 0
	for _, m := range q.DLQ().Messages() {
		if _, ok := m.Attributes["holdfast-cause"]; ok {
			explicit++
		}
	}
	if want := map[bool]int{true: orders}[byUs]; explicit != want {
		t.Errorf("%d were dead-lettered by us, want %d", explicit, want)
	}
	if n := len(done.all()); n != doneBefore {
		t.Errorf("%d effects before the redrive, want %d", n, doneBefore)
	}

	// Mended, and moved back.
	srv.Authorize(nil)
	move := &sqs.StartMessageMoveTaskInput{SourceArn: &q.DLQ().ARN, DestinationArn: &q.ARN}
	if _, err := client.StartMessageMoveTask(t.Context(), move); err != nil {
		t.Fatal(err)
	}
	// Under Explicit a message whose attempts are used up would not run at all.
	r = deploy(works, idempotency.Explicit, idempotency.Hooks{Duplicate: func(idempotency.DuplicateEvent) { duplicates.Add(1) }})
	until(t, 24*time.Hour, "all is done", func() bool { return empty(q)() && empty(q.DLQ())() })
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	times := map[string]int{}
	for _, id := range done.all() {
		times[id]++
	}
	for n := range doneBefore + orders {
		if got := times[fmt.Sprint(n)]; got != 1 {
			t.Errorf("order %d was done %d times", n, got)
		}
	}
	if n := duplicates.Load(); n != doneBefore {
		t.Errorf("%d messages were found done, want %d", n, doneBefore)
	}
}
