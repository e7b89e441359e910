// Package fanout wires SNS topics to SQS queues, and finds out where messages do not
// get through.
//
// A Topology says what there shall be. Plan tells how what is there differs, Apply
// makes it so in an order that drops no message, Verify sends a probe through every
// subscription:
//
//	topology := fanout.Topology{
//		Region: "eu-central-1", Account: "123456789012",
//		Topics: []fanout.Topic{{Name: "orders"}},
//		Queues: []fanout.Queue{{Name: "billing"}, {Name: "shipping"}},
//		Subscriptions: []fanout.Subscription{
//			{Topic: "orders", Queue: "billing"},
//			{Topic: "orders", Queue: "shipping", Filter: fanout.Where("kind", fanout.Is("goods"))},
//		},
//	}
//	diff, err := fanout.Apply(ctx, fanout.Clients{SQS: sqsClient, SNS: snsClient}, topology, fanout.Config{})
//
// Every queue gets a dead-letter queue that keeps messages for 14 days, and every
// subscription one for what SNS cannot deliver. Messages are encrypted at rest. A
// queue's policy lets in the topics that are declared, by their ARN and account, and
// no one else; what others wrote in it stays, byte for byte. Nothing is deleted unless
// Config.Prune names it.
//
// Those who do not let a program create things print what it would need:
// PlanPermissions, ApplyPermissions, ConsumePermissions, ProducePermissions and
// SendPermissions are IAM policies, CloudFormation is the whole topology as a template, and
// Config.ExistingOnly creates nothing.
//
// docs/fanout.md tells how fanning out goes wrong, and what this package does about
// each.
//
// Reading order: topology.go (what is declared), filter.go, validate.go; desired.go
// (the same in the terms of the APIs); observe.go (what there is),
// calls.go (how it is asked), plan.go and steps.go (the difference), apply.go, prune.go;
// permissions.go, cloudformation.go; confirm.go; verify.go, probe.go.
package fanout

import (
	"cmp"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/internal/partition"
)

// Topology declares topics, queues and what flows from one to the other. It is a
// value: build it by hand, from a file, or in a function that several programs share.
// The zero Topology has no region and no account and is refused by Validate; all
// else has defaults. Plan, Apply and Verify only read it.
type Topology struct {
	// Name marks what the topology made, in a tag: 1 to 40 letters, digits, - and _.
	// Default: holdfast.
	Name string
	// Region is where the queues and the topics are, as in eu-central-1. Calls are made
	// there, whatever the region of the clients. There is no default.
	Region string
	// Account is the account of the queues and topics, twelve digits; the clients'
	// credentials must be of it. There is no default.
	Account string

	// Topics are made where they are missing. Default: none.
	Topics []Topic
	// Queues are made where they are missing, each with its dead-letter queue.
	// Default: none.
	Queues []Queue
	// Subscriptions connect topics to queues. Default: none.
	Subscriptions []Subscription

	// Tags are put on every queue and topic, beside those of its own: at most 50
	// together with one that Holdfast adds. Other tags found there are left alone.
	// Default: none.
	Tags map[string]string
}

// Topic declares a topic.
type Topic struct {
	// Name is 1 to 256 letters, digits, - and _; one that ends in .fifo is a FIFO
	// topic. There is no default.
	Name string
	// ContentBasedDeduplication makes the deduplication id of a message from its
	// body. FIFO topics only. Default: false.
	ContentBasedDeduplication bool
	// KMSKey encrypts messages on the topic: a key's id or ARN, or an alias. Its key
	// policy must let publishers use it. Default: not encrypted at rest by a key, as
	// SNS itself does where none is named.
	KMSKey string
	// MaxMessageSize is the most bytes of body and attributes, 1 KiB to 1 MiB. Above
	// 256 KiB a topic takes at most 100 subscriptions, and above 510 KiB only such as are
	// Raw. Default: left as it is, 256 KiB on a new topic; Validate takes it for that.
	MaxMessageSize int
	// Attributes are other attributes of the SNS API, as in
	// {"DisplayName": "Orders", "SignatureVersion": "2"}. Policies are JSON objects.
	// Default: left as they are.
	Attributes map[string]string
	// Tags are those of this topic. Default: none.
	Tags map[string]string
	// Carries lists the message attributes that published messages may have. It
	// changes nothing on AWS: with it, Validate finds a filter policy on an attribute
	// that no message has, and raw delivery of more than ten, which SQS refuses.
	// Default: not known, not checked.
	Carries []string
}

// Queue declares a queue and its dead-letter queue.
type Queue struct {
	// Name is 1 to 80 letters, digits, - and _; one that ends in .fifo is a FIFO
	// queue. There is no default.
	Name string
	// Visibility is the visibility timeout of receives that ask for none, in whole
	// seconds, 1 s to 12 h. Package consumer asks for its own. Default: 30s.
	Visibility time.Duration
	// Retention is how long a message is kept, in whole seconds, 1 min to 14 days.
	// Lowering it deletes what is older. Default: 96h (4 days).
	Retention time.Duration
	// Delay holds each new message back, in whole seconds, up to 15 min. Default: 0.
	Delay time.Duration
	// ReceiveWait is the long poll of receives that ask for none, in whole seconds, 1 s
	// to 20 s. Package consumer asks for its own. Default: left as it is.
	ReceiveWait time.Duration
	// MaxMessageSize is the most bytes of body and attributes, 1 KiB to 1 MiB, and not
	// below what its topics take. Where that is not Raw SNS's envelope may make it twice as
	// much and 4 KiB, and a plan warns of what is below that. Default: left as it is, 1 MiB
	// on a new queue.
	MaxMessageSize int

	// ContentBasedDeduplication makes the deduplication id of a message from its
	// body. FIFO queues only. Default: false.
	ContentBasedDeduplication bool
	// HighThroughput deduplicates and limits by group instead of by queue. FIFO
	// queues only. Default: false.
	HighThroughput bool

	// KMSKey encrypts messages with a key of KMS: its id or ARN, or an alias. Where
	// SNS sends to the queue the key's policy must let sns.amazonaws.com use it (or the
	// name that the queue's statement has for SNS of another region), and alias/aws/sqs
	// cannot be used. Default: encrypted by SQS itself (SSE-SQS).
	KMSKey string
	// KMSReuse is for how long a data key is reused, in whole seconds, 1 min to 24 h.
	// Default: 5m where KMSKey is set.
	KMSReuse time.Duration

	// DLQ is the dead-letter queue. Default: one is made.
	DLQ DeadLetter
	// AllowRedriveFrom says which queues may use this one as their dead-letter queue:
	// the ARNs or names of at most 10 queues, or one "*" for all of the account, or
	// one "-" for none. Default: left as it is, all on a new queue. On dead-letter
	// queues that are made with their queue: that queue.
	AllowRedriveFrom []string
	// Tags are those of this queue and of its dead-letter queue. Default: none.
	Tags map[string]string
}

// DeadLetter declares where a queue's messages go that could not be handled.
type DeadLetter struct {
	// Off has the queue go without. What fails is then tried until its retention
	// ends. Default: false.
	Off bool
	// Name is that of the dead-letter queue, which is made with its queue. A name
	// that is declared in Queues stands for that one, whose AllowRedriveFrom then has
	// this queue where it is set. Two queues may share one.
	// Default: the queue's with -dlq behind it, before .fifo.
	Name string
	// MaxReceives is how often a message is received before it is dead-lettered, 1 to
	// 1000. Default: 10.
	MaxReceives int
	// Retention is how long messages are kept there, in whole seconds, up to 14 days
	// and not below the queue's, because a message keeps the time it was sent.
	// Default: 336h (14 days).
	Retention time.Duration
}

// Subscription declares that a topic's messages go to a queue.
type Subscription struct {
	// Topic is the name of one of Topics, or the ARN of a topic elsewhere, of another
	// account or region too: the subscription is then made in the topic's region. Here
	// and below, the ARN of something that is declared is the same as its name. There is
	// no default.
	Topic string
	// Queue is the name of one of Queues, or the ARN of a queue elsewhere, whose
	// policy is then left to its owner and which has to confirm where it is of
	// another account. There is no default.
	Queue string
	// LetIn only lets a topic of another account send, because its owner subscribes
	// the queue; how is his to say, so the fields below stay unset. Consumers of the
	// queue confirm what he subscribed by the middleware Confirm. Default: false,
	// Apply subscribes.
	LetIn bool
	// Raw delivers what was published as it is. Messages with more than ten
	// attributes are then not delivered. Default: false, in SNS's JSON envelope.
	Raw bool
	// Filter lets only messages through that it fits. Default: all.
	Filter Filter
	// OnBody has Filter look at the fields of a JSON body instead of at message
	// attributes. Default: false.
	OnBody bool
	// DLQ takes what SNS cannot deliver: the queue is gone, or refuses. SNS does not
	// try such messages again. Default: one is made.
	DLQ Undelivered
}

// Undelivered declares where messages go that SNS could not deliver.
type Undelivered struct {
	// Off has the subscription go without: what cannot be delivered is lost.
	// Default: false.
	Off bool
	// Name is that of the queue, made with the subscription in the region of its topic,
	// or one declared in Queues, as it has to be where it is the dead-letter queue of a queue
	// too. Subscriptions to topics of one region may share one.
	// Default: queue-topic-undelivered, with the queue's region behind the queue's name
	// where that is not the topic's, and its account where that is not the topology's, as
	// in billing-eu-west-1-orders-undelivered.
	Name string
	// ARN is that of a queue which is there already, with a policy that lets SNS
	// send; it must be in the account of the topology and in the topic's region. That of
	// a queue of the topology is the same as its name. Default: Name is used.
	ARN string
	// Retention is how long messages are kept there, in whole seconds, 1 min to 14
	// days. Default: 336h (14 days).
	Retention time.Duration
	// KMSKey is as that of Queue. Default: encrypted by SQS itself.
	KMSKey string
}

const (
	fifoSuffix = ".fifo"
	// awsSQSKey is the key that AWS manages for SQS. Nobody can change its policy, so
	// SNS may never use it.
	awsSQSKey = "alias/aws/sqs"
	day       = 24 * time.Hour
)

func isFIFO(name string) bool { return strings.HasSuffix(name, fifoSuffix) }

// suffixed puts a suffix behind a name, before .fifo.
func suffixed(name, suffix string) string {
	base, fifo := strings.CutSuffix(name, fifoSuffix)
	if fifo {
		return base + suffix + fifoSuffix
	}
	return base + suffix
}

// withDefaults fills in what is not set, and has what is declared called by its name where
// it is called by its ARN. The lists are copied, what is in them is not written to.
func (t Topology) withDefaults() Topology {
	t.Name = cmp.Or(t.Name, "holdfast")
	t.Topics = append([]Topic(nil), t.Topics...)
	t.Queues = append([]Queue(nil), t.Queues...)
	t.Subscriptions = append([]Subscription(nil), t.Subscriptions...)
	for i := range t.Queues {
		q := &t.Queues[i]
		q.Visibility = cmp.Or(q.Visibility, 30*time.Second)
		q.Retention = cmp.Or(q.Retention, 4*day)
		if q.KMSKey != "" {
			q.KMSReuse = cmp.Or(q.KMSReuse, 5*time.Minute)
		}
		if !q.DLQ.Off {
			q.DLQ.Name = cmp.Or(q.DLQ.Name, suffixed(q.Name, "-dlq"))
			q.DLQ.MaxReceives = cmp.Or(q.DLQ.MaxReceives, 10)
			q.DLQ.Retention = cmp.Or(q.DLQ.Retention, 14*day)
		}
	}
	callByName(&t)
	for i := range t.Subscriptions {
		s := &t.Subscriptions[i]
		if s.DLQ.Off || s.DLQ.ARN != "" || s.LetIn {
			continue
		}
		s.DLQ.Name = cmp.Or(s.DLQ.Name, t.undeliveredName(s))
		s.DLQ.Retention = cmp.Or(s.DLQ.Retention, 14*day)
	}
	callMadeByName(&t)
	return t
}

// callByName puts names in place of the ARNs of what Topics and Queues make: it is one
// thing, with one policy, however it is called.
func callByName(t *Topology) {
	own := map[string]string{}
	for i := range t.Topics {
		own[t.at("sns", t.Topics[i].Name).String()] = t.Topics[i].Name
	}
	for i := range t.Queues {
		q := &t.Queues[i]
		own[t.at("sqs", q.Name).String()] = q.Name
		if !q.DLQ.Off {
			own[t.at("sqs", q.DLQ.Name).String()] = q.DLQ.Name
		}
	}
	for i := range t.Subscriptions {
		s := &t.Subscriptions[i]
		s.Topic, s.Queue = cmp.Or(own[s.Topic], s.Topic), cmp.Or(own[s.Queue], s.Queue)
		if name := own[s.DLQ.ARN]; name != "" && s.DLQ.Name == "" {
			s.DLQ.Name, s.DLQ.ARN = name, ""
		}
	}
}

// callMadeByName does the same for dead-letter queues that are made with a subscription:
// another one that has the ARN of such a queue shares it.
func callMadeByName(t *Topology) {
	made := map[string]Undelivered{}
	for i := range t.Subscriptions {
		if s := &t.Subscriptions[i]; s.DLQ.Name != "" && s.DLQ.ARN == "" {
			made[t.undelivered(s).String()] = s.DLQ
		}
	}
	for i := range t.Subscriptions {
		if d := &t.Subscriptions[i].DLQ; d.Name == "" {
			if shared, is := made[d.ARN]; is {
				*d = shared
			}
		}
	}
}

// arn is an Amazon Resource Name in its parts.
type arn struct{ partition, service, region, account, name string }

func (a arn) String() string {
	return "arn:" + a.partition + ":" + a.service + ":" + a.region + ":" + a.account + ":" + a.name
}

// parseARN takes apart the ARN of a queue or a topic.
func parseARN(s string) (a arn, ok bool) {
	parts := strings.Split(s, ":")
	if len(parts) != 6 || parts[0] != "arn" {
		return arn{}, false
	}
	for _, p := range parts {
		if p == "" {
			return arn{}, false
		}
	}
	return arn{parts[1], parts[2], parts[3], parts[4], parts[5]}, true
}

// nameOf is the name of a queue or topic that is called by name or by ARN.
func nameOf(s string) string {
	if a, ok := parseARN(s); ok {
		return a.name
	}
	return s
}

// at is the ARN of something of the topology.
func (t Topology) at(service, name string) arn {
	return arn{partition.Of(t.Region), service, t.Region, t.Account, name}
}

// undeliveredName is the default name of that queue. Queues of one name in several regions
// may be subscribed to one topic, each by a topology of its own, and all have it made where
// the topic is: what tells the queues apart has to be in the name. So it is with queues of
// other accounts, since the queue that is made is of ours.
func (t Topology) undeliveredName(s *Subscription) string {
	topic, topicElsewhere := parseARN(s.Topic)
	if !topicElsewhere {
		topic = t.at("sns", s.Topic)
	}
	queue, queueElsewhere := parseARN(s.Queue)
	if !queueElsewhere {
		queue = t.at("sqs", s.Queue)
	}
	suffix := ""
	if queue.region != topic.region {
		suffix += "-" + queue.region
	}
	if queue.account != t.Account {
		suffix += "-" + queue.account
	}
	return suffixed(queue.name, suffix+"-"+strings.TrimSuffix(topic.name, fifoSuffix)+"-undelivered")
}

// undelivered is the queue that is made for what a subscription cannot deliver: of our
// account, where SNS wants it, in the topic's region.
func (t Topology) undelivered(s *Subscription) arn {
	a := t.at("sqs", s.DLQ.Name)
	if topic, elsewhere := parseARN(s.Topic); elsewhere {
		a.region = topic.region
	}
	return a
}

// topic is the declared topic of that name, nil for none.
func (t Topology) topic(name string) *Topic {
	for i := range t.Topics {
		if t.Topics[i].Name == name {
			return &t.Topics[i]
		}
	}
	return nil
}

// queue is the declared queue of that name, nil for none.
func (t Topology) queue(name string) *Queue {
	for i := range t.Queues {
		if t.Queues[i].Name == name {
			return &t.Queues[i]
		}
	}
	return nil
}
