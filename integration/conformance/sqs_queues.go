package conformance

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/integration"
)

// noQueue is a URL with nothing behind it, on the server and in the account of url.
func noQueue(url string) string {
	return url[:strings.LastIndex(url, "/")+1] + integration.Unique("no-such-queue")
}

// named makes a table of names that CreateQueue has to accept or refuse.
func named(doc string, table []struct{ what, name, refused string }) []Case {
	var cases []Case
	for _, row := range table {
		cases = append(cases, Case{"CreateQueue/" + row.what, doc, func(c *Check) {
			var attributes []string
			if strings.HasSuffix(row.name, ".fifo") {
				attributes = []string{"FifoQueue", "true"}
			}
			_, err := c.create(row.name, attributes...)
			if row.refused == "" {
				c.ok(err)
			} else {
				c.refused(err, row.refused)
			}
		}})
	}
	return cases
}

func queueCases() []Case {
	unique := func(length int) string { // a name of that length
		name := integration.Unique("n")
		return name + strings.Repeat("x", length-len(name))
	}
	names := named("CreateQueue, QueueName", []struct{ what, name, refused string }{
		{"takes a name of 80 characters", unique(80), ""},
		{"refuses a name of 81 characters", unique(81), "InvalidParameterValue"},
		{"takes hyphens and underscores", integration.Unique("a-B_9"), ""},
		{"takes a FIFO name of 80 characters with its suffix", unique(75) + ".fifo", ""},
		{"refuses a FIFO name of 81 characters with its suffix", unique(76) + ".fifo", "InvalidParameterValue"},
		{"refuses a space in a name", integration.Unique("a b"), "InvalidParameterValue"},
		{"refuses a dot in a name", integration.Unique("a.b"), "InvalidParameterValue"},
		{"refuses a slash in a name", integration.Unique("a/b"), "InvalidParameterValue"},
		{"refuses a letter beyond ASCII in a name", integration.Unique("ä"), "InvalidParameterValue"},
		{"refuses an empty name", "", ""},
	})
	// The API reference names no error for an empty name.
	names[len(names)-1].Run = func(c *Check) {
		_, err := c.create("")
		c.refused(err, "")
	}
	return append(names, []Case{
		{"CreateQueue/returns the URL of a queue that is there with the same attributes", "CreateQueue", func(c *Check) {
			name := integration.Unique("twice")
			first, err := c.create(name, "DelaySeconds", "3")
			c.ok(err)
			second, err := c.create(name, "DelaySeconds", "3")
			c.ok(err)
			c.equal("URL", second, first)
		}},
		{"CreateQueue/refuses a name that is there with another value of an attribute", "CreateQueue, QueueNameExists", func(c *Check) {
			name := integration.Unique("twice")
			_, err := c.create(name, "DelaySeconds", "3")
			c.ok(err)
			_, err = c.create(name, "DelaySeconds", "4")
			c.refused(err, "QueueNameExists")
		}},
		{"CreateQueue/refuses an unknown attribute", "CreateQueue, InvalidAttributeName", func(c *Check) {
			_, err := c.create(integration.Unique("q"), "Colour", "blue")
			c.refused(err, "InvalidAttributeName")
		}},
		{"CreateQueue/refuses an attribute that is only read", "CreateQueue, Attributes", func(c *Check) {
			_, err := c.create(integration.Unique("q"), "ApproximateNumberOfMessages", "1")
			c.refused(err, "InvalidAttributeName")
		}},
		{"CreateQueue/refuses FifoQueue without the suffix .fifo", "CreateQueue, FifoQueue", func(c *Check) {
			_, err := c.create(integration.Unique("q"), "FifoQueue", "true")
			c.refused(err, "InvalidParameterValue")
		}},
		{"CreateQueue/refuses the suffix .fifo without FifoQueue", "CreateQueue, FifoQueue", func(c *Check) {
			_, err := c.create(integration.Unique("q.fifo"))
			c.refused(err, "InvalidParameterValue")
		}},
		{"CreateQueue/refuses a name that was deleted less than 60 s ago", "CreateQueue, QueueDeletedRecently", func(c *Check) {
			name := integration.Unique("again")
			url, err := c.create(name)
			c.ok(err)
			_, err = c.SQS.DeleteQueue(c.ctx(), &sqs.DeleteQueueInput{QueueUrl: &url})
			c.ok(err)
			_, err = c.create(name)
			c.refused(err, "QueueDeletedRecently")
		}},
		{"GetQueueUrl/finds a queue by its name", "GetQueueUrl", func(c *Check) {
			name := integration.Unique("found")
			url, err := c.create(name)
			c.ok(err)
			got, err := c.SQS.GetQueueUrl(c.ctx(), &sqs.GetQueueUrlInput{QueueName: &name})
			c.ok(err)
			c.equal("URL", *got.QueueUrl, url)
		}},
		{"GetQueueUrl/finds a queue of the account that is named", "GetQueueUrl", func(c *Check) {
			name := integration.Unique("found")
			url, err := c.create(name)
			c.ok(err)
			got, err := c.SQS.GetQueueUrl(c.ctx(), &sqs.GetQueueUrlInput{QueueName: &name, QueueOwnerAWSAccountId: aws.String(strings.Split(c.arn(url), ":")[4])})
			c.ok(err)
			c.equal("URL", *got.QueueUrl, url)
		}},
		{"GetQueueUrl/does not find the queue of another account", "GetQueueUrl", func(c *Check) {
			name := integration.Unique("found")
			_, err := c.create(name)
			c.ok(err)
			_, err = c.SQS.GetQueueUrl(c.ctx(), &sqs.GetQueueUrlInput{QueueName: &name, QueueOwnerAWSAccountId: aws.String("111122223333")})
			c.refused(err, "QueueDoesNotExist")
		}},
		{"GetQueueUrl/does not find what is not there", "GetQueueUrl, QueueDoesNotExist", func(c *Check) {
			_, err := c.SQS.GetQueueUrl(c.ctx(), &sqs.GetQueueUrlInput{QueueName: aws.String(integration.Unique("none"))})
			c.refused(err, "QueueDoesNotExist")
		}},
		{"ListQueues/lists by prefix", "ListQueues, QueueNamePrefix", func(c *Check) {
			prefix := integration.Unique("list")
			a, err := c.create(prefix + "-a")
			c.ok(err)
			b, err := c.create(prefix + "-b")
			c.ok(err)
			c.queue()
			got, err := c.SQS.ListQueues(c.ctx(), &sqs.ListQueuesInput{QueueNamePrefix: &prefix})
			c.ok(err)
			slices.Sort(got.QueueUrls)
			c.equal("URLs", got.QueueUrls, []string{a, b})
		}},
		{"ListQueues/tells prefixes apart by case", "ListQueues, QueueNamePrefix", func(c *Check) {
			prefix := integration.Unique("list")
			_, err := c.create(prefix)
			c.ok(err)
			got, err := c.SQS.ListQueues(c.ctx(), &sqs.ListQueuesInput{QueueNamePrefix: aws.String(strings.ToUpper(prefix))})
			c.ok(err)
			c.equal("URLs", len(got.QueueUrls), 0)
		}},
		{"ListQueues/gives pages to those who ask", "ListQueues, MaxResults and NextToken", func(c *Check) {
			prefix := integration.Unique("list")
			var want []string
			for _, suffix := range []string{"-a", "-b", "-c"} {
				url, err := c.create(prefix + suffix)
				c.ok(err)
				want = append(want, url)
			}
			first, err := c.SQS.ListQueues(c.ctx(), &sqs.ListQueuesInput{QueueNamePrefix: &prefix, MaxResults: aws.Int32(2)})
			c.ok(err)
			c.equal("URLs on the first page", len(first.QueueUrls), 2)
			if first.NextToken == nil {
				c.fatalf("no NextToken")
			}
			second, err := c.SQS.ListQueues(c.ctx(), &sqs.ListQueuesInput{QueueNamePrefix: &prefix, MaxResults: aws.Int32(2), NextToken: first.NextToken})
			c.ok(err)
			all := slices.Concat(first.QueueUrls, second.QueueUrls)
			slices.Sort(all)
			c.equal("URLs", all, want)
			if aws.ToString(second.NextToken) != "" {
				c.errorf("the last page has the NextToken %q", *second.NextToken)
			}
		}},
		{"ListQueues/refuses pages of more than 1,000", "ListQueues, MaxResults", func(c *Check) {
			_, err := c.SQS.ListQueues(c.ctx(), &sqs.ListQueuesInput{MaxResults: aws.Int32(1001)})
			c.refused(err, "")
		}},
		{"DeleteQueue/deletes a queue with its messages", "DeleteQueue", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			_, err := c.SQS.DeleteQueue(c.ctx(), &sqs.DeleteQueueInput{QueueUrl: &url})
			c.ok(err)
			_, err = c.trySend(url, "y")
			c.refused(err, "QueueDoesNotExist")
		}},
		{"DeleteQueue/refuses a queue that is not there", "DeleteQueue, QueueDoesNotExist", func(c *Check) {
			url := noQueue(c.queue())
			_, err := c.SQS.DeleteQueue(c.ctx(), &sqs.DeleteQueueInput{QueueUrl: &url})
			c.refused(err, "QueueDoesNotExist")
		}},
		{"PurgeQueue/deletes all messages, those in flight too", "PurgeQueue", func(c *Check) {
			url := c.queue()
			c.send(url, "flying")
			c.one(url, hold(1))
			c.send(url, "lying")
			_, err := c.SQS.PurgeQueue(c.ctx(), &sqs.PurgeQueueInput{QueueUrl: &url})
			c.ok(err)
			got, err := c.tryReceive(url, waiting(2))
			c.ok(err)
			c.equal("messages after the purge", bodies(got), []string(nil))
		}},
		{"PurgeQueue/refuses a second purge within 60 s", "PurgeQueue, PurgeQueueInProgress", func(c *Check) {
			url := c.queue()
			_, err := c.SQS.PurgeQueue(c.ctx(), &sqs.PurgeQueueInput{QueueUrl: &url})
			c.ok(err)
			_, err = c.SQS.PurgeQueue(c.ctx(), &sqs.PurgeQueueInput{QueueUrl: &url})
			c.refused(err, "PurgeQueueInProgress")
		}},
		{"PurgeQueue/refuses a queue that is not there", "PurgeQueue, QueueDoesNotExist", func(c *Check) {
			url := noQueue(c.queue())
			_, err := c.SQS.PurgeQueue(c.ctx(), &sqs.PurgeQueueInput{QueueUrl: &url})
			c.refused(err, "QueueDoesNotExist")
		}},
		{"GetQueueAttributes/refuses a queue that is not there", "GetQueueAttributes, QueueDoesNotExist", func(c *Check) {
			url := noQueue(c.queue())
			_, err := c.SQS.GetQueueAttributes(c.ctx(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"}})
			c.refused(err, "QueueDoesNotExist")
		}},
		{"SetQueueAttributes/refuses a queue that is not there", "SetQueueAttributes, QueueDoesNotExist", func(c *Check) {
			c.refused(c.set(noQueue(c.queue()), "DelaySeconds", "1"), "QueueDoesNotExist")
		}},
	}...)
}

func (c *Check) tags(url string) map[string]string {
	got, err := c.SQS.ListQueueTags(c.ctx(), &sqs.ListQueueTagsInput{QueueUrl: &url})
	c.ok(err)
	return got.Tags
}

func (c *Check) tag(url string, kv ...string) {
	_, err := c.SQS.TagQueue(c.ctx(), &sqs.TagQueueInput{QueueUrl: &url, Tags: pairs(kv)})
	c.ok(err)
}

func tagCases() []Case {
	return []Case{
		{"TagQueue/adds tags", "TagQueue", func(c *Check) {
			url := c.queue()
			c.tag(url, "team", "shop")
			c.tag(url, "stage", "test")
			c.equal("tags", c.tags(url), map[string]string{"team": "shop", "stage": "test"})
		}},
		{"TagQueue/overwrites a tag with the same key", "TagQueue", func(c *Check) {
			url := c.queue()
			c.tag(url, "team", "shop")
			c.tag(url, "team", "pay")
			c.equal("tags", c.tags(url), map[string]string{"team": "pay"})
		}},
		{"TagQueue/tells keys apart by case", "TagQueue: tags are case-sensitive", func(c *Check) {
			url := c.queue()
			c.tag(url, "team", "shop", "Team", "pay")
			c.equal("tags", c.tags(url), map[string]string{"team": "shop", "Team": "pay"})
		}},
		{"TagQueue/takes an empty value", "TagQueue", func(c *Check) {
			url := c.queue()
			c.tag(url, "flag", "")
			c.equal("tags", c.tags(url), map[string]string{"flag": ""})
		}},
		{"TagQueue/refuses a queue that is not there", "TagQueue, QueueDoesNotExist", func(c *Check) {
			url := noQueue(c.queue())
			_, err := c.SQS.TagQueue(c.ctx(), &sqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{"a": "b"}})
			c.refused(err, "QueueDoesNotExist")
		}},
		{"UntagQueue/removes the tags it names", "UntagQueue", func(c *Check) {
			url := c.queue()
			c.tag(url, "a", "1", "b", "2", "c", "3")
			_, err := c.SQS.UntagQueue(c.ctx(), &sqs.UntagQueueInput{QueueUrl: &url, TagKeys: []string{"a", "c", "never"}})
			c.ok(err)
			c.equal("tags", c.tags(url), map[string]string{"b": "2"})
		}},
		{"UntagQueue/refuses a queue that is not there", "UntagQueue, QueueDoesNotExist", func(c *Check) {
			url := noQueue(c.queue())
			_, err := c.SQS.UntagQueue(c.ctx(), &sqs.UntagQueueInput{QueueUrl: &url, TagKeys: []string{"a"}})
			c.refused(err, "QueueDoesNotExist")
		}},
		{"ListQueueTags/lists none where there are none", "ListQueueTags", func(c *Check) {
			c.equal("tags", len(c.tags(c.queue())), 0)
		}},
		{"ListQueueTags/refuses a queue that is not there", "ListQueueTags, QueueDoesNotExist", func(c *Check) {
			url := noQueue(c.queue())
			_, err := c.SQS.ListQueueTags(c.ctx(), &sqs.ListQueueTagsInput{QueueUrl: &url})
			c.refused(err, "QueueDoesNotExist")
		}},
		{"CreateQueue/takes tags", "CreateQueue, tags", func(c *Check) {
			name := integration.Unique("tagged")
			made, err := c.SQS.CreateQueue(c.ctx(), &sqs.CreateQueueInput{QueueName: &name, Tags: map[string]string{"team": "shop"}})
			c.ok(err)
			c.equal("tags", c.tags(*made.QueueUrl), map[string]string{"team": "shop"})
			_, err = c.SQS.DeleteQueue(c.ctx(), &sqs.DeleteQueueInput{QueueUrl: made.QueueUrl})
			c.ok(err)
		}},
	}
}

func (c *Check) permit(url, label string, accounts, actions []string) error {
	_, err := c.SQS.AddPermission(c.ctx(), &sqs.AddPermissionInput{QueueUrl: &url, Label: &label, AWSAccountIds: accounts, Actions: actions})
	return err
}

func (c *Check) forbid(url, label string) error {
	_, err := c.SQS.RemovePermission(c.ctx(), &sqs.RemovePermissionInput{QueueUrl: &url, Label: &label})
	return err
}

// statements are the Sids of a queue's policy.
func (c *Check) statements(url string) []string {
	text := c.attribute(url, "Policy")
	if text == "" {
		return nil
	}
	var policy struct {
		Statement []struct{ Sid, Effect string }
	}
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		c.fatalf("Policy %s: %v", text, err)
	}
	var sids []string
	for _, s := range policy.Statement {
		if s.Effect != "Allow" {
			c.errorf("statement %s has the effect %q", s.Sid, s.Effect)
		}
		sids = append(sids, s.Sid)
	}
	slices.Sort(sids)
	return sids
}

func permissionCases() []Case {
	account, send := []string{"111122223333"}, []string{"SendMessage"}
	return []Case{
		{"AddPermission/adds statements to the policy, by label", "AddPermission, Label", func(c *Check) {
			url := c.queue()
			c.ok(c.permit(url, "one", account, send))
			c.ok(c.permit(url, "two", account, []string{"ReceiveMessage", "DeleteMessage"}))
			c.equal("statements", c.statements(url), []string{"one", "two"})
		}},
		{"AddPermission/names accounts and actions in the policy", "AddPermission, AWSAccountIds and Actions", func(c *Check) {
			url := c.queue()
			c.ok(c.permit(url, "one", account, send))
			policy := c.attribute(url, "Policy")
			for _, part := range []string{"111122223333", "sqs:sendmessage", c.arn(url)} {
				if !strings.Contains(strings.ToLower(policy), part) {
					c.errorf("%s is not in %s", part, policy)
				}
			}
		}},
		{"AddPermission/takes all actions at once", "AddPermission, Actions: *", func(c *Check) {
			c.ok(c.permit(c.queue(), "all", account, []string{"*"}))
		}},
		{"AddPermission/refuses a label that is there", "AddPermission, Label: the unique identification", func(c *Check) {
			url := c.queue()
			c.ok(c.permit(url, "one", account, send))
			c.refused(c.permit(url, "one", account, send), "")
		}},
		{"AddPermission/refuses an unknown action", "AddPermission, Actions", func(c *Check) {
			c.refused(c.permit(c.queue(), "one", account, []string{"Shout"}), "")
		}},
		{"AddPermission/refuses a label of 81 characters", "AddPermission, Label", func(c *Check) {
			c.refused(c.permit(c.queue(), strings.Repeat("l", 81), account, send), "")
		}},
		{"AddPermission/refuses a queue that is not there", "AddPermission, QueueDoesNotExist", func(c *Check) {
			c.refused(c.permit(noQueue(c.queue()), "one", account, send), "QueueDoesNotExist")
		}},
		{"RemovePermission/removes the statement of a label", "RemovePermission", func(c *Check) {
			url := c.queue()
			c.ok(c.permit(url, "one", account, send))
			c.ok(c.permit(url, "two", account, send))
			c.ok(c.forbid(url, "one"))
			c.equal("statements", c.statements(url), []string{"two"})
		}},
		{"RemovePermission/refuses a label that is not there", "RemovePermission, Label", func(c *Check) {
			c.refused(c.forbid(c.queue(), "one"), "")
		}},
		{"RemovePermission/refuses a queue that is not there", "RemovePermission, QueueDoesNotExist", func(c *Check) {
			c.refused(c.forbid(noQueue(c.queue()), "one"), "QueueDoesNotExist")
		}},
	}
}
