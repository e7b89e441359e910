package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
)

// Config configures a Producer. The zero Config is a good production configuration;
// every field's zero value means its default. New validates all fields at once and
// clamps none.
type Config struct {
	// Middleware wraps each message that is sent; the first listed is outermost.
	// Default: none.
	Middleware []Middleware

	// Linger is how long a message waits at most for others to fill its request of ten, up
	// to 1 s; a full one, or one of 1 MiB, goes at once. -1 waits for none: then only what
	// comes while all requests are under way shares one. Timers ring late, so what lingers
	// leaves a millisecond before, or a fifth where that is less. Default: 5ms.
	Linger time.Duration
	// Concurrency is the most requests under way at once, 1 to 1,000. Default: 16.
	Concurrency int
	// MaxPending is the most messages that are taken and not yet sent, 1 to 1,000,000;
	// Send waits where there are as many. Default: 10000.
	MaxPending int
	// MaxPendingBytes is the size of bodies and attributes pending at which Send waits,
	// in bytes, at least 1 MiB. Default: 64 MiB.
	MaxPendingBytes int64
	// Timeout is the longest that Send takes where its context allows more: waiting for
	// room, all tries and the waits between them. 1 ms to 4 m: SQS and SNS recognise a
	// message that is sent again for 5 minutes. Default: 1m.
	Timeout time.Duration

	// MaxMessageBytes is the largest message that the target takes, 1 KiB to 1 MiB;
	// where it is set the target's attributes are not read. Default: what the target's
	// MaximumMessageSize says where it may be read (sqs:GetQueueAttributes,
	// sns:GetTopicAttributes), else 1 MiB for a queue and 256 KiB for a topic.
	MaxMessageBytes int
	// Offload takes bodies that are too large and gives what is sent in their place;
	// a *claimcheck.Store does. SendBatch has it take as many at once as Concurrency
	// says. Default: none, a message that is too large is refused.
	Offload Offloader
	// OffloadAbove is the size of body and attributes above which Offload is used, in
	// bytes, 1 to 1 MiB, for which Offload must be set. What has no room for a pointer
	// among its attributes and fits the target is sent as it is.
	// Default: what the target takes at most.
	OffloadAbove int

	// Trace tells the trace of a message that has none set. It is called by Send and
	// must be safe for concurrent use. Default: Handled.
	Trace func(context.Context) Trace

	// Hooks watch the producer. Default: none.
	Hooks Hooks
	// Logger gets what nobody else can receive; bodies are never logged.
	// Default: silent.
	Logger *slog.Logger
}

// Offloader keeps bodies elsewhere, as claimcheck.Store does in S3. It must be safe
// for concurrent use.
type Offloader interface {
	// Offload stores m.Body and writes what is sent in its place to m.Body and, as at
	// most one more attribute, to m.Attributes; both have room for 1 KiB together. m has
	// nothing else but where it goes:
	// Topic.ARN, and so to several readers, or Queue with Name, URL and ARN, the ARN
	// the same however the queue was given to New. An error is returned to the sender.
	Offload(ctx context.Context, m *holdfast.Message) error
}

// SQSAPI is what a producer to a queue calls of the SDK's client; *sqs.Client has it.
// Another client, or its HTTP client, should not try again by itself: whether the first
// of several tries was applied, the error of the last does not tell.
type SQSAPI interface {
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

// SNSAPI is what a producer to a topic calls of the SDK's client; *sns.Client has it.
// What SQSAPI says of other clients holds here too.
type SNSAPI interface {
	GetTopicAttributes(context.Context, *sns.GetTopicAttributesInput, ...func(*sns.Options)) (*sns.GetTopicAttributesOutput, error)
	PublishBatch(context.Context, *sns.PublishBatchInput, ...func(*sns.Options)) (*sns.PublishBatchOutput, error)
}

func (c Config) withDefaults() Config {
	setDefault(&c.Linger, 5*time.Millisecond)
	setDefault(&c.Concurrency, 16)
	setDefault(&c.MaxPending, 10_000)
	setDefault(&c.MaxPendingBytes, 64<<20)
	setDefault(&c.Timeout, time.Minute)
	if c.Trace == nil {
		c.Trace = Handled
	}
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

// validate reports every field out of bounds. It looks at a Config with defaults.
func (c Config) validate() error {
	var errs []error
	bad := func(field string, value any, bound string) {
		errs = append(errs, &ConfigError{Field: field, Value: value, Bound: bound})
	}
	if c.Linger != -1 && (c.Linger < 0 || c.Linger > time.Second) {
		bad("Linger", c.Linger, "0s to 1s, or -1")
	}
	if c.Concurrency < 1 || c.Concurrency > 1000 {
		bad("Concurrency", c.Concurrency, "1 to 1000")
	}
	if c.MaxPending < 1 || c.MaxPending > 1_000_000 {
		bad("MaxPending", c.MaxPending, "1 to 1000000")
	}
	if c.MaxPendingBytes < maxMessage {
		bad("MaxPendingBytes", c.MaxPendingBytes, "at least 1048576")
	}
	if c.Timeout < time.Millisecond || c.Timeout > 4*time.Minute {
		bad("Timeout", c.Timeout, "1ms to 4m0s")
	}
	if c.MaxMessageBytes != 0 && (c.MaxMessageBytes < 1024 || c.MaxMessageBytes > maxMessage) {
		bad("MaxMessageBytes", c.MaxMessageBytes, "1024 to 1048576")
	}
	if c.OffloadAbove != 0 && (c.OffloadAbove < 1 || c.OffloadAbove > maxMessage) {
		bad("OffloadAbove", c.OffloadAbove, "1 to 1048576")
	} else if c.OffloadAbove != 0 && c.Offload == nil {
		bad("OffloadAbove", c.OffloadAbove, "0 where Offload is not set")
	}
	if c.Offload != nil && isNil(c.Offload) {
		bad("Offload", nil, "an Offloader, or not set")
	}
	for i, m := range c.Middleware {
		if isNil(m) {
			bad(fmt.Sprintf("Middleware[%d]", i), nil, "not nil")
		}
	}
	return errors.Join(errs...)
}

// isNil also sees a nil pointer or function inside an interface, which would panic
// when it is used.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return v == nil || ((r.Kind() == reflect.Pointer || r.Kind() == reflect.Func) && r.IsNil())
}
