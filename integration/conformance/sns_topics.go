package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/holdfast-go/holdfast/integration"
)

// The errors of SNS's model that cases name.
const (
	invalid  = "InvalidParameterException"
	notFound = "NotFoundException"
)

func topicCases() []Case {
	var cases []Case
	long := strings.Repeat("n", 220)
	for _, row := range []struct {
		what, name string
		refused    bool
	}{
		{"takes a name of 256 characters", long + strings.Repeat("x", 36), false},
		{"takes letters, digits, hyphens and underscores", "Az09-_", false},
		{"refuses a name of 257 characters", long + strings.Repeat("x", 37), true},
		{"refuses a name with a space", "a b", true},
		{"refuses a name with a period", "a.b", true},
		{"refuses a name that ends in .fifo where the topic is none", "a.fifo", true},
	} {
		cases = append(cases, Case{"CreateTopic/" + row.what, "CreateTopic, Name", func(c *Check) {
			arn, err := c.createTopic(row.name)
			if row.refused {
				c.refused(err, invalid)
				return
			}
			c.ok(err)
			if !strings.HasPrefix(arn, "arn:aws:sns:") || !strings.HasSuffix(arn, ":"+row.name) {
				c.errorf("ARN %q", arn)
			}
		}})
	}
	return append(cases, []Case{
		{"CreateTopic/brings the same ARN for the same name", "CreateTopic: if the requester already owns a topic with the specified name, that topic's ARN is returned", func(c *Check) {
			name := integration.Unique("conformance")
			first, err := c.createTopic(name)
			c.ok(err)
			second, err := c.createTopic(name)
			c.ok(err)
			c.equal("ARN", second, first)
		}},
		{"CreateTopic/brings the same ARN where the attributes are the same", "CreateTopic", func(c *Check) {
			name := integration.Unique("conformance")
			first, err := c.createTopic(name, "DisplayName", "x")
			c.ok(err)
			second, err := c.createTopic(name, "DisplayName", "x")
			c.ok(err)
			c.equal("ARN", second, first)
		}},
		{"CreateTopic/refuses a name that is taken, with other attributes", "CreateTopic, InvalidParameter", func(c *Check) {
			name := integration.Unique("conformance")
			_, err := c.createTopic(name, "DisplayName", "x")
			c.ok(err)
			_, err = c.createTopic(name, "DisplayName", "y")
			c.refused(err, invalid)
		}},
		{"CreateTopic/refuses a name that is taken, with other tags", "CreateTopic, InvalidParameter", func(c *Check) {
			name := integration.Unique("conformance")
			_, err := c.createTopic(name)
			c.ok(err)
			_, err = c.SNS.CreateTopic(c.ctx(), &sns.CreateTopicInput{Name: &name, Tags: []snstypes.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
			c.refused(err, invalid)
		}},
		{"CreateTopic/makes FIFO topics", "CreateTopic, FifoTopic", func(c *Check) {
			got := c.topicAttributes(c.fifoTopic())
			c.equal("FifoTopic and ContentBasedDeduplication", []string{got["FifoTopic"], got["ContentBasedDeduplication"]}, []string{"true", "false"})
		}},
		{"CreateTopic/refuses a FIFO topic whose name does not end in .fifo", "CreateTopic, Name: for a FIFO topic, the name must end with the .fifo suffix", func(c *Check) {
			_, err := c.createTopic(integration.Unique("conformance"), "FifoTopic", "true")
			c.refused(err, invalid)
		}},
		{"CreateTopic/refuses an unknown attribute", "CreateTopic, Attributes", func(c *Check) {
			_, err := c.createTopic(integration.Unique("conformance"), "Colour", "green")
			c.refused(err, invalid)
		}},
		{"DeleteTopic/deletes a topic", "DeleteTopic", func(c *Check) {
			arn := c.topic()
			_, err := c.SNS.DeleteTopic(c.ctx(), &sns.DeleteTopicInput{TopicArn: &arn})
			c.ok(err)
			_, err = c.SNS.GetTopicAttributes(c.ctx(), &sns.GetTopicAttributesInput{TopicArn: &arn})
			c.refused(err, notFound)
		}},
		{"DeleteTopic/takes a topic that is gone", "DeleteTopic: this action is idempotent", func(c *Check) {
			arn := c.topic()
			for range 2 {
				_, err := c.SNS.DeleteTopic(c.ctx(), &sns.DeleteTopicInput{TopicArn: &arn})
				c.ok(err)
			}
		}},
		{"DeleteTopic/deletes its subscriptions", "DeleteTopic: deletes a topic and all its subscriptions", func(c *Check) {
			arn := c.topic()
			sub := c.subscribe(arn, c.queue())
			_, err := c.SNS.DeleteTopic(c.ctx(), &sns.DeleteTopicInput{TopicArn: &arn})
			c.ok(err)
			_, err = c.SNS.GetSubscriptionAttributes(c.ctx(), &sns.GetSubscriptionAttributesInput{SubscriptionArn: &sub})
			c.refused(err, notFound)
		}},
	}...)
}

func topicAttributeCases() []Case {
	var cases []Case
	for _, row := range []struct{ what, name, value string }{
		{"a DisplayName of 101 characters", "DisplayName", strings.Repeat("x", 101)},
		{"an unknown attribute", "Colour", "green"},
		{"a Policy that is not JSON", "Policy", "everybody"},
		{"a SignatureVersion of 3", "SignatureVersion", "3"},
		{"a MaximumMessageSize of 1,023", "MaximumMessageSize", "1023"},
		{"a MaximumMessageSize of 1 MiB and 1", "MaximumMessageSize", "1048577"},
		{"a ContentBasedDeduplication on a standard topic", "ContentBasedDeduplication", "true"},
	} {
		cases = append(cases, Case{"SetTopicAttributes/refuses " + row.what, "SetTopicAttributes, InvalidParameter", func(c *Check) {
			c.refused(c.setTopic(c.topic(), row.name, row.value), invalid)
		}})
	}
	for _, row := range []struct{ name, value string }{
		{"DisplayName", "Some Name"}, {"SignatureVersion", "2"}, {"TracingConfig", "Active"}, {"MaximumMessageSize", "1048576"},
	} {
		cases = append(cases, Case{"SetTopicAttributes/sets " + row.name, "SetTopicAttributes", func(c *Check) {
			arn := c.topic()
			c.ok(c.setTopic(arn, row.name, row.value))
			c.equal(row.name, c.topicAttributes(arn)[row.name], row.value)
		}})
	}
	return append(cases, []Case{
		{"SetTopicAttributes/sets ContentBasedDeduplication", "SetTopicAttributes, FIFO topics", func(c *Check) {
			arn := c.fifoTopic()
			c.ok(c.setTopic(arn, "ContentBasedDeduplication", "true"))
			c.equal("ContentBasedDeduplication", c.topicAttributes(arn)["ContentBasedDeduplication"], "true")
		}},
		{"SetTopicAttributes/refuses a topic that is not there", "SetTopicAttributes, NotFound", func(c *Check) {
			c.refused(c.setTopic(c.topic()+"-none", "DisplayName", "x"), notFound)
		}},
		{"GetTopicAttributes/tells of a new topic", "GetTopicAttributes", func(c *Check) {
			arn := c.topic()
			got := c.topicAttributes(arn)
			c.equal("TopicArn", got["TopicArn"], arn)
			c.equal("Owner", got["Owner"], strings.Split(arn, ":")[4])
			c.equal("subscriptions", []string{got["SubscriptionsConfirmed"], got["SubscriptionsPending"], got["SubscriptionsDeleted"]}, []string{"0", "0", "0"})
			for _, name := range []string{"Policy", "EffectiveDeliveryPolicy"} {
				if got[name] == "" {
					c.errorf("no %s", name)
				}
			}
		}},
		{"GetTopicAttributes/counts subscriptions", "GetTopicAttributes, SubscriptionsConfirmed", func(c *Check) {
			arn := c.topic()
			c.subscribe(arn, c.queue())
			c.subscribe(arn, c.queue())
			c.equal("SubscriptionsConfirmed", c.topicAttributes(arn)["SubscriptionsConfirmed"], "2")
		}},
		{"GetTopicAttributes/refuses a topic that is not there", "GetTopicAttributes, NotFound", func(c *Check) {
			_, err := c.SNS.GetTopicAttributes(c.ctx(), &sns.GetTopicAttributesInput{TopicArn: aws.String(c.topic() + "-none")})
			c.refused(err, notFound)
		}},
		{"GetTopicAttributes/refuses what is no ARN", "GetTopicAttributes, InvalidParameter", func(c *Check) {
			_, err := c.SNS.GetTopicAttributes(c.ctx(), &sns.GetTopicAttributesInput{TopicArn: aws.String("orders")})
			c.refused(err, invalid)
		}},
	}...)
}

func topicListCases() []Case {
	return []Case{
		{"ListTopics/lists topics", "ListTopics", func(c *Check) {
			want := []string{c.topic(), c.fifoTopic()}
			var got []string
			out, err := c.SNS.ListTopics(c.ctx(), &sns.ListTopicsInput{})
			c.ok(err)
			for _, t := range out.Topics {
				got = append(got, *t.TopicArn)
			}
			slices.Sort(want)
			slices.Sort(got)
			c.equal("ARNs", got, want)
			c.equal("NextToken", aws.ToString(out.NextToken), "")
		}},
		{"ListTopics/brings pages of 100", "ListTopics: each call returns a limited list of topics, up to 100", func(c *Check) {
			for i := range 101 {
				_, err := c.createTopic(fmt.Sprintf("page-%03d", i))
				c.ok(err)
			}
			var sizes []int
			seen := map[string]bool{}
			pages := sns.NewListTopicsPaginator(c.SNS, &sns.ListTopicsInput{})
			for pages.HasMorePages() && len(sizes) < 5 {
				page, err := pages.NextPage(c.ctx())
				c.ok(err)
				sizes = append(sizes, len(page.Topics))
				for _, t := range page.Topics {
					seen[*t.TopicArn] = true
				}
			}
			c.equal("pages", sizes, []int{100, 1})
			c.equal("topics", len(seen), 101)
		}},
	}
}

func topicTagCases() []Case {
	tag := func(c *Check, arn string, kv ...string) error {
		in := &sns.TagResourceInput{ResourceArn: &arn}
		for k, v := range pairs(kv) {
			in.Tags = append(in.Tags, snstypes.Tag{Key: &k, Value: &v})
		}
		_, err := c.SNS.TagResource(c.ctx(), in)
		return err
	}
	tags := func(c *Check, arn string) map[string]string {
		out, err := c.SNS.ListTagsForResource(c.ctx(), &sns.ListTagsForResourceInput{ResourceArn: &arn})
		c.ok(err)
		m := map[string]string{}
		for _, t := range out.Tags {
			m[*t.Key] = *t.Value
		}
		return m
	}
	policy := func(c *Check, arn, label string) bool {
		return strings.Contains(c.topicAttributes(arn)["Policy"], `"`+label+`"`)
	}
	return []Case{
		{"TagResource/adds tags and replaces those of the same key", "TagResource: a new tag with a key identical to that of an existing tag overwrites", func(c *Check) {
			arn := c.topic()
			c.ok(tag(c, arn, "a", "1", "b", "2"))
			c.ok(tag(c, arn, "b", "3"))
			c.equal("tags", tags(c, arn), map[string]string{"a": "1", "b": "3"})
		}},
		{"TagResource/refuses more than 50 tags", "TagResource, TagLimitExceeded", func(c *Check) {
			var many []string
			for i := range 51 {
				many = append(many, fmt.Sprint("k", i), "v")
			}
			c.refused(tag(c, c.topic(), many...), "TagLimitExceededException")
		}},
		{"TagResource/refuses a topic that is not there", "TagResource, ResourceNotFound", func(c *Check) {
			c.refused(tag(c, c.topic()+"-none", "a", "1"), "ResourceNotFoundException")
		}},
		{"UntagResource/takes tags away", "UntagResource", func(c *Check) {
			arn := c.topic()
			c.ok(tag(c, arn, "a", "1", "b", "2"))
			_, err := c.SNS.UntagResource(c.ctx(), &sns.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"a", "none"}})
			c.ok(err)
			c.equal("tags", tags(c, arn), map[string]string{"b": "2"})
		}},
		{"CreateTopic/takes tags", "CreateTopic, Tags", func(c *Check) {
			out, err := c.SNS.CreateTopic(c.ctx(), &sns.CreateTopicInput{
				Name: aws.String(integration.Unique("conformance")), Tags: []snstypes.Tag{{Key: aws.String("a"), Value: aws.String("1")}},
			})
			c.ok(err)
			c.equal("tags", tags(c, *out.TopicArn), map[string]string{"a": "1"})
		}},
		{"AddPermission of SNS/adds a statement, RemovePermission takes it away", "AddPermission, RemovePermission", func(c *Check) {
			arn := c.topic()
			_, err := c.SNS.AddPermission(c.ctx(), &sns.AddPermissionInput{TopicArn: &arn, Label: aws.String("guests"), AWSAccountId: []string{"111122223333"}, ActionName: []string{"Publish"}})
			c.ok(err)
			c.equal("in the policy", policy(c, arn, "guests"), true)
			_, err = c.SNS.RemovePermission(c.ctx(), &sns.RemovePermissionInput{TopicArn: &arn, Label: aws.String("guests")})
			c.ok(err)
			c.equal("still in the policy", policy(c, arn, "guests"), false)
		}},
	}
}
