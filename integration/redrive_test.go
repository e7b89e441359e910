package integration

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
)

// TestRedriveIsANewLife is that of package consumer, on real LocalStack and Redis: a
// deploy fails at everything, all of it is dead-lettered, by us or by SQS, the handler
// is mended, and StartMessageMoveTask moves it all back. Each order is done once, and
// copies of orders that were done before are deleted unrun.
//
// A redrive is a new life, which the protocol knows by the new message id. AWS gives
// one, LocalStack does not ("messages that a task moved keep their ids", as package
// conformance has it). That matters to no message that we dead-lettered, which has a
// new id from then on and its attempts back, nor under the default MaxAttempts, which
// counts no failures. It does where SQS dead-lettered it under a MaxAttempts of one's
// own: on LocalStack such a message comes back with its attempts used up, and only a
// second redrive has it run. The third case holds exactly that, or, where the ids are
// new, that the first redrive is enough.
func TestRedriveIsANewLife(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		how  burial
	}{
		{"dead-lettered by us", burial{orders: 1000, maxReceives: 5, maxAttempts: 2, byUs: true}},
		{"dead-lettered by SQS", burial{orders: 1000, maxReceives: 3}},
		{"dead-lettered by SQS, attempts used up", burial{orders: 100, maxReceives: 5, maxAttempts: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			stack := LocalStack(t)
			dlq := stack.Queue(t, "redrive-dlq", nil)
			s := &redriven{
				burial: c.how, stack: stack, rdb: Redis(t), name: Unique("redrive"), dlq: dlq,
				// The SDK asks for no visibility of 0, and consumers for one of their own.
				queue: stack.Queue(t, "redrive", map[string]string{"RedrivePolicy": dlq.RedriveTo(c.how.maxReceives), "VisibilityTimeout": "0"}),
				done:  map[string]int{}, ids: map[string]map[string]bool{},
			}
			s.run(t)
		})
	}
}

// doneBefore is how many copies of finished work are among what is redriven.
const doneBefore = 100

// burial says how messages come to the dead-letter queue.
type burial struct {
	orders, maxReceives, maxAttempts int
	byUs                             bool
}

// redriven is one case: what was sent, dead-lettered and moved back.
type redriven struct {
	burial

	stack      *Stack
	rdb        *redis.Client
	name       string
	queue, dlq *Queue

	mu   sync.Mutex                 // guards what follows
	done map[string]int             // effects by order
	ids  map[string]map[string]bool // message ids that a consumer met, by order

	duplicates, spent, causes, letters atomic.Int64
}

func (s *redriven) run(t *testing.T) {
	// Copies that another program received and never deleted.
	s.send(t, 0, doneBefore)
	eventually(t, func(ctx context.Context) error {
		for range 50 {
			if _, err := s.stack.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &s.queue.URL, MaxNumberOfMessages: 10}); err != nil {
				return err
			}
		}
		return s.buried(ctx, doneBefore)
	})
	// Their work is done by other copies.
	s.send(t, 0, doneBefore)
	stop := s.deploy(t, s.works, idempotency.Explicit)
	eventually(t, func(ctx context.Context) error { return drained(ctx, s.stack, s.queue) })
	stop()
	if n := len(s.done); n != doneBefore {
		t.Fatalf("%d effects of %d orders", n, doneBefore)
	}

	// A deploy that fails at everything.
	s.send(t, doneBefore, s.orders)
	poison := idempotency.Native
	if s.byUs {
		poison = idempotency.Explicit
	}
	stop = s.deploy(t, func(context.Context, *holdfast.Message) error { return errors.New("a bad deploy") }, poison)
	eventually(t, func(ctx context.Context) error { return s.buried(ctx, doneBefore+s.orders) })
	stop()
	if want := map[bool]int{true: s.orders}[s.byUs]; s.letters.Load() != int64(want) {
		t.Errorf("%d were dead-lettered by us, want %d", s.letters.Load(), want)
	}
	if n := len(s.done); n != doneBefore {
		t.Errorf("%d effects before the redrive, want %d", n, doneBefore)
	}

	// Mended.
	s.duplicates.Store(0)
	s.spent.Store(0)
	s.causes.Store(0)
	s.move(t, doneBefore+s.orders)
	s.deploy(t, s.works, idempotency.Explicit)
	eventually(t, func(ctx context.Context) error { return drained(ctx, s.stack, s.queue) })
	again := s.unrun(t)
	if again > 0 {
		s.move(t, again)
		eventually(t, func(ctx context.Context) error { return drained(ctx, s.stack, s.queue) })
	}
	eventually(t, func(ctx context.Context) error { return drained(ctx, s.stack, s.dlq) })

	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range doneBefore + s.orders {
		if got := s.done[strconv.Itoa(n)]; got != 1 {
			t.Errorf("order %d was done %d times", n, got)
		}
	}
	if n := s.duplicates.Load(); n != doneBefore {
		t.Errorf("%d messages were found done, want %d", n, doneBefore)
	}
	if want := map[bool]int{true: s.orders}[s.byUs] + again; s.causes.Load() != int64(want) {
		t.Errorf("%d messages came back with the cause that we gave them, want %d", s.causes.Load(), want)
	}
}

// unrun is how many messages the first redrive may not have done: none, but for those
// that kept their ids with their attempts used up.
func (s *redriven) unrun(t *testing.T) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := 0
	for n := range s.orders {
		if len(s.ids[strconv.Itoa(doneBefore+n)]) == 1 {
			kept++
		}
	}
	want := 0
	if !s.byUs {
		if kept != 0 && kept != s.orders {
			t.Fatalf("%d of %d messages kept their ids", kept, s.orders)
		}
		if kept > 0 {
			t.Logf("LocalStack: messages that a task moved keep their ids")
		}
		if kept > 0 && s.maxAttempts > 0 {
			t.Logf("LocalStack: so the attempts of %d messages stay used up, and a second redrive has to bring them", kept)
			want = kept
		}
	} else if kept > 0 {
		t.Errorf("%d messages kept their ids although we dead-lettered them", kept)
	}
	if n := int(s.spent.Load()); n != want {
		t.Fatalf("the attempts of %d redriven messages were used up, want %d", n, want)
	}
	if n := len(s.done); n != doneBefore+s.orders-want {
		t.Errorf("%d effects after the first redrive, want %d", n, doneBefore+s.orders-want)
	}
	return want
}

// deploy runs a consumer with h until stop is called.
func (s *redriven) deploy(t *testing.T, h holdfast.HandlerFunc, poison idempotency.Poison) (stop func()) {
	meet := holdfast.MiddlewareFunc(func(next holdfast.Handler) holdfast.Handler {
		return holdfast.HandlerFunc(func(ctx context.Context, m *holdfast.Message) error {
			order := m.Attr("order")
			s.mu.Lock()
			if s.ids[order] == nil {
				s.ids[order] = map[string]bool{}
			}
			s.ids[order][m.ID] = true
			s.mu.Unlock()
			if m.Attr(consumer.CauseAttribute) != "" {
				s.causes.Add(1)
			}
			return next.Handle(ctx, m)
		})
	})
	once := idempotency.New(redisstore.New(s.rdb), idempotency.Config{
		Consumer: s.name, KeyAttribute: "order", MaxAttempts: s.maxAttempts, Poison: poison,
		Hooks: idempotency.Hooks{
			Duplicate: func(idempotency.DuplicateEvent) { s.duplicates.Add(1) },
			Poisoned:  func(idempotency.PoisonedEvent) { s.spent.Add(1) },
		},
	})
	cfg := consumer.Config{
		Middleware: []holdfast.Middleware{meet, once}, BackoffBase: time.Millisecond, BackoffMax: time.Second,
		DeadLetterShare: -1, // it would keep a handler that fails always from this
		Hooks: holdfast.Hooks{DeadLettered: func(e holdfast.DeadLetteredEvent) {
			if e.Err == nil {
				s.letters.Add(1)
			}
		}},
	}
	if poison == idempotency.Native {
		cfg.Settle = mayNotSend{s.stack.SQS}
	}
	return begin(t, s.stack, s.queue, h, cfg)
}

// mayNotSend is a client whose role may not send: LocalStack enforces no IAM. The
// runtime dead-letters on the last receive; like this it is left to SQS.
type mayNotSend struct{ *sqs.Client }

func (mayNotSend) SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	return nil, &smithy.GenericAPIError{Code: "AccessDenied", Message: "not allowed to sqs:SendMessage"}
}

func (s *redriven) works(_ context.Context, m *holdfast.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done[m.Attr("order")]++
	return nil
}

// send sends so many orders, numbered from first on.
func (s *redriven) send(t *testing.T, first, orders int) {
	t.Helper()
	for from := first; from < first+orders; from += 10 {
		in := &sqs.SendMessageBatchInput{QueueUrl: &s.queue.URL}
		for n := from; n < min(from+10, first+orders); n++ {
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(n)), MessageBody: aws.String("order"),
				MessageAttributes: map[string]types.MessageAttributeValue{"order": {DataType: aws.String("String"), StringValue: aws.String(strconv.Itoa(n))}},
			})
		}
		out, err := s.stack.SQS.SendMessageBatch(t.Context(), in)
		if err != nil || len(out.Failed) > 0 {
			t.Fatalf("sending: %v, %d failed", err, len(out.Failed))
		}
	}
}

// buried is nil when the queue is empty and its dead-letter queue has so many.
func (s *redriven) buried(ctx context.Context, want int) error {
	if err := drained(ctx, s.stack, s.queue); err != nil {
		return err
	}
	name := types.QueueAttributeNameApproximateNumberOfMessages
	got, err := s.stack.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &s.dlq.URL, AttributeNames: []types.QueueAttributeName{name}})
	if err != nil {
		return err
	}
	if n := got.Attributes[string(name)]; n != strconv.Itoa(want) {
		return fmt.Errorf("%s are dead-lettered, want %d", n, want)
	}
	return nil
}

// move moves so many messages back and waits for the end of the task.
func (s *redriven) move(t *testing.T, messages int) {
	t.Helper()
	if _, err := s.stack.SQS.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: &s.dlq.ARN, DestinationArn: &s.queue.ARN}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error {
		got, err := s.stack.SQS.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: &s.dlq.ARN, MaxResults: aws.Int32(1)})
		if err != nil {
			return err
		}
		if len(got.Results) != 1 || aws.ToString(got.Results[0].Status) != "COMPLETED" || got.Results[0].ApproximateNumberOfMessagesMoved != int64(messages) {
			return fmt.Errorf("of %d messages: %+v", messages, got.Results)
		}
		return nil
	})
}
