package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/sqstest"
)

// small is a topology with one subscription.
func small() fanout.Topology {
	topology := shop()
	topology.Queues, topology.Subscriptions = topology.Queues[:1], topology.Subscriptions[:1]
	return topology
}

const (
	ordersARN  = "arn:aws:sns:us-east-1:000000000000:orders"
	billingARN = "arn:aws:sqs:us-east-1:000000000000:billing"
)

// lines are the changes of a diff, without the mark's digest.
func lines(d *fanout.Diff) (out []string) {
	for _, c := range d.Changes {
		if c.Field == "tag holdfast" {
			c.From, c.To = "old", "new"
		}
		out = append(out, c.String())
	}
	return out
}

func set(t *testing.T, srv *sqstest.Server, queue, name, value string) {
	t.Helper()
	q := srv.SQS()
	url, err := q.GetQueueUrl(context.Background(), &sqs.GetQueueUrlInput{QueueName: &queue})
	if err == nil {
		_, err = q.SetQueueAttributes(context.Background(), &sqs.SetQueueAttributesInput{QueueUrl: url.QueueUrl, Attributes: map[string]string{name: value}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func policyOf(t *testing.T, srv *sqstest.Server, queue string) string {
	t.Helper()
	q := srv.SQS()
	url, err := q.GetQueueUrl(context.Background(), &sqs.GetQueueUrlInput{QueueName: &queue})
	if err != nil {
		t.Fatal(err)
	}
	out, err := q.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{QueueUrl: url.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{"Policy"}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Attributes["Policy"]
}

// subscriptionARN is that of the billing queue.
func subscriptionARN(t *testing.T, srv *sqstest.Server) string {
	t.Helper()
	out, err := srv.SNS().ListSubscriptionsByTopic(context.Background(), &sns.ListSubscriptionsByTopicInput{TopicArn: aws.String(ordersARN)})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range out.Subscriptions {
		if *s.Endpoint == billingARN {
			return *s.SubscriptionArn
		}
	}
	t.Fatal("billing is not subscribed")
	return ""
}

func TestPlan(t *testing.T) {
	t.Parallel()
	t.Run("tells what is created", planCreate)
	t.Run("tells a change of the declaration from its old to its new value", planChange)
	t.Run("tells drift where others changed what is declared", planDrift)
	t.Run("tells what is foreign and leaves it alone", planForeign)
	t.Run("tells that shorter retention deletes messages", planRetention)
	t.Run("changes nothing", planReadsOnly)
	t.Run("says so where the account is another", planElsewhere)
	t.Run("refuses a policy that would be too large and names its size", planPolicyLimit)
	t.Run("sees no difference in how others write the same", planSameMeaning)
	t.Run("knows a key by its names, and takes none elsewhere for it", planKeys)
	t.Run("sees a subscription among more than SNS lists at once", planPages)
}

func planCreate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		want := []string{
			"create  topic orders",
			`create  queue billing-dlq (DelaySeconds 0, MessageRetentionPeriod 1209600, RedriveAllowPolicy {"redrivePermission":"byQueue","sourceQueueArns":["` + billingARN + `"]}, SqsManagedSseEnabled true, VisibilityTimeout 30)`,
			`create  queue billing-orders-undelivered (DelaySeconds 0, MessageRetentionPeriod 1209600, SqsManagedSseEnabled true, VisibilityTimeout 30)`,
			`create  queue billing (DelaySeconds 0, MessageRetentionPeriod 345600, RedrivePolicy {"deadLetterTargetArn":"` + billingARN + `-dlq","maxReceiveCount":10}, SqsManagedSseEnabled true, VisibilityTimeout 30)`,
			`create  subscription orders -> billing (RawMessageDelivery false, RedrivePolicy {"deadLetterTargetArn":"` + billingARN + `-orders-undelivered"})`,
		}
		d := plan(t, sqstest.New(t), small(), fanout.Config{})
		if diff := cmp.Diff(want, lines(d)); diff != "" || d.Empty() {
			t.Errorf("plan (-want +got):\n%s", diff)
		}
	})
}

func planChange(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		apply(t, srv, small(), fanout.Config{})
		topology := small()
		topology.Topics[0].KMSKey = "alias/orders"
		topology.Queues[0].Visibility, topology.Queues[0].KMSKey = time.Minute, "alias/mine"
		topology.Subscriptions[0].Filter, topology.Subscriptions[0].OnBody = fanout.Where("n", fanout.AtLeast(1)), true
		want := []string{
			"change  topic orders KmsMasterKeyId: none -> alias/orders",
			"change  queue billing-dlq KmsDataKeyReusePeriodSeconds: none -> 300",
			"change  queue billing-dlq KmsMasterKeyId: none -> alias/mine",
			"change  queue billing-dlq SqsManagedSseEnabled: true -> false",
			"change  queue billing KmsDataKeyReusePeriodSeconds: none -> 300",
			"change  queue billing KmsMasterKeyId: none -> alias/mine",
			"change  queue billing SqsManagedSseEnabled: true -> false",
			"change  queue billing VisibilityTimeout: 30 -> 60",
			`change  subscription orders -> billing FilterPolicy: none -> {"n":[{"numeric":[">=",1]}]}`,
			"change  topic orders tag holdfast: old -> new",
			"change  queue billing-dlq tag holdfast: old -> new",
			"change  queue billing tag holdfast: old -> new",
		}
		if diff := cmp.Diff(want, lines(plan(t, srv, topology, fanout.Config{}))); diff != "" {
			t.Errorf("plan (-want +got):\n%s", diff)
		}
		apply(t, srv, topology, fanout.Config{})
		// And back to a queue without a key, where the two kinds of encryption change places.
		apply(t, srv, small(), fanout.Config{})
		if d := plan(t, srv, small(), fanout.Config{}); !d.Empty() {
			t.Errorf("after the way back:\n%s", d)
		}
	})
}

func planDrift(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		apply(t, srv, small(), fanout.Config{})
		set(t, srv, "billing", "VisibilityTimeout", "5")
		set(t, srv, "billing-orders-undelivered", "Policy", strings.Replace(policyOf(t, srv, "billing-orders-undelivered"), "sqs:SendMessage", "sqs:*", 1))
		sub := subscriptionARN(t, srv)
		if _, err := srv.SNS().SetSubscriptionAttributes(t.Context(), &sns.SetSubscriptionAttributesInput{SubscriptionArn: &sub, AttributeName: aws.String("FilterPolicy"), AttributeValue: aws.String(`{"a":["b"]}`)}); err != nil {
			t.Fatal(err)
		}
		got := lines(plan(t, srv, small(), fanout.Config{}))
		want := []string{
			"drift   queue billing VisibilityTimeout: 5 -> 30",
			"", // the statement, below
			`drift   subscription orders -> billing FilterPolicy: {"a":["b"]} -> none`,
		}
		if len(got) == 3 && strings.HasPrefix(got[1], "drift   statement billing-orders-undelivered#HoldfastFromorders") && strings.Contains(got[1], `"sqs:*"`) {
			got[1] = ""
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("plan (-want +got):\n%s", diff)
		}
	})
}

func planForeign(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		apply(t, srv, small(), fanout.Config{})
		others := srv.Queue(t, "others")
		sub := srv.Topic(t, "orders").Subscribe(t, others)
		policy := strings.Replace(policyOf(t, srv, "billing"), `"Statement":[`, `"Statement":[{"Sid":"theirs","Effect":"Allow","Principal":"*","Action":"sqs:SendMessage"},`, 1)
		set(t, srv, "billing", "Policy", policy)
		if _, err := srv.SQS().TagQueue(t.Context(), &sqs.TagQueueInput{QueueUrl: &srv.Queue(t, "billing").URL, Tags: map[string]string{"cost": "42"}}); err != nil {
			t.Fatal(err)
		}
		d := plan(t, srv, small(), fanout.Config{})
		want := []string{
			"foreign statement billing#theirs: left alone",
			"foreign queue billing tag cost 42: left alone",
			"foreign subscription orders -> " + others.ARN + ": left alone; Prune ends it by " + sub,
		}
		if diff := cmp.Diff(want, lines(d)); diff != "" || !d.Empty() {
			t.Errorf("empty %v, plan (-want +got):\n%s", d.Empty(), diff)
		}
	})
}

func planRetention(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		apply(t, srv, small(), fanout.Config{})
		topology := small()
		topology.Queues[0].Retention = time.Hour
		got := lines(plan(t, srv, topology, fanout.Config{}))
		if want := "change  queue billing MessageRetentionPeriod: 345600 -> 3600; messages older than that are deleted"; got[0] != want {
			t.Errorf("%q, want %q", got[0], want)
		}
	})
}

func planReadsOnly(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		apply(t, srv, small(), fanout.Config{})
		set(t, srv, "billing", "VisibilityTimeout", "5")
		srv.ResetLog()
		plan(t, srv, shop(), fanout.Config{})
		for _, c := range srv.Log() {
			if !strings.HasPrefix(c.Action, "Get") && !strings.HasPrefix(c.Action, "List") {
				t.Errorf("a plan called %s", c.Action)
			}
		}
	})
}

func planElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		apply(t, srv, small(), fanout.Config{})
		topology := small()
		topology.Account = "111111111111"
		_, err := fanout.Plan(t.Context(), clientsOf(srv), topology, fanout.Config{})
		if err == nil || !strings.Contains(err.Error(), "the queue billing is "+billingARN+", and the topology says arn:aws:sqs:us-east-1:111111111111:billing") {
			t.Errorf("%v, want an error that names both", err)
		}
	})
}

func planPolicyLimit(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		apply(t, srv, small(), fanout.Config{})
		for name, theirs := range map[string]string{
			"bytes":      `{"Sid":"long","Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"` + strings.Repeat("x", 8000) + `"}`,
			"statements": strings.TrimSuffix(strings.Repeat(`{"Effect":"Allow","Principal":"*","Action":"sqs:SendMessage"},`, 20), ","),
		} {
			set(t, srv, "billing", "Policy", `{"Statement":[`+theirs+`]}`)
			srv.ResetLog()
			_, err := fanout.Apply(t.Context(), clientsOf(srv), small(), fanout.Config{})
			var limit *fanout.PolicyError
			if !errors.As(err, &limit) || limit.Queue != billingARN {
				t.Fatalf("%s: %v, want a *PolicyError", name, err)
			}
			want := fmt.Sprintf("fanout: the policy of %s would have %d bytes in %d statements; SQS takes at most 8192 bytes in 20 statements", billingARN, limit.Bytes, limit.Statements)
			if err.Error() != want || limit.Bytes <= 8192 && limit.Statements <= 20 {
				t.Errorf("%s: %v", name, err)
			}
			if n := srv.Calls("SetQueueAttributes"); n != 0 {
				t.Errorf("%s: %d attributes were set", name, n)
			}
		}
	})
}

func planSameMeaning(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		topology := small()
		topology.Subscriptions[0].Filter = fanout.Where("a", fanout.Is("x")).And("b", fanout.IsNumber(1))
		apply(t, srv, topology, fanout.Config{})
		// The console writes the count as a text, and keys in its own order.
		set(t, srv, "billing", "RedrivePolicy", `{"maxReceiveCount":"10", "deadLetterTargetArn":"`+billingARN+`-dlq"}`)
		sub := subscriptionARN(t, srv)
		filter := func(value string) {
			if _, err := srv.SNS().SetSubscriptionAttributes(t.Context(), &sns.SetSubscriptionAttributesInput{SubscriptionArn: &sub, AttributeName: aws.String("FilterPolicy"), AttributeValue: &value}); err != nil {
				t.Fatal(err)
			}
		}
		filter(`{ "b": [1], "a": ["x"] }`)
		if d := plan(t, srv, topology, fanout.Config{}); !d.Empty() {
			t.Errorf("differences:\n%s", d)
		}
		filter(`{ "b": [1.0], "a": ["x"] }`)
		if d := plan(t, srv, topology, fanout.Config{}); !d.Empty() {
			t.Errorf("differences between ways to write a number:\n%s", d)
		}
		filter(`{ "b": ["1"], "a": ["x"] }`) // a text is no number to a filter
		if d := plan(t, srv, topology, fanout.Config{}); d.Empty() {
			t.Error("no difference between a number and a text")
		}
	})
}

// planKeys has keys whose names say the same, and others that only look like it.
func planKeys(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		for name, tt := range map[string]struct {
			is, declared string
			same         bool
		}{
			"an id and its ARN":               {"1234", "arn:aws:kms:us-east-1:000000000000:key/1234", true},
			"an alias and its ARN":            {"arn:aws:kms:us-east-1:000000000000:alias/orders", "alias/orders", true},
			"an alias of another account":     {"alias/orders", "arn:aws:kms:us-east-1:999999999999:alias/orders", false},
			"a key of another account":        {"arn:aws:kms:us-east-1:999999999999:key/1234", "1234", false},
			"a key of another region":         {"1234", "arn:aws:kms:eu-west-1:000000000000:key/1234", false},
			"the same ARN of another account": {"arn:aws:kms:us-east-1:999999999999:alias/orders", "arn:aws:kms:us-east-1:999999999999:alias/orders", true},
		} {
			topology := small()
			topology.Topics[0].KMSKey, topology.Queues[0].KMSKey = tt.is, tt.is
			apply(t, srv, topology, fanout.Config{PolicySpread: -1})
			topology.Topics[0].KMSKey, topology.Queues[0].KMSKey = tt.declared, tt.declared
			d := apply(t, srv, topology, fanout.Config{PolicySpread: -1})
			changed := 0
			for _, c := range d.Changes {
				if c.Field == "KmsMasterKeyId" {
					changed++
				}
			}
			if want := map[bool]int{true: 0, false: 3}[tt.same]; changed != want { // of topic, queue and its dead-letter queue
				t.Errorf("%s: %d keys differ, want %d:\n%s", name, changed, want, d)
			}
		}
	})
}

// planPages has 120 subscriptions of others before those that are declared, to a topic of
// the topology and to one that is not.
func planPages(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		orders, events := srv.Topic(t, "orders"), srv.Topic(t, "events")
		for i := range 120 {
			q := srv.Queue(t, fmt.Sprint("others", i))
			orders.Subscribe(t, q)
			events.Subscribe(t, q)
		}
		topology := small()
		topology.Subscriptions = append(topology.Subscriptions, fanout.Subscription{Topic: events.ARN, Queue: "billing"})
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		d := plan(t, srv, topology, fanout.Config{})
		if !d.Empty() || len(d.Changes) != 120 {
			t.Errorf("%d changes, want 120 subscriptions of others: %.1000s", len(d.Changes), d)
		}
	})
}

func TestExistingOnly(t *testing.T) {
	t.Parallel()
	t.Run("changes nothing and lists what is missing in one error", existingMissing)
	t.Run("mends what is there", existingMends)
}

func existingMissing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		apply(t, srv, small(), fanout.Config{})
		set(t, srv, "billing", "VisibilityTimeout", "5")
		srv.ResetLog()
		d, err := fanout.Apply(t.Context(), clientsOf(srv), shop(), fanout.Config{ExistingOnly: true})
		var missing *fanout.MissingError
		if !errors.As(err, &missing) || len(missing.Missing) != 8 || d == nil {
			t.Fatalf("%v, want a *MissingError with 8 entries", err)
		}
		want := "fanout: missing, and ExistingOnly creates nothing: queue shipping-dlq, queue audit-dlq, queue shipping-orders-undelivered, " +
			"queue audit-orders-undelivered, queue shipping, queue audit, subscription orders -> shipping, subscription orders -> audit"
		if err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
		for _, c := range srv.Log() {
			if !strings.HasPrefix(c.Action, "Get") && !strings.HasPrefix(c.Action, "List") {
				t.Errorf("it called %s", c.Action)
			}
		}
	})
}

func existingMends(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		apply(t, srv, small(), fanout.Config{})
		set(t, srv, "billing", "VisibilityTimeout", "5")
		set(t, srv, "billing", "Policy", "")
		apply(t, srv, small(), fanout.Config{ExistingOnly: true})
		if d := plan(t, srv, small(), fanout.Config{}); !d.Empty() {
			t.Errorf("left:\n%s", d)
		}
	})
}

func TestPrune(t *testing.T) {
	t.Parallel()
	t.Run("deletes what is named and nothing else, and names it once only", pruneNamed)
	t.Run("leaves a queue with messages, until it is told twice", pruneHeld)
	t.Run("leaves a queue that gets a message after it was looked at", pruneHeldSince)
	t.Run("does not end a subscription that is declared", pruneDeclared)
	t.Run("does not end a subscription that the owner of a topic made and LetIn lets in", pruneLetIn)
	t.Run("ends subscriptions before statements, and these before queues", pruneOrder)
}

func pruneNamed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		apply(t, srv, shop(), fanout.Config{})
		old := srv.Topic(t, "old")
		sub := old.Subscribe(t, srv.Queue(t, "billing"))
		left := shop()
		left.Queues, left.Subscriptions = left.Queues[:2], left.Subscriptions[:2]
		audit := "arn:aws:sqs:us-east-1:000000000000:audit"
		var auditSub, statement string
		for _, c := range plan(t, srv, left, fanout.Config{}).Changes {
			if c.Kind == fanout.Foreign && c.Resource == "subscription" {
				auditSub = c.ARN
			}
			if c.Kind == fanout.Foreign && c.Resource == "statement" {
				statement = c.ARN
			}
		}
		cfg := fanout.Config{Prune: []string{audit, old.ARN, sub, auditSub, statement}}
		d := apply(t, srv, left, cfg)
		var deleted []string
		for _, c := range d.Changes {
			if c.Kind == fanout.Delete {
				deleted = append(deleted, c.ARN)
			}
		}
		if diff := cmp.Diff([]string{sub, auditSub, statement, audit, old.ARN}, deleted); diff != "" {
			t.Errorf("deleted (-want +got):\n%s", diff)
		}
		for _, action := range []string{"DeleteQueue", "DeleteTopic"} {
			if n := srv.Calls(action); n != 1 {
				t.Errorf("%s was called %d times", action, n)
			}
		}
		if d := plan(t, srv, left, cfg); !d.Empty() {
			t.Errorf("planned again:\n%s", d)
		}
		if strings.Contains(policyOf(t, srv, "billing"), "sqstest-old") {
			t.Error("the statement is still there")
		}
	})
}

func pruneHeld(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		old := srv.Queue(t, "old")
		old.Send(t, "work")
		cfg := fanout.Config{Prune: []string{old.ARN}}
		if got := lines(plan(t, srv, small(), cfg)); got[len(got)-1] != "delete  queue old; it holds about 1 messages" {
			t.Errorf("plan: %q", got)
		}
		_, err := fanout.Apply(t.Context(), clientsOf(srv), small(), cfg)
		var held *fanout.HeldError
		if !errors.As(err, &held) || held.Messages != 1 || held.Error() != "fanout: "+old.ARN+" holds about 1 messages and is not deleted without PruneMessages" {
			t.Fatalf("%v, want a *HeldError", err)
		}
		if len(old.Messages()) != 1 {
			t.Fatal("the message is gone")
		}
		cfg.PruneMessages = true
		apply(t, srv, small(), cfg)
		if n := srv.Calls("DeleteQueue"); n != 1 {
			t.Errorf("DeleteQueue was called %d times", n)
		}
	})
}

func pruneHeldSince(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		old := srv.Queue(t, "old")
		var once sync.Once
		clients := spiedClients(srv, func(action, _ string) []byte {
			if action == "CreateQueue" {
				once.Do(func() { old.Send(t, "work") })
			}
			return nil
		})
		_, err := fanout.Apply(t.Context(), clients, small(), fanout.Config{PolicySpread: -1, Prune: []string{old.ARN}})
		var held *fanout.HeldError
		if !errors.As(err, &held) || held.Messages != 1 || len(old.Messages()) != 1 {
			t.Errorf("%v, want a *HeldError", err)
		}
	})
}

func pruneDeclared(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		apply(t, srv, small(), fanout.Config{})
		sub := subscriptionARN(t, srv)
		_, err := fanout.Apply(t.Context(), clientsOf(srv), small(), fanout.Config{Prune: []string{sub}})
		if want := `fanout: Config.Prune is "` + sub + `"; it must be something that the topology does not declare`; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	})
}

func pruneLetIn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		apply(t, srv, withTheirs(), fanout.Config{PolicySpread: -1})
		n := theirs(t, srv, srv.Queue(t, "billing"))
		refused := func(is string) {
			t.Helper()
			out, err := n.ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: aws.String(theirsARN)})
			if err != nil || len(out.Subscriptions) != 1 {
				t.Fatalf("%v, %+v", err, out)
			}
			sub := *out.Subscriptions[0].SubscriptionArn
			_, err = fanout.Plan(t.Context(), clientsOf(srv), withTheirs(), fanout.Config{Prune: []string{sub}})
			want := `fanout: Config.Prune is "` + sub + `"; it must be something that the topology does not use: it ` + is + ` Subscriptions[1], which is let in`
			if err == nil || strings.Split(err.Error(), "\n")[0] != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
		consume(t, srv, time.Minute, consumer.Config{Middleware: []holdfast.Middleware{fanout.Confirm(srv.SNS(), theirsARN)}})
		refused("may be") // only its owner may read it
		out, err := n.ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: aws.String(theirsARN)})
		if err != nil {
			t.Fatal(err)
		}
		_, gone := n.Unsubscribe(t.Context(), &sns.UnsubscribeInput{SubscriptionArn: out.Subscriptions[0].SubscriptionArn})
		_, set := n.AddPermission(t.Context(), &sns.AddPermissionInput{
			TopicArn: aws.String(theirsARN), Label: aws.String("x"), AWSAccountId: []string{sqstest.Account}, ActionName: []string{"Subscribe"},
		})
		_, made := srv.SNS().Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: aws.String(theirsARN), Protocol: aws.String("sqs"), Endpoint: aws.String(billingARN)})
		if err := errors.Join(gone, set, made); err != nil {
			t.Fatal(err)
		}
		refused("is")
	})
}

func pruneOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		for _, action := range []string{"Unsubscribe", "SetQueueAttributes", "DeleteQueue"} {
			srv.Delay(action, time.Second) // so that times tell the order
		}
		apply(t, srv, small(), fanout.Config{})
		old, q := srv.Topic(t, "old"), srv.Queue(t, "old")
		sub := old.Subscribe(t, srv.Queue(t, "billing"))
		srv.ResetLog()
		apply(t, srv, small(), fanout.Config{Prune: []string{q.ARN, billingARN + "#sqstest-old", sub}})
		var order []string
		for _, c := range srv.Log() {
			if !strings.HasPrefix(c.Action, "Get") && !strings.HasPrefix(c.Action, "List") {
				order = append(order, c.Action)
			}
		}
		if diff := cmp.Diff([]string{"Unsubscribe", "SetQueueAttributes", "DeleteQueue"}, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestDeniedCallsNameActionAndResource(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		srv.Bind(t, "WORKER", `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`)
		c := fanout.Clients{SQS: srv.SQS(sqstest.As("WORKER")), SNS: srv.SNS(sqstest.SNSAs("WORKER"))}
		_, err := fanout.Plan(t.Context(), c, small(), fanout.Config{})
		var denied *fanout.AccessError
		if !errors.As(err, &denied) || denied.Action != "sns:GetTopicAttributes" && denied.Action != "sqs:GetQueueUrl" {
			t.Errorf("%v, want an *AccessError", err)
		}
	})
}
