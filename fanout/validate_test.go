package fanout_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/fanout"
)

const elsewhere = "arn:aws:sns:eu-west-1:111111111111:events"

// TestValidationSaysFieldValueAndBound has a case for every check with the words that
// it prints, all of them and no others.
func TestValidationSaysFieldValueAndBound(t *testing.T) {
	t.Parallel()
	type top = fanout.Topology
	long := strings.Repeat("x", 100)
	many := func(n int) map[string]string {
		tags := map[string]string{}
		for i := range n {
			tags[fmt.Sprint("t", i)] = "v"
		}
		return tags
	}
	queue := func(change func(q *fanout.Queue)) func(*top) {
		return func(t *top) { change(&t.Queues[0]) }
	}
	topic := func(change func(topic *fanout.Topic)) func(*top) {
		return func(t *top) { change(&t.Topics[0]) }
	}
	sub := func(change func(s *fanout.Subscription)) func(*top) {
		return func(t *top) { change(&t.Subscriptions[0]) }
	}
	filter := func(f fanout.Filter) func(*top) { return sub(func(s *fanout.Subscription) { s.Filter = f }) }
	filterJSON := func(text string) func(*top) { return filter(fanout.FilterJSON(text)) }
	fifo := func(t *top) {
		t.Topics[0].Name, t.Queues[0].Name, t.Subscriptions = "orders.fifo", "billing.fifo", t.Subscriptions[:1]
		t.Subscriptions[0].Topic, t.Subscriptions[0].Queue = "orders.fifo", "billing.fifo"
	}
	both := func(changes ...func(*top)) func(*top) {
		return func(t *top) {
			for _, change := range changes {
				change(t)
			}
		}
	}
	for name, tt := range map[string]struct {
		change func(*top)
		want   []string
	}{
		"nothing":            {func(*top) {}, nil},
		"FIFO all the way":   {fifo, nil},
		"FIFO to a standard": {func(t *top) { t.Topics[0].Name = "orders.fifo"; rename(t, "orders.fifo") }, nil},

		"name":    {func(t *top) { t.Name = "my shop" }, []string{`Name is "my shop"; it must be 1 to 40 letters, digits, - and _`}},
		"region":  {func(t *top) { t.Region = "" }, []string{`Region is ""; it must be a region as in eu-central-1`}},
		"account": {func(t *top) { t.Account = "42" }, []string{`Account is "42"; it must be an account of twelve digits`}},
		"tag key": {func(t *top) { t.Tags = map[string]string{"aws:x": "1"} },
			[]string{`Tags is "aws:x"; it must be a tag key of 1 to 128 characters that does not begin with aws: and is not holdfast`}},
		"tag of Holdfast": {queue(func(q *fanout.Queue) { q.Tags = map[string]string{"holdfast": "1"} }),
			[]string{`Queues[0].Tags is "holdfast"; it must be a tag key of 1 to 128 characters that does not begin with aws: and is not holdfast`}},
		"tag value": {topic(func(topic *fanout.Topic) { topic.Tags = map[string]string{"k": strings.Repeat("v", 257)} }),
			[]string{`Topics[0].Tags[k] is 257; it must be a tag value of at most 256 characters`}},
		"too many tags": {both(func(t *top) { t.Tags = many(30) }, queue(func(q *fanout.Queue) { q.Tags = map[string]string{} }), queue(func(q *fanout.Queue) {
			for i := range 20 {
				q.Tags[fmt.Sprint("q", i)] = "v"
			}
		})), []string{`Queues[0].Tags is 51; it must be at most 50 tags, with those of the topology and one that Holdfast adds`}},

		"topic name": {func(t *top) { t.Topics[0].Name = "my orders"; rename(t, "my orders") },
			[]string{`Topics[0].Name is "my orders"; it must be 1 to 256 letters, digits, - and _, .fifo at the end of a FIFO one included`,
				`Subscriptions[0].DLQ.Name is "billing-my orders-undelivered"; it must be 1 to 80 letters, digits, - and _, .fifo at the end of a FIFO one included`,
				`Subscriptions[1].DLQ.Name is "shipping-my orders-undelivered"; it must be 1 to 80 letters, digits, - and _, .fifo at the end of a FIFO one included`,
				`Subscriptions[2].DLQ.Name is "audit-my orders-undelivered"; it must be 1 to 80 letters, digits, - and _, .fifo at the end of a FIFO one included`}},
		"content deduplication of a standard topic": {topic(func(topic *fanout.Topic) { topic.ContentBasedDeduplication = true }),
			[]string{`Topics[0].ContentBasedDeduplication is true; it must be false on a standard topic`}},
		"size of a topic's messages": {topic(func(topic *fanout.Topic) { topic.MaxMessageSize = 1023 }),
			[]string{`Topics[0].MaxMessageSize is 1023; it must be 1024 to 1048576`}},
		"attribute with a field": {topic(func(topic *fanout.Topic) { topic.Attributes = map[string]string{"KmsMasterKeyId": "k"} }),
			[]string{`Topics[0].Attributes is "KmsMasterKeyId"; it must be the name of an attribute of SNS that Topic has no field for`}},
		"attribute of FIFO topics": {topic(func(topic *fanout.Topic) { topic.Attributes = map[string]string{"FifoThroughputScope": "Topic"} }),
			[]string{`Topics[0].Attributes is "FifoThroughputScope"; it must be an attribute of standard topics`}},
		"display name": {topic(func(topic *fanout.Topic) { topic.Attributes = map[string]string{"DisplayName": long + "x"} }),
			[]string{`Topics[0].Attributes[DisplayName] is "` + long + `x"; it must be at most 100 characters`}},
		"signature version": {topic(func(topic *fanout.Topic) { topic.Attributes = map[string]string{"SignatureVersion": "3"} }),
			[]string{`Topics[0].Attributes[SignatureVersion] is "3"; it must be 1 or 2`}},
		"documents that are none": {func(t *top) {
			t.Topics[0].Attributes = map[string]string{"Policy": "nobody", "DeliveryPolicy": `["x"]`}
			t.Topics = append(t.Topics, fanout.Topic{Name: "steps.fifo", Attributes: map[string]string{"Policy": "null", "ArchivePolicy": `{"MessageRetentionPeriod": 30`}})
		}, []string{`Topics[0].Attributes[DeliveryPolicy] is "[\"x\"]"; it must be a JSON object`,
			`Topics[0].Attributes[Policy] is "nobody"; it must be a JSON object`,
			`Topics[1].Attributes[ArchivePolicy] is "{\"MessageRetentionPeriod\": 30"; it must be a JSON object`,
			`Topics[1].Attributes[Policy] is "null"; it must be a JSON object`}},
		"documents": {topic(func(topic *fanout.Topic) {
			topic.Attributes = map[string]string{"Policy": `{"Statement":[]}`, "DeliveryPolicy": "{}"}
		}), nil},
		"two topics of one name": {func(t *top) { t.Topics = append(t.Topics, t.Topics[0]) },
			[]string{`Topics[1].Name is "orders"; it must be another name than that of Topics[0].Name`}},
		"many subscriptions of a topic with large messages": {func(t *top) { *t = wide(101); t.Topics[0].MaxMessageSize = 300 << 10 },
			[]string{`Topics[0].MaxMessageSize is 307200; it must be at most 262144 with 101 subscriptions; more needs at most 100`}},
		"many filter policies": {func(t *top) {
			*t = wide(201)
			for i := range t.Subscriptions {
				t.Subscriptions[i].Filter = fanout.Where("k", fanout.Is("v"))
			}
		}, []string{`Topics[0] is 201; it must be a topic with at most 200 filter policies`}},

		"queue name": {func(t *top) {
			t.Queues[2].Name = long
			t.Subscriptions = t.Subscriptions[:2]
			t.Queues[2].DLQ.Off = true
		},
			[]string{`Queues[2].Name is "` + long + `"; it must be 1 to 80 letters, digits, - and _, .fifo at the end of a FIFO one included`}},
		"visibility":          {queue(func(q *fanout.Queue) { q.Visibility = 13 * time.Hour }), []string{`Queues[0].Visibility is 13h0m0s; it must be 1s to 12h0m0s`}},
		"visibility of parts": {queue(func(q *fanout.Queue) { q.Visibility = 1500 * time.Millisecond }), []string{`Queues[0].Visibility is 1.5s; it must be whole seconds`}},
		"retention":           {queue(func(q *fanout.Queue) { q.Retention = 59 * time.Second }), []string{`Queues[0].Retention is 59s; it must be 1m0s to 336h0m0s`}},
		"delay":               {queue(func(q *fanout.Queue) { q.Delay = 16 * time.Minute }), []string{`Queues[0].Delay is 16m0s; it must be 0s to 15m0s`}},
		"wait":                {queue(func(q *fanout.Queue) { q.ReceiveWait = 21 * time.Second }), []string{`Queues[0].ReceiveWait is 21s; it must be 0s to 20s`}},
		"size of messages":    {queue(func(q *fanout.Queue) { q.MaxMessageSize = 2 << 20 }), []string{`Queues[0].MaxMessageSize is 2097152; it must be 1024 to 1048576`}},
		"content deduplication of a standard queue": {queue(func(q *fanout.Queue) { q.ContentBasedDeduplication = true }),
			[]string{`Queues[0].ContentBasedDeduplication is true; it must be false on a standard queue`}},
		"high throughput of a standard queue": {queue(func(q *fanout.Queue) { q.HighThroughput = true }),
			[]string{`Queues[0].HighThroughput is true; it must be false on a standard queue`}},
		"reuse of a key":     {queue(func(q *fanout.Queue) { q.KMSKey, q.KMSReuse = "alias/k", time.Second }), []string{`Queues[0].KMSReuse is 1s; it must be 1m0s to 24h0m0s`}},
		"reuse without key":  {queue(func(q *fanout.Queue) { q.KMSReuse = time.Hour }), []string{`Queues[0].KMSReuse is 1h0m0s; it must be 0 without a KMSKey`}},
		"redrive from many":  {queue(func(q *fanout.Queue) { q.AllowRedriveFrom = slices.Repeat([]string{"audit"}, 11) }), []string{`Queues[0].AllowRedriveFrom is 11; it must be at most 10 queues`}},
		"redrive from all":   {queue(func(q *fanout.Queue) { q.AllowRedriveFrom = []string{"*", "audit"} }), []string{`Queues[0].AllowRedriveFrom[0] is "*"; it must be alone`}},
		"redrive of nothing": {queue(func(q *fanout.Queue) { q.AllowRedriveFrom = []string{"none"} }), []string{`Queues[0].AllowRedriveFrom[0] is "none"; it must be the name of one of Queues, or an ARN`}},
		"redrive from elsewhere": {queue(func(q *fanout.Queue) { q.AllowRedriveFrom = []string{"arn:aws:sqs:eu-west-1:000000000000:audit"} }),
			[]string{`Queues[0].AllowRedriveFrom[0] is "arn:aws:sqs:eu-west-1:000000000000:audit"; it must be a queue of the same account and region`}},
		"redrive of another kind": {queue(func(q *fanout.Queue) { q.AllowRedriveFrom = []string{"arn:aws:sqs:us-east-1:000000000000:audit.fifo"} }),
			[]string{`Queues[0].AllowRedriveFrom[0] is "arn:aws:sqs:us-east-1:000000000000:audit.fifo"; it must be a queue of the same kind, FIFO or standard`}},

		"DLQ off and set": {queue(func(q *fanout.Queue) { q.DLQ = fanout.DeadLetter{Off: true, MaxReceives: 3} }),
			[]string{`Queues[0].DLQ.Off is true; it must be false where other fields of DLQ are set`}},
		"DLQ name": {queue(func(q *fanout.Queue) { q.DLQ.Name = "a b" }), []string{`Queues[0].DLQ.Name is "a b"; it must be 1 to 80 letters, digits, - and _, .fifo at the end of a FIFO one included`}},
		"DLQ that comes back": {func(t *top) { t.Queues[0].DLQ.Name, t.Queues[1].DLQ.Name = "shipping", "billing" },
			[]string{`Queues[0].DLQ.Name is "shipping"; it must be a queue whose dead letters do not come back to billing`,
				`Queues[1].DLQ.Name is "billing"; it must be a queue whose dead letters do not come back to shipping`}},
		"receives": {queue(func(q *fanout.Queue) { q.DLQ.MaxReceives = 1001 }), []string{`Queues[0].DLQ.MaxReceives is 1001; it must be 1 to 1000`}},
		"DLQ of another kind": {queue(func(q *fanout.Queue) { q.DLQ.Name = "billing-dlq.fifo" }),
			[]string{`Queues[0].DLQ.Name is "billing-dlq.fifo"; it must be a queue of the same kind as its source, FIFO or standard`}},
		"DLQ that forgets before its source": {queue(func(q *fanout.Queue) { q.DLQ.Retention = 24 * time.Hour }),
			[]string{`Queues[0].DLQ.Retention is 24h0m0s; it must be at least the queue's Retention (96h0m0s): a message keeps the time it was sent and would vanish there`}},
		"declared DLQ that forgets before its source": {func(t *top) { t.Queues[0].DLQ.Name, t.Queues[2].Retention = "audit", time.Hour },
			[]string{`Queues[0].DLQ.Retention is 1h0m0s; it must be at least the queue's Retention (96h0m0s): a message keeps the time it was sent and would vanish there`}},
		"DLQ that takes nobody's dead letters": {func(t *top) { t.Queues[0].DLQ.Name, t.Queues[2].AllowRedriveFrom = "audit", []string{"-"} },
			[]string{`Queues[0].DLQ.Name is "audit"; it must be a queue whose AllowRedriveFrom has billing, and that of audit has -`}},
		"DLQ that takes those of others": {func(t *top) { t.Queues[0].DLQ.Name, t.Queues[2].AllowRedriveFrom = "audit", []string{"shipping"} },
			[]string{`Queues[0].DLQ.Name is "audit"; it must be a queue whose AllowRedriveFrom has billing, and that of audit has shipping`}},
		"DLQ with an empty list": {func(t *top) { t.Queues[0].DLQ.Name, t.Queues[2].AllowRedriveFrom = "audit", []string{} },
			[]string{`Queues[0].DLQ.Name is "audit"; it must be a queue whose AllowRedriveFrom has billing, and that of audit has none`}},
		"DLQ that takes dead letters by name, by ARN and of all": {func(t *top) {
			for i := range 3 {
				t.Queues[i].DLQ.Name = fmt.Sprint("dead", i)
				allow := []string{t.Queues[i].Name, "arn:aws:sqs:us-east-1:000000000000:" + t.Queues[i].Name, "*"}[i]
				t.Queues = append(t.Queues, fanout.Queue{Name: t.Queues[i].DLQ.Name, AllowRedriveFrom: []string{allow}})
			}
		}, nil},
		"two queues of one name": {func(t *top) {
			t.Queues = append(t.Queues, fanout.Queue{Name: "billing", DLQ: fanout.DeadLetter{Off: true}})
		},
			[]string{`Queues[3].Name is "billing"; it must be another name than that of Queues[0].Name`}},
		"two dead-letter queues of one name": {func(t *top) { t.Queues[0].DLQ.Name = "shipping-dlq"; t.Queues[0].DLQ.Retention = 10 * 24 * time.Hour },
			[]string{`Queues[1].DLQ.Name is "shipping-dlq"; it must be another name than that of Queues[0].DLQ.Name`}},
		"dead letters and undelivered under one name": {func(t *top) { t.Subscriptions[0].DLQ.Name = "audit-dlq" },
			[]string{`Subscriptions[0].DLQ.Name is "audit-dlq"; it must be another name than that of Queues[2].DLQ.Name, which is made with its queue: to share it declare audit-dlq in Queues`}},
		"undelivered with the dead letters of a queue, declared": {both(sub(func(s *fanout.Subscription) { s.DLQ.Name = "audit-dlq" }),
			func(t *top) {
				t.Queues = append(t.Queues, fanout.Queue{Name: "audit-dlq", DLQ: fanout.DeadLetter{Off: true}})
			}), nil},
		"shared dead-letter queue": {func(t *top) { t.Queues[0].DLQ.Name = "shipping-dlq" }, nil},

		"topic not declared": {sub(func(s *fanout.Subscription) { s.Topic = "none"; s.DLQ.Off = true }),
			[]string{`Subscriptions[0].Topic is "none"; it must be the name of one of Topics, or the ARN of a topic elsewhere`}},
		"queue not declared": {sub(func(s *fanout.Subscription) { s.Queue = "none"; s.DLQ.Off = true }),
			[]string{`Subscriptions[0].Queue is "none"; it must be the name of one of Queues, or the ARN of a queue elsewhere`}},
		"both elsewhere": {sub(func(s *fanout.Subscription) {
			s.Topic, s.Queue, s.DLQ.Off = elsewhere, "arn:aws:sqs:us-east-1:222222222222:q", true
		}),
			[]string{`Subscriptions[0] is "arn:aws:sns:eu-west-1:111111111111:events -> arn:aws:sqs:us-east-1:222222222222:q"; it must be of a topic or a queue of the topology`}},
		"letting in one of the own": {sub(func(s *fanout.Subscription) { s.LetIn = true }),
			[]string{`Subscriptions[0].LetIn is true; it must be false where the topic is not one of another account`}},
		"letting in, and how": {sub(func(s *fanout.Subscription) { s.LetIn, s.Topic, s.Raw = true, elsewhere, true }),
			[]string{`Subscriptions[0].LetIn is true; it must be false where Raw, Filter, OnBody or DLQ are set`}},
		"letting in": {sub(func(s *fanout.Subscription) { s.LetIn, s.Topic = true, elsewhere }), nil},
		"FIFO queue of a standard topic": {func(t *top) {
			fifo(t)
			t.Topics[0].Name, t.Subscriptions[0].Topic = "orders", "orders"
		}, []string{`Subscriptions[0].Queue is "billing.fifo"; it must be a standard queue: SNS does not deliver from a standard topic to a FIFO queue`}},
		"declared twice": {func(t *top) { t.Subscriptions = append(t.Subscriptions, t.Subscriptions[0]) },
			[]string{`Subscriptions[3] is "orders -> billing"; it must be declared once; it is Subscriptions[0] too`}},
		"raw with more than ten attributes": {func(t *top) {
			t.Topics[0].Carries = []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "kind"}
		}, []string{`Subscriptions[2].Raw is true; it must be false: messages of the topic carry up to 11 attributes, and SQS takes at most 10`}},
		"filter that drops all": {func(t *top) { t.Topics[0].Carries = []string{"type"} },
			[]string{`Subscriptions[1].Filter is "kind"; it must be one of the topic's Carries (type): no message has it, so none would pass`}},
		"on a body without filter": {sub(func(s *fanout.Subscription) { s.OnBody = true }), []string{`Subscriptions[0].OnBody is true; it must be false without a Filter`}},
		"the key of AWS under SNS": {queue(func(q *fanout.Queue) { q.KMSKey = "alias/aws/sqs" }),
			[]string{`Queues[0].KMSKey is "alias/aws/sqs"; it must be a key of your own, or none: SNS may not use the one that AWS manages, and orders delivers here`}},
		"the key of AWS under SNS, by its ARN": {queue(func(q *fanout.Queue) { q.KMSKey = "arn:aws:kms:us-east-1:000000000000:alias/aws/sqs" }),
			[]string{`Queues[0].KMSKey is "arn:aws:kms:us-east-1:000000000000:alias/aws/sqs"; it must be a key of your own, or none: SNS may not use the one that AWS manages, and orders delivers here`}},
		"the key of AWS on what SNS could not deliver": {sub(func(s *fanout.Subscription) { s.DLQ.KMSKey = "alias/aws/sqs" }),
			[]string{`Subscriptions[0].DLQ.KMSKey is "alias/aws/sqs"; it must be a key of your own, or none: SNS may not use the one that AWS manages`}},
		"the key of AWS on a declared queue for it": {func(t *top) {
			t.Queues = append(t.Queues, fanout.Queue{Name: "lost", KMSKey: "alias/aws/sqs"})
			t.Subscriptions[0].DLQ.Name = "lost"
		}, []string{`Subscriptions[0].DLQ.Name is "lost"; it must be a queue that is not encrypted with alias/aws/sqs, which SNS may not use`}},

		"undelivered off and set": {sub(func(s *fanout.Subscription) { s.DLQ = fanout.Undelivered{Off: true, Name: "x"} }),
			[]string{`Subscriptions[0].DLQ.Off is true; it must be false where other fields of DLQ are set`}},
		"undelivered by name and ARN": {sub(func(s *fanout.Subscription) {
			s.DLQ = fanout.Undelivered{Name: "x", ARN: "arn:aws:sqs:us-east-1:000000000000:x"}
		}),
			[]string{`Subscriptions[0].DLQ.Name is "x"; it must be empty where ARN is set`}},
		"undelivered is no queue": {sub(func(s *fanout.Subscription) { s.DLQ.ARN = elsewhere }),
			[]string{`Subscriptions[0].DLQ.ARN is "arn:aws:sns:eu-west-1:111111111111:events"; it must be the ARN of a queue`}},
		"undelivered in another account": {sub(func(s *fanout.Subscription) { s.DLQ.ARN = "arn:aws:sqs:us-east-1:111111111111:x" }),
			[]string{`Subscriptions[0].DLQ.ARN is "arn:aws:sqs:us-east-1:111111111111:x"; it must be in the account and region of the subscription, 000000000000 and us-east-1`}},
		"undelivered in another region": {sub(func(s *fanout.Subscription) { s.DLQ.ARN = "arn:aws:sqs:us-east-2:000000000000:x" }),
			[]string{`Subscriptions[0].DLQ.ARN is "arn:aws:sqs:us-east-2:000000000000:x"; it must be in the account and region of the subscription, 000000000000 and us-east-1`}},
		"undelivered of another kind by ARN": {sub(func(s *fanout.Subscription) { s.DLQ.ARN = "arn:aws:sqs:us-east-1:000000000000:x.fifo" }),
			[]string{`Subscriptions[0].DLQ.ARN is "arn:aws:sqs:us-east-1:000000000000:x.fifo"; it must be a queue of the same kind as the subscribed one, FIFO or standard`}},
		"undelivered of another kind": {sub(func(s *fanout.Subscription) { s.DLQ.Name = "x.fifo" }),
			[]string{`Subscriptions[0].DLQ.Name is "x.fifo"; it must be a queue of the same kind as the subscribed one, FIFO or standard`}},
		"undelivered to the queue itself": {sub(func(s *fanout.Subscription) { s.DLQ.Name = "billing" }),
			[]string{`Subscriptions[0].DLQ.Name is "billing"; it must be another queue than the subscribed one`}},
		"undelivered retention":                    {sub(func(s *fanout.Subscription) { s.DLQ.Retention = time.Second }), []string{`Subscriptions[0].DLQ.Retention is 1s; it must be 1m0s to 336h0m0s`}},
		"undelivered of a topic in another region": {sub(func(s *fanout.Subscription) { s.Topic = elsewhere }), nil},
		"undelivered of a topic in another region, to a queue here": {sub(func(s *fanout.Subscription) { s.Topic, s.DLQ.Name = elsewhere, "shipping" }),
			[]string{`Subscriptions[0].DLQ.Name is "shipping"; it must be a name that is not in Queues: SNS takes no dead-letter queue of another region than the topic's, eu-west-1`}},
		"undelivered alike in two regions": {func(t *top) {
			t.Subscriptions[0].DLQ.Name, t.Subscriptions[0].DLQ.Retention = "lost", time.Hour
			t.Subscriptions = append(t.Subscriptions, fanout.Subscription{Topic: elsewhere, Queue: "billing", DLQ: fanout.Undelivered{Name: "lost"}})
		}, nil},
		"topic of another partition": {sub(func(s *fanout.Subscription) { s.Topic = "arn:aws-cn:sns:cn-north-1:111111111111:events" }),
			[]string{`Subscriptions[0].Topic is "arn:aws-cn:sns:cn-north-1:111111111111:events"; it must be of the partition aws, as us-east-1 is: SNS delivers within one`}},
		"queue of another partition": {sub(func(s *fanout.Subscription) { s.Queue = "arn:aws-us-gov:sqs:us-gov-west-1:111111111111:x" }),
			[]string{`Subscriptions[0].Queue is "arn:aws-us-gov:sqs:us-gov-west-1:111111111111:x"; it must be of the partition aws, as us-east-1 is: SNS delivers within one`}},
		"undelivered of a topic in another region, there": {sub(func(s *fanout.Subscription) {
			s.Topic, s.DLQ.ARN = elsewhere, "arn:aws:sqs:eu-west-1:000000000000:lost"
		}), nil},

		"filter of two makes": {filter(fanout.FilterJSON(`{"a":["b"]}`).And("c", fanout.Is("d"))),
			[]string{`Subscriptions[0].Filter is "{\"a\":[\"b\"]}"; it must be either built or JSON, not both`}},
		"filter that is no JSON":      {filterJSON("kind"), []string{`Subscriptions[0].Filter is "kind"; it must be a JSON object`}},
		"filter of more than 5 keys":  {filterJSON(`{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1],"f":[1]}`), []string{`Subscriptions[0].Filter is 6; it must be at most 5 keys`}},
		"filter of 151 combinations":  {filter(fanout.Where("k", fanout.Is(slices.Repeat([]string{"v"}, 151)...))), []string{`Subscriptions[0].Filter is 151; it must be at most 150 combinations of values`}},
		"filter of 150 combinations":  {filterJSON(`{"a":[1,2,3,4,5],"b":[1,2,3,4,5,6],"c":[1,2,3,4,5]}`), nil},
		"filter that is too long":     {filterJSON(`{"a":["` + strings.Repeat("x", 256<<10) + `"]}`), []string{`Subscriptions[0].Filter is 262154; it must be at most 262144 bytes`}},
		"filter with a key twice":     {filter(fanout.Where("a", fanout.Is("b")).And("a", fanout.Is("c"))), []string{`Subscriptions[0].Filter is "a"; it must be each key once`}},
		"filter that nests":           {filterJSON(`{"a":{"b":["c"]}}`), []string{`Subscriptions[0].Filter is "a"; it must be a list of rules: only OnBody may look inside objects`}},
		"filter with an empty object": {both(filterJSON(`{"a":{}}`), sub(func(s *fanout.Subscription) { s.OnBody = true })), []string{`Subscriptions[0].Filter is "{}"; it must be an object with a key`}},
		"filter without rules":        {filter(fanout.Where("a")), []string{`Subscriptions[0].Filter is "a"; it must be at least one rule`}},
		"filter with a bare value":    {filterJSON(`{"a":"b"}`), []string{`Subscriptions[0].Filter is "a"; it must be a list of rules`}},
		"filter with one choice":      {filter(fanout.Where("a", fanout.Is("b")).AndAnyOf(fanout.Where("c", fanout.Is("d")))), []string{`Subscriptions[0].Filter is "$or"; it must be at least two choices`}},
		"filter with a list as rule":  {filterJSON(`{"a":[["b"]]}`), []string{`Subscriptions[0].Filter is "a"; it must be rules that are texts, numbers, true, false, null or an operator`}},
		"filter with two operators":   {filterJSON(`{"a":[{"prefix":"x","suffix":"y"}]}`), []string{`Subscriptions[0].Filter is "a"; it must be one operator in each rule`}},
		"filter with exists of text":  {filterJSON(`{"a":[{"exists":"yes"}]}`), []string{`Subscriptions[0].Filter is "a"; it must be exists with true or false`}},
		"filter with prefix of 1":     {filterJSON(`{"a":[{"prefix":1}]}`), []string{`Subscriptions[0].Filter is "a"; it must be prefix with a text`}},
		"filter with a wide wildcard": {filter(fanout.Where("a", fanout.Wildcard("*a*b*c*"))), []string{`Subscriptions[0].Filter is "a"; it must be a wildcard with at most 3 *, none next to another`}},
		"filter with no network":      {filter(fanout.Where("a", fanout.CIDR("10.0.0.0"))), []string{`Subscriptions[0].Filter is "a"; it must be cidr with a network as in 10.0.0.0/24`}},
		"filter with an empty range": {filter(fanout.Where("a", fanout.Between(5, 5))),
			[]string{`Subscriptions[0].Filter is "a"; it must be numeric with [op, number] or [">" or ">=", low, "<" or "<=", high], low below high`}},
		"filter with a large number":   {filter(fanout.Where("a", fanout.IsNumber(2e9))), []string{`Subscriptions[0].Filter is "a"; it must be numbers from -1e9 to 1e9`}},
		"filter with an empty not":     {filter(fanout.Where("a", fanout.Not())), []string{`Subscriptions[0].Filter is "a"; it must be anything-but with texts, numbers, or a prefix, suffix, equals-ignore-case or wildcard`}},
		"filter with another operator": {filterJSON(`{"a":[{"like":"b"}]}`), []string{`Subscriptions[0].Filter is "a"; it must be an operator that SNS knows, not "like"`}},
		"all that is built": {filter(fanout.Where("a", fanout.Is("x"), fanout.Prefix("p"), fanout.Suffix("s"), fanout.EqualFold("e"), fanout.Wildcard("a*b")).
			And("b", fanout.IsNumber(1, 2.5), fanout.Above(3), fanout.AtLeast(4), fanout.Below(-1), fanout.AtMost(-2), fanout.Between(-1, 1)).
			And("c", fanout.Exists(), fanout.Not("x", "y"), fanout.NotPrefix("p"), fanout.NotSuffix("s")).
			And("ip", fanout.CIDR("10.0.0.0/8"))), nil},

		"everything at once": {func(t *top) { t.Account, t.Queues[0].Delay, t.Subscriptions[1].Topic = "1", time.Hour, "nowhere" }, []string{
			`Account is "1"; it must be an account of twelve digits`,
			`Queues[0].Delay is 1h0m0s; it must be 0s to 15m0s`,
			`Subscriptions[1].Topic is "nowhere"; it must be the name of one of Topics, or the ARN of a topic elsewhere`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topology := shop()
			tt.change(&topology)
			var got []string
			if err := topology.Validate(); err != nil {
				for _, line := range strings.Split(err.Error(), "\n") {
					got = append(got, strings.TrimPrefix(line, "fanout: "))
				}
				if !errors.As(err, new(*fanout.ConfigError)) {
					t.Errorf("%T is no *ConfigError", err)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// rename renames the topic in the subscriptions.
func rename(t *fanout.Topology, topic string) {
	for i := range t.Subscriptions {
		t.Subscriptions[i].Topic = topic
	}
}

func TestConfigSaysFieldValueAndBound(t *testing.T) {
	t.Parallel()
	const orders = "arn:aws:sns:us-east-1:000000000000:orders"
	const theirQueue, lost = "arn:aws:sqs:eu-west-1:111111111111:theirs", "arn:aws:sqs:us-east-1:000000000000:lost"
	for name, tt := range map[string]struct {
		cfg  fanout.Config
		want []string
	}{
		"spread":   {fanout.Config{PolicySpread: time.Millisecond}, []string{`Config.PolicySpread is 1ms; it must be 1s to 10m0s, or -1`}},
		"parallel": {fanout.Config{Parallel: 101}, []string{`Config.Parallel is 101; it must be 1 to 100`}},
		"rate":     {fanout.Config{CallsPerSecond: 0.5}, []string{`Config.CallsPerSecond is 0.5; it must be 1 to 1000`}},
		"prune of nothing": {fanout.Config{Prune: []string{"orders"}},
			[]string{`Config.Prune[0] is "orders"; it must be the ARN of a queue, topic or subscription, or that of a queue with # and a Sid`}},
		"prune of what is declared": {fanout.Config{Prune: []string{orders, "arn:aws:sqs:us-east-1:000000000000:billing-dlq", orders + "#x"}}, []string{
			`Config.Prune[0] is "` + orders + `"; it must be something that the topology does not declare`,
			`Config.Prune[1] is "arn:aws:sqs:us-east-1:000000000000:billing-dlq"; it must be something that the topology does not declare`,
			`Config.Prune[2] is "` + orders + `#x"; it must be the ARN of a queue, topic or subscription, or that of a queue with # and a Sid`}},
		"prune of what subscriptions use": {fanout.Config{Prune: []string{elsewhere, theirQueue, lost, theirsARN, lost + "#theirs", lost + "#HoldfastFromorders6faff4eb"}}, []string{
			`Config.Prune[0] is "` + elsewhere + `"; it must be something that the topology does not use: it is Subscriptions[3].Topic`,
			`Config.Prune[1] is "` + theirQueue + `"; it must be something that the topology does not use: it is Subscriptions[4].Queue`,
			`Config.Prune[2] is "` + lost + `"; it must be something that the topology does not use: it is Subscriptions[4].DLQ.ARN`,
			`Config.Prune[3] is "` + theirsARN + `"; it must be something that the topology does not use: it is Subscriptions[5].Topic`,
			`Config.Prune[5] is "` + lost + `#HoldfastFromorders6faff4eb"; it must be something that the topology does not use: it lets SNS into Subscriptions[4].DLQ.ARN`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topology := shop()
			topology.Subscriptions = append(topology.Subscriptions,
				fanout.Subscription{Topic: elsewhere, Queue: "billing"},
				fanout.Subscription{Topic: "orders", Queue: theirQueue, DLQ: fanout.Undelivered{ARN: lost}},
				fanout.Subscription{Topic: theirsARN, Queue: "billing", LetIn: true})
			_, err := fanout.Plan(t.Context(), fanout.Clients{}, topology, tt.cfg)
			if err == nil {
				t.Fatal("no error")
			}
			var got []string
			for _, line := range strings.Split(err.Error(), "\n") {
				if line = strings.TrimPrefix(line, "fanout: "); !strings.HasPrefix(line, "Clients.") {
					got = append(got, line)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if !strings.Contains(err.Error(), "Clients.SNS is <nil>; it must be a client") {
				t.Errorf("%v: it should tell of the clients too", err)
			}
		})
	}
}
