package sqstest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/sqstest"
)

func text(v string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &v}
}

// attributes makes n message attributes.
func attributes(n int) map[string]types.MessageAttributeValue {
	m := make(map[string]types.MessageAttributeValue, n)
	for i := range n {
		m[fmt.Sprintf("a%02d", i)] = text("v")
	}
	return m
}

// TestLimits asks for what is just allowed ("" as code) and for what is just not.
func TestLimits(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	send := func(edit func(*sqs.SendMessageInput)) func(context.Context, *sqs.Client, string) error {
		return func(ctx context.Context, c *sqs.Client, url string) error {
			in := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")}
			edit(in)
			_, err := c.SendMessage(ctx, in)
			return err
		}
	}
	body := func(b string) func(context.Context, *sqs.Client, string) error {
		return send(func(in *sqs.SendMessageInput) { in.MessageBody = &b })
	}
	attr := func(name string, v types.MessageAttributeValue) func(context.Context, *sqs.Client, string) error {
		return send(func(in *sqs.SendMessageInput) {
			in.MessageAttributes = map[string]types.MessageAttributeValue{name: v}
		})
	}
	recv := func(edit func(*sqs.ReceiveMessageInput)) func(context.Context, *sqs.Client, string) error {
		return func(ctx context.Context, c *sqs.Client, url string) error {
			in := &sqs.ReceiveMessageInput{QueueUrl: &url}
			edit(in)
			_, err := c.ReceiveMessage(ctx, in)
			return err
		}
	}
	batch := func(n int, edit func(i int, e *types.SendMessageBatchRequestEntry)) func(context.Context, *sqs.Client, string) error {
		return func(ctx context.Context, c *sqs.Client, url string) error {
			in := &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{}}
			for i := range n {
				e := types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String("x")}
				if edit != nil {
					edit(i, &e)
				}
				in.Entries = append(in.Entries, e)
			}
			_, err := c.SendMessageBatch(ctx, in)
			return err
		}
	}
	create := func(name string, attrs map[string]string) func(context.Context, *sqs.Client, string) error {
		return func(ctx context.Context, c *sqs.Client, _ string) error {
			_, err := c.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attrs})
			return err
		}
	}
	set := func(name, value string) func(context.Context, *sqs.Client, string) error {
		return func(ctx context.Context, c *sqs.Client, url string) error {
			_, err := c.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{name: value}})
			return err
		}
	}
	const (
		parameter = "InvalidParameterValue"
		contents  = "InvalidMessageContents"
		value     = "InvalidAttributeValue"
		name      = "InvalidAttributeName"
	)
	for _, tc := range []struct {
		name string
		do   func(context.Context, *sqs.Client, string) error
		code string
	}{
		{"a body of 1 MiB", body(strings.Repeat("x", mib)), ""},
		{"a body of 1 MiB and a byte", body(strings.Repeat("x", mib+1)), parameter},
		{"attributes that make it too long", send(func(in *sqs.SendMessageInput) {
			in.MessageBody = aws.String(strings.Repeat("x", mib))
			in.MessageAttributes = attributes(1)
		}), parameter},
		{"an empty body", body(""), "MissingParameter"},
		{"a body with all that is allowed", body("\t\n\r \u00e9\ud7ff\ue000\ufffd\U00010000\U0010ffff"), ""},
		{"a body with NUL", body("a\x00"), contents},
		{"a body with U+FFFF", body("a\uffff"), contents},
		{"a delay of 900 s", send(func(in *sqs.SendMessageInput) { in.DelaySeconds = 900 }), ""},
		{"a delay of 901 s", send(func(in *sqs.SendMessageInput) { in.DelaySeconds = 901 }), parameter},
		{"a negative delay", send(func(in *sqs.SendMessageInput) { in.DelaySeconds = -1 }), parameter},
		{"a group of 128 characters", send(func(in *sqs.SendMessageInput) { in.MessageGroupId = aws.String(strings.Repeat("g", 128)) }), ""},
		{"a group of 129 characters", send(func(in *sqs.SendMessageInput) { in.MessageGroupId = aws.String(strings.Repeat("g", 129)) }), parameter},
		{"a group with a space", send(func(in *sqs.SendMessageInput) { in.MessageGroupId = aws.String("a b") }), parameter},
		{"a deduplication id on a standard queue", send(func(in *sqs.SendMessageInput) { in.MessageDeduplicationId = aws.String("d") }), parameter},
		{"10 attributes", send(func(in *sqs.SendMessageInput) { in.MessageAttributes = attributes(10) }), ""},
		{"11 attributes", send(func(in *sqs.SendMessageInput) { in.MessageAttributes = attributes(11) }), parameter},
		{"an attribute name that AWS keeps", attr("AWS.x", text("v")), parameter},
		{"an attribute name with two periods", attr("a..b", text("v")), parameter},
		{"an attribute of an unknown type", attr("a", types.MessageAttributeValue{DataType: aws.String("Bool"), StringValue: aws.String("true")}), parameter},
		{"an attribute with a labelled type", attr("a", types.MessageAttributeValue{DataType: aws.String("String.email"), StringValue: aws.String("x")}), ""},
		{"an attribute without a value", attr("a", types.MessageAttributeValue{DataType: aws.String("String")}), parameter},
		{"a number that is none", attr("a", types.MessageAttributeValue{DataType: aws.String("Number"), StringValue: aws.String("x")}), parameter},
		{"a list as attribute", attr("a", types.MessageAttributeValue{DataType: aws.String("String"), StringListValues: []string{"x"}}), "AWS.SimpleQueueService.UnsupportedOperation"},
		{"11 messages at once", recv(func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = 11 }), parameter},
		{"a wait of 21 s", recv(func(in *sqs.ReceiveMessageInput) { in.WaitTimeSeconds = 21 }), parameter},
		{"a visibility of 12 h and 1 s", recv(func(in *sqs.ReceiveMessageInput) { in.VisibilityTimeout = 43201 }), parameter},
		{"an unknown system attribute", recv(func(in *sqs.ReceiveMessageInput) {
			in.MessageSystemAttributeNames = []types.MessageSystemAttributeName{"X"}
		}), name},
		{"a batch of 10", batch(10, nil), ""},
		{"a batch of 11", batch(11, nil), "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"},
		{"a batch of none", batch(0, nil), "AWS.SimpleQueueService.EmptyBatchRequest"},
		{"a batch of 1 MiB", batch(2, func(_ int, e *types.SendMessageBatchRequestEntry) {
			e.MessageBody = aws.String(strings.Repeat("x", mib/2))
		}), ""},
		{"a batch of 1 MiB and a byte", batch(2, func(i int, e *types.SendMessageBatchRequestEntry) {
			e.MessageBody = aws.String(strings.Repeat("x", mib/2+i))
		}), "AWS.SimpleQueueService.BatchRequestTooLong"},
		{"two entries of one id", batch(2, func(_ int, e *types.SendMessageBatchRequestEntry) { e.Id = aws.String("same") }), "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"},
		{"an entry id of 80 characters", batch(1, func(_ int, e *types.SendMessageBatchRequestEntry) { e.Id = aws.String(strings.Repeat("i", 80)) }), ""},
		{"an entry id of 81 characters", batch(1, func(_ int, e *types.SendMessageBatchRequestEntry) { e.Id = aws.String(strings.Repeat("i", 81)) }), "AWS.SimpleQueueService.InvalidBatchEntryId"},
		{"an entry id with a period", batch(1, func(_ int, e *types.SendMessageBatchRequestEntry) { e.Id = aws.String("a.b") }), "AWS.SimpleQueueService.InvalidBatchEntryId"},
		{"a queue name of 80 characters", create(strings.Repeat("n", 80), nil), ""},
		{"a queue name of 81 characters", create(strings.Repeat("n", 81), nil), parameter},
		{"a queue name with a period", create("a.b", nil), parameter},
		{"a FIFO queue whose name does not end so", create("n", map[string]string{"FifoQueue": "true"}), parameter},
		{"a name that ends so without FifoQueue", create("n.fifo", nil), parameter},
		{"FifoQueue=false", create("n", map[string]string{"FifoQueue": "false"}), value},
		{"a read-only attribute", set("QueueArn", "x"), name},
		{"an unknown attribute", set("X", "x"), name},
		{"a FIFO attribute on a standard queue", set("ContentBasedDeduplication", "true"), name},
		{"a retention of 60 s", set("MessageRetentionPeriod", "60"), ""},
		{"a retention of 59 s", set("MessageRetentionPeriod", "59"), value},
		{"a retention of 14 days", set("MessageRetentionPeriod", "1209600"), ""},
		{"a retention of more", set("MessageRetentionPeriod", "1209601"), value},
		{"a maximum size of 1 KiB", set("MaximumMessageSize", "1024"), ""},
		{"a maximum size of less", set("MaximumMessageSize", "1023"), value},
		{"a visibility that is no number", set("VisibilityTimeout", "x"), value},
		{"a wait of the queue of 21 s", set("ReceiveMessageWaitTimeSeconds", "21"), value},
		{"a delay of the queue of 901 s", set("DelaySeconds", "901"), value},
		{"a policy that is none", set("Policy", "{}"), value},
		{"a redrive policy that is none", set("RedrivePolicy", "{"), value},
		{"a redrive policy with a count of 0", set("RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:q","maxReceiveCount":0}`), value},
		{"a redrive policy with a count of 1001", set("RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:q","maxReceiveCount":1001}`), value},
		{"a dead-letter queue that is not there", set("RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:none","maxReceiveCount":3}`), parameter},
		{"a dead-letter queue of the other type", set("RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:other.fifo","maxReceiveCount":3}`), parameter},
		{"a queue that is not there", func(ctx context.Context, c *sqs.Client, _ string) error {
			_, err := c.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: aws.String("none")})
			return err
		}, "AWS.SimpleQueueService.NonExistentQueue"},
		{"a name that is not there", func(ctx context.Context, c *sqs.Client, _ string) error {
			_, err := c.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("none")})
			return err
		}, "AWS.SimpleQueueService.NonExistentQueue"},
		{"a URL that is none", func(ctx context.Context, c *sqs.Client, _ string) error {
			_, err := c.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: aws.String("http://host/1/2/3")})
			return err
		}, "InvalidAddress"},
		{"a made-up receipt handle", func(ctx context.Context, c *sqs.Client, url string) error {
			_, err := c.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: aws.String("made-up")})
			return err
		}, "ReceiptHandleIsInvalid"},
		{"no tags", func(ctx context.Context, c *sqs.Client, url string) error {
			_, err := c.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{}})
			return err
		}, "MissingParameter"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := sqstest.New(t)
			q := srv.Queue(t, "q")
			srv.Queue(t, "other.fifo")
			client := srv.SQS(func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
			err := tc.do(t.Context(), client, q.URL)
			if tc.code != "" {
				wantCode(t, err, tc.code)
			} else if err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}

func TestErrorsAreTheTypesOfTheSDK(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q")
		_, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("none")})
		wantError[*types.QueueDoesNotExist](t, err)
		_, err = client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &q.URL, ReceiptHandle: aws.String("made-up")})
		wantError[*types.ReceiptHandleIsInvalid](t, err)
		_, err = client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &q.URL, Entries: []types.SendMessageBatchRequestEntry{}})
		wantError[*types.EmptyBatchRequest](t, err)
		_, err = client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &q.URL, MessageBody: aws.String("\x01")})
		wantError[*types.InvalidMessageContents](t, err)
		_, err = client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q"), Attributes: map[string]string{"DelaySeconds": "1"}})
		wantError[*types.QueueNameExists](t, err)
		_, err = client.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &q.URL, Attributes: map[string]string{"X": "1"}})
		wantError[*types.InvalidAttributeName](t, err)
	})
}

func TestABatchFailsEntryByEntry(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q")
		out, err := client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &q.URL, Entries: []types.SendMessageBatchRequestEntry{
			{Id: aws.String("good"), MessageBody: aws.String("x")},
			{Id: aws.String("bad"), MessageBody: aws.String("\x01")},
		}})
		if err != nil || len(out.Successful) != 1 || *out.Successful[0].Id != "good" || len(out.Failed) != 1 {
			t.Fatalf("send: %+v, %v", out, err)
		}
		if f := out.Failed[0]; *f.Id != "bad" || *f.Code != "InvalidMessageContents" || !f.SenderFault || *f.Message == "" {
			t.Errorf("failed: %+v", f)
		}
		got := receive(t, client, q)
		changed, err := client.ChangeMessageVisibilityBatch(t.Context(), &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.URL, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
			{Id: aws.String("good"), ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 0},
			{Id: aws.String("again"), ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 5},
			{Id: aws.String("long"), ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 43201},
		}})
		if err != nil || len(changed.Successful) != 1 || len(changed.Failed) != 2 {
			t.Fatalf("change: %+v, %v", changed, err)
		}
		if a, b := *changed.Failed[0].Code, *changed.Failed[1].Code; a != "AWS.SimpleQueueService.MessageNotInflight" || b != "InvalidParameterValue" {
			t.Errorf("codes %s and %s", a, b)
		}
		deleted, err := client.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &q.URL, Entries: []types.DeleteMessageBatchRequestEntry{
			{Id: aws.String("good"), ReceiptHandle: got[0].ReceiptHandle},
			{Id: aws.String("bad"), ReceiptHandle: aws.String("made-up")},
		}})
		if err != nil || len(deleted.Successful) != 1 || len(deleted.Failed) != 1 || *deleted.Failed[0].Code != "ReceiptHandleIsInvalid" {
			t.Fatalf("delete: %+v, %v", deleted, err)
		}
		if d := q.Depth(); d != (sqstest.Depth{}) {
			t.Errorf("depth %+v", d)
		}
	})
}
