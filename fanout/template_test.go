package fanout_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/internal/policydoc"
	"github.com/holdfast-go/holdfast/sqstest"
)

// made is the attributes of everything that a topology makes: by the ARN of a queue or a
// topic, by both ends of a subscription. Tags are among them.
type made map[string]map[string]string

func (m made) set(what, attribute, value string) {
	if m[what] == nil {
		m[what] = map[string]string{}
	}
	if value != "" {
		m[what][attribute] = value
	}
}

// TestCloudFormationMakesWhatApplyMakes reads a template as CloudFormation does, and what
// Apply made on sqstest, and finds the same in both: every attribute, policy and tag.
func TestCloudFormationMakesWhatApplyMakes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		topology := everyKind()
		for i := range topology.Topics {
			delete(topology.Topics[i].Attributes, "ArchivePolicy") // sqstest keeps no archive
		}
		// Of a queue with two topics, both statements.
		topology.Subscriptions = append(topology.Subscriptions, fanout.Subscription{Topic: "steps.fifo", Queue: "billing", Raw: true})
		topology.Queues[1].DLQ.MaxReceives = 7

		srv := sqstest.New(t, sqstest.NoSignature())
		owner := ownerOf(srv, elsewhere)
		_, err := owner.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("events")})
		if err == nil {
			_, err = owner.AddPermission(t.Context(), &sns.AddPermissionInput{
				TopicArn: aws.String(elsewhere), Label: aws.String("x"), AWSAccountId: []string{sqstest.Account}, ActionName: []string{"Subscribe"},
			})
		}
		if err == nil {
			_, err = sqsIn(srv, "eu-west-1").CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("lost")})
		}
		if err != nil {
			t.Fatal(err)
		}
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		text, err := fanout.CloudFormation(topology)
		if err != nil {
			t.Fatal(err)
		}
		inTemplate, applied := templated(t, text), applied(t, srv)
		if a, b := slices.Sorted(maps.Keys(inTemplate)), slices.Sorted(maps.Keys(applied)); !slices.Equal(a, b) || len(a) < 20 {
			t.Fatalf("in the template %q\napplied %q", a, b)
		}
		for what, attributes := range applied {
			names := maps.Clone(attributes)
			maps.Copy(names, inTemplate[what])
			for name := range names {
				if a, b := inTemplate[what][name], attributes[name]; a != b && !policydoc.Same(a, b) {
					t.Errorf("%s: %s is %q in the template, and %q as it was applied", what, name, a, b)
				}
			}
		}
	})
}

// templated reads a template.
func templated(t *testing.T, text string) made {
	t.Helper()
	var template struct {
		Resources map[string]struct {
			Type       string
			Properties map[string]any
		}
	}
	if err := json.Unmarshal([]byte(text), &template); err != nil {
		t.Fatal(err)
	}
	arns := map[string]string{} // by id
	for id, r := range template.Resources {
		switch r.Type {
		case "AWS::SQS::Queue":
			arns[id] = "arn:aws:sqs:us-east-1:000000000000:" + r.Properties["QueueName"].(string)
		case "AWS::SNS::Topic":
			arns[id] = "arn:aws:sns:us-east-1:000000000000:" + r.Properties["TopicName"].(string)
		}
	}
	// value is what a property means, with references followed.
	var value func(v any) any
	value = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["Ref"].(string); ok {
				return arns[ref]
			}
			if get, ok := v["Fn::GetAtt"].([]any); ok {
				return arns[get[0].(string)]
			}
			for name := range v {
				v[name] = value(v[name])
			}
		case []any:
			for i := range v {
				v[i] = value(v[i])
			}
		}
		return v
	}
	written := func(v any) string {
		if s, ok := v.(string); ok {
			return s
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	out := made{}
	for id, r := range template.Resources {
		p := value(r.Properties).(map[string]any)
		what := arns[id]
		switch r.Type {
		case "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy":
			for _, list := range []any{p["Queues"], p["Topics"]} {
				for _, of := range asList(list) {
					out.set(of.(string), "Policy", written(p["PolicyDocument"]))
				}
			}
			continue
		case "AWS::SNS::Subscription":
			what = p["TopicArn"].(string) + " -> " + p["Endpoint"].(string)
			delete(p, "TopicArn")
			delete(p, "Endpoint")
			delete(p, "Region")
		}
		for name, v := range p {
			switch name {
			case "QueueName", "TopicName":
			case "Tags":
				for _, tag := range asList(v) {
					out.set(what, "tag "+tag.(map[string]any)["Key"].(string), tag.(map[string]any)["Value"].(string))
				}
			case "DeliveryStatusLogging":
				for _, logging := range asList(v) {
					of := logging.(map[string]any)
					protocol := map[string]string{"http/s": "HTTP", "sqs": "SQS"}[of["Protocol"].(string)]
					delete(of, "Protocol")
					for name, v := range of {
						out.set(what, protocol+name, written(v))
					}
				}
			default:
				out.set(what, name, written(v))
			}
		}
	}
	return out
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

// applied reads what there is in the topology's region and account. What a server tells of
// a thing that was made without attributes is left out.
func applied(t *testing.T, srv *sqstest.Server) made {
	t.Helper()
	ctx, q, n := t.Context(), srv.SQS(), srv.SNS()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	out := made{}
	listed, err := q.ListQueues(ctx, &sqs.ListQueuesInput{})
	must(err)
	attributes := func(url string) map[string]string {
		got, err := q.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{"All"}})
		must(err)
		return got.Attributes
	}
	plain := map[string]map[string]string{"false": attributes(srv.Queue(t, "plain").URL), "true": attributes(srv.Queue(t, "plain.fifo").URL)}
	declared := []string{"VisibilityTimeout", "MessageRetentionPeriod", "DelaySeconds", "SqsManagedSseEnabled", "FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"}
	for _, url := range listed.QueueUrls {
		got := attributes(url)
		for name, v := range got {
			switch {
			case strings.HasPrefix(name, "Approximate"), strings.HasSuffix(name, "Timestamp"), name == "QueueArn":
			case name == "SqsManagedSseEnabled" && got["KmsMasterKeyId"] != "": // off by the key
			case v != plain[fmt.Sprint(strings.HasSuffix(url, ".fifo"))][name] || slices.Contains(declared, name):
				out.set(got["QueueArn"], name, v)
			}
		}
		tags, err := q.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: &url})
		must(err)
		for key, v := range tags.Tags {
			out.set(got["QueueArn"], "tag "+key, v)
		}
	}
	topics, err := n.ListTopics(ctx, &sns.ListTopicsInput{})
	must(err)
	for _, topic := range topics.Topics {
		what := *topic.TopicArn
		got, err := n.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &what})
		must(err)
		for name, v := range got.Attributes {
			switch {
			case strings.HasPrefix(name, "Subscriptions"), name == "TopicArn", name == "Owner", name == "EffectiveDeliveryPolicy":
			case name == "Policy" && strings.Contains(v, "__default_policy_ID"):
			case name == "DisplayName" && v == "", name == "FifoThroughputScope" && v == "Topic":
			default:
				out.set(what, name, v)
			}
		}
		tags, err := n.ListTagsForResource(ctx, &sns.ListTagsForResourceInput{ResourceArn: &what})
		must(err)
		for _, tag := range tags.Tags {
			out.set(what, "tag "+*tag.Key, *tag.Value)
		}
	}
	for _, region := range []string{sqstest.Region, "eu-west-1"} {
		client := snsIn(srv, region)
		subs, err := client.ListSubscriptions(ctx, &sns.ListSubscriptionsInput{})
		must(err)
		for _, s := range subs.Subscriptions {
			what := *s.TopicArn + " -> " + *s.Endpoint
			out.set(what, "Protocol", *s.Protocol)
			if !strings.HasPrefix(*s.SubscriptionArn, "arn:") { // it waits for its owner
				out.set(what, "RawMessageDelivery", "false")
				continue
			}
			got, err := client.GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: s.SubscriptionArn})
			must(err)
			for _, name := range []string{"RawMessageDelivery", "FilterPolicy", "FilterPolicyScope", "RedrivePolicy", "DeliveryPolicy", "ReplayPolicy"} {
				out.set(what, name, got.Attributes[name])
			}
		}
	}
	return out
}
