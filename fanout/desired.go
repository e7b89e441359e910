package fanout

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// markTag is the tag that says which topology a queue or topic belongs to, and a
// digest of what it declared last: what differs under an unchanged declaration was
// changed by somebody else.
const markTag = "holdfast"

// desired is a topology in the terms of the APIs.
type desired struct {
	topics []wantTopic
	queues []wantQueue
	subs   []wantSub
	letIn  map[[2]arn]int // topics and queues of subscriptions that others make, with the index
	used   map[arn]string // topics and queues of others that subscriptions are about, with the field
}

type wantTopic struct {
	arn   arn
	attrs map[string]string
	tags  map[string]string
	fifo  bool
}

type wantQueue struct {
	arn        arn
	attrs      map[string]string // FifoQueue, which is set once, is not among them
	tags       map[string]string
	statements []statement
	fifo       bool
}

type wantSub struct {
	topic, queue arn
	raw          bool
	filter       string // "" for none
	scope        string // of a filter
	dlq          string // "" for none
	ownTopic     bool   // of the topology
	ownQueue     bool
}

// The names of attributes that more than one place needs.
const (
	attrPolicy         = "Policy"
	attrRedrive        = "RedrivePolicy"
	attrRedriveAllow   = "RedriveAllowPolicy"
	attrKMSKey         = "KmsMasterKeyId"
	attrKMSReuse       = "KmsDataKeyReusePeriodSeconds"
	attrSSE            = "SqsManagedSseEnabled"
	attrContentDedup   = "ContentBasedDeduplication"
	attrRaw            = "RawMessageDelivery"
	attrFilter         = "FilterPolicy"
	attrScope          = "FilterPolicyScope"
	scopeAttributes    = "MessageAttributes"
	scopeBody          = "MessageBody"
	attrRetention      = "MessageRetentionPeriod"
	attrPending        = "PendingConfirmation"
	attrLastModified   = "LastModifiedTimestamp"
	pendingARN         = "PendingConfirmation" // as ListSubscriptionsByTopic has it
	attrMaxMessageSize = "MaximumMessageSize"
	attrDelay          = "DelaySeconds"
)

// compile makes the desired state of a topology that is valid and has its
// defaults.
func compile(t Topology) *desired {
	d := &desired{letIn: map[[2]arn]int{}, used: map[arn]string{}}
	for i := range t.Topics {
		d.topics = append(d.topics, t.wantTopic(&t.Topics[i]))
	}
	for i := range t.Queues {
		q := &t.Queues[i]
		if !q.DLQ.Off && t.queue(q.DLQ.Name) == nil && d.queue(t.at("sqs", q.DLQ.Name)) == nil {
			d.queues = append(d.queues, t.wantDeadLetters(q))
		}
	}
	for i := range t.Subscriptions {
		s := &t.Subscriptions[i]
		if s.DLQ.Off || s.DLQ.ARN != "" || s.LetIn || t.queue(s.DLQ.Name) != nil {
			continue
		}
		if at := t.undelivered(s); d.queue(at) == nil {
			w := t.newQueue(Queue{Name: s.DLQ.Name, Retention: s.DLQ.Retention, KMSKey: s.DLQ.KMSKey}, true)
			w.arn = at
			d.queues = append(d.queues, w)
		}
	}
	for i := range t.Queues {
		d.queues = append(d.queues, t.newQueue(t.Queues[i], false))
	}
	for i := range t.Subscriptions {
		d.subscribe(&t, i)
	}
	d.mark(&t)
	return d
}

// queue is a wanted queue, nil for none.
func (d *desired) queue(a arn) *wantQueue {
	for i := range d.queues {
		if d.queues[i].arn == a {
			return &d.queues[i]
		}
	}
	return nil
}

// topic is a wanted topic, nil for none.
func (d *desired) topic(a arn) *wantTopic {
	for i := range d.topics {
		if d.topics[i].arn == a {
			return &d.topics[i]
		}
	}
	return nil
}

// level is how many queues are to be there before a queue can be made: its
// dead-letter queue, and that one's.
func (d *desired) level(w *wantQueue) int {
	n := 0
	for n < len(d.queues) {
		target, ok := parseARN(redriveTarget(w.attrs[attrRedrive]))
		if !ok {
			break
		}
		if w = d.queue(target); w == nil {
			break
		}
		n++
	}
	return n
}

func (t Topology) wantTopic(topic *Topic) wantTopic {
	w := wantTopic{arn: t.at("sns", topic.Name), attrs: maps.Clone(topic.Attributes), tags: t.tagsWith(topic.Tags), fifo: isFIFO(topic.Name)}
	if w.attrs == nil {
		w.attrs = map[string]string{}
	}
	w.attrs[attrKMSKey] = topic.KMSKey
	if topic.MaxMessageSize != 0 {
		w.attrs[attrMaxMessageSize] = strconv.Itoa(topic.MaxMessageSize)
	}
	if w.fifo {
		w.attrs[attrContentDedup] = strconv.FormatBool(topic.ContentBasedDeduplication)
	}
	return w
}

// newQueue is a declared queue, or one for dead letters that goes without a
// dead-letter queue of its own.
func (t Topology) newQueue(q Queue, forDead bool) wantQueue {
	w := wantQueue{arn: t.at("sqs", q.Name), tags: t.tagsWith(q.Tags), fifo: isFIFO(q.Name)}
	w.attrs = map[string]string{
		"VisibilityTimeout": inSeconds(cmp.Or(q.Visibility, 30*time.Second)),
		attrRetention:       inSeconds(q.Retention),
		attrDelay:           inSeconds(q.Delay),
		attrKMSKey:          q.KMSKey,
		attrSSE:             strconv.FormatBool(q.KMSKey == ""),
	}
	if q.KMSKey != "" {
		w.attrs[attrKMSReuse] = inSeconds(cmp.Or(q.KMSReuse, 5*time.Minute))
	}
	if q.ReceiveWait != 0 {
		w.attrs["ReceiveMessageWaitTimeSeconds"] = inSeconds(q.ReceiveWait)
	}
	if q.MaxMessageSize != 0 {
		w.attrs[attrMaxMessageSize] = strconv.Itoa(q.MaxMessageSize)
	}
	if w.fifo {
		w.attrs[attrContentDedup] = strconv.FormatBool(q.ContentBasedDeduplication)
		w.attrs["DeduplicationScope"], w.attrs["FifoThroughputLimit"] = "queue", "perQueue"
		if q.HighThroughput {
			w.attrs["DeduplicationScope"], w.attrs["FifoThroughputLimit"] = "messageGroup", "perMessageGroupId"
		}
	}
	if !forDead {
		w.attrs[attrRedrive] = ""
		if !q.DLQ.Off {
			w.attrs[attrRedrive] = jsonOf(map[string]any{
				"deadLetterTargetArn": t.at("sqs", q.DLQ.Name).String(), "maxReceiveCount": q.DLQ.MaxReceives,
			})
		}
	}
	if q.AllowRedriveFrom != nil {
		w.attrs[attrRedriveAllow] = t.redriveAllow(q.AllowRedriveFrom)
	}
	return w
}

// wantDeadLetters is the dead-letter queue that is made with q: encrypted as q is,
// and for those queues that name it.
func (t Topology) wantDeadLetters(q *Queue) wantQueue {
	var from []string
	for i := range t.Queues {
		if o := &t.Queues[i]; !o.DLQ.Off && o.DLQ.Name == q.DLQ.Name {
			from = append(from, o.Name)
		}
	}
	if len(from) > maxRedriveARN {
		from = []string{"*"}
	}
	return t.newQueue(Queue{
		Name: q.DLQ.Name, Retention: q.DLQ.Retention, KMSKey: q.KMSKey, KMSReuse: q.KMSReuse, AllowRedriveFrom: from, Tags: q.Tags,
	}, true)
}

func (t Topology) redriveAllow(from []string) string {
	switch {
	case len(from) == 0 || from[0] == "-":
		return jsonOf(map[string]any{"redrivePermission": "denyAll"})
	case from[0] == "*":
		return jsonOf(map[string]any{"redrivePermission": "allowAll"})
	}
	arns := make([]string, len(from))
	for i, name := range from {
		arns[i] = t.at("sqs", nameOf(name)).String()
	}
	return jsonOf(map[string]any{"redrivePermission": "byQueue", "sourceQueueArns": arns})
}

func (t Topology) tagsWith(own map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, t.Tags)
	maps.Copy(all, own)
	return all
}

// subscribe adds a subscription, and the statements that it needs.
func (d *desired) subscribe(t *Topology, i int) {
	s := &t.Subscriptions[i]
	w := wantSub{raw: s.Raw, filter: s.Filter.JSON()}
	var elsewhere bool
	if w.topic, elsewhere = parseARN(s.Topic); !elsewhere {
		w.topic, w.ownTopic = t.at("sns", s.Topic), true
	}
	if w.queue, elsewhere = parseARN(s.Queue); !elsewhere {
		w.queue, w.ownQueue = t.at("sqs", s.Queue), true
	}
	dlq, _ := parseARN(s.DLQ.ARN)
	for field, a := range map[string]arn{"Topic": w.topic, "Queue": w.queue, "DLQ.ARN": dlq} {
		if d.used[a] == "" {
			d.used[a] = fmt.Sprintf("Subscriptions[%d].%s", i, field)
		}
	}
	if s.LetIn {
		d.letIn[[2]arn{w.topic, w.queue}] = i
		d.permit(w.topic, d.queue(w.queue))
		return
	}
	if w.filter != "" {
		if w.scope = scopeAttributes; s.OnBody {
			w.scope = scopeBody
		}
	}
	switch {
	case s.DLQ.Off:
	case s.DLQ.ARN != "":
		w.dlq = s.DLQ.ARN
	default:
		at := t.undelivered(s)
		w.dlq = at.String()
		d.permit(w.topic, d.queue(at))
	}
	if w.ownQueue {
		d.permit(w.topic, d.queue(w.queue))
	}
	d.subs = append(d.subs, w)
}

func (d *desired) permit(topic arn, q *wantQueue) {
	s := sendStatement(topic, q.arn)
	if !slices.ContainsFunc(q.statements, func(o statement) bool { return o.Sid == s.Sid }) {
		q.statements = append(q.statements, s)
	}
}

// attributes are those of a subscription that is made.
func (s *wantSub) attributes() map[string]string {
	all := map[string]string{attrRaw: strconv.FormatBool(s.raw)}
	if s.filter != "" {
		all[attrFilter], all[attrScope] = s.filter, s.scope
	}
	if s.dlq != "" {
		all[attrRedrive] = s.redrive()
	}
	return all
}

func (s *wantSub) redrive() string {
	if s.dlq == "" {
		return ""
	}
	return jsonOf(map[string]any{"deadLetterTargetArn": s.dlq})
}

func (s *wantSub) String() string { return s.topic.name + " -> " + s.queue.name }

// mark adds the tag with the digest of what is declared about each.
func (d *desired) mark(t *Topology) {
	digest := func(about ...any) string {
		sum := sha256.Sum256([]byte(jsonOf(about)))
		return t.Name + "/" + hex.EncodeToString(sum[:6])
	}
	for i := range d.topics {
		w := &d.topics[i]
		w.tags[markTag] = digest(w.attrs, w.tags)
	}
	for i := range d.queues {
		w := &d.queues[i]
		var subs []map[string]string
		for j := range d.subs {
			if s := &d.subs[j]; s.queue == w.arn {
				about := s.attributes()
				about["TopicArn"] = s.topic.String()
				subs = append(subs, about)
			}
		}
		w.tags[markTag] = digest(w.attrs, w.tags, w.statements, subs)
	}
}

func inSeconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// jsonOf writes strings, numbers, maps and lists of these.
func jsonOf(v any) string { return strings.TrimSpace(string(appendJSON(nil, v))) }

// redriveTarget is the dead-letter queue of a RedrivePolicy, "" without one.
func redriveTarget(policy string) string {
	target, _ := redriveOf(policy)
	return target
}

// redriveOf is also how often a message may be received before it goes there.
func redriveOf(policy string) (target string, receives int) {
	var p struct {
		Target   string `json:"deadLetterTargetArn"`
		Receives any    `json:"maxReceiveCount"` // a number, also as text
	}
	if json.Unmarshal([]byte(policy), &p) != nil {
		return "", 0
	}
	if _, err := fmt.Sscan(fmt.Sprint(p.Receives), &receives); err != nil {
		receives = 0
	}
	return p.Target, receives
}
