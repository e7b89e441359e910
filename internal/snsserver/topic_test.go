package snsserver_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/google/go-cmp/cmp"
)

func TestCreateTopic(t *testing.T) {
	t.Parallel()
	create := func(b *bundle, name string, attributes ...string) string {
		out, err := b.client.CreateTopic(b.ctx, &sns.CreateTopicInput{Name: &name, Attributes: pairs(attributes)})
		if err != nil {
			return told(err)
		}
		return *out.TopicArn
	}
	for _, c := range []struct {
		name       string
		attributes []string
		want       string
	}{
		{"orders", nil, "arn:aws:sns:us-east-1:000000000000:orders"},
		{"Orders-2_x", []string{"DisplayName", "x", "KmsMasterKeyId", "alias/x", "TracingConfig", "Active", "SQSSuccessFeedbackSampleRate", "50"}, "arn:aws:sns:us-east-1:000000000000:Orders-2_x"},
		{"orders.fifo", []string{"FifoTopic", "true", "ContentBasedDeduplication", "true"}, "arn:aws:sns:us-east-1:000000000000:orders.fifo"},
		{"orders.fifo", nil, "InvalidParameter: Invalid parameter: Topic Name"},
		{"orders", []string{"FifoTopic", "true"}, "InvalidParameter: Invalid parameter: Topic Name"},
		{"or ders", nil, "InvalidParameter: Invalid parameter: Topic Name"},
		{".fifo", []string{"FifoTopic", "true"}, "InvalidParameter: Invalid parameter: Topic Name"},
		{strings.Repeat("x", 257), nil, "InvalidParameter: Invalid parameter: Topic Name"},
		{"orders", []string{"Colour", "red"}, "InvalidParameter: Invalid parameter: Attributes Reason: AttributeName"},
		{"orders", []string{"ContentBasedDeduplication", "true"}, "InvalidParameter: Invalid parameter: Attributes Reason: ContentBasedDeduplication: can only be set on FIFO topics"},
		{"orders", []string{"MaximumMessageSize", "1023"}, "InvalidParameter: Invalid parameter: Attributes Reason: MaximumMessageSize: Invalid value [1023]. Must be between 1024 and 1048576."},
		{"orders", []string{"SignatureVersion", "3"}, "InvalidParameter: Invalid parameter: Attributes Reason: SignatureVersion: Invalid value [3]. Must be 1 or 2."},
		{"orders", []string{"Policy", "{}"}, "InvalidParameter: Invalid parameter: Attributes Reason: Policy Error: the document's Statement cannot be read: unexpected end of JSON input"},
		{"orders.fifo", []string{"FifoTopic", "true", "ArchivePolicy", "{}"}, "UnsupportedOperation: ArchivePolicy is not supported: this server keeps no archive of messages."},
	} {
		if got := create(setup(t), c.name, c.attributes...); got != c.want {
			t.Errorf("%s %v: %s, want %s", c.name, c.attributes, got, c.want)
		}
	}

	b := setup(t)
	for _, c := range []struct {
		attributes []string
		ok         bool
	}{
		{[]string{"DisplayName", "x"}, true},
		{nil, true},
		{[]string{"DisplayName", "x"}, true},
		{[]string{"FifoTopic", "false", "SignatureVersion", "1"}, true},
		{[]string{"DisplayName", "y"}, false},
		{[]string{"SignatureVersion", "2"}, false},
	} {
		want := "InvalidParameter: Invalid parameter: Attributes Reason: Topic already exists with different attributes"
		if c.ok {
			want = "arn:aws:sns:us-east-1:000000000000:again"
		}
		if got := create(b, "again", c.attributes...); got != want {
			t.Errorf("again %v: %s, want %s", c.attributes, got, want)
		}
	}
}

func TestTopicAttributes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	topic := b.topic("orders.fifo")
	b.subscribe(topic, b.queue("q.fifo"))
	get := func() map[string]string {
		return must(b.client.GetTopicAttributes(b.ctx, &sns.GetTopicAttributesInput{TopicArn: &topic}))(t).Attributes
	}
	got := get()
	for _, name := range []string{"Policy", "EffectiveDeliveryPolicy"} {
		if !strings.HasPrefix(got[name], "{") {
			t.Errorf("%s is %q", name, got[name])
		}
		delete(got, name)
	}
	want := map[string]string{
		"TopicArn": topic, "Owner": account, "DisplayName": "", "SubscriptionsConfirmed": "1", "SubscriptionsPending": "0", "SubscriptionsDeleted": "0",
		"FifoTopic": "true", "ContentBasedDeduplication": "false", "FifoThroughputScope": "Topic",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	for name, value := range map[string]string{"MaximumMessageSize": "1048576", "DisplayName": "Orders", "FifoThroughputScope": "MessageGroup", "SignatureVersion": "2"} {
		must(b.client.SetTopicAttributes(b.ctx, &sns.SetTopicAttributesInput{TopicArn: &topic, AttributeName: &name, AttributeValue: &value}))(t)
		if got := get()[name]; got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	_, err := b.client.SetTopicAttributes(b.ctx, &sns.SetTopicAttributesInput{TopicArn: &topic, AttributeName: aws.String("FifoTopic"), AttributeValue: aws.String("true")})
	if got := told(err); got != "InvalidParameter: Invalid parameter: AttributeName" {
		t.Errorf("FifoTopic: %s", got)
	}
}

func TestTopicThatIsNotThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for arn, want := range map[string]string{
		"arn:aws:sns:us-east-1:000000000000:none": "NotFound: Topic does not exist",
		"arn:aws:sns:eu-west-1:000000000000:none": "InvalidParameter: Invalid parameter: TopicArn",
		"none": "InvalidParameter: Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1",
	} {
		_, err := b.client.GetTopicAttributes(b.ctx, &sns.GetTopicAttributesInput{TopicArn: &arn})
		if got := told(err); got != want {
			t.Errorf("%s: %s, want %s", arn, got, want)
		}
	}
	_, err := b.client.Publish(b.ctx, &sns.PublishInput{TopicArn: aws.String("arn:aws:sns:us-east-1:000000000000:none"), Message: aws.String("x")})
	if notFound := (*types.NotFoundException)(nil); !errors.As(err, &notFound) {
		t.Errorf("Publish: %v, want the SDK's NotFoundException", err)
	}
	must(b.client.DeleteTopic(b.ctx, &sns.DeleteTopicInput{TopicArn: aws.String("arn:aws:sns:us-east-1:000000000000:none")}))(t)
}

func TestTopicsAreToldApartByAccountAndRegion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var all []string
	for _, c := range []struct{ key, region, want string }{
		{"AKIDTEST", "us-east-1", "arn:aws:sns:us-east-1:000000000000:t"},
		{"111111111111", "us-east-1", "arn:aws:sns:us-east-1:111111111111:t"},
		{"AKIDTEST", "eu-west-1", "arn:aws:sns:eu-west-1:000000000000:t"},
		{"AKIDTEST", "cn-north-1", "arn:aws-cn:sns:cn-north-1:000000000000:t"},
		{"AKIDTEST", "us-gov-west-1", "arn:aws-us-gov:sns:us-gov-west-1:000000000000:t"},
	} {
		client := sns.New(clientOf(b.server, c.key).Options(), func(o *sns.Options) { o.Region = c.region })
		arn := *must(client.CreateTopic(b.ctx, &sns.CreateTopicInput{Name: aws.String("t")}))(t).TopicArn
		listed := must(client.ListTopics(b.ctx, &sns.ListTopicsInput{}))(t).Topics
		if arn != c.want || len(listed) != 1 || *listed[0].TopicArn != c.want {
			t.Errorf("%s in %s: %s, listed %d, want %s", c.key, c.region, arn, len(listed), c.want)
		}
		all = append(all, arn)
	}
	slices.Sort(all)
	var seen []string
	for _, v := range b.server.Topics() {
		seen = append(seen, v.ARN)
	}
	if diff := cmp.Diff(all, seen); diff != "" {
		t.Errorf("topics (-want +got):\n%s", diff)
	}
}

func TestDeleteTopicEndsItsSubscriptions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	topic := b.topic("orders")
	b.subscribe(topic, b.queue("a"))
	b.subscribe(topic, b.queue("b"))
	must(b.client.DeleteTopic(b.ctx, &sns.DeleteTopicInput{TopicArn: &topic}))(t)
	if got := must(b.client.ListSubscriptions(b.ctx, &sns.ListSubscriptionsInput{}))(t).Subscriptions; len(got) != 0 {
		t.Errorf("subscriptions %v", got)
	}
	if _, ok := b.server.Topic(topic); ok || len(b.server.Topics()) != 0 {
		t.Error("the topic is still there")
	}
}

func TestListsComeInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var topics []string
	for i := range 250 {
		topics = append(topics, b.topic(fmt.Sprintf("t%d", i)))
	}
	clientOf(b.server, "111111111111").CreateTopic(b.ctx, &sns.CreateTopicInput{Name: aws.String("other")})
	var got []string
	pages := 0
	for p := sns.NewListTopicsPaginator(b.client, &sns.ListTopicsInput{}); p.HasMorePages(); pages++ {
		for _, topic := range must(p.NextPage(b.ctx))(t).Topics {
			got = append(got, *topic.TopicArn)
		}
		if pages == 0 { // what goes away meanwhile hides nothing
			b.client.DeleteTopic(b.ctx, &sns.DeleteTopicInput{TopicArn: &topics[3]})
		}
	}
	if diff := cmp.Diff(topics, got); diff != "" || pages != 3 {
		t.Errorf("%d pages, want 3; topics (-want +got):\n%s", pages, diff)
	}
	if _, err := b.client.ListTopics(b.ctx, &sns.ListTopicsInput{NextToken: aws.String("x")}); told(err) != "InvalidParameter: Invalid parameter: NextToken" {
		t.Errorf("a token that is none: %v", err)
	}

	var subs []string
	for i := range 101 {
		subs = append(subs, b.subscribe(topics[0], b.queue(fmt.Sprint("q", i))))
	}
	for name, pager := range map[string]func(token *string) ([]types.Subscription, *string){
		"ListSubscriptionsByTopic": func(token *string) ([]types.Subscription, *string) {
			out := must(b.client.ListSubscriptionsByTopic(b.ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: &topics[0], NextToken: token}))(t)
			return out.Subscriptions, out.NextToken
		},
		"ListSubscriptions": func(token *string) ([]types.Subscription, *string) {
			out := must(b.client.ListSubscriptions(b.ctx, &sns.ListSubscriptionsInput{NextToken: token}))(t)
			return out.Subscriptions, out.NextToken
		},
	} {
		first, token := pager(nil)
		second, end := pager(token)
		var got []string
		for _, sub := range slices.Concat(first, second) {
			got = append(got, *sub.SubscriptionArn)
		}
		if diff := cmp.Diff(subs, got); diff != "" || len(first) != 100 || end != nil {
			t.Errorf("%s: %d on the first page, end %v (-want +got):\n%s", name, len(first), end, diff)
		}
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tag := func(pairs ...string) (tags []types.Tag) {
		for i := 0; i < len(pairs); i += 2 {
			tags = append(tags, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
		}
		return tags
	}
	topic := *must(b.client.CreateTopic(b.ctx, &sns.CreateTopicInput{Name: aws.String("t"), Tags: tag("team", "x", "env", "")}))(t).TopicArn
	must(b.client.TagResource(b.ctx, &sns.TagResourceInput{ResourceArn: &topic, Tags: tag("team", "y", "new", "1")}))(t)
	must(b.client.UntagResource(b.ctx, &sns.UntagResourceInput{ResourceArn: &topic, TagKeys: []string{"new", "none"}}))(t)
	var got []string
	for _, tag := range must(b.client.ListTagsForResource(b.ctx, &sns.ListTagsForResourceInput{ResourceArn: &topic}))(t).Tags {
		got = append(got, aws.ToString(tag.Key)+"="+aws.ToString(tag.Value))
	}
	if diff := cmp.Diff([]string{"env=", "team=y"}, got); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}

	for _, c := range []struct {
		name string
		call func() error
		want string
	}{
		{"creating it with other tags", func() error {
			_, err := b.client.CreateTopic(b.ctx, &sns.CreateTopicInput{Name: aws.String("t"), Tags: tag("team", "z")})
			return err
		}, "InvalidParameter: Invalid parameter: Tags Reason: Topic already exists with different tags"},
		{"a key twice", func() error {
			_, err := b.client.TagResource(b.ctx, &sns.TagResourceInput{ResourceArn: &topic, Tags: tag("a", "1", "a", "2")})
			return err
		}, "InvalidParameter: Invalid parameter: Duplicated keys are not allowed."},
		{"too many", func() error {
			var all []string
			for i := range 49 {
				all = append(all, fmt.Sprint("k", i), "v")
			}
			_, err := b.client.TagResource(b.ctx, &sns.TagResourceInput{ResourceArn: &topic, Tags: tag(all...)})
			return err
		}, "TagLimitExceeded: Could not complete request: tag quota of per resource exceeded"},
		{"no such topic", func() error {
			_, err := b.client.ListTagsForResource(b.ctx, &sns.ListTagsForResourceInput{ResourceArn: aws.String(topic + "x")})
			return err
		}, "ResourceNotFound: Resource does not exist"},
	} {
		if got := told(c.call()); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestLargeMessages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	small, large := b.topic("small"), b.topic("large", "MaximumMessageSize", "1048576")
	publish := func(topic string, n int) string {
		_, err := b.client.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: aws.String(strings.Repeat("x", n-len("kString1"))), MessageAttributes: map[string]types.MessageAttributeValue{
			"k": {DataType: aws.String("String"), StringValue: aws.String("1")},
		}})
		return told(err)
	}
	for _, c := range []struct {
		topic string
		size  int
		want  string
	}{
		{small, 256 << 10, "<nil>"},
		{small, 256<<10 + 1, "InvalidParameter: Invalid parameter: Message too long"},
		{large, 1 << 20, "<nil>"},
		{large, 1<<20 + 1, "InvalidParameter: Invalid parameter: Message too long"},
	} {
		if got := publish(c.topic, c.size); got != c.want {
			t.Errorf("%d bytes to %s: %s, want %s", c.size, c.topic, got, c.want)
		}
	}
	for i := range 100 {
		b.subscribe(large, b.queue(fmt.Sprint("q", i)))
		b.subscribe(small, b.queue(fmt.Sprint("q", i)))
	}
	b.subscribe(small, b.queue("q100"))
	_, err := b.client.Subscribe(b.ctx, &sns.SubscribeInput{TopicArn: &large, Protocol: aws.String("sqs"), Endpoint: aws.String(queueARN("q100"))})
	if got := told(err); !strings.HasPrefix(got, "InvalidParameter") {
		t.Errorf("the 101st subscription of a topic for large messages: %s", got)
	}
	_, err = b.client.SetTopicAttributes(b.ctx, &sns.SetTopicAttributesInput{TopicArn: &small, AttributeName: aws.String("MaximumMessageSize"), AttributeValue: aws.String("1048576")})
	if got := told(err); !strings.HasPrefix(got, "InvalidParameter") {
		t.Errorf("large messages for 101 subscriptions: %s", got)
	}
}
