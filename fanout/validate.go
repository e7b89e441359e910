package fanout

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast-go/holdfast/internal/filterpolicy"
	"github.com/holdfast-go/holdfast/internal/partition"
)

// ConfigError is one thing that is wrong with a Topology or a Config. Validate,
// Plan, Apply, Verify and the functions that print return all of them joined.
type ConfigError struct {
	// Field is where it is, as in Queues[0].Retention.
	Field string
	// Value is what was given.
	Value any
	// Bound is what is allowed.
	Bound string
}

// Error implements error.
func (e *ConfigError) Error() string {
	value := fmt.Sprintf("%v", e.Value)
	if s, ok := e.Value.(string); ok {
		value = fmt.Sprintf("%.200q", s)
	}
	return fmt.Sprintf("fanout: %s is %s; it must be %s", e.Field, value, e.Bound)
}

// Limits of queues, topics and tags.
const (
	maxQueueName  = 80
	maxTopicName  = 256
	maxTags       = 50
	minSize       = 1 << 10
	maxSize       = 1 << 20
	largeSize     = 256 << 10 // of a topic with more than maxLargeSubs subscriptions, and of a new one
	maxLargeSubs  = 100
	maxRedriveARN = 10

	maxFiltersOfTopic = 200
	maxRawAttributes  = 10 // of a message on a queue
	// envelopeBytes is more than SNS's envelope has beside the message: the names of the
	// topic and the subscription, a subject, a signature, two URLs.
	envelopeBytes = 4 << 10
)

var (
	regionName   = regexp.MustCompile(`^[a-z]+(-[a-z]+)+-[0-9]+$`)
	accountID    = regexp.MustCompile(`^[0-9]{12}$`)
	topologyName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)
	baseName     = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// topicAttributes is what Topic.Attributes may set; the rest has fields of its own.
var topicAttributes = regexp.MustCompile(`^(DisplayName|DeliveryPolicy|Policy|SignatureVersion|TracingConfig|FifoThroughputScope|ArchivePolicy|(HTTP|Firehose|Lambda|Application|SQS)(SuccessFeedbackRoleArn|SuccessFeedbackSampleRate|FailureFeedbackRoleArn))$`)

// Validate finds everything that is wrong with a topology, without a call to AWS:
// names, bounds, mixes of FIFO and standard that AWS refuses, filter policies, and
// what AWS takes and then loses messages over. The error joins a *ConfigError for
// each; it is nil where there is none.
func (t Topology) Validate() error {
	v := &validator{t: t.withDefaults()}
	v.topology()
	for i := range v.t.Topics {
		v.topic(i)
	}
	for i := range v.t.Queues {
		v.queue(i)
	}
	for i := range v.t.Subscriptions {
		v.subscription(i)
	}
	v.names()
	v.perTopic()
	return errors.Join(v.errs...)
}

type validator struct {
	t    Topology
	errs []error
}

func (v *validator) bad(field string, value any, format string, args ...any) {
	v.errs = append(v.errs, &ConfigError{field, value, fmt.Sprintf(format, args...)})
}

func (v *validator) topology() {
	if !topologyName.MatchString(v.t.Name) {
		v.bad("Name", v.t.Name, "1 to 40 letters, digits, - and _")
	}
	if !regionName.MatchString(v.t.Region) {
		v.bad("Region", v.t.Region, "a region as in eu-central-1")
	}
	if !accountID.MatchString(v.t.Account) {
		v.bad("Account", v.t.Account, "an account of twelve digits")
	}
	v.tags("Tags", v.t.Tags, nil)
}

func (v *validator) tags(field string, tags, also map[string]string) {
	all := maps.Clone(also)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, tags)
	if n := len(all) + 1; n > maxTags && len(tags) > 0 {
		v.bad(field, n, "at most %d tags, with those of the topology and one that Holdfast adds", maxTags)
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if n := utf8.RuneCountInString(key); n < 1 || n > 128 || strings.HasPrefix(strings.ToLower(key), "aws:") || key == markTag {
			v.bad(field, key, "a tag key of 1 to 128 characters that does not begin with aws: and is not %s", markTag)
		}
		if n := utf8.RuneCountInString(tags[key]); n > 256 {
			v.bad(field+"["+key+"]", n, "a tag value of at most 256 characters")
		}
	}
}

func (v *validator) name(field, name string, limit int) {
	if !baseName.MatchString(strings.TrimSuffix(name, fifoSuffix)) || len(name) > limit {
		v.bad(field, name, "1 to %d letters, digits, - and _, .fifo at the end of a FIFO one included", limit)
	}
}

// seconds checks a time that AWS counts in whole seconds.
func (v *validator) seconds(field string, d, low, high time.Duration) {
	switch {
	case d < low || d > high:
		v.bad(field, d, "%v to %v", low, high)
	case d%time.Second != 0:
		v.bad(field, d, "whole seconds")
	}
}

func (v *validator) size(field string, n int) {
	if n != 0 && (n < minSize || n > maxSize) {
		v.bad(field, n, "%d to %d", minSize, maxSize)
	}
}

func (v *validator) topic(i int) {
	topic, field := &v.t.Topics[i], fmt.Sprintf("Topics[%d]", i)
	v.name(field+".Name", topic.Name, maxTopicName)
	if topic.ContentBasedDeduplication && !isFIFO(topic.Name) {
		v.bad(field+".ContentBasedDeduplication", true, "false on a standard topic")
	}
	v.size(field+".MaxMessageSize", topic.MaxMessageSize)
	v.tags(field+".Tags", topic.Tags, v.t.Tags)
	for _, name := range slices.Sorted(maps.Keys(topic.Attributes)) {
		value := topic.Attributes[name]
		at := field + ".Attributes[" + name + "]"
		switch {
		case !topicAttributes.MatchString(name):
			v.bad(field+".Attributes", name, "the name of an attribute of SNS that Topic has no field for")
		case (name == "FifoThroughputScope" || name == "ArchivePolicy") && !isFIFO(topic.Name):
			v.bad(field+".Attributes", name, "an attribute of standard topics")
		case name == "DisplayName" && utf8.RuneCountInString(value) > 100:
			v.bad(at, value, "at most 100 characters")
		case (name == attrPolicy || name == "DeliveryPolicy" || name == "ArchivePolicy") && !isObject(value):
			v.bad(at, value, "a JSON object")
		case name == "SignatureVersion" && value != "1" && value != "2":
			v.bad(at, value, "1 or 2")
		}
	}
}

func isObject(text string) bool {
	var members map[string]json.RawMessage
	return json.Unmarshal([]byte(text), &members) == nil && members != nil
}

func (v *validator) queue(i int) {
	q, field := &v.t.Queues[i], fmt.Sprintf("Queues[%d]", i)
	fifo := isFIFO(q.Name)
	v.name(field+".Name", q.Name, maxQueueName)
	v.seconds(field+".Visibility", q.Visibility, time.Second, 12*time.Hour)
	v.seconds(field+".Retention", q.Retention, time.Minute, 14*day)
	v.seconds(field+".Delay", q.Delay, 0, 15*time.Minute)
	v.seconds(field+".ReceiveWait", q.ReceiveWait, 0, 20*time.Second)
	v.size(field+".MaxMessageSize", q.MaxMessageSize)
	if q.ContentBasedDeduplication && !fifo {
		v.bad(field+".ContentBasedDeduplication", true, "false on a standard queue")
	}
	if q.HighThroughput && !fifo {
		v.bad(field+".HighThroughput", true, "false on a standard queue")
	}
	if q.KMSKey != "" {
		v.seconds(field+".KMSReuse", q.KMSReuse, time.Minute, day)
	} else if q.KMSReuse != 0 {
		v.bad(field+".KMSReuse", q.KMSReuse, "0 without a KMSKey")
	}
	v.tags(field+".Tags", q.Tags, v.t.Tags)
	v.allowRedrive(field+".AllowRedriveFrom", q)
	v.deadLetter(field+".DLQ", q)
}

func (v *validator) allowRedrive(field string, q *Queue) {
	from := q.AllowRedriveFrom
	if len(from) > maxRedriveARN {
		v.bad(field, len(from), "at most %d queues", maxRedriveARN)
	}
	for i, name := range from {
		at := fmt.Sprintf("%s[%d]", field, i)
		if name == "*" || name == "-" {
			if len(from) > 1 {
				v.bad(at, name, "alone")
			}
			continue
		}
		a, isARN := parseARN(name)
		switch {
		case isARN && (a.service != "sqs" || a.region != v.t.Region || a.account != v.t.Account):
			v.bad(at, name, "a queue of the same account and region")
		case !isARN && v.t.queue(name) == nil:
			v.bad(at, name, "the name of one of Queues, or an ARN")
		case isFIFO(nameOf(name)) != isFIFO(q.Name):
			v.bad(at, name, "a queue of the same kind, FIFO or standard")
		}
	}
}

func (v *validator) deadLetter(field string, q *Queue) {
	d := &q.DLQ
	if d.Off {
		if d.Name != "" || d.MaxReceives != 0 || d.Retention != 0 {
			v.bad(field+".Off", true, "false where other fields of DLQ are set")
		}
		return
	}
	retention := d.Retention
	other := v.t.queue(d.Name)
	if other != nil {
		retention = other.Retention
	} else {
		v.name(field+".Name", d.Name, maxQueueName)
		v.seconds(field+".Retention", d.Retention, time.Minute, 14*day)
	}
	if other != nil && !letsIn(other, q) {
		v.bad(field+".Name", d.Name, "a queue whose AllowRedriveFrom has %s, and that of %s has %s", q.Name, d.Name, orNone(strings.Join(other.AllowRedriveFrom, ", ")))
	}
	if v.circular(q) {
		v.bad(field+".Name", d.Name, "a queue whose dead letters do not come back to %s", q.Name)
	}
	if d.MaxReceives < 1 || d.MaxReceives > 1000 {
		v.bad(field+".MaxReceives", d.MaxReceives, "1 to 1000")
	}
	if isFIFO(d.Name) != isFIFO(q.Name) {
		v.bad(field+".Name", d.Name, "a queue of the same kind as its source, FIFO or standard")
	}
	if retention < q.Retention {
		v.bad(field+".Retention", retention, "at least the queue's Retention (%v): a message keeps the time it was sent and would vanish there", q.Retention)
	}
}

// letsIn tells whether a queue may be the dead-letter queue of another; SQS refuses to
// make that one otherwise.
func letsIn(dead, source *Queue) bool {
	return dead.AllowRedriveFrom == nil || slices.ContainsFunc(dead.AllowRedriveFrom, func(from string) bool { return from == "*" || nameOf(from) == source.Name })
}

// circular tells whether a queue's dead letters end in the queue.
func (v *validator) circular(q *Queue) bool {
	next := q
	for range v.t.Queues {
		if next.DLQ.Off {
			return false
		}
		if next.DLQ.Name == q.Name {
			return true
		}
		if next = v.t.queue(next.DLQ.Name); next == nil {
			return false
		}
	}
	return false
}

func (v *validator) subscription(i int) {
	s, field := &v.t.Subscriptions[i], fmt.Sprintf("Subscriptions[%d]", i)
	topic, queue := v.t.topic(s.Topic), v.t.queue(s.Queue)
	topicARN, topicElsewhere := parseARN(s.Topic)
	queueARN, queueElsewhere := parseARN(s.Queue)
	if topic == nil && (!topicElsewhere || topicARN.service != "sns") {
		v.bad(field+".Topic", s.Topic, "the name of one of Topics, or the ARN of a topic elsewhere")
	}
	if queue == nil && (!queueElsewhere || queueARN.service != "sqs") {
		v.bad(field+".Queue", s.Queue, "the name of one of Queues, or the ARN of a queue elsewhere")
	}
	own := partition.Of(v.t.Region)
	if topicElsewhere && topicARN.partition != own {
		v.bad(field+".Topic", s.Topic, "of the partition %s, as %s is: SNS delivers within one", own, v.t.Region)
	}
	if queueElsewhere && queueARN.partition != own {
		v.bad(field+".Queue", s.Queue, "of the partition %s, as %s is: SNS delivers within one", own, v.t.Region)
	}
	if topicElsewhere && queueElsewhere {
		v.bad(field, s.Topic+" -> "+s.Queue, "of a topic or a queue of the topology")
	}
	if s.LetIn {
		if !topicElsewhere || topicARN.account == v.t.Account {
			v.bad(field+".LetIn", true, "false where the topic is not one of another account")
		}
		if s.Raw || s.OnBody || s.Filter.JSON() != "" || s.DLQ != (Undelivered{}) {
			v.bad(field+".LetIn", true, "false where Raw, Filter, OnBody or DLQ are set")
		}
	}
	topicName, queueName := nameOf(s.Topic), nameOf(s.Queue)
	if isFIFO(queueName) && !isFIFO(topicName) {
		v.bad(field+".Queue", s.Queue, "a standard queue: SNS does not deliver from a standard topic to a FIFO queue")
	}
	for j := range i {
		if v.t.Subscriptions[j].Topic == s.Topic && v.t.Subscriptions[j].Queue == s.Queue {
			v.bad(field, s.Topic+" -> "+s.Queue, "declared once; it is Subscriptions[%d] too", j)
		}
	}
	var carries []string
	if topic != nil {
		carries = topic.Carries
	}
	if s.Raw && len(carries) > maxRawAttributes {
		v.bad(field+".Raw", true, "false: messages of the topic carry up to %d attributes, and SQS takes at most %d", len(carries), maxRawAttributes)
	}
	if len(s.Filter.clauses) > 0 && s.Filter.text != "" {
		v.bad(field+".Filter", s.Filter.text, "either built or JSON, not both")
	}
	for _, p := range filterpolicy.Check(s.Filter.JSON(), s.OnBody, carries) {
		v.bad(field+".Filter", p.Value, "%s", p.Bound)
	}
	if s.OnBody && s.Filter.JSON() == "" {
		v.bad(field+".OnBody", true, "false without a Filter")
	}
	if queue != nil && isAWSKey(queue.KMSKey) {
		v.bad(fmt.Sprintf("Queues[%d].KMSKey", slices.IndexFunc(v.t.Queues, func(q Queue) bool { return q.Name == s.Queue })), queue.KMSKey,
			"a key of your own, or none: SNS may not use the one that AWS manages, and %s delivers here", s.Topic)
	}
	if !s.LetIn {
		v.undelivered(field+".DLQ", s, topicARN)
	}
	if topic != nil {
		v.sizes(field, s, topic)
	}
}

// sizes finds queues that surely refuse what the topic takes: SNS does not try again, and
// the dead-letter queue of the subscription gets it in the same form. In the envelope a
// quote, a backslash and the end of a line become two bytes each. A queue that takes as
// much as its topic, and not the envelope of the largest messages, is what many have: a
// plan warns of it.
func (v *validator) sizes(field string, s *Subscription, topic *Topic) {
	size := cmp.Or(topic.MaxMessageSize, largeSize)
	if size < minSize || size > maxSize {
		return
	}
	if !s.Raw && enveloped(size) > maxSize {
		v.bad(field+".Raw", false, "true where MaxMessageSize of %s is above %d: in SNS's envelope a message may become twice as large, and a queue takes %d",
			topic.Name, (maxSize-envelopeBytes)/2, maxSize)
		return
	}
	for i := range v.t.Queues {
		q := &v.t.Queues[i]
		if (q.Name == s.Queue || q.Name == s.DLQ.Name) && q.MaxMessageSize != 0 && q.MaxMessageSize < size {
			v.bad(fmt.Sprintf("Queues[%d].MaxMessageSize", i), q.MaxMessageSize, "at least %d: %s delivers messages of that size, by %s", size, topic.Name, field)
		}
	}
}

// enveloped is how large a message may be in SNS's envelope.
func enveloped(size int) int { return 2*size + envelopeBytes }

func (v *validator) undelivered(field string, s *Subscription, topicARN arn) {
	d := &s.DLQ
	if d.Off {
		if d.Name != "" || d.ARN != "" || d.Retention != 0 || d.KMSKey != "" {
			v.bad(field+".Off", true, "false where other fields of DLQ are set")
		}
		return
	}
	region := v.t.Region
	if topicARN.region != "" {
		region = topicARN.region
	}
	if d.ARN != "" {
		if d.Name != "" {
			v.bad(field+".Name", d.Name, "empty where ARN is set")
		}
		switch a, ok := parseARN(d.ARN); {
		case !ok || a.service != "sqs":
			v.bad(field+".ARN", d.ARN, "the ARN of a queue")
		case a.account != v.t.Account || a.region != region:
			v.bad(field+".ARN", d.ARN, "in the account and region of the subscription, %s and %s", v.t.Account, region)
		case isFIFO(a.name) != isFIFO(nameOf(s.Queue)):
			v.bad(field+".ARN", d.ARN, "a queue of the same kind as the subscribed one, FIFO or standard")
		}
		return
	}
	other := v.t.queue(d.Name)
	if other != nil && region != v.t.Region {
		v.bad(field+".Name", d.Name, "a name that is not in Queues: SNS takes no dead-letter queue of another region than the topic's, %s", region)
	}
	if other != nil {
		if isAWSKey(other.KMSKey) {
			v.bad(field+".Name", d.Name, "a queue that is not encrypted with %s, which SNS may not use", awsSQSKey)
		}
	} else {
		v.name(field+".Name", d.Name, maxQueueName)
		v.seconds(field+".Retention", d.Retention, time.Minute, 14*day)
	}
	if d.Name == s.Queue {
		v.bad(field+".Name", d.Name, "another queue than the subscribed one")
	}
	if isFIFO(d.Name) != isFIFO(nameOf(s.Queue)) {
		v.bad(field+".Name", d.Name, "a queue of the same kind as the subscribed one, FIFO or standard")
	}
	if isAWSKey(d.KMSKey) {
		v.bad(field+".KMSKey", d.KMSKey, "a key of your own, or none: SNS may not use the one that AWS manages")
	}
}

// madeWithQueue begins what is said of a dead-letter queue that is made with its queue.
const madeWithQueue = "dead letters "

// names finds two topics or two queues under one name. Dead-letter queues may be
// shared where they are declared alike.
func (v *validator) names() {
	topics := map[string]string{}
	for i := range v.t.Topics {
		field := fmt.Sprintf("Topics[%d].Name", i)
		if first := topics[v.t.Topics[i].Name]; first != "" {
			v.bad(field, v.t.Topics[i].Name, "another name than that of %s", first)
		}
		topics[v.t.Topics[i].Name] = field
	}
	type use struct{ field, says string }
	queues := map[arn]use{}
	take := func(at arn, field, says string) {
		name := at.name
		first, taken := queues[at]
		if taken && first.says != says {
			remedy := ""
			if strings.HasPrefix(first.says, madeWithQueue) && !strings.HasPrefix(says, madeWithQueue) {
				remedy = ", which is made with its queue: to share it declare " + name + " in Queues"
			}
			v.bad(field, name, "another name than that of %s%s", first.field, remedy)
		}
		if !taken {
			queues[at] = use{field, says}
		}
	}
	for i := range v.t.Queues {
		take(v.t.at("sqs", v.t.Queues[i].Name), fmt.Sprintf("Queues[%d].Name", i), "queue "+strconv.Itoa(i))
	}
	for i := range v.t.Queues {
		q := &v.t.Queues[i]
		if !q.DLQ.Off && v.t.queue(q.DLQ.Name) == nil {
			take(v.t.at("sqs", q.DLQ.Name), fmt.Sprintf("Queues[%d].DLQ.Name", i), fmt.Sprint(madeWithQueue, q.DLQ.Retention, q.KMSKey, q.KMSReuse, q.Tags))
		}
	}
	for i := range v.t.Subscriptions {
		d := &v.t.Subscriptions[i].DLQ
		if !d.Off && d.ARN == "" && !v.t.Subscriptions[i].LetIn && v.t.queue(d.Name) == nil {
			take(v.t.undelivered(&v.t.Subscriptions[i]), fmt.Sprintf("Subscriptions[%d].DLQ.Name", i), fmt.Sprint("undelivered ", d.Retention, d.KMSKey))
		}
	}
}

// perTopic checks what counts over all subscriptions of a topic.
func (v *validator) perTopic() {
	for i := range v.t.Topics {
		topic := &v.t.Topics[i]
		subs, filters := 0, 0
		for j := range v.t.Subscriptions {
			if s := &v.t.Subscriptions[j]; s.Topic == topic.Name {
				subs++
				if s.Filter.JSON() != "" {
					filters++
				}
			}
		}
		if topic.MaxMessageSize > largeSize && subs > maxLargeSubs {
			v.bad(fmt.Sprintf("Topics[%d].MaxMessageSize", i), topic.MaxMessageSize, "at most %d with %d subscriptions; more needs at most %d", largeSize, subs, maxLargeSubs)
		}
		if filters > maxFiltersOfTopic {
			v.bad(fmt.Sprintf("Topics[%d]", i), filters, "a topic with at most %d filter policies", maxFiltersOfTopic)
		}
	}
}
