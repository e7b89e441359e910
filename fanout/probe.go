package fanout

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/internal/cause"
	"github.com/holdfast-go/holdfast/internal/envelope"
	"github.com/holdfast-go/holdfast/internal/filterpolicy"
)

// undeliveredText stands where SNS did not say why.
const undeliveredText = "undelivered"

// leastReceives is the least maxReceiveCount of a subscribed queue that is read: a
// message of others that is met there loses a receive, and with fewer that may be all
// it has.
const leastReceives = 3

// maxStrangers is how many messages of others are hidden at most while a dead-letter
// queue is read.
const maxStrangers = 100

// verifier is one run of Verify.
type verifier struct {
	e      *engine
	have   *observed
	cfg    VerifyConfig
	probes []probe // one for each subscription

	mu      sync.Mutex        // guards what follows, and what is known of probes
	by      map[string]*probe // those under way, by their value
	open    int               // how many of them have not come to an end
	busy    map[arn]bool      // queues whose work is left to workers
	gaveUp  map[arn]bool      // queues that were not read to the end
	settled chan struct{}     // closed when none is open
}

// probe is a message on its way through a subscription.
type probe struct {
	sub      *wantSub
	failed   *finding  // without a probe
	suspects []finding // the likeliest first

	value   string
	message filterpolicy.Sample
	sent    time.Time
	arrived time.Time
	refused string // what SNS says, where it is on the subscription's dead-letter queue
	certain bool   // that refused is of this subscription
	// copies is on how many queues SNS puts it, of all whose filter it passes; seen
	// are those that came to light, each once.
	copies int
	seen   map[copyOf]bool
	ended  bool // it has come to an end
}

// copyOf is a message that is a copy of a probe.
type copyOf struct {
	queue arn
	id    string
}

type finding struct {
	cause Cause
	why   string
	sure  bool // nothing gets through
}

func (p *probe) fails(cause Cause, why string) {
	if p.failed == nil {
		p.failed = &finding{cause: cause, why: why}
	}
}

// send publishes the probes. Where one cannot be published the others are on their way.
func (v *verifier) send(ctx context.Context) error {
	v.busy, v.gaveUp, v.settled = map[arn]bool{}, map[arn]bool{}, make(chan struct{})
	var out []*probe
	for i := range v.probes {
		p := &v.probes[i]
		if p.failed != nil {
			continue
		}
		p.value, p.seen = rand.Text(), map[copyOf]bool{}
		v.by[p.value] = p
		out = append(out, p)
	}
	for _, p := range out {
		for i := range v.probes {
			if v.reaches(p, v.probes[i].sub) {
				p.copies++
			}
		}
	}
	if v.open = len(out); v.open == 0 {
		close(v.settled)
	}
	return each(out, func(p *probe) error {
		err := v.e.publish(ctx, p)
		if err != nil {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.over(p)
		}
		return err
	})
}

// passes tells whether SNS delivers a copy of a probe by a subscription, or tries to.
func (v *verifier) passes(p *probe, w *wantSub) bool {
	have := v.have.sub(w.topic, w.queue)
	return w.topic == p.sub.topic && have != nil && !have.pending() && p.message.Passes(have.attrs[attrFilter], have.attrs[attrScope] == scopeBody)
}

// reaches tells whether a copy of a probe is delivered by a subscription and comes to light.
func (v *verifier) reaches(p *probe, w *wantSub) bool { return v.passes(p, w) && v.comesToLight(w) }

// comesToLight tells whether what a subscription delivers is seen: on the queue, or on what
// that one or the subscription has for dead letters. What is on a queue elsewhere is not.
func (v *verifier) comesToLight(w *wantSub) bool {
	q := v.have.queues[w.queue]
	seen := func(dlq string) bool {
		a, _ := parseARN(dlq)
		return v.have.queues[a] != nil && !v.gaveUp[a]
	}
	switch {
	case !w.ownQueue:
		return false
	case q == nil:
		return seen(w.dlq)
	}
	return q.spare() && !v.gaveUp[w.queue] || seen(redriveTarget(q.attrs[attrRedrive]))
}

// spare tells whether a queue may be read: that takes a receive from nobody who has only
// few.
func (q *haveQueue) spare() bool {
	target, receives := redriveOf(q.attrs[attrRedrive])
	return q.held() == 0 && (target == "" || receives >= leastReceives)
}

// publish publishes one probe.
func (e *engine) publish(ctx context.Context, p *probe) error {
	s, onBody := p.message, p.sub.scope == scopeBody
	text := p.sub.topic.String()
	in := &sns.PublishInput{TopicArn: &text, Message: aws.String("a probe of holdfast"), MessageAttributes: map[string]snstypes.MessageAttributeValue{
		envelope.ProbeAttribute: {DataType: aws.String("String"), StringValue: &p.value},
	}}
	for name, a := range s.Attributes {
		in.MessageAttributes[name] = snstypes.MessageAttributeValue{DataType: aws.String(a.Type), StringValue: aws.String(a.Text)}
	}
	if onBody {
		body, err := json.Marshal(s.Body)
		if err != nil {
			return fmt.Errorf("fanout: the body of a probe: %w", err)
		}
		in.Message = aws.String(string(body))
	}
	if isFIFO(p.sub.topic.name) {
		// A group of its own: nothing waits behind it.
		in.MessageGroupId, in.MessageDeduplicationId = aws.String("holdfast-probe-"+p.value), &p.value
	}
	p.sent = time.Now()
	return e.calls.do(ctx, "sns:Publish", text, func(ctx context.Context) error {
		_, err := e.client.SNS.Publish(ctx, in, topicIn(p.sub.topic))
		return err
	})
}

// place is a queue in which probes are looked for.
type place struct {
	queue arn
	url   string
	// main are the subscriptions of the queue itself, dead those of queues that it is
	// the dead-letter queue of, and refused those that have SNS put here what it
	// cannot deliver.
	main, dead, refused []*wantSub
}

// counted tells whether copies are waited for here: one that could not be delivered to a
// queue elsewhere is taken where it is met.
func (at *place) counted() bool {
	return slices.ContainsFunc(slices.Concat(at.main, at.dead, at.refused), func(w *wantSub) bool { return w.ownQueue })
}

// places lists where the probes and their copies may come to light.
func (v *verifier) places() []*place {
	all := map[arn]*place{}
	at := func(queue arn) *place {
		q := v.have.queues[queue]
		if q == nil {
			return &place{} // nobody looks
		}
		if all[queue] == nil {
			all[queue] = &place{queue: queue, url: q.url}
		}
		return all[queue]
	}
	for i := range v.probes {
		w := v.probes[i].sub
		if !slices.ContainsFunc(v.probes, func(p probe) bool { return p.value != "" && (p.sub == w || v.passes(&p, w)) }) {
			continue
		}
		if q := v.have.queues[w.queue]; q != nil {
			if q.spare() {
				here := at(w.queue)
				here.main = append(here.main, w)
			} else {
				v.busy[w.queue] = true
			}
			if target, ok := parseARN(redriveTarget(q.attrs[attrRedrive])); ok {
				there := at(target)
				there.dead = append(there.dead, w)
			}
		}
		if dlq, ok := parseARN(w.dlq); ok {
			there := at(dlq)
			there.refused = append(there.refused, w)
		}
	}
	return slices.Collect(maps.Values(all))
}

// collect looks for the probes until all have come to an end, the time is over, or one place
// cannot be read: without that one there is nothing to report.
func (v *verifier) collect(ctx context.Context) error {
	end, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	go func() {
		select {
		case <-v.settled:
			cancel()
		case <-end.Done():
		}
	}()
	err := each(v.places(), func(p *place) error {
		err := v.read(ctx, end, p)
		if err != nil {
			cancel()
		}
		return err
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// read reads a queue until the time is over. A poll that is under way then is not cut:
// SQS might hand a message to it, which nobody would see for a while.
func (v *verifier) read(ctx, end context.Context, at *place) error {
	var strangers []string // receipt handles
	defer func() { v.giveBack(ctx, at, strangers) }()
	for end.Err() == nil {
		var out *sqs.ReceiveMessageOutput
		err := v.e.calls.inTurn(ctx, "sqs:ReceiveMessage", at.queue.String(), func(ctx context.Context) (err error) {
			out, err = v.e.client.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
				QueueUrl: &at.url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: int32(v.cfg.Timeout/time.Second) + 10,
				MessageAttributeNames:       []string{"All"},
				MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameDeadLetterQueueSourceArn},
			}, queueIn(at.queue))
			return err
		})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		met := false
		for i := range out.Messages {
			m := &out.Messages[i]
			p := v.mine(m)
			if p == nil {
				strangers, met = append(strangers, aws.ToString(m.ReceiptHandle)), true
				continue
			}
			err := v.e.calls.do(context.WithoutCancel(ctx), "sqs:DeleteMessage", at.queue.String(), func(ctx context.Context) error {
				_, err := v.e.client.SQS.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &at.url, ReceiptHandle: m.ReceiptHandle}, queueIn(at.queue))
				return err
			})
			if err != nil {
				return err
			}
			v.found(at, p, m)
		}
		// Work is left to the workers from the first message on.
		if met && len(at.main) > 0 || len(strangers) > maxStrangers {
			v.giveUp(at.queue)
			return nil
		}
	}
	return nil
}

// giveBack makes messages of others visible again. Where that fails they come back
// by themselves.
func (v *verifier) giveBack(ctx context.Context, at *place, handles []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	_ = each(handles, func(handle string) error {
		return v.e.calls.do(ctx, "sqs:ChangeMessageVisibility", at.queue.String(), func(ctx context.Context) error {
			_, err := v.e.client.SQS.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &at.url, ReceiptHandle: &handle, VisibilityTimeout: 0}, queueIn(at.queue))
			return err
		})
	})
}

// mine is the probe that a message is, nil for none of this run.
func (v *verifier) mine(m *types.Message) *probe {
	value := aws.ToString(m.MessageAttributes[envelope.ProbeAttribute].StringValue)
	if in, kind := envelope.SNS(aws.ToString(m.Body)); kind == envelope.Notification {
		value = in.Attributes[envelope.ProbeAttribute].String
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.by[value]
}

// found notes where a probe came to light. Probes of one subscription may pass the
// filter of another: only in its own places it says something.
func (v *verifier) found(at *place, p *probe, m *types.Message) {
	// The queue it was dead-lettered from: by SQS itself, which emulators may not say, or
	// by a worker.
	from, _ := parseARN(m.Attributes[string(types.MessageSystemAttributeNameDeadLetterQueueSourceArn)])
	if c, err := cause.Decode(aws.ToString(m.MessageAttributes[cause.Attribute].StringValue)); err == nil {
		from, _ = parseARN(c.Queue)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	// A standard queue may deliver a message twice.
	if at.counted() {
		p.seen[copyOf{at.queue, aws.ToString(m.MessageId)}] = true
	}
	var arrived, refused bool
	switch {
	case from != arn{}:
		arrived = from == p.sub.queue
	case p.sub.queue == at.queue:
		arrived = true
	case slices.Contains(at.refused, p.sub):
		refused = true
	default: // SNS put it here by another subscription, or SQS moved it and does not say so
		subscribed := slices.ContainsFunc(v.probes, func(o probe) bool { return o.sub.queue == at.queue })
		arrived = slices.Contains(at.dead, p.sub) && len(at.dead) == 1 && len(at.refused) == 0 && !subscribed
	}
	switch {
	case arrived && p.arrived.IsZero():
		p.arrived = time.Now()
	case refused && p.refused == "":
		p.refused = undeliveredText
		if text := aws.ToString(m.MessageAttributes["ErrorMessage"].StringValue); text != "" {
			p.refused = aws.ToString(m.MessageAttributes["ErrorCode"].StringValue) + ": " + text
		}
		p.certain = len(at.refused) == 1 // else it may have come here by another subscription
	}
	v.settle(p)
}

// giveUp ends the reading of a queue: what comes to light nowhere else is not waited for.
func (v *verifier) giveUp(queue arn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	type way struct {
		p *probe
		w *wantSub
	}
	var awaited []way
	for _, p := range v.by {
		for i := range v.probes {
			if w := v.probes[i].sub; v.reaches(p, w) {
				awaited = append(awaited, way{p, w})
			}
		}
	}
	v.busy[queue], v.gaveUp[queue] = true, true
	for _, a := range awaited {
		met := func(c copyOf) bool { return c.queue == a.w.queue }
		if !v.comesToLight(a.w) && !slices.ContainsFunc(slices.Collect(maps.Keys(a.p.seen)), met) {
			a.p.copies--
		}
	}
	for _, p := range v.by {
		v.settle(p)
	}
}

// settle ends a probe whose own way is known, or can no more be, and of which no copy is
// left for workers to find. Call with mu held.
func (v *verifier) settle(p *probe) {
	if (!p.arrived.IsZero() || p.certain || !v.comesToLight(p.sub)) && len(p.seen) >= p.copies {
		v.over(p)
	}
}

// over counts a probe that has come to an end. Call with mu held.
func (v *verifier) over(p *probe) {
	if p.ended {
		return
	}
	p.ended = true
	if v.open--; v.open == 0 {
		close(v.settled)
	}
}

// VerifyPermissions is the least IAM policy, as JSON, with which Verify works for a
// topology: that of Plan, publishing, and taking probes from the queues. Where keys of KMS
// encrypt these and the topics, it may use them for SQS and SNS.
func VerifyPermissions(t Topology) (string, error) {
	want, err := compileChecked(t, Config{})
	if err != nil {
		return "", err
	}
	queues, _, from := want.arns()
	var used []keyUse
	for i := range want.topics {
		used = append(used, keyUse{want.topics[i].arn, want.topics[i].attrs[attrKMSKey]})
	}
	for i := range want.queues {
		used = append(used, keyUse{want.queues[i].arn, want.queues[i].attrs[attrKMSKey]})
	}
	all := append(want.reading(Config{}),
		allow("Publish", []string{"sns:Publish"}, from),
		allow("TakeProbes", []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"}, queues))
	return iamText(append(all, keys(used)...)), nil
}
