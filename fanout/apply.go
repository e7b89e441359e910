package fanout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/internal/filterpolicy"
	"github.com/holdfast-go/holdfast/internal/policydoc"
)

// Apply makes what there is what the topology says, and returns the difference that
// it found. It plans anew, so what it does is never out of date; look at Plan's
// result first.
//
// Topics and queues come first, dead-letter queues before those that use them; then
// policies, and the time they take to spread (Config.PolicySpread); then
// subscriptions. So SNS never sends to a queue that refuses. A filter's scope changes
// while no filter is set: for a moment too much comes through, never too little.
// What Prune names goes last.
//
// Apply can be cut anywhere, by an error, a cancelled ctx or a crash: run again it
// does what is left, and waits for what is left of the time that policies take. With
// an error it returns the difference it was about to make too. Errors are those of
// Plan, *MissingError, *HeldError and *PolicyError. Two that run at once for one
// topology do no harm. A policy is read again right before it is set, so what others
// write to it meanwhile stays, but for what they write between these two calls, or so
// shortly before that SQS does not show it yet: SQS cannot set a policy only where it is
// unchanged. So two topologies that share a queue should not be applied at the same moment;
// where one overwrote the statement of the other, a second run mends it.
func Apply(ctx context.Context, c Clients, t Topology, cfg Config) (*Diff, error) {
	e, err := newEngine(c, t, cfg)
	if err != nil {
		return nil, err
	}
	have, err := e.observe(ctx)
	if err != nil {
		return nil, err
	}
	d, err := e.diff(have)
	if err != nil {
		return nil, err
	}
	if missing := d.missing(); e.cfg.ExistingOnly && len(missing) > 0 {
		return d, &MissingError{missing}
	}
	a := &applier{e: e, have: have, set: map[arn]time.Time{}}
	for steps := d.steps; len(steps) > 0; {
		n := slices.IndexFunc(steps, func(s step) bool { return s.order(steps[0]) != 0 })
		if n < 0 {
			n = len(steps)
		}
		if err := a.run(ctx, steps[:n]); err != nil {
			return d, err
		}
		steps = steps[n:]
	}
	return d, nil
}

// missing is what is not there. A statement is no thing of its own.
func (d *Diff) missing() []Change {
	var out []Change
	for _, c := range d.Changes {
		if c.Kind == Create && c.Resource != "statement" {
			out = append(out, c)
		}
	}
	return out
}

// applier runs steps and knows when policies were set.
type applier struct {
	e    *engine
	have *observed
	set  map[arn]time.Time // when this run set a queue's policy
}

// run runs steps of one phase and level at once.
func (a *applier) run(ctx context.Context, steps []step) error {
	if err := pause(ctx, a.spread(steps)); err != nil {
		return err
	}
	if err := each(steps, func(s step) error { return s.run(ctx) }); err != nil {
		return err
	}
	for i := range steps {
		if steps[i].queue != (arn{}) {
			a.set[steps[i].queue] = time.Now()
		}
	}
	return nil
}

// spread is how long policies still take until SNS is sure to see them. A run that
// was cut may have set them: SQS tells when the queue was changed last. Its clock may
// differ from ours; a time to come counts as now.
func (a *applier) spread(steps []step) time.Duration {
	if a.e.cfg.PolicySpread < 0 {
		return 0
	}
	now := time.Now()
	var wait time.Duration
	for i := range steps {
		for _, queue := range steps[i].needs {
			since, ok := a.set[queue]
			if q := a.have.queues[queue]; !ok && q != nil {
				since = q.modified()
			}
			if since.IsZero() {
				continue
			}
			wait = max(wait, min(a.e.cfg.PolicySpread, a.e.cfg.PolicySpread-now.Sub(since)))
		}
	}
	return wait
}

func (e *engine) createTopic(ctx context.Context, w *wantTopic) error {
	attrs := map[string]string{}
	for name, value := range w.attrs {
		if value != "" {
			attrs[name] = value
		}
	}
	if w.fifo {
		attrs["FifoTopic"] = "true"
	}
	return e.calls.do(ctx, "sns:CreateTopic", w.arn.String(), func(ctx context.Context) error {
		_, err := e.client.SNS.CreateTopic(ctx, &sns.CreateTopicInput{Name: &w.arn.name, Attributes: attrs, Tags: topicTags(w.tags)}, topicIn(w.arn))
		return err
	})
}

func topicTags(tags map[string]string) []snstypes.Tag {
	var list []snstypes.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, snstypes.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}

func (e *engine) setTopic(ctx context.Context, w *wantTopic, set map[string]string) error {
	text := w.arn.String()
	for _, name := range slices.Sorted(maps.Keys(set)) {
		err := e.calls.do(ctx, "sns:SetTopicAttributes", text, func(ctx context.Context) error {
			_, err := e.client.SNS.SetTopicAttributes(ctx, &sns.SetTopicAttributesInput{TopicArn: &text, AttributeName: aws.String(name), AttributeValue: aws.String(set[name])}, topicIn(w.arn))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) tagTopic(ctx context.Context, w *wantTopic, tags map[string]string) error {
	text := w.arn.String()
	return e.calls.do(ctx, "sns:TagResource", text, func(ctx context.Context) error {
		_, err := e.client.SNS.TagResource(ctx, &sns.TagResourceInput{ResourceArn: &text, Tags: topicTags(tags)}, topicIn(w.arn))
		return err
	})
}

func (e *engine) createQueue(ctx context.Context, w *wantQueue, policy string) error {
	attrs := map[string]string{}
	for name, value := range w.attrs {
		if value != "" {
			attrs[name] = value
		}
	}
	if attrs[attrKMSKey] != "" {
		delete(attrs, attrSSE) // off by the key
	}
	if w.fifo {
		attrs["FifoQueue"] = "true"
	}
	if policy != "" {
		attrs[attrPolicy] = policy
	}
	return e.calls.do(ctx, "sqs:CreateQueue", w.arn.String(), func(ctx context.Context) error {
		_, err := e.client.SQS.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &w.arn.name, Attributes: attrs, Tags: w.tags}, queueIn(w.arn))
		return err
	})
}

func (e *engine) setQueue(ctx context.Context, queue arn, url string, set map[string]string) error {
	return e.calls.do(ctx, "sqs:SetQueueAttributes", queue.String(), func(ctx context.Context) error {
		_, err := e.client.SQS.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: set}, queueIn(queue))
		return err
	})
}

// written is what a run has done to the policy of a queue.
type written struct {
	policy  string
	dropped []string // Sids
}

// setPolicy gives a queue the statements that are declared for it and takes drop out, in
// the policy that it has now: others may have written to it since have was read. SQS may
// answer with something older than have, or than what this run wrote last: then the later
// counts. Between the two calls nobody can be kept from writing.
func (e *engine) setPolicy(ctx context.Context, queue arn, have *haveQueue, drop ...string) error {
	now := &haveQueue{url: have.url}
	if err := e.readAttributes(ctx, queue, now); err != nil {
		return err
	}
	if now.modified().Before(have.modified()) {
		now = have
	}
	e.mu.Lock()
	last, again := e.written[queue]
	e.mu.Unlock()
	doc, stale, err := e.edited(queue, now.attrs[attrPolicy], last.dropped)
	if err == nil && again && stale {
		doc, _, err = e.edited(queue, last.policy, nil)
	}
	if err != nil {
		return err
	}
	for _, sid := range drop {
		doc.Drop(sid)
	}
	text := doc.Text()
	if n := len(doc.Statements()); len(drop) == 0 && (len(text) > maxPolicyBytes || n > maxStatements) {
		return &PolicyError{Queue: queue.String(), Bytes: len(text), Statements: n}
	}
	if err := e.setQueue(ctx, queue, have.url, map[string]string{attrPolicy: text}); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.written[queue] = written{text, append(last.dropped, drop...)}
	return nil
}

// edited is a queue's policy with what is declared and without what was dropped, and
// whether it was not so before.
func (e *engine) edited(queue arn, policy string, dropped []string) (doc policydoc.Doc, changed bool, err error) {
	if doc, err = policydoc.Read(policy); err != nil {
		return doc, false, fmt.Errorf("fanout: the policy of %s: %w", queue, err)
	}
	if w := e.want.queue(queue); w != nil {
		for i := range w.statements {
			s := &w.statements[i]
			if from := doc.Find(s.Sid); from == "" || !policydoc.Same(from, s.text()) {
				changed = true
				doc.Put(s.Sid, s.text())
			}
		}
	}
	for _, sid := range dropped {
		changed = changed || doc.Find(sid) != ""
		doc.Drop(sid)
	}
	return doc, changed, nil
}

func (e *engine) tagQueue(ctx context.Context, queue arn, url string, tags map[string]string) error {
	return e.calls.do(ctx, "sqs:TagQueue", queue.String(), func(ctx context.Context) error {
		_, err := e.client.SQS.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: &url, Tags: tags}, queueIn(queue))
		return err
	})
}

// subscribe makes a subscription with all its attributes in one call, so that no
// message meets it half made.
func (e *engine) subscribe(ctx context.Context, w *wantSub) error {
	text := w.topic.String()
	return e.calls.do(ctx, "sns:Subscribe", text, func(ctx context.Context) error {
		_, err := e.client.SNS.Subscribe(ctx, &sns.SubscribeInput{
			TopicArn: &text, Protocol: aws.String("sqs"), Endpoint: aws.String(w.queue.String()),
			Attributes: w.attributes(), ReturnSubscriptionArn: true,
		}, topicIn(w.topic))
		return err
	})
}

// setSubscription changes attributes, which SNS takes one by one. The order lets too
// much through rather than too little: the dead-letter queue first, and a scope only
// while there is no filter.
func (e *engine) setSubscription(ctx context.Context, w *wantSub, have *haveSub, newFilter, newScope bool) error {
	type attribute struct{ name, value string }
	var set []attribute
	want := w.attributes()
	if !sameAttribute(w.topic, attrRedrive, have.attrs[attrRedrive], w.redrive()) {
		set = append(set, attribute{attrRedrive, orEmptyObject(w.redrive())})
	}
	if !sameAttribute(w.topic, attrRaw, have.attrs[attrRaw], want[attrRaw]) {
		set = append(set, attribute{attrRaw, strconv.FormatBool(w.raw)})
	}
	if newScope {
		if !filterpolicy.Empty(have.attrs[attrFilter]) {
			set = append(set, attribute{attrFilter, "{}"})
		}
		set = append(set, attribute{attrScope, w.scope})
	}
	if newFilter || newScope {
		set = append(set, attribute{attrFilter, orEmptyObject(w.filter)})
	}
	for _, s := range set {
		err := e.calls.do(ctx, "sns:SetSubscriptionAttributes", have.arn, func(ctx context.Context) error {
			_, err := e.client.SNS.SetSubscriptionAttributes(ctx, &sns.SetSubscriptionAttributesInput{
				SubscriptionArn: &have.arn, AttributeName: aws.String(s.name), AttributeValue: aws.String(s.value),
			}, topicIn(w.topic))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func orEmptyObject(s string) string {
	if s == "" {
		return "{}"
	}
	return s
}
