package fanout

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-go/holdfast/internal/filterpolicy"
	"github.com/holdfast-go/holdfast/internal/policydoc"
)

// phase is the order in which Apply goes: each begins when the one before is done.
type phase int

const (
	makeTopics  phase = iota
	makeQueues        // dead-letter queues before their sources: see step.level
	setPolicies       // and then they spread
	subscribe
	markDone // the tag that says what was applied
	unsubscribe
	dropStatements
	deleteThings
	phases
)

// step is what Apply does about one queue, topic or subscription in a phase.
type step struct {
	phase   phase
	level   int // within a phase, the lower first
	queue   arn // whose policy it changes or sets, for the time that takes to spread
	changes []Change
	run     func(ctx context.Context) error
	// needs are the queues that must let SNS in before it runs.
	needs []arn
}

// differ collects the difference.
type differ struct {
	e     *engine
	have  *observed
	steps []step
	// left is what is not declared, or waits for others.
	left []Change
}

// diff makes the difference between what is wanted and what there is.
func (e *engine) diff(have *observed) (*Diff, error) {
	d := &differ{e: e, have: have}
	for i := range e.want.topics {
		d.topic(&e.want.topics[i])
	}
	for i := range e.want.queues {
		if err := d.queue(&e.want.queues[i]); err != nil {
			return nil, err
		}
	}
	for i := range e.want.subs {
		d.subscription(&e.want.subs[i])
	}
	d.foreignSubscriptions()
	d.smallQueues()
	for _, p := range e.cfg.Prune {
		if err := d.prune(p); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(d.steps, step.order)
	out := &Diff{steps: d.steps}
	for i := range d.steps {
		out.Changes = append(out.Changes, d.steps[i].changes...)
	}
	out.Changes = append(out.Changes, d.left...)
	return out, nil
}

// order is the order of two steps; those of the same are done at once.
func (s step) order(o step) int {
	return cmp.Or(cmp.Compare(s.phase, o.phase), cmp.Compare(s.level, o.level))
}

func (d *differ) add(s step) { d.steps = append(d.steps, s) }

// kindOf tells drift from a change: the mark says what was declared when it was
// applied last.
func kindOf(tags map[string]string, mark string) Kind {
	if tags[markTag] == mark {
		return Drift
	}
	return Update
}

func (d *differ) topic(w *wantTopic) {
	have := d.have.topics[w.arn]
	base := Change{Resource: "topic", Name: w.arn.name, ARN: w.arn.String()}
	if have == nil {
		c := base
		c.Kind, c.To = Create, describe(w.attrs)
		d.add(step{phase: makeTopics, changes: []Change{c}, run: func(ctx context.Context) error { return d.e.createTopic(ctx, w) }})
		return
	}
	base.Kind = kindOf(have.tags, w.tags[markTag])
	var changes []Change
	set := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(w.attrs)) {
		if to, from := w.attrs[name], have.attrs[name]; !sameAttribute(w.arn, name, from, to) {
			c := base
			c.Field, c.From, c.To = name, from, to
			changes = append(changes, c)
			set[name] = to
		}
	}
	if len(changes) > 0 {
		d.add(step{phase: makeTopics, changes: changes, run: func(ctx context.Context) error { return d.e.setTopic(ctx, w, set) }})
	}
	d.tags(base, w.tags, have.tags, func(ctx context.Context, tags map[string]string) error { return d.e.tagTopic(ctx, w, tags) })
}

// tags adds what differs of tags. The mark comes last of all that is about the
// resource.
func (d *differ) tags(base Change, want, have map[string]string, put func(ctx context.Context, tags map[string]string) error) {
	var changes []Change
	set := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if from, there := have[key]; from != want[key] || !there {
			c := base
			c.Field, c.From, c.To = "tag "+key, from, want[key]
			changes = append(changes, c)
			set[key] = want[key]
		}
	}
	for _, key := range slices.Sorted(maps.Keys(have)) {
		if _, declared := want[key]; !declared {
			c := base
			c.Kind, c.Field, c.From = Foreign, "tag "+key, have[key]
			d.left = append(d.left, c)
		}
	}
	if len(set) > 0 {
		d.add(step{phase: markDone, changes: changes, run: func(ctx context.Context) error { return put(ctx, set) }})
	}
}

func (d *differ) queue(w *wantQueue) error {
	have := d.have.queues[w.arn]
	base := Change{Resource: "queue", Name: w.arn.name, ARN: w.arn.String()}
	level := d.e.want.level(w)
	if have == nil {
		policy, _, err := d.merge(w, "")
		if err != nil {
			return err
		}
		c := base
		c.Kind, c.To = Create, describe(w.attrs)
		d.add(step{phase: makeQueues, level: level, queue: w.arn, changes: []Change{c}, run: func(ctx context.Context) error { return d.e.createQueue(ctx, w, policy) }})
		return nil
	}
	base.Kind = kindOf(have.tags, w.tags[markTag])
	var changes []Change
	set := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(w.attrs)) {
		to, from := w.attrs[name], have.attrs[name]
		if sameAttribute(w.arn, name, from, to) {
			continue
		}
		c := base
		c.Field, c.From, c.To = name, from, to
		if name == attrRetention && shorter(to, from) {
			c.Note = "messages older than that are deleted"
		}
		changes = append(changes, c)
		set[name] = to
	}
	if to, changed := set[attrSSE]; changed && to == "true" {
		set[attrKMSKey] = "" // both at once are refused, and only both at once
	}
	if len(changes) > 0 {
		d.add(step{phase: makeQueues, level: level, changes: changes, run: func(ctx context.Context) error { return d.e.setQueue(ctx, w.arn, have.url, set) }})
	}
	_, statements, err := d.merge(w, have.attrs[attrPolicy])
	if err != nil {
		return err
	}
	for i := range statements {
		statements[i].Kind = base.Kind
		if statements[i].From == "" {
			statements[i].Kind = Create
		}
	}
	if len(statements) > 0 {
		d.add(step{phase: setPolicies, queue: w.arn, changes: statements, run: func(ctx context.Context) error {
			return d.e.setPolicy(ctx, w.arn, have)
		}})
	}
	d.tags(base, w.tags, have.tags, func(ctx context.Context, tags map[string]string) error {
		return d.e.tagQueue(ctx, w.arn, have.url, tags)
	})
	return nil
}

// merge puts the statements of a queue into the policy it has, and tells which
// differ. What others wrote is not touched.
func (d *differ) merge(w *wantQueue, policy string) (merged string, changes []Change, err error) {
	doc, err := policydoc.Read(policy)
	if err != nil {
		return "", nil, fmt.Errorf("fanout: the policy of %s: %w", w.arn, err)
	}
	ours := map[string]bool{}
	for i := range w.statements {
		s := &w.statements[i]
		ours[s.Sid] = true
		from := doc.Find(s.Sid)
		if from != "" && policydoc.Same(from, s.text()) {
			continue
		}
		c := Change{Resource: "statement", Name: w.arn.name + "#" + s.Sid, ARN: w.arn.String() + "#" + s.Sid}
		c.From, c.To = from, s.text()
		if from != "" {
			c.Field = "text"
		}
		changes = append(changes, c)
		doc.Put(s.Sid, s.text())
	}
	for _, s := range doc.Statements() {
		if !ours[s.Sid] && !slices.Contains(d.e.cfg.Prune, w.arn.String()+"#"+s.Sid) {
			d.left = append(d.left, Change{Kind: Foreign, Resource: "statement", Name: w.arn.name + "#" + s.Sid, ARN: w.arn.String() + "#" + s.Sid, From: string(s.Raw)})
		}
	}
	merged = doc.Text()
	if n := len(doc.Statements()); len(changes) > 0 && (len(merged) > maxPolicyBytes || n > maxStatements) {
		return "", nil, &PolicyError{Queue: w.arn.String(), Bytes: len(merged), Statements: n}
	}
	return merged, changes, nil
}

func (d *differ) subscription(w *wantSub) {
	have := d.have.sub(w.topic, w.queue)
	base := Change{Resource: "subscription", Name: w.String()}
	var dlq []arn
	if a, ok := parseARN(w.dlq); ok {
		dlq = append(dlq, a)
	}
	if have == nil {
		c := base
		c.Kind, c.To = Create, describe(w.attributes())
		d.add(step{phase: subscribe, needs: append(dlq, w.queue), changes: []Change{c}, run: func(ctx context.Context) error { return d.e.subscribe(ctx, w) }})
		return
	}
	base.ARN = have.arn
	if have.pending() {
		c := base
		c.Kind, c.Note = Waiting, "the owner of "+w.queue.String()+" has not confirmed it"
		d.left = append(d.left, c)
		return
	}
	base.Kind = Update
	if q := d.have.queues[w.queue]; q != nil && w.ownQueue {
		base.Kind = kindOf(q.tags, d.e.want.queue(w.queue).tags[markTag])
	}
	var changes []Change
	var needs []arn
	differs := func(field, from, to string) {
		c := base
		c.Field, c.From, c.To = field, from, to
		changes = append(changes, c)
	}
	want := w.attributes()
	if raw := have.attrs[attrRaw]; !sameAttribute(w.topic, attrRaw, raw, want[attrRaw]) {
		differs(attrRaw, raw, want[attrRaw])
	}
	from := have.attrs[attrFilter]
	scope := have.attrs[attrScope]
	if scope == "" {
		scope = scopeAttributes
	}
	newFilter := !filterpolicy.Same(from, w.filter)
	// Without a filter the scope is not shown, but SNS remembers one: it is set anew.
	newScope := w.filter != "" && (filterpolicy.Empty(from) || scope != w.scope)
	if newFilter {
		differs(attrFilter, from, w.filter)
	}
	if newScope && !filterpolicy.Empty(from) {
		differs(attrScope, scope, w.scope)
		changes[len(changes)-1].Note = "in between everything is let through: SNS does not change a filter policy and its scope at once"
	}
	if redrive := have.attrs[attrRedrive]; !sameAttribute(w.topic, attrRedrive, redrive, w.redrive()) {
		differs(attrRedrive, redrive, w.redrive())
		needs = dlq
	}
	if len(changes) == 0 {
		return
	}
	d.add(step{phase: subscribe, needs: needs, changes: changes, run: func(ctx context.Context) error {
		return d.e.setSubscription(ctx, w, have, newFilter, newScope)
	}})
}

// foreignSubscriptions lists what subscribes to the topology's topics undeclared.
func (d *differ) foreignSubscriptions() {
	for i := range d.e.want.topics {
		topic := d.e.want.topics[i].arn
		for _, s := range d.have.subs[topic] {
			declared := slices.ContainsFunc(d.e.want.subs, func(w wantSub) bool {
				return w.topic == topic && w.queue.String() == s.endpoint && s.protocol == "sqs"
			})
			if !declared && !slices.Contains(d.e.cfg.Prune, s.arn) {
				d.left = append(d.left, Change{Kind: Foreign, Resource: "subscription", Name: topic.name + " -> " + s.endpoint, ARN: s.arn, Note: "Prune ends it by " + s.arn})
			}
		}
	}
}

// smallQueues lists queues that may refuse what is delivered to them. Whether messages are
// ever so large is known to those who send them.
func (d *differ) smallQueues() {
	for i := range d.e.want.queues {
		q := &d.e.want.queues[i]
		a := q.arn
		var have map[string]string
		if there := d.have.queues[a]; there != nil {
			have = there.attrs
		}
		takes := sizeOf(q.attrs, have, maxSize)
		for j := range d.e.want.subs {
			s := &d.e.want.subs[j]
			if !s.ownTopic || s.queue != a && s.dlq != a.String() {
				continue
			}
			var topic map[string]string
			if there := d.have.topics[s.topic]; there != nil {
				topic = there.attrs
			}
			published := sizeOf(d.e.want.topic(s.topic).attrs, topic, largeSize)
			size, remedy := published, "raise it to that"
			if !s.raw {
				size, remedy = enveloped(published), "raise it to that, or set Raw"
			}
			if size > maxSize {
				remedy = "set Raw"
			}
			if takes < size {
				d.left = append(d.left, Change{
					Kind: Warning, Resource: "queue", Name: a.name, ARN: a.String(), Field: attrMaxMessageSize, From: strconv.Itoa(takes),
					Note: fmt.Sprintf("%s takes messages of %d bytes and may deliver %d here, and SNS does not try again what is too large: %s", s.topic.name, published, size, remedy),
				})
				break
			}
		}
	}
}

// sizeOf is how large a message may be by what is declared, or else by what there is.
func sizeOf(want, have map[string]string, otherwise int) int {
	n, err := strconv.Atoi(cmp.Or(want[attrMaxMessageSize], have[attrMaxMessageSize]))
	if err != nil {
		return otherwise
	}
	return n
}

// sameAttribute compares values as the services mean them, of a queue, a topic or a
// topic's subscription.
func sameAttribute(at arn, name, a, b string) bool {
	switch name {
	case attrRedrive, attrRedriveAllow, attrPolicy, "DeliveryPolicy", "ArchivePolicy":
		if a == "{}" {
			a = ""
		}
		return policydoc.Same(a, b)
	case attrKMSKey:
		return sameKey(at, a, b)
	case attrSSE, attrContentDedup, attrRaw:
		return strings.EqualFold(orFalse(a), orFalse(b))
	}
	return a == b
}

func orFalse(s string) string {
	if s == "" {
		return "false"
	}
	return s
}

// sameKey compares the names of a key that encrypts a queue or a topic: AWS may tell the
// id where the ARN was given. The ARN of a key or an alias elsewhere is another one's.
func sameKey(at arn, a, b string) bool {
	return localKey(at, a) == localKey(at, b)
}

func localKey(at arn, key string) string {
	name, is := strings.CutPrefix(key, keyPrefix(at))
	if !is {
		return key
	}
	return strings.TrimPrefix(name, "key/")
}

// isAWSKey tells whether a key is the one that AWS manages for SQS.
func isAWSKey(key string) bool {
	return key == awsSQSKey || strings.HasPrefix(key, "arn:") && strings.HasSuffix(key, ":"+awsSQSKey)
}

// shorter compares two numbers of seconds.
func shorter(a, b string) bool {
	return len(a) < len(b) || len(a) == len(b) && a < b
}

// describe lists the attributes that something is made with.
func describe(attrs map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		if attrs[name] != "" {
			parts = append(parts, name+" "+attrs[name])
		}
	}
	return strings.Join(parts, ", ")
}
