package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer/internal/wire"
)

// Config configures a Consumer. The zero Config is a good production
// configuration; every field's zero value means its default. New validates all
// fields at once and clamps none.
type Config struct {
	// Middleware wraps the handler; the first listed is outermost. Values that
	// also implement holdfast.Validator, Starter, Settler, Confirmer or Gate are used as
	// such. Default: none.
	Middleware []holdfast.Middleware

	// Concurrency is the most handlers that run at once, 1 to 10,000. Concurrency,
	// Prefetch and MaxParked are at most 120,000 together, and on a FIFO queue also 10 x
	// Concurrency and MaxParked: SQS lets about so many messages of a queue be in flight,
	// those of other consumers included, and then its receives come back empty.
	// Default: 50.
	Concurrency int
	// Prefetch bounds the messages held beyond those that run: on their way in,
	// waiting for a slot, or waiting for their delete to be confirmed. Within the
	// bound the consumer holds as few as keep the slots busy: the slots expected
	// to come free within one measured receive. 1 to 100,000; at most
	// 120,000 together with Concurrency and MaxParked. On a FIFO queue up to 10 x Concurrency
	// messages are held where groups leave slots idle.
	// Default: 8 x Concurrency, at least 10.
	Prefetch int
	// MaxParked is the most messages that are held without a slot after
	// holdfast.Park, 1 to 100,000; -1 parks none, so that each takes its fallback. At
	// most 120,000 together with Concurrency and Prefetch.
	// On a FIFO queue the groups whose first message is parked or waits out its
	// backoff count to it too, as far as there is room.
	// Default: 1000.
	MaxParked int
	// HeldBytes is the size of bodies and attributes held at which no further
	// receive starts, in bytes, at least 1 MiB. Receives under way may overshoot it
	// by 10 MiB each. Default: 64 MiB.
	HeldBytes int64

	// Visibility is the visibility timeout asked for with each receive, in whole
	// seconds, 2 s to 12 h: how long after a crash of this process a message comes
	// back. It is extended at half its length while a message is held.
	// Default: 30s.
	Visibility time.Duration
	// Wait is the length of a long poll, in whole seconds, 1 s to 20 s (the limit
	// of ReceiveMessage). Default: 20s.
	Wait time.Duration
	// HandlerTimeout is how long a handler may run before its context is cancelled
	// with holdfast.ErrHandlerTimeout; one that still runs a minute later is
	// abandoned. At least 1 ms; -1 sets no timeout. Default: 1h.
	HandlerTimeout time.Duration
	// StopTimeout is how long Run takes at most to return after its context was
	// cancelled, 1 s to 1 h. ECS and Kubernetes kill after 30 s. A fifth of it, at
	// most 5 s, is kept for the last acknowledgements. Default: 25s.
	StopTimeout time.Duration
	// PollGrace is how long a long poll that is under way may go on after the
	// cancel, at most StopTimeout, so that messages on their way are not left
	// invisible; -1 cuts it at once. Default: 2s, at most StopTimeout.
	PollGrace time.Duration

	// DeleteLinger is how long a delete waits for others to fill its batch of ten
	// while handlers run, up to 1 s; -1 waits for none. FIFO queues never linger.
	// Default: 50ms.
	DeleteLinger time.Duration
	// BackoffBase and BackoffMax set the delay before the n-th retry: a random
	// time up to BackoffBase doubled n-1 times, at most BackoffMax (full jitter),
	// rounded up to whole seconds on a standard queue, the unit of SQS. 1 ms to
	// 12 h. Default: 2s.
	BackoffBase time.Duration
	// BackoffMax is at least BackoffBase and at most 12 h.
	// Default: 15m, at least BackoffBase.
	BackoffMax time.Duration
	// DecodeAttempts is the attempt (Message.Attempt) on which a message that cannot be
	// decoded or has no route is dead-lettered, 1 to 1000. Receives count, also those
	// that a shutdown or an outage cost. Default: 3.
	DecodeAttempts int
	// MaxAge is how old a message may be when a run begins, by the time it was sent to
	// the queue; an older one is not run and dead-lettered with the cause max-age. A
	// redrive sends anew. At least 1 s. Default: none, no message is too old.
	MaxAge time.Duration
	// DeadLetterShare is the share of the messages decided (done, discarded or
	// dead-lettered) over 30 s, at least 20 of them, above which dead-lettering is
	// taken for a bad deploy: receiving stops but for one probe message per backoff,
	// and what would be dead-lettered is kept, parked; where MaxParked or HeldBytes has
	// no room for it, it is tried again with a backoff, at the cost of receives, of which
	// the last is SQS's to dead-letter. Above 0 and below 1; -1 switches the guard off.
	// Default: 0.2.
	DeadLetterShare float64

	// Topics lists the ARNs of the SNS topics whose envelopes are unwrapped; an
	// envelope from another topic is left as it came. Anyone who may send to the
	// queue can forge an envelope, so list them where the queue's policy lets more
	// in than those topics. Default: every SNS envelope is unwrapped.
	Topics []string

	// Settle is the client for deletes, extensions and dead-letters, apart from
	// the polling client so that neither starves the other of connections or
	// retries. Default: sqs.New(client.Options()) for a *sqs.Client, else client.
	Settle SQSAPI
	// Hooks watch the consumer. Default: none.
	Hooks holdfast.Hooks
	// Logger gets what nobody else can receive; bodies are never logged.
	// Default: silent.
	Logger *slog.Logger
}

// SQSAPI is what the consumer calls of the SDK's client; *sqs.Client has it.
type SQSAPI interface {
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// Limits of SQS and of this package.
const (
	maxBatch = wire.MaxBatch
	maxHold  = 12 * time.Hour // visibility per receive [ChangeMessageVisibility]
	// maxInFlight is the most messages of a queue in flight, about [SQS quotas].
	maxInFlight = 120_000
)

func (c Config) withDefaults() Config {
	setDefault(&c.Concurrency, 50)
	setDefault(&c.Prefetch, min(max(10, 8*c.Concurrency), 100_000))
	setDefault(&c.MaxParked, 1000)
	setDefault(&c.HeldBytes, 64<<20)
	setDefault(&c.Visibility, 30*time.Second)
	setDefault(&c.Wait, 20*time.Second)
	setDefault(&c.HandlerTimeout, time.Hour)
	setDefault(&c.StopTimeout, 25*time.Second)
	setDefault(&c.PollGrace, min(2*time.Second, c.StopTimeout))
	setDefault(&c.DeleteLinger, 50*time.Millisecond)
	setDefault(&c.BackoffBase, 2*time.Second)
	setDefault(&c.BackoffMax, max(15*time.Minute, c.BackoffBase))
	setDefault(&c.DecodeAttempts, 3)
	setDefault(&c.DeadLetterShare, 0.2)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate reports every field out of bounds, for a FIFO queue or any other. It looks
// at a Config with defaults.
func (c Config) validate(fifo bool) error {
	var errs []error
	bad := func(field string, value any, bound string) {
		errs = append(errs, &ConfigError{Field: field, Value: value, Bound: bound})
	}
	within := func(field string, v, lo, hi time.Duration, off bool) {
		if (off && v == -1) || (v >= lo && v <= hi) {
			return
		}
		bound := fmt.Sprintf("%v to %v", lo, hi)
		if hi == math.MaxInt64 {
			bound = fmt.Sprintf("at least %v", lo)
		}
		if off {
			bound += ", or -1"
		}
		bad(field, v, bound)
	}
	if c.Concurrency < 1 || c.Concurrency > 10_000 {
		bad("Concurrency", c.Concurrency, "1 to 10000")
	}
	if c.Prefetch < 1 || c.Prefetch > 100_000 {
		bad("Prefetch", c.Prefetch, "1 to 100000")
	}
	if c.MaxParked != -1 && (c.MaxParked < 1 || c.MaxParked > 100_000) {
		bad("MaxParked", c.MaxParked, "1 to 100000, or -1")
	}
	fields, all := "Concurrency + Prefetch + MaxParked", c.Concurrency+c.Prefetch
	if fifo && 10*c.Concurrency > all { // see pace.Room
		fields, all = "10 x Concurrency + MaxParked of a FIFO queue", 10*c.Concurrency
	}
	if all += max(0, c.MaxParked); len(errs) == 0 && all > maxInFlight {
		bad(fields, all, fmt.Sprintf("at most %d, about what SQS lets be in flight: Concurrency is %d, Prefetch %d, MaxParked %d", maxInFlight, c.Concurrency, c.Prefetch, c.MaxParked))
	}
	if c.HeldBytes < wire.MaxMessage {
		bad("HeldBytes", c.HeldBytes, "at least 1048576")
	}
	within("Visibility", c.Visibility, 2*time.Second, maxHold, false)
	if c.Visibility%time.Second != 0 {
		bad("Visibility", c.Visibility, "whole seconds")
	}
	within("Wait", c.Wait, time.Second, 20*time.Second, false)
	if c.Wait%time.Second != 0 {
		bad("Wait", c.Wait, "whole seconds")
	}
	within("HandlerTimeout", c.HandlerTimeout, time.Millisecond, math.MaxInt64, true)
	within("StopTimeout", c.StopTimeout, time.Second, time.Hour, false)
	within("PollGrace", c.PollGrace, 0, c.StopTimeout, true)
	within("DeleteLinger", c.DeleteLinger, 0, time.Second, true)
	within("BackoffBase", c.BackoffBase, time.Millisecond, maxHold, false)
	within("BackoffMax", c.BackoffMax, c.BackoffBase, maxHold, false)
	if c.DecodeAttempts < 1 || c.DecodeAttempts > 1000 {
		bad("DecodeAttempts", c.DecodeAttempts, "1 to 1000")
	}
	if c.MaxAge != 0 {
		within("MaxAge", c.MaxAge, time.Second, math.MaxInt64, false)
	}
	if c.DeadLetterShare != -1 && !(c.DeadLetterShare > 0 && c.DeadLetterShare < 1) {
		bad("DeadLetterShare", c.DeadLetterShare, "above 0 and below 1, or -1")
	}
	for i, arn := range c.Topics {
		if parts := strings.Split(arn, ":"); len(parts) != 6 || parts[0] != "arn" || parts[2] != "sns" || slices.Contains(parts, "") {
			bad(fmt.Sprintf("Topics[%d]", i), arn, "the ARN of an SNS topic, arn:aws:sns:region:account:name")
		}
	}
	for i, m := range c.Middleware {
		if isNil(m) {
			bad(fmt.Sprintf("Middleware[%d]", i), nil, "not nil")
			continue
		}
		if v, ok := m.(holdfast.Validator); ok {
			if err := v.Validate(); err != nil {
				errs = append(errs, fmt.Errorf("consumer: Middleware[%d]: %w", i, err))
			}
		}
	}
	if c.Settle != nil && isNil(c.Settle) {
		bad("Settle", nil, "a client, or not set")
	}
	return errors.Join(errs...)
}

// isNil also sees a nil pointer or function inside an interface, which would panic
// when it is used.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return v == nil || ((r.Kind() == reflect.Pointer || r.Kind() == reflect.Func) && r.IsNil())
}
