package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
)

// sendOrder sends a message whose body and idempotency key are the order's id.
func sendOrder(t *testing.T, stack *Stack, q *Queue, id string) {
	t.Helper()
	send(t, stack, &sqs.SendMessageInput{
		QueueUrl: &q.URL, MessageBody: &id,
		MessageAttributes: map[string]types.MessageAttributeValue{"order": {DataType: aws.String("String"), StringValue: &id}},
	})
}

func send(t *testing.T, stack *Stack, in *sqs.SendMessageInput) {
	t.Helper()
	if _, err := stack.SQS.SendMessage(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// run runs a consumer until the test ends, and wants it to stop in order.
func run(t *testing.T, stack *Stack, q *Queue, h holdfast.HandlerFunc, cfg consumer.Config) {
	t.Helper()
	cfg.PollGrace = -1
	begin(t, stack, q, h, cfg)
}

// begin is run for a consumer that may be stopped while the queue is still needed: its
// polls end by themselves, because one that is cut goes on at LocalStack's end and takes
// messages with it.
func begin(t *testing.T, stack *Stack, q *Queue, h holdfast.HandlerFunc, cfg consumer.Config) (stop func()) {
	t.Helper()
	cfg.Wait = time.Second
	c, err := consumer.New(stack.SQS, q.URL, h, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// drained is nil when a queue holds nothing.
func drained(ctx context.Context, stack *Stack, q *Queue) error {
	got, err := stack.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &q.URL, AttributeNames: []types.QueueAttributeName{
			types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible, types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
		},
	})
	if err != nil {
		return err
	}
	for name, n := range got.Attributes {
		if n != "0" {
			return fmt.Errorf("%s is %s", name, n)
		}
	}
	return nil
}

// eventually tries for some minutes, which is long enough for a machine that has other
// things to do.
func eventually(t *testing.T, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := until(ctx, try); err != nil {
		t.Fatal(err)
	}
}

func TestEachOrderIsDoneOnce(t *testing.T) {
	t.Parallel()
	stack, rdb := LocalStack(t), Redis(t)
	q := stack.Queue(t, "orders", nil)
	const orders = 60
	var mu sync.Mutex
	effects := map[string]int{}
	var duplicates atomic.Int64
	handler := func(_ context.Context, m *holdfast.Message) error {
		mu.Lock()
		defer mu.Unlock()
		effects[m.Body]++
		return nil
	}
	name := Unique("orders")
	// Two workers that know of each other through Redis only.
	for range 2 {
		run(t, stack, q, handler, consumer.Config{
			Middleware: []holdfast.Middleware{idempotency.New(redisstore.New(rdb), idempotency.Config{
				Consumer: name, KeyAttribute: "order",
				Hooks: idempotency.Hooks{Claimed: func(e idempotency.ClaimedEvent) {
					if e.Class == idempotency.ClassDone {
						duplicates.Add(1)
					}
				}},
			})},
			Concurrency: 8,
		})
	}
	for range 3 {
		for i := range orders {
			sendOrder(t, stack, q, fmt.Sprintf("order-%d", i))
		}
	}
	eventually(t, func(ctx context.Context) error { return drained(ctx, stack, q) })
	mu.Lock()
	defer mu.Unlock()
	for i := range orders {
		if id := fmt.Sprintf("order-%d", i); effects[id] != 1 {
			t.Errorf("%s was done %d times", id, effects[id])
		}
	}
	if duplicates.Load() == 0 {
		t.Error("no duplicate was met")
	}
	t.Logf("%d orders sent 3 times; %d duplicates were found done", orders, duplicates.Load())
}

// A hold of 2 s leaves a second for the call that extends it. A machine that takes
// longer loses the hold, and says so: then the message is received anew, which is
// right, and the test begins again.
//
//nolint:tparallel // each try waits for the one before it
func TestHeartbeatHoldsAMessageOverItsVisibility(t *testing.T) {
	t.Parallel()
	stack, rdb := LocalStack(t), Redis(t)
	const tries = 5
	for try := 1; ; try++ {
		held := false
		t.Run(fmt.Sprintf("try %d", try), func(t *testing.T) { held = heartbeatHolds(t, stack, rdb) })
		switch {
		case t.Failed() || held:
			return
		case try == tries:
			t.Fatalf("the hold was lost in each of %d tries", tries)
		}
	}
}

// heartbeatHolds has a handler work for 7 s under holds of 2 s. It is false where a
// hold was lost.
func heartbeatHolds(t *testing.T, stack *Stack, rdb *redis.Client) (held bool) {
	t.Helper()
	q := stack.Queue(t, "slow", nil)
	var runs, receives, extensions, lost atomic.Int64
	handler := func(ctx context.Context, _ *holdfast.Message) error {
		runs.Add(1)
		select {
		case <-time.After(7 * time.Second):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	name := Unique("slow")
	for range 2 { // the other one would receive it if it were let go
		run(t, stack, q, handler, consumer.Config{
			Visibility: 2 * time.Second,
			Middleware: []holdfast.Middleware{idempotency.New(redisstore.New(rdb), idempotency.Config{Consumer: name})},
			Hooks: holdfast.Hooks{
				Received: func(holdfast.ReceivedEvent) { receives.Add(1) },
				Extended: func(e holdfast.ExtendedEvent) {
					if e.Messages > 0 && e.Err == nil {
						extensions.Add(1)
					}
				},
				LeaseLost: func(holdfast.LeaseLostEvent) { lost.Add(1) },
			},
		})
	}
	send(t, stack, &sqs.SendMessageInput{QueueUrl: &q.URL, MessageBody: aws.String("x")})
	eventually(t, func(ctx context.Context) error {
		switch {
		case runs.Load() == 0:
			return errors.New("not begun")
		case lost.Load() > 0:
			return nil
		}
		return drained(ctx, stack, q)
	})
	if lost.Load() > 0 {
		t.Logf("the machine is too slow for a hold of 2 s: lost after %d extensions", extensions.Load())
		return false
	}
	if runs.Load() != 1 || receives.Load() != 1 {
		t.Errorf("%d runs, received %d times, no hold was lost", runs.Load(), receives.Load())
	}
	if extensions.Load() < 3 {
		t.Errorf("%d extensions over 7 s of work with a visibility of 2 s", extensions.Load())
	}
	return true
}

func TestWhatCannotBeDoneIsDeadLetteredWithItsCause(t *testing.T) {
	t.Parallel()
	stack := LocalStack(t)
	dlq := stack.Queue(t, "refused-dlq", nil)
	q := stack.Queue(t, "refused", map[string]string{"RedrivePolicy": dlq.RedriveTo(3)})
	handler := func(_ context.Context, m *holdfast.Message) error {
		switch m.Body {
		case "permanent":
			return holdfast.Permanent(errors.New("card expired"))
		case "fails":
			return errors.New("try again")
		}
		return nil
	}
	run(t, stack, q, handler, consumer.Config{BackoffBase: time.Millisecond, BackoffMax: time.Second, DeadLetterShare: -1})
	for _, body := range []string{"permanent", "fails", "works"} {
		send(t, stack, &sqs.SendMessageInput{
			QueueUrl: &q.URL, MessageBody: &body,
			MessageAttributes: map[string]types.MessageAttributeValue{"tenant": {DataType: aws.String("String"), StringValue: aws.String("t-1")}},
		})
	}
	dead := map[string]types.Message{}
	eventually(t, func(ctx context.Context) error {
		got, err := stack.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &dlq.URL, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: 600, MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		if err != nil {
			return err
		}
		for _, m := range got.Messages {
			dead[*m.Body] = m
		}
		if len(dead) < 2 {
			return fmt.Errorf("%d dead-lettered", len(dead))
		}
		return drained(ctx, stack, q)
	})
	for body, m := range dead {
		if aws.ToString(m.MessageAttributes["tenant"].StringValue) != "t-1" {
			t.Errorf("%s lost its attributes: %v", body, m.MessageAttributes)
		}
	}
	type cause struct {
		Cause, Error, Queue string
		Attempt             int
	}
	for body, want := range map[string]cause{
		"permanent": {"permanent", "permanent: card expired", q.ARN, 1},
		"fails":     {"exhausted", "try again", q.ARN, 3}, // the queue's maxReceiveCount
	} {
		var got cause
		text := aws.ToString(dead[body].MessageAttributes[consumer.CauseAttribute].StringValue)
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("cause of %s is %s (%v), want %+v", body, text, err, want)
		}
	}
	if _, there := dead["works"]; there {
		t.Error("what works was dead-lettered")
	}
}

func TestFIFOGroupsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	stack, rdb := LocalStack(t), Redis(t)
	q := stack.Queue(t, "order.fifo", map[string]string{"ContentBasedDeduplication": "true"})
	const groups, perGroup = 4, 8
	var mu sync.Mutex // guards what follows
	done := map[string][]string{}
	running := map[string]string{}
	failed := map[string]bool{}
	handler := func(_ context.Context, m *holdfast.Message) error {
		mu.Lock()
		defer mu.Unlock()
		if other := running[m.GroupID]; other != "" {
			t.Errorf("%s begins while %s of its group runs", m.Body, other)
		}
		running[m.GroupID] = m.Body
		mu.Unlock()
		<-time.After(5 * time.Millisecond)
		mu.Lock()
		running[m.GroupID] = ""
		// The third of each group fails at first: those behind it have to wait.
		if m.Body == m.GroupID+"-2" && !failed[m.Body] {
			failed[m.Body] = true
			return errors.New("not yet")
		}
		done[m.GroupID] = append(done[m.GroupID], m.Body)
		return nil
	}
	name := Unique("order")
	for range 2 {
		run(t, stack, q, handler, consumer.Config{
			Middleware:  []holdfast.Middleware{idempotency.New(redisstore.New(rdb), idempotency.Config{Consumer: name})},
			BackoffBase: 100 * time.Millisecond, BackoffMax: 200 * time.Millisecond,
		})
	}
	want := map[string][]string{}
	for i := range perGroup {
		for g := range groups {
			group := fmt.Sprintf("group%d", g)
			body := fmt.Sprintf("%s-%d", group, i)
			want[group] = append(want[group], body)
			send(t, stack, &sqs.SendMessageInput{QueueUrl: &q.URL, MessageBody: &body, MessageGroupId: &group})
		}
	}
	eventually(t, func(ctx context.Context) error { return drained(ctx, stack, q) })
	mu.Lock()
	defer mu.Unlock()
	for group, bodies := range want {
		if !slices.Equal(done[group], bodies) {
			t.Errorf("%s was done in the order %v", group, done[group])
		}
	}
	if len(failed) != groups {
		t.Errorf("%d groups had a failure", len(failed))
	}
}
