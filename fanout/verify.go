package fanout

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/internal/filterpolicy"
	"github.com/holdfast-go/holdfast/internal/policydoc"
)

// VerifyConfig says how Verify works. Every field's zero value means its default.
type VerifyConfig struct {
	// Timeout is how long a probe may be under way, 1 s to 15 min, beside the longest Delay
	// of a subscribed queue and its dead-letter queue. Default: 30s.
	Timeout time.Duration
	// Foreign publishes probes also to topics that have subscriptions which the
	// topology does not declare, or declares with a queue elsewhere that lets the probe
	// through its filter, and to topics of others: their subscribers then get probes too,
	// and have to know what to do with them. Default: false, such topics are looked at and
	// not probed.
	Foreign bool
	// Parallel and CallsPerSecond are as in Config. Default: as there.
	Parallel int
	// CallsPerSecond is as in Config. Default: as there.
	CallsPerSecond float64
}

// Cause is why a path does not deliver.
type Cause string

// The causes.
const (
	// CausePolicy: the queue does not let the topic in.
	CausePolicy Cause = "policy"
	// CauseFilter: the filter policy in force does not let through what the declared
	// one does.
	CauseFilter Cause = "filter"
	// CauseKMS: SNS may not use the key that encrypts the queue.
	CauseKMS Cause = "kms"
	// CauseEndpoint: the queue is not there.
	CauseEndpoint Cause = "endpoint"
	// CauseConfirmation: the subscription waits to be confirmed.
	CauseConfirmation Cause = "confirmation"
	// CauseSubscription: the topic or the subscription is not there.
	CauseSubscription Cause = "subscription"
	// CauseNotProbed: nothing is wrong that can be seen, and no probe was sent.
	CauseNotProbed Cause = "not-probed"
	// CauseUnknown: the probe did not arrive, and nothing that can be seen is wrong.
	CauseUnknown Cause = "unknown"
)

// Path is one subscription, and whether it delivers.
type Path struct {
	// Topic and Queue are ARNs.
	Topic, Queue string
	// Delivered says that a probe came through; Took is how long it took.
	Delivered bool
	Took      time.Duration
	// Cause is "" for a path that delivers; Why tells people more.
	Cause Cause
	Why   string
}

// String is the path as a line of text.
func (p *Path) String() string {
	if p.Delivered {
		return fmt.Sprintf("ok      %s -> %s in %v", nameOf(p.Topic), nameOf(p.Queue), p.Took.Round(time.Millisecond))
	}
	return fmt.Sprintf("FAILS   %s -> %s: %s: %s", nameOf(p.Topic), nameOf(p.Queue), p.Cause, p.Why)
}

// Report is what Verify found, a Path for each subscription in the order of the
// topology; those with LetIn are not among them.
type Report struct{ Paths []Path }

// OK tells whether every path delivers.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Paths, func(p Path) bool { return !p.Delivered })
}

// String is the report as text, a line for each path.
func (r *Report) String() string {
	var b strings.Builder
	for i := range r.Paths {
		b.WriteString(r.Paths[i].String() + "\n")
	}
	return b.String()
}

// Verify sends a probe through every subscription of a topology and says which do not
// deliver, and why. A probe is a message that fits the declared filter and has an
// attribute, holdfast-probe, with a random value that only this call knows: nobody can
// make an answer to it up, and only what has that value is taken from a queue.
//
// Workers may be running. Package consumer keeps every message with that attribute
// from its handler and dead-letters it with the cause probe; this call looks there and
// deletes what is its own. So nobody loses a message by that attribute: one that
// carries it without being a probe is found in the dead-letter queue. Workers that are
// not of package consumer get probes as messages.
//
// A queue that is empty is read as well; a message of others that comes meanwhile is
// given back, and has lost a receive. One that holds messages is not read, because that
// would cost them receives, nor one whose maxReceiveCount is below 3: there a worker has
// to meet the probe within the Timeout, and where the queue has no dead-letter queue the
// probe could not be seen, so that none is sent. Messages of others in dead-letter queues
// are hidden while Verify reads these, and given back.
// A probe reaches every subscription of its topic whose filter it passes: Verify waits
// for all of its copies on queues of the topology, so that none is left for workers to
// find, and takes the whole Timeout where one does not come. What arrives later is left to
// the workers.
//
// The error is for what kept it from looking: that of Validate, *AccessError, ctx's. Where
// a queue may not be read it ends at once, and probes under way are left to the workers.
// Run it after Apply, or when messages are missing; not more than one at a time.
func Verify(ctx context.Context, c Clients, t Topology, cfg VerifyConfig) (*Report, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	var bad error
	if cfg.Timeout < time.Second || cfg.Timeout > 15*time.Minute {
		bad = &ConfigError{"VerifyConfig.Timeout", cfg.Timeout, "1s to 15m0s"}
	}
	e, err := newEngine(c, t, Config{Parallel: cfg.Parallel, CallsPerSecond: cfg.CallsPerSecond})
	if err := errors.Join(bad, err); err != nil {
		return nil, err
	}
	have, err := e.observe(ctx)
	if err != nil {
		return nil, err
	}
	cfg.Timeout += have.delay(e.want)
	v := &verifier{e: e, have: have, cfg: cfg, by: map[string]*probe{}}
	for i := range e.want.subs {
		v.look(&e.want.subs[i])
	}
	// What was sent is taken again, also where something could not be sent.
	err = v.send(ctx)
	if err := errors.Join(err, v.collect(ctx)); err != nil {
		return nil, err
	}
	r := &Report{}
	for i := range v.probes {
		r.Paths = append(r.Paths, v.conclude(&v.probes[i]))
	}
	return r, nil
}

// delay is for how long queues hold back a probe at most, by what they are set to now.
func (o *observed) delay(want *desired) (longest time.Duration) {
	of := func(text string) (*haveQueue, time.Duration) {
		a, _ := parseARN(text)
		q := o.queues[a]
		if q == nil {
			return nil, 0
		}
		seconds, err := strconv.Atoi(q.attrs[attrDelay])
		if err != nil {
			return q, 0
		}
		return q, time.Duration(seconds) * time.Second
	}
	for i := range want.subs {
		q, first := of(want.subs[i].queue.String())
		if q != nil {
			_, dead := of(redriveTarget(q.attrs[attrRedrive]))
			first += dead
		}
		_, refused := of(want.subs[i].dlq)
		longest = max(longest, first, refused)
	}
	return longest
}

// look finds what is wrong with a path without a probe.
func (v *verifier) look(w *wantSub) {
	p := probe{sub: w}
	have := v.have.sub(w.topic, w.queue)
	switch {
	case w.ownTopic && v.have.topics[w.topic] == nil:
		p.fails(CauseSubscription, "the topic does not exist")
	case w.ownQueue && v.have.queues[w.queue] == nil:
		p.fails(CauseEndpoint, "the queue does not exist")
	case have == nil:
		p.fails(CauseSubscription, "the queue is not subscribed to the topic")
	case have.pending():
		p.fails(CauseConfirmation, "the subscription waits for its confirmation, which SNS sent to the queue")
	case !w.ownQueue:
		p.fails(CauseNotProbed, "the queue is not of the topology, so a probe could not be seen")
	default:
		v.suspect(&p, have)
		var ok bool
		if p.message, ok = filterpolicy.SampleOf(w.filter, w.scope == scopeBody); !ok {
			p.fails(CauseNotProbed, "no message is known that fits the filter policy")
		}
		if !v.comesToLight(w) {
			p.fails(CauseNotProbed, "the queue "+v.have.queues[w.queue].whyUnread()+", so it is not read, and without a dead-letter queue that is read a probe cannot be seen")
		}
		v.foreign(&p)
		if i := slices.IndexFunc(p.suspects, func(f finding) bool { return f.sure }); p.failed != nil && i >= 0 {
			p.failed = &p.suspects[i] // what can be seen is worth more
		}
	}
	v.probes = append(v.probes, p)
}

// suspect notes what may be the reason, should the probe not arrive.
func (v *verifier) suspect(p *probe, have *haveSub) {
	w, q := p.sub, v.have.queues[p.sub.queue]
	suspect := func(sure bool, cause Cause, format string, args ...any) {
		p.suspects = append(p.suspects, finding{cause, fmt.Sprintf(format, args...), sure})
	}
	s := sendStatement(w.topic, w.queue)
	doc, err := policydoc.Read(q.attrs[attrPolicy])
	switch {
	case q.attrs[attrPolicy] == "":
		suspect(true, CausePolicy, "the queue has no policy, so SNS may not send to it: apply the topology")
	case err != nil:
		suspect(true, CausePolicy, "the queue's policy cannot be read: %v", err)
	case !policydoc.Same(doc.Find(s.Sid), s.text()):
		suspect(true, CausePolicy, "the queue's policy has no statement %s that lets the topic send: apply the topology", s.Sid)
	}
	scope := have.attrs[attrScope]
	if filter := have.attrs[attrFilter]; !filterpolicy.Same(filter, w.filter) || w.filter != "" && scope != w.scope {
		suspect(true, CauseFilter, "the filter policy in force is %s (%s), and declared is %s (%s)", orNone(filter), orNone(scope), orNone(w.filter), orNone(w.scope))
	}
	if err == nil && slices.ContainsFunc(doc.Statements(), denies) {
		suspect(false, CausePolicy, "a statement of the queue's policy denies")
	}
	switch key := q.attrs[attrKMSKey]; {
	case isAWSKey(key):
		suspect(true, CauseKMS, "the queue is encrypted with %s, which SNS may not use", key)
	case key != "":
		suspect(false, CauseKMS, "the queue is encrypted with the key %s: its policy must let %s use kms:GenerateDataKey and kms:Decrypt", key, strings.Join(principals(w.topic, w.queue), " or "))
	}
}

// denies tells whether a statement may keep SNS out. Whom and what it is about is not
// looked into, but for the one that many queues have, against those without TLS, which
// SNS uses.
func denies(s policydoc.Statement) bool {
	var about struct {
		Effect    string
		Condition map[string]map[string]any
	}
	if json.Unmarshal(s.Raw, &about) != nil || about.Effect != "Deny" {
		return false
	}
	secure := about.Condition["Bool"]["aws:SecureTransport"]
	return len(about.Condition) != 1 || len(about.Condition["Bool"]) != 1 || secure != "false" && secure != false
}

// foreign keeps probes from those who would take them for messages.
func (v *verifier) foreign(p *probe) {
	if v.cfg.Foreign {
		return
	}
	w := p.sub
	if !w.ownTopic {
		p.fails(CauseNotProbed, "the topic is not of the topology, and others would get the probe: set Foreign")
		return
	}
	for _, s := range v.have.subs[w.topic] {
		declared := slices.ContainsFunc(v.e.want.subs, func(o wantSub) bool {
			return o.topic == w.topic && o.queue.String() == s.endpoint && s.protocol == "sqs"
		})
		if !declared {
			p.fails(CauseNotProbed, s.endpoint+" is subscribed too and would get the probe: set Foreign")
		}
	}
	for i := range v.e.want.subs {
		if o := &v.e.want.subs[i]; !o.ownQueue && v.passes(p, o) {
			p.fails(CauseNotProbed, o.queue.String()+" is not of the topology and would get the probe: set Foreign")
		}
	}
}

// conclude says what became of a probe.
func (v *verifier) conclude(p *probe) Path {
	path := Path{Topic: p.sub.topic.String(), Queue: p.sub.queue.String()}
	fails := func(f finding) Path {
		path.Cause, path.Why = f.cause, f.why
		return path
	}
	switch {
	case p.failed != nil:
		return fails(*p.failed)
	case !p.arrived.IsZero():
		path.Delivered, path.Took = true, p.arrived.Sub(p.sent)
		return path
	case p.refused != "":
		return fails(p.whyRefused())
	case len(p.suspects) > 0:
		return fails(p.suspects[0])
	case !v.comesToLight(p.sub):
		return fails(finding{cause: CauseUnknown, why: fmt.Sprintf("nothing can be seen that is wrong, nor the probe: the queue holds messages, or gives them fewer than %d receives, so it was not read on%s",
			leastReceives, cmp.Or(v.unfinished(p.sub), ", and has no dead-letter queue that is read"))})
	case v.busy[p.sub.queue]:
		return fails(finding{cause: CauseUnknown, why: fmt.Sprintf("nothing can be seen that is wrong, and no worker met the probe within %v: the queue holds messages, or gives them fewer than %d receives, so it was not read%s", v.cfg.Timeout, leastReceives, v.unfinished(p.sub))})
	}
	return fails(finding{cause: CauseUnknown, why: fmt.Sprintf("nothing can be seen that is wrong, and the probe did not arrive within %v%s", v.cfg.Timeout, v.unfinished(p.sub))})
}

// unfinished says which dead-letter queues, where a probe may be, were not read to the end.
func (v *verifier) unfinished(w *wantSub) string {
	dead := []string{w.dlq}
	if q := v.have.queues[w.queue]; q != nil {
		dead = append(dead, redriveTarget(q.attrs[attrRedrive]))
	}
	slices.Sort(dead)
	var b strings.Builder
	for _, name := range slices.Compact(dead) {
		if a, ok := parseARN(name); ok && v.gaveUp[a] {
			fmt.Fprintf(&b, "; it may be in the dead-letter queue %s, which has so many messages of others that it was not read to its end", a.name)
		}
	}
	return b.String()
}

// whyUnread says why a queue is not read.
func (q *haveQueue) whyUnread() string {
	if q.held() > 0 {
		return "holds messages"
	}
	return fmt.Sprintf("gives messages fewer than %d receives", leastReceives)
}

// whyRefused says why SNS put a probe on the subscription's dead-letter queue: by what
// SNS wrote to it, or else by what may be wrong.
func (p *probe) whyRefused() finding {
	text := strings.ToLower(p.refused)
	f := finding{cause: CauseUnknown, why: "SNS could not deliver it and put it on the subscription's dead-letter queue"}
	switch {
	case strings.Contains(text, "kms"):
		f.cause = CauseKMS
	case strings.Contains(text, "nonexistent"), strings.Contains(text, "does not exist"):
		f.cause = CauseEndpoint
	case strings.Contains(text, "denied"):
		f.cause = CausePolicy
	}
	for _, s := range p.suspects {
		if s.cause == f.cause || f.cause == CauseUnknown && s.cause != CauseFilter {
			f.cause, f.why = s.cause, f.why+"; "+s.why
			break
		}
	}
	if p.refused != undeliveredText {
		f.why += ": " + p.refused
	}
	return f
}
