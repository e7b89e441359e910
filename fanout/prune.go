package fanout

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/internal/policydoc"
)

// HeldError says that Prune names a queue that holds messages. Nothing of it was
// deleted. Read or move the messages, or set Config.PruneMessages.
type HeldError struct {
	// Queue is the ARN, Messages how many SQS says it has, about.
	Queue    string
	Messages int
}

// Error implements error.
func (e *HeldError) Error() string {
	return fmt.Sprintf("fanout: %s holds about %d messages and is not deleted without PruneMessages", e.Queue, e.Messages)
}

// pruneKind is what an entry of Config.Prune names.
type pruneKind int

const (
	pruneNothing pruneKind = iota
	pruneTopic
	pruneQueue
	pruneSubscription
	pruneStatement
)

// pruned reads an entry of Config.Prune. Of a subscription the ARN is its topic's,
// of a statement its queue's.
func pruned(entry string) (a arn, kind pruneKind) {
	text, sid, isStatement := strings.Cut(entry, "#")
	a, ok := parseARN(text)
	switch {
	case isStatement && ok && a.service == "sqs" && sid != "":
		return a, pruneStatement
	case isStatement:
		return arn{}, pruneNothing
	case ok && a.service == "sqs":
		return a, pruneQueue
	case ok && a.service == "sns":
		return a, pruneTopic
	}
	topic, id, found := cutLast(entry, ":")
	if a, ok = parseARN(topic); found && ok && a.service == "sns" && id != "" {
		return a, pruneSubscription
	}
	return arn{}, pruneNothing
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// declares tells whether an entry of Prune names something of the topology.
// Subscriptions are looked at when they are known.
func (d *desired) declares(a arn, kind pruneKind, entry string) bool {
	switch kind {
	case pruneTopic:
		return slices.ContainsFunc(d.topics, func(w wantTopic) bool { return w.arn == a })
	case pruneQueue:
		return slices.ContainsFunc(d.queues, func(w wantQueue) bool { return w.arn == a })
	case pruneStatement:
		_, sid, _ := strings.Cut(entry, "#")
		return slices.ContainsFunc(d.queues, func(w wantQueue) bool {
			return w.arn == a && slices.ContainsFunc(w.statements, func(s statement) bool { return s.Sid == sid })
		})
	case pruneNothing, pruneSubscription:
	}
	return false
}

// uses names the field of a subscription that needs what an entry of Prune names, though it
// is of others: without it messages would be lost. "" for none.
func (d *desired) uses(a arn, kind pruneKind, entry string) string {
	field := d.used[a]
	switch kind {
	case pruneTopic, pruneQueue:
		if field != "" {
			return "it is " + field
		}
	case pruneStatement:
		_, sid, _ := strings.Cut(entry, "#")
		if slices.ContainsFunc(d.subs, func(w wantSub) bool { return (w.queue == a || w.dlq == a.String()) && sidOf(w.topic) == sid }) {
			return "it lets SNS into " + field
		}
	case pruneNothing, pruneSubscription:
	}
	return ""
}

// prune adds the deletion of an entry, where there is something to delete.
func (d *differ) prune(entry string) error {
	a, kind := pruned(entry)
	c := Change{Kind: Delete, Name: a.name, ARN: entry}
	switch kind {
	case pruneTopic:
		if d.have.topics[a] != nil {
			c.Resource = "topic"
			d.add(step{phase: deleteThings, changes: []Change{c}, run: func(ctx context.Context) error { return d.e.deleteTopic(ctx, a) }})
		}
	case pruneQueue:
		q := d.have.queues[a]
		if q == nil {
			return nil
		}
		c.Resource = "queue"
		if n := q.held(); n > 0 {
			c.Note = fmt.Sprintf("it holds about %d messages", n)
		}
		d.add(step{phase: deleteThings, changes: []Change{c}, run: func(ctx context.Context) error { return d.e.deleteQueue(ctx, a, q) }})
	case pruneSubscription:
		return d.pruneSubscription(c, a, entry)
	case pruneStatement:
		return d.pruneStatement(c, a, entry)
	case pruneNothing:
	}
	return nil
}

func (d *differ) pruneSubscription(c Change, topic arn, entry string) error {
	endpoint, there := d.have.ends[entry]
	if !there {
		return nil
	}
	if q, ok := parseARN(endpoint); ok {
		if slices.ContainsFunc(d.e.want.subs, func(w wantSub) bool { return w.topic == topic && w.queue == q }) {
			return &ConfigError{"Config.Prune", entry, "something that the topology does not declare"}
		}
		if i, used := d.e.want.letIn[[2]arn{topic, q}]; used {
			return &ConfigError{"Config.Prune", entry, fmt.Sprintf("something that the topology does not use: it is Subscriptions[%d], which is let in", i)}
		}
	}
	c.Name = topic.name + " -> " + endpoint
	c.Resource = "subscription"
	d.add(step{phase: unsubscribe, changes: []Change{c}, run: func(ctx context.Context) error { return d.e.unsubscribe(ctx, topic, entry) }})
	return nil
}

func (d *differ) pruneStatement(c Change, queue arn, entry string) error {
	q := d.have.queues[queue]
	if q == nil {
		return nil
	}
	_, sid, _ := strings.Cut(entry, "#")
	doc, err := policydoc.Read(q.attrs[attrPolicy])
	if err != nil {
		return fmt.Errorf("fanout: the policy of %s: %w", queue, err)
	}
	if c.From = doc.Find(sid); c.From == "" {
		return nil
	}
	c.Resource, c.Name = "statement", queue.name+"#"+sid
	// Statements of one queue go one after the other, each from what was left.
	level := 0
	for i := range d.steps {
		if s := &d.steps[i]; s.phase == dropStatements && s.queue == queue {
			level = s.level + 1
		}
	}
	d.add(step{phase: dropStatements, level: level, queue: queue, changes: []Change{c}, run: func(ctx context.Context) error {
		return d.e.setPolicy(ctx, queue, q, sid)
	}})
	return nil
}

func (e *engine) unsubscribe(ctx context.Context, topic arn, subscription string) error {
	return e.calls.do(ctx, "sns:Unsubscribe", subscription, func(ctx context.Context) error {
		_, err := e.client.SNS.Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: &subscription}, topicIn(topic))
		if missing(err) {
			return nil
		}
		return err
	})
}

func (e *engine) deleteTopic(ctx context.Context, a arn) error {
	text := a.String()
	return e.calls.do(ctx, "sns:DeleteTopic", text, func(ctx context.Context) error {
		_, err := e.client.SNS.DeleteTopic(ctx, &sns.DeleteTopicInput{TopicArn: &text}, topicIn(a))
		if missing(err) {
			return nil
		}
		return err
	})
}

// deleteQueue deletes a queue that is empty now, by what SQS says of it: its counts
// may be a minute behind.
func (e *engine) deleteQueue(ctx context.Context, a arn, q *haveQueue) error {
	now := &haveQueue{url: q.url}
	err := e.readAttributes(ctx, a, now)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if n := max(q.held(), now.held()); n > 0 && !e.cfg.PruneMessages {
		return &HeldError{Queue: a.String(), Messages: n}
	}
	return e.calls.do(ctx, "sqs:DeleteQueue", a.String(), func(ctx context.Context) error {
		_, err := e.client.SQS.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &q.url}, queueIn(a))
		if missing(err) {
			return nil
		}
		return err
	})
}
