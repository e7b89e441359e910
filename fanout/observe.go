package fanout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// observed is what there is of a topology.
type observed struct {
	mu     sync.Mutex         // guards the maps while they are filled
	queues map[arn]*haveQueue // those that exist
	topics map[arn]*haveTopic // those that exist
	subs   map[arn][]haveSub  // by topic
	ends   map[string]string  // subscriptions of Config.Prune that exist, with their endpoints
}

type haveQueue struct {
	url   string
	attrs map[string]string
	tags  map[string]string
}

type haveTopic struct{ attrs, tags map[string]string }

type haveSub struct {
	arn      string // pendingARN while it waits for its confirmation
	protocol string
	endpoint string
	owner    string
	attrs    map[string]string // of subscriptions to queues that the topology is about
}

func (s *haveSub) pending() bool {
	return s.arn == pendingARN || s.arn == "pending confirmation" || s.attrs[attrPending] == "true"
}

// sub is the subscription of a queue to a topic, nil for none.
func (o *observed) sub(topic, queue arn) *haveSub {
	subs := o.subs[topic]
	for i := range subs {
		if subs[i].endpoint == queue.String() && subs[i].protocol == "sqs" {
			return &subs[i]
		}
	}
	return nil
}

// modified is when a queue's attributes were last changed; zero where it is not
// known.
func (q *haveQueue) modified() time.Time {
	var n int64
	if _, err := fmt.Sscan(q.attrs[attrLastModified], &n); err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// held is how many messages SQS says a queue has, in whatever state.
func (q *haveQueue) held() int {
	total := 0
	for _, name := range []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	} {
		var n int
		if _, err := fmt.Sscan(q.attrs[string(name)], &n); err == nil {
			total += n
		}
	}
	return total
}

// engine has what the steps of Plan, Apply and Verify share.
type engine struct {
	client Clients
	cfg    Config
	want   *desired
	calls  *calls

	mu      sync.Mutex // guards written
	written map[arn]written
}

// topicIn has a call of SNS made in the region of a topic.
func topicIn(topic arn) func(*sns.Options) {
	return func(o *sns.Options) { o.Region = topic.region }
}

// queueIn has a call of SQS made in the region of a queue.
func queueIn(queue arn) func(*sqs.Options) {
	return func(o *sqs.Options) { o.Region = queue.region }
}

// observe reads what there is of the topology and of what Prune names.
func (e *engine) observe(ctx context.Context) (*observed, error) {
	o := &observed{queues: map[arn]*haveQueue{}, topics: map[arn]*haveTopic{}, subs: map[arn][]haveSub{}, ends: map[string]string{}}
	var jobs []func() error
	asked := map[arn]bool{}
	queue := func(a arn) {
		if !asked[a] {
			asked[a] = true
			jobs = append(jobs, func() error { return e.readQueue(ctx, a, o) })
		}
	}
	for i := range e.want.queues {
		queue(e.want.queues[i].arn)
	}
	elsewhere := map[string]bool{} // regions of topics that are not ours
	for i := range e.want.topics {
		a := e.want.topics[i].arn
		jobs = append(jobs, func() error { return e.readTopic(ctx, a, o) })
	}
	for i := range e.want.subs {
		if s := &e.want.subs[i]; !s.ownTopic && !elsewhere[s.topic.region] {
			elsewhere[s.topic.region] = true
			jobs = append(jobs, func() error { return e.readForeignTopics(ctx, s.topic, o) })
		}
	}
	for _, p := range e.cfg.Prune {
		switch a, kind := pruned(p); kind {
		case pruneQueue, pruneStatement:
			queue(a)
		case pruneTopic:
			jobs = append(jobs, func() error { return e.readTopic(ctx, a, o) })
		case pruneSubscription:
			jobs = append(jobs, func() error { return e.readPruned(ctx, a, p, o) })
		case pruneNothing:
		}
	}
	if err := each(jobs, func(job func() error) error { return job() }); err != nil {
		return nil, err
	}
	return o, e.readSubscriptions(ctx, o)
}

// readQueue reads one queue; one that is missing is left out.
func (e *engine) readQueue(ctx context.Context, a arn, o *observed) error {
	q := &haveQueue{}
	err := e.calls.do(ctx, "sqs:GetQueueUrl", a.String(), func(ctx context.Context) error {
		out, err := e.client.SQS.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &a.name}, queueIn(a))
		if err == nil {
			q.url = aws.ToString(out.QueueUrl)
		}
		return err
	})
	if err == nil {
		err = e.readAttributes(ctx, a, q)
	}
	if err == nil {
		err = e.calls.do(ctx, "sqs:ListQueueTags", a.String(), func(ctx context.Context) error {
			out, err := e.client.SQS.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: &q.url}, queueIn(a))
			if err == nil {
				q.tags = out.Tags
			}
			return err
		})
	}
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if got := q.attrs["QueueArn"]; got != a.String() {
		return fmt.Errorf("fanout: the queue %s is %s, and the topology says %s: is it another account than the clients', or is their endpoint of another region?", a.name, got, a)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queues[a] = q
	return nil
}

func (e *engine) readAttributes(ctx context.Context, a arn, q *haveQueue) error {
	return e.calls.do(ctx, "sqs:GetQueueAttributes", a.String(), func(ctx context.Context) error {
		out, err := e.client.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: &q.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
		}, queueIn(a))
		if err == nil {
			q.attrs = out.Attributes
		}
		return err
	})
}

// readTopic reads one topic and lists its subscriptions; one that is missing is
// left out.
func (e *engine) readTopic(ctx context.Context, a arn, o *observed) error {
	topic, text := &haveTopic{}, a.String()
	err := e.calls.do(ctx, "sns:GetTopicAttributes", text, func(ctx context.Context) error {
		out, err := e.client.SNS.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &text}, topicIn(a))
		if err == nil {
			topic.attrs = out.Attributes
		}
		return err
	})
	if err == nil {
		err = e.calls.do(ctx, "sns:ListTagsForResource", text, func(ctx context.Context) error {
			out, err := e.client.SNS.ListTagsForResource(ctx, &sns.ListTagsForResourceInput{ResourceArn: &text}, topicIn(a))
			if err != nil {
				return err
			}
			topic.tags = map[string]string{}
			for _, tag := range out.Tags {
				topic.tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
			}
			return nil
		})
	}
	var subs []haveSub
	var next *string
	for more := true; more && err == nil; {
		err = e.calls.do(ctx, "sns:ListSubscriptionsByTopic", text, func(ctx context.Context) error {
			out, err := e.client.SNS.ListSubscriptionsByTopic(ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: &text, NextToken: next}, topicIn(a))
			if err != nil {
				return err
			}
			for _, s := range out.Subscriptions {
				subs = append(subs, haveSub{
					arn: aws.ToString(s.SubscriptionArn), protocol: aws.ToString(s.Protocol), endpoint: aws.ToString(s.Endpoint), owner: aws.ToString(s.Owner),
				})
			}
			next = out.NextToken
			more = aws.ToString(next) != ""
			return nil
		})
	}
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.topics[a], o.subs[a] = topic, subs
	return nil
}

// readForeignTopics lists the subscriptions that this account has in the region of
// a topic of others: listing by topic is for its owner.
func (e *engine) readForeignTopics(ctx context.Context, in arn, o *observed) error {
	var next *string
	for more := true; more; {
		err := e.calls.do(ctx, "sns:ListSubscriptions", "*", func(ctx context.Context) error {
			out, err := e.client.SNS.ListSubscriptions(ctx, &sns.ListSubscriptionsInput{NextToken: next}, topicIn(in))
			if err != nil {
				return err
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			for _, s := range out.Subscriptions {
				topic, ok := parseARN(aws.ToString(s.TopicArn))
				if !ok || !e.subscribesTo(topic) {
					continue
				}
				o.subs[topic] = append(o.subs[topic], haveSub{
					arn: aws.ToString(s.SubscriptionArn), protocol: aws.ToString(s.Protocol), endpoint: aws.ToString(s.Endpoint), owner: aws.ToString(s.Owner),
				})
			}
			next = out.NextToken
			more = aws.ToString(next) != ""
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// subscribesTo tells whether a topic that is not the topology's feeds it.
func (e *engine) subscribesTo(topic arn) bool {
	for i := range e.want.subs {
		if e.want.subs[i].topic == topic && !e.want.subs[i].ownTopic {
			return true
		}
	}
	return false
}

// readPruned looks whether a subscription that is to end is there.
func (e *engine) readPruned(ctx context.Context, topic arn, subscription string, o *observed) error {
	err := e.calls.do(ctx, "sns:GetSubscriptionAttributes", subscription, func(ctx context.Context) error {
		out, err := e.client.SNS.GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &subscription}, topicIn(topic))
		if err != nil {
			return err
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.ends[subscription] = out.Attributes["Endpoint"]
		return nil
	})
	if missing(err) {
		return nil
	}
	if denied := (*AccessError)(nil); errors.As(err, &denied) {
		// What another account made only that one may read.
		var let []int
		for at, i := range e.want.letIn {
			if at[0] == topic {
				let = append(let, i)
			}
		}
		if len(let) > 0 {
			err = errors.Join(&ConfigError{"Config.Prune", subscription, fmt.Sprintf("something that the topology does not use: it may be Subscriptions[%d], which is let in", slices.Min(let))}, err)
		}
	}
	return err
}

// readSubscriptions reads the attributes of the subscriptions that are declared.
func (e *engine) readSubscriptions(ctx context.Context, o *observed) error {
	return each(e.want.subs, func(w wantSub) error {
		s := o.sub(w.topic, w.queue)
		if s == nil || !strings.HasPrefix(s.arn, "arn:") {
			return nil
		}
		err := e.calls.do(ctx, "sns:GetSubscriptionAttributes", s.arn, func(ctx context.Context) error {
			out, err := e.client.SNS.GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &s.arn}, topicIn(w.topic))
			if err == nil {
				s.attrs = out.Attributes
			}
			return err
		})
		if missing(err) {
			return errors.Join(fmt.Errorf("fanout: the subscription %s went away while it was looked at: plan again", s.arn), err)
		}
		return err
	})
}
