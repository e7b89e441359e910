package fanout

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Clients are the clients of SQS and SNS, of the topology's account. Each call is made in
// the region of what it is about, whatever theirs.
type Clients struct {
	SQS SQSAPI
	SNS SNSAPI
}

// SQSAPI is what this package calls of the SDK's client; *sqs.Client has it.
type SQSAPI interface {
	ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error)
	CreateQueue(context.Context, *sqs.CreateQueueInput, ...func(*sqs.Options)) (*sqs.CreateQueueOutput, error)
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
	DeleteQueue(context.Context, *sqs.DeleteQueueInput, ...func(*sqs.Options)) (*sqs.DeleteQueueOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	ListQueueTags(context.Context, *sqs.ListQueueTagsInput, ...func(*sqs.Options)) (*sqs.ListQueueTagsOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	SetQueueAttributes(context.Context, *sqs.SetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.SetQueueAttributesOutput, error)
	TagQueue(context.Context, *sqs.TagQueueInput, ...func(*sqs.Options)) (*sqs.TagQueueOutput, error)
}

// SNSAPI is what this package calls of the SDK's client; *sns.Client has it.
type SNSAPI interface {
	CreateTopic(context.Context, *sns.CreateTopicInput, ...func(*sns.Options)) (*sns.CreateTopicOutput, error)
	DeleteTopic(context.Context, *sns.DeleteTopicInput, ...func(*sns.Options)) (*sns.DeleteTopicOutput, error)
	GetSubscriptionAttributes(context.Context, *sns.GetSubscriptionAttributesInput, ...func(*sns.Options)) (*sns.GetSubscriptionAttributesOutput, error)
	GetTopicAttributes(context.Context, *sns.GetTopicAttributesInput, ...func(*sns.Options)) (*sns.GetTopicAttributesOutput, error)
	ListSubscriptions(context.Context, *sns.ListSubscriptionsInput, ...func(*sns.Options)) (*sns.ListSubscriptionsOutput, error)
	ListSubscriptionsByTopic(context.Context, *sns.ListSubscriptionsByTopicInput, ...func(*sns.Options)) (*sns.ListSubscriptionsByTopicOutput, error)
	ListTagsForResource(context.Context, *sns.ListTagsForResourceInput, ...func(*sns.Options)) (*sns.ListTagsForResourceOutput, error)
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
	SetSubscriptionAttributes(context.Context, *sns.SetSubscriptionAttributesInput, ...func(*sns.Options)) (*sns.SetSubscriptionAttributesOutput, error)
	SetTopicAttributes(context.Context, *sns.SetTopicAttributesInput, ...func(*sns.Options)) (*sns.SetTopicAttributesOutput, error)
	Subscribe(context.Context, *sns.SubscribeInput, ...func(*sns.Options)) (*sns.SubscribeOutput, error)
	TagResource(context.Context, *sns.TagResourceInput, ...func(*sns.Options)) (*sns.TagResourceOutput, error)
	Unsubscribe(context.Context, *sns.UnsubscribeInput, ...func(*sns.Options)) (*sns.UnsubscribeOutput, error)
}

// Config says how Plan and Apply work. The zero Config is for production; every
// field's zero value means its default.
type Config struct {
	// PolicySpread is how long a new queue policy may take until SNS sees it: Apply
	// waits so long before it subscribes a queue, because SNS does not try again what
	// a queue refused. 1 s to 10 min; -1 does not wait, for LocalStack and other
	// emulators. Default: 60s, as AWS documents.
	PolicySpread time.Duration
	// ExistingOnly creates nothing. Where topics, queues or subscriptions are missing
	// Apply changes nothing either and returns a *MissingError. Default: false.
	ExistingOnly bool
	// Prune names what Apply deletes: ARNs of topics, queues and subscriptions, and
	// statements of queue policies as the queue's ARN, # and the Sid. What the
	// topology declares cannot be named, nor what its subscriptions use of others.
	// Default: nothing is deleted.
	Prune []string
	// PruneMessages lets Prune delete queues that hold messages, and these with them.
	// Default: false; Apply refuses.
	PruneMessages bool
	// Parallel is how many calls may be under way at once, 1 to 100. Default: 8.
	Parallel int
	// CallsPerSecond bounds the calls to each of SQS and SNS, beyond a burst of one
	// second's worth; when a service throttles, all calls to it pause. 1 to 1000: the
	// account's other programs share the quotas. Default: 20.
	CallsPerSecond float64
}

func (c Config) withDefaults() Config {
	if c.PolicySpread == 0 {
		c.PolicySpread = time.Minute
	}
	if c.Parallel == 0 {
		c.Parallel = 8
	}
	if c.CallsPerSecond == 0 {
		c.CallsPerSecond = 20
	}
	return c
}

func (c Config) validate(want *desired) error {
	var errs []error
	bad := func(field string, value any, bound string) {
		errs = append(errs, &ConfigError{"Config." + field, value, bound})
	}
	if c.PolicySpread != -1 && (c.PolicySpread < time.Second || c.PolicySpread > 10*time.Minute) {
		bad("PolicySpread", c.PolicySpread, "1s to 10m0s, or -1")
	}
	if c.Parallel < 1 || c.Parallel > 100 {
		bad("Parallel", c.Parallel, "1 to 100")
	}
	if !(c.CallsPerSecond >= 1 && c.CallsPerSecond <= 1000) {
		bad("CallsPerSecond", c.CallsPerSecond, "1 to 1000")
	}
	for i, p := range c.Prune {
		a, kind := pruned(p)
		field := fmt.Sprintf("Prune[%d]", i)
		switch {
		case kind == pruneNothing:
			bad(field, p, "the ARN of a queue, topic or subscription, or that of a queue with # and a Sid")
		case want != nil && want.declares(a, kind, p):
			bad(field, p, "something that the topology does not declare")
		case want != nil && want.uses(a, kind, p) != "":
			bad(field, p, "something that the topology does not use: "+want.uses(a, kind, p))
		}
	}
	return errors.Join(errs...)
}

// newEngine validates all and makes what Plan, Apply and Verify share.
func newEngine(c Clients, t Topology, cfg Config) (*engine, error) {
	var errs []error
	for name, client := range map[string]any{"SQS": c.SQS, "SNS": c.SNS} {
		if v := reflect.ValueOf(client); client == nil || v.Kind() == reflect.Pointer && v.IsNil() {
			errs = append(errs, &ConfigError{"Clients." + name, nil, "a client"})
		}
	}
	cfg = cfg.withDefaults()
	var want *desired
	err := t.Validate()
	if errs = append(errs, err); err == nil {
		want = compile(t.withDefaults())
	}
	errs = append(errs, cfg.validate(want))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &engine{client: c, cfg: cfg, want: want, calls: newCalls(cfg), written: map[arn]written{}}, nil
}

// Plan reads what there is and returns how it differs from the topology, without
// changing anything. It returns what Validate does, *AccessError for what it may not
// read, and errors of the services. Safe for concurrent use.
func Plan(ctx context.Context, c Clients, t Topology, cfg Config) (*Diff, error) {
	e, err := newEngine(c, t, cfg)
	if err != nil {
		return nil, err
	}
	have, err := e.observe(ctx)
	if err != nil {
		return nil, err
	}
	return e.diff(have)
}

// Diff is how what is there differs from a topology.
type Diff struct {
	// Changes are in the order in which Apply makes them, those that it leaves alone
	// last.
	Changes []Change

	steps []step
}

// Change is one difference.
type Change struct {
	Kind Kind
	// Resource is queue, topic, subscription or statement.
	Resource string
	// Name is what people call it, ARN what AWS does. The ARN of a subscription that
	// is not there yet is empty; that of a statement is what Prune takes.
	Name, ARN string
	// Field is the attribute that differs, "" where all of it does.
	Field string
	// From and To are the values, "" for none.
	From, To string
	// Note says what to know before it is applied. Mostly empty.
	Note string
}

// Kind is what a Change does.
type Kind string

// The kinds of changes.
const (
	// Create makes what is missing.
	Create Kind = "create"
	// Update changes a value because the declaration changed.
	Update Kind = "change"
	// Drift changes a value back that somebody else changed since it was applied.
	Drift Kind = "drift"
	// Delete takes away what Config.Prune names.
	Delete Kind = "delete"
	// Waiting is a subscription that its queue's owner has not confirmed. Apply can do
	// nothing about it.
	Waiting Kind = "waiting"
	// Foreign is there and not declared. Apply leaves it alone.
	Foreign Kind = "foreign"
	// Warning is what may lose messages: a queue that takes less than what its topics may
	// deliver. Apply leaves it alone.
	Warning Kind = "warning"
)

// Empty tells whether Apply has nothing to do.
func (d *Diff) Empty() bool {
	for i := range d.Changes {
		if k := d.Changes[i].Kind; k != Foreign && k != Waiting && k != Warning {
			return false
		}
	}
	return true
}

// String is the difference as text, a line for each change.
func (d *Diff) String() string {
	if len(d.Changes) == 0 {
		return "no differences\n"
	}
	var b strings.Builder
	for i := range d.Changes {
		b.WriteString(d.Changes[i].String() + "\n")
	}
	return b.String()
}

// String is the change as a line of text.
func (c Change) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-7s %s %s", c.Kind, c.Resource, c.Name)
	switch {
	case c.Kind == Foreign || c.Kind == Warning:
		if c.Field != "" {
			fmt.Fprintf(&b, " %s %s", c.Field, c.From)
		}
		b.WriteString(": left alone")
	case c.Field != "":
		fmt.Fprintf(&b, " %s: %s -> %s", c.Field, orNone(c.From), orNone(c.To))
	case c.To != "":
		fmt.Fprintf(&b, " (%s)", c.To)
	}
	if c.Note != "" {
		fmt.Fprintf(&b, "; %s", c.Note)
	}
	return b.String()
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// MissingError lists what is not there and may not be created, because of
// Config.ExistingOnly. Apply returns it before it changes anything.
type MissingError struct{ Missing []Change }

// Error implements error.
func (e *MissingError) Error() string {
	names := make([]string, len(e.Missing))
	for i, c := range e.Missing {
		names[i] = c.Resource + " " + c.Name
	}
	return "fanout: missing, and ExistingOnly creates nothing: " + strings.Join(names, ", ")
}

// PolicyError says that a queue's policy would be larger than SQS takes. Plan and
// Apply return it before anything is changed; Apply also in between, where others made
// the policy larger meanwhile, and that queue's policy is then as they left it.
type PolicyError struct {
	// Queue is the ARN.
	Queue string
	// Bytes and Statements are what the policy would have: at most 8192 and 20.
	Bytes, Statements int
}

// Error implements error.
func (e *PolicyError) Error() string {
	return fmt.Sprintf("fanout: the policy of %s would have %d bytes in %d statements; SQS takes at most %d bytes in %d statements",
		e.Queue, e.Bytes, e.Statements, maxPolicyBytes, maxStatements)
}
