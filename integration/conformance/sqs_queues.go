package conformance

import (
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
