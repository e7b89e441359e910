package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/fanout"
)

// emulated is how plans are applied to what takes changes at once.
var emulated = fanout.Config{PolicySpread: -1, CallsPerSecond: 1000}

// shop is a topology of a topic and three queues, with names of its own. What it makes
// is deleted when the test ends.
func shop(t *testing.T, stack *Stack) fanout.Topology {
	t.Helper()
	// Short, so that the names of what hangs on them stay within 80 characters.
	run := Unique("x")[2:8]
	name := func(s string) string { return s + "-" + run }
	topology := fanout.Topology{
		Name: "shop", Region: Region, Account: Account, Tags: map[string]string{"team": "shop"},
		Topics: []fanout.Topic{{Name: name("orders"), Attributes: map[string]string{"DisplayName": "Orders"}}, {Name: name("steps") + ".fifo"}},
		Queues: []fanout.Queue{
			{Name: name("billing"), Visibility: time.Minute, Tags: map[string]string{"cost": "1"}},
			{Name: name("shipping"), Delay: time.Second},
			{Name: name("audit"), DLQ: fanout.DeadLetter{MaxReceives: 3}},
			{Name: name("steps") + ".fifo", HighThroughput: true},
		},
	}
	orders, steps := topology.Topics[0].Name, topology.Topics[1].Name
	topology.Subscriptions = []fanout.Subscription{
		{Topic: orders, Queue: name("billing")},
		{Topic: orders, Queue: name("shipping"), Filter: fanout.Where("kind", fanout.Is("goods"))},
		{Topic: orders, Queue: name("audit"), Raw: true, Filter: fanout.Where("cents", fanout.AtLeast(100)), OnBody: true},
		{Topic: steps, Queue: name("steps") + ".fifo"},
	}
	t.Cleanup(func() { deleteAll(t, stack, topology) })
	return topology
}

// deleteAll names all that a topology makes and applies an empty one.
func deleteAll(t *testing.T, stack *Stack, made fanout.Topology) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	cfg := emulated
	cfg.PruneMessages = true
	d, err := fanout.Plan(ctx, fanout.Clients{SQS: stack.SQS, SNS: stack.SNS}, made, emulated)
	if err != nil {
		t.Errorf("cleaning up: %v", err)
		return
	}
	for _, c := range d.Changes {
		if c.Resource == "queue" && c.Kind == fanout.Foreign {
			t.Logf("not deleted: %s", c)
		}
	}
	topicARN := "arn:aws:sns:" + Region + ":" + Account + ":"
	queueARN := "arn:aws:sqs:" + Region + ":" + Account + ":"
	suffixed := func(name, suffix string) string {
		base, fifo := strings.CutSuffix(name, ".fifo")
		if fifo {
			return base + suffix + ".fifo"
		}
		return base + suffix
	}
	for _, topic := range made.Topics {
		cfg.Prune = append(cfg.Prune, topicARN+topic.Name)
	}
	for _, q := range made.Queues {
		cfg.Prune = append(cfg.Prune, queueARN+q.Name, queueARN+suffixed(q.Name, "-dlq"))
	}
	for _, s := range made.Subscriptions {
		cfg.Prune = append(cfg.Prune, queueARN+suffixed(s.Queue, "-"+strings.TrimSuffix(s.Topic, ".fifo")+"-undelivered"))
	}
	if _, err := fanout.Apply(ctx, fanout.Clients{SQS: stack.SQS, SNS: stack.SNS}, fanout.Topology{Region: Region, Account: Account}, cfg); err != nil {
		t.Errorf("cleaning up: %v", err)
	}
}

func applied(t *testing.T, stack *Stack, topology fanout.Topology) *fanout.Diff {
	t.Helper()
	d, err := fanout.Apply(t.Context(), fanout.Clients{SQS: stack.SQS, SNS: stack.SNS}, topology, emulated)
	if err != nil {
		t.Fatalf("apply: %v\n%s", err, d)
	}
	return d
}

func planned(t *testing.T, stack *Stack, topology fanout.Topology) *fanout.Diff {
	t.Helper()
	d, err := fanout.Plan(t.Context(), fanout.Clients{SQS: stack.SQS, SNS: stack.SNS}, topology, emulated)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return d
}

func setAttribute(t *testing.T, stack *Stack, queue, name, value string) {
	t.Helper()
	url, err := stack.SQS.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &queue})
	if err == nil {
		_, err = stack.SQS.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: url.QueueUrl, Attributes: map[string]string{name: value}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func attribute(t *testing.T, stack *Stack, queue, name string) string {
	t.Helper()
	url, err := stack.SQS.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &queue})
	if err != nil {
		t.Fatal(err)
	}
	out, err := stack.SQS.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: url.QueueUrl, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Attributes[name]
}

// TestFanoutIsAppliedAndThenThereIsNothingToDo is the first of the fixed cases that
// package fanout has on sqstest, on real LocalStack: made, planned empty, delivering.
func TestFanoutIsAppliedAndThenThereIsNothingToDo(t *testing.T) {
	t.Parallel()
	stack := LocalStack(t)
	topology := shop(t, stack)
	if d := applied(t, stack, topology); len(d.Changes) < 14 {
		t.Errorf("made only\n%s", d)
	}
	if d := planned(t, stack, topology); !d.Empty() || len(d.Changes) > 0 {
		t.Errorf("the second plan:\n%s", d)
	}
	r, err := fanout.Verify(t.Context(), fanout.Clients{SQS: stack.SQS, SNS: stack.SNS}, topology, fanout.VerifyConfig{CallsPerSecond: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() {
		t.Errorf("verified:\n%s", r)
	}
}

// TestFanoutMendsWhatOthersChanged: drift, a foreign statement and a foreign
// subscription, which both stay, and changes of every kind in one apply.
func TestFanoutMendsWhatOthersChanged(t *testing.T) {
	t.Parallel()
	stack := LocalStack(t)
	topology := shop(t, stack)
	applied(t, stack, topology)
	billing, shipping := topology.Queues[0].Name, topology.Queues[1].Name

	theirs := `{ "Sid" : "theirs",  "Effect":"Allow", "Principal":"*", "Action":"sqs:SendMessage", "Resource":"*" }`
	policy := attribute(t, stack, billing, "Policy")
	setAttribute(t, stack, billing, "Policy", strings.TrimSuffix(policy, "]}")+", "+theirs+"]}")
	setAttribute(t, stack, shipping, "Policy", "")
	setAttribute(t, stack, shipping, "VisibilityTimeout", "77")
	other := stack.Queue(t, "others", nil)
	topicARN := aws.String("arn:aws:sns:" + Region + ":" + Account + ":" + topology.Topics[0].Name)
	foreign, err := stack.SNS.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: topicARN, Protocol: aws.String("sqs"), Endpoint: &other.ARN})
	if err != nil {
		t.Fatal(err)
	}
	subs, err := stack.SNS.ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: topicARN})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range subs.Subscriptions {
		if strings.HasSuffix(aws.ToString(s.Endpoint), ":"+billing) {
			if _, err := stack.SNS.Unsubscribe(t.Context(), &sns.UnsubscribeInput{SubscriptionArn: s.SubscriptionArn}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := stack.SNS.TagResource(t.Context(), &sns.TagResourceInput{ResourceArn: topicARN, Tags: []snstypes.Tag{{Key: aws.String("team"), Value: aws.String("other")}}}); err != nil {
		t.Fatal(err)
	}

	d := planned(t, stack, topology)
	for _, want := range []string{
		"drift   queue " + shipping + " VisibilityTimeout: 77 -> 30",
		"create  statement " + shipping + "#Holdfast",
		"create  subscription " + topology.Topics[0].Name + " -> " + billing,
		"drift   topic " + topology.Topics[0].Name + " tag team: other -> shop",
		"foreign statement " + billing + "#theirs: left alone",
		"foreign subscription " + topology.Topics[0].Name + " -> " + other.ARN + ": left alone",
	} {
		if !strings.Contains(d.String(), want) {
			t.Errorf("the plan lacks %q:\n%s", want, d)
		}
	}
	// The declaration changes too: a filter moves to the body, another goes, one comes.
	topology.Subscriptions[1].Filter, topology.Subscriptions[1].OnBody = fanout.Where("kind", fanout.Is("goods", "gifts")), true
	topology.Subscriptions[2].Filter, topology.Subscriptions[2].OnBody, topology.Subscriptions[2].Raw = fanout.Filter{}, false, false
	topology.Queues[0].Retention = 5 * 24 * time.Hour
	applied(t, stack, topology)
	if d := planned(t, stack, topology); !d.Empty() {
		t.Errorf("the plan after:\n%s", d)
	}
	if policy := attribute(t, stack, billing, "Policy"); !strings.Contains(policy, theirs) {
		t.Errorf("the statement of others is not as it was: %s", policy)
	}
	if _, err := stack.SNS.GetSubscriptionAttributes(t.Context(), &sns.GetSubscriptionAttributesInput{SubscriptionArn: foreign.SubscriptionArn}); err != nil {
		t.Errorf("the subscription of others: %v", err)
	}
}

// TestFanoutFindsThePathThatDoesNotDeliver spoils one path at a time.
func TestFanoutFindsThePathThatDoesNotDeliver(t *testing.T) {
	t.Parallel()
	stack := LocalStack(t)
	topology := shop(t, stack)
	applied(t, stack, topology)
	topicARN := "arn:aws:sns:" + Region + ":" + Account + ":" + topology.Topics[0].Name
	subs, err := stack.SNS.ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: &topicARN})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range subs.Subscriptions {
		if strings.HasSuffix(aws.ToString(s.Endpoint), ":"+topology.Queues[1].Name) {
			if _, err := stack.SNS.SetSubscriptionAttributes(t.Context(), &sns.SetSubscriptionAttributesInput{
				SubscriptionArn: s.SubscriptionArn, AttributeName: aws.String("FilterPolicy"), AttributeValue: aws.String(`{"kind":["none"]}`),
			}); err != nil {
				t.Fatal(err)
			}
		}
		if strings.HasSuffix(aws.ToString(s.Endpoint), ":"+topology.Queues[2].Name) {
			if _, err := stack.SNS.Unsubscribe(t.Context(), &sns.UnsubscribeInput{SubscriptionArn: s.SubscriptionArn}); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := fanout.Verify(t.Context(), fanout.Clients{SQS: stack.SQS, SNS: stack.SNS}, topology, fanout.VerifyConfig{CallsPerSecond: 1000, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"", "filter", "subscription", ""}
	for i, p := range r.Paths {
		if string(p.Cause) != want[i] {
			t.Errorf("%s, want the cause %q", &p, want[i])
		}
	}
}

// TestFanoutConvergesWhereverItIsCut cancels an apply at each of its changes in turn.
func TestFanoutConvergesWhereverItIsCut(t *testing.T) {
	t.Parallel()
	stack := LocalStack(t)
	topology := shop(t, stack)
	for cut := 1; ; cut++ {
		ctx, cancel := context.WithCancelCause(t.Context())
		died := errors.New("the process died")
		c := &cutting{SQSAPI: stack.SQS, SNSAPI: stack.SNS, left: cut, die: func() { cancel(died) }}
		_, err := fanout.Apply(ctx, fanout.Clients{SQS: cuttingSQS{c}, SNS: cuttingSNS{c}}, topology, fanout.Config{PolicySpread: -1, CallsPerSecond: 1000, Parallel: 1})
		over := ctx.Err() == nil
		cancel(nil)
		if over {
			if err != nil {
				t.Fatalf("apply: %v", err)
			}
			// What earlier runs have left makes later ones shorter.
			if cut < 6 {
				t.Errorf("only %d cuts: the test shows nothing", cut-1)
			}
			break
		}
		if err == nil {
			t.Fatalf("cut at change %d, and apply says nothing", cut)
		}
		// Every third time from nothing, else over what the cut runs before have left.
		if cut%3 == 0 {
			applied(t, stack, topology)
			if d := planned(t, stack, topology); !d.Empty() {
				t.Errorf("cut at change %d, the plan after:\n%s", cut, d)
			}
			deleteAll(t, stack, topology)
		}
	}
	if d := planned(t, stack, topology); !d.Empty() {
		t.Errorf("the plan after:\n%s", d)
	}
}

// cutting lets so many changes through and then ends the run.
type cutting struct {
	fanout.SQSAPI
	fanout.SNSAPI
	left int
	die  func()
}

func (c *cutting) change() error {
	if c.left--; c.left < 0 {
		c.die()
		return fmt.Errorf("cut")
	}
	return nil
}

type cuttingSQS struct{ *cutting }

func (c cuttingSQS) CreateQueue(ctx context.Context, in *sqs.CreateQueueInput, o ...func(*sqs.Options)) (*sqs.CreateQueueOutput, error) {
	if err := c.change(); err != nil {
		return nil, err
	}
	return c.SQSAPI.CreateQueue(ctx, in, o...)
}

type cuttingSNS struct{ *cutting }

func (c cuttingSNS) CreateTopic(ctx context.Context, in *sns.CreateTopicInput, o ...func(*sns.Options)) (*sns.CreateTopicOutput, error) {
	if err := c.change(); err != nil {
		return nil, err
	}
	return c.SNSAPI.CreateTopic(ctx, in, o...)
}

func (c cuttingSNS) Subscribe(ctx context.Context, in *sns.SubscribeInput, o ...func(*sns.Options)) (*sns.SubscribeOutput, error) {
	if err := c.change(); err != nil {
		return nil, err
	}
	return c.SNSAPI.Subscribe(ctx, in, o...)
}
