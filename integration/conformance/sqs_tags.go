package conformance

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/integration"
)

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
