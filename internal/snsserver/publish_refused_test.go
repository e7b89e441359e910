package snsserver_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/internal/snsserver"
)

func TestPublishRefused(t *testing.T) {
	t.Parallel()
	b := setupWith(t, unsigned)
	standard, fifo, dedup := b.topic("orders"), b.topic("orders.fifo"), b.topic("dedup.fifo", "ContentBasedDeduplication", "true")
	attribute := func(name, kind string, value any) func(*sns.PublishInput) {
		return func(in *sns.PublishInput) {
			a := types.MessageAttributeValue{DataType: &kind}
			switch v := value.(type) {
			case string:
				a.StringValue = &v
			case []byte:
				a.BinaryValue = v
			}
			in.MessageAttributes = map[string]types.MessageAttributeValue{name: a}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*sns.PublishInput)
		want   string
	}{
		{"a good one", func(*sns.PublishInput) {}, "<nil>"},
		{"an empty message", func(in *sns.PublishInput) { in.Message = aws.String("") }, "InvalidParameter: Invalid parameter: Empty message"},
		{"a control character", func(in *sns.PublishInput) { in.Message = aws.String("a\x00") }, "InvalidParameter: Invalid parameter: Message Reason: Invalid character '#x0' was found in the message body"},
		{"a subject of 99 characters", func(in *sns.PublishInput) { in.Subject = aws.String(strings.Repeat("é", 99)) }, "<nil>"},
		{"a subject of 100 characters", func(in *sns.PublishInput) { in.Subject = aws.String(strings.Repeat("x", 100)) }, "InvalidParameter: Invalid parameter: Subject"},
		{"a subject of two lines", func(in *sns.PublishInput) { in.Subject = aws.String("a\nb") }, "InvalidParameter: Invalid parameter: Subject"},
		{"an empty subject", func(in *sns.PublishInput) { in.Subject = aws.String("") }, "InvalidParameter: Invalid parameter: Subject"},
		{"a structure that is none", func(in *sns.PublishInput) { in.MessageStructure = aws.String("xml") }, "InvalidParameter: Invalid parameter: MessageStructure Reason: the only value is json"},
		{"a structure that is no JSON", func(in *sns.PublishInput) { in.MessageStructure = aws.String("json") }, "InvalidParameter: Invalid parameter: Message Structure - JSON message body failed to parse"},
		{"a structure without default", func(in *sns.PublishInput) {
			in.MessageStructure, in.Message = aws.String("json"), aws.String(`{"sqs":"x"}`)
		}, "InvalidParameter: Invalid parameter: Message Structure - No default entry in JSON message body"},
		{"a structure whose default is no string", func(in *sns.PublishInput) {
			in.MessageStructure, in.Message = aws.String("json"), aws.String(`{"default":1}`)
		}, "InvalidParameter: Invalid parameter: Message Structure - No default entry in JSON message body"},
		{"a structure with a key twice", func(in *sns.PublishInput) {
			in.MessageStructure, in.Message = aws.String("json"), aws.String(`{"default":"a","default":"b"}`)
		}, `InvalidParameter: Invalid parameter: Message Structure - JSON message body has the key "default" twice`},
		{"a deduplication id on a standard topic", func(in *sns.PublishInput) { in.MessageDeduplicationId = aws.String("x") }, "InvalidParameter: Invalid parameter: MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this topic type"},
		{"a group with a space", func(in *sns.PublishInput) { in.MessageGroupId = aws.String("a b") }, "InvalidParameter: Invalid parameter: MessageGroupId Reason: MessageGroupId can only include alphanumeric and punctuation characters, 1 to 128 of them"},
		{"no group on a FIFO topic", func(in *sns.PublishInput) { in.TopicArn = &fifo }, "InvalidParameter: Invalid parameter: The MessageGroupId parameter is required for FIFO topics"},
		{"no deduplication id on a FIFO topic", func(in *sns.PublishInput) { in.TopicArn, in.MessageGroupId = &fifo, aws.String("g") }, "InvalidParameter: Invalid parameter: The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"},
		{"a FIFO topic that makes one", func(in *sns.PublishInput) { in.TopicArn, in.MessageGroupId = &dedup, aws.String("g") }, "<nil>"},
		{"a telephone number", func(in *sns.PublishInput) { in.TopicArn, in.PhoneNumber = nil, aws.String("+123") }, "UnsupportedOperation: PhoneNumber is not supported: this server has topics and their SQS subscriptions, not SMS."},
		{"a topic as the target", func(in *sns.PublishInput) { in.TopicArn, in.TargetArn = nil, &standard }, "<nil>"},
		{"an endpoint as the target", func(in *sns.PublishInput) {
			in.TopicArn, in.TargetArn = nil, aws.String("arn:aws:sns:us-east-1:000000000000:endpoint/GCM/x/y")
		}, "UnsupportedOperation: TargetArn of an endpoint is not supported: this server has topics and their SQS subscriptions, not mobile push."},
		{"no target", func(in *sns.PublishInput) { in.TopicArn = nil }, "InvalidParameter: Invalid parameter: TopicArn Reason: no value for required parameter"},
		{"an attribute with a dot first", attribute(".a", "String", "x"), "ParameterValueInvalid: Invalid message attribute name starting with character '.' was found."},
		{"an attribute with a dot last", attribute("a.", "String", "x"), "ParameterValueInvalid: Invalid message attribute name ending with character '.' was found."},
		{"an attribute with two dots", attribute("a..b", "String", "x"), "ParameterValueInvalid: Message attribute name can not have successive '.' character."},
		{"an attribute with another character", attribute("a!", "String", "x"), "ParameterValueInvalid: Invalid non-alphanumeric character '#x21' was found in the message attribute name. Can only include alphanumeric characters, hyphens, underscores, or dots."},
		{"an attribute with a long name", attribute(strings.Repeat("a", 257), "String", "x"), "ParameterValueInvalid: Length of message attribute name must be less than 256 bytes."},
		{"an attribute of no type", attribute("a", "Colour", "x"), "ParameterValueInvalid: The message attribute 'a' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."},
		{"an attribute without a value", attribute("a", "String", nil), "ParameterValueInvalid: The message attribute 'a' must contain non-empty message attribute value for message attribute type 'String'."},
		{"an attribute with an empty value", attribute("a", "String", ""), "ParameterValueInvalid: The message attribute 'a' must contain non-empty message attribute value for message attribute type 'String'."},
		{"text in the wrong field", attribute("a", "Binary", "x"), "ParameterValueInvalid: The message attribute 'a' with type 'Binary' must use field 'Binary'."},
		{"a number that is none", attribute("a", "Number", "x"), "ParameterValueInvalid: Could not cast message attribute 'a' value to number."},
		{"a number that is not one", attribute("a", "Number", "NaN"), "ParameterValueInvalid: Could not cast message attribute 'a' value to number."},
		{"a hexadecimal number", attribute("a", "Number", "0x10"), "ParameterValueInvalid: Could not cast message attribute 'a' value to number."},
		{"a large number", attribute("a", "Number", "-1.5E+126"), "<nil>"},
		{"bytes", attribute("a", "Binary.png", []byte{1}), "<nil>"},
	} {
		in := &sns.PublishInput{TopicArn: &standard, Message: aws.String("hello")}
		c.change(in)
		_, err := b.client.Publish(b.ctx, in)
		if got := told(err); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestMessageStructure(t *testing.T) {
	t.Parallel()
	b := setupWith(t, unsigned)
	topic, queue := b.topic("orders"), b.queue("billing")
	b.subscribe(topic, queue, "RawMessageDelivery", "true")
	for _, body := range []string{`{"default":"for all","email":"no"}`, `{"default":"for all","sqs":"for \"queues\"","lambda":{}}`} {
		b.publish(topic, body, func(in *sns.PublishInput) { in.MessageStructure = aws.String("json") })
	}
	if diff := cmp.Diff([]string{"for all", `for "queues"`}, b.queues.bodies(queue)); diff != "" {
		t.Errorf("queue (-want +got):\n%s", diff)
	}
}

func TestPublishBatch(t *testing.T) {
	t.Parallel()
	b := setupWith(t, unsigned)
	topic, fifo, queue := b.topic("orders"), b.topic("orders.fifo"), b.queue("billing")
	b.subscribe(topic, queue, "RawMessageDelivery", "true")
	b.subscribe(fifo, b.queue("billing.fifo"))

	entries := func(bodies ...string) (all []types.PublishBatchRequestEntry) {
		for i, body := range bodies {
			all = append(all, types.PublishBatchRequestEntry{Id: aws.String(fmt.Sprint("e", i)), Message: aws.String(body)})
		}
		return all
	}
	all := entries("a", "", "c")
	all[2].Subject = aws.String("x\ny")
	out := must(b.client.PublishBatch(b.ctx, &sns.PublishBatchInput{TopicArn: &topic, PublishBatchRequestEntries: all}))(t)
	if len(out.Successful) != 1 || *out.Successful[0].Id != "e0" || *out.Successful[0].MessageId == "" {
		t.Errorf("successful %+v, want e0", out.Successful)
	}
	var failed []string
	for _, f := range out.Failed {
		failed = append(failed, fmt.Sprint(*f.Id, " ", *f.Code, " ", *f.Message, " ", f.SenderFault))
	}
	want := []string{"e1 InvalidParameter Invalid parameter: Empty message true", "e2 InvalidParameter Invalid parameter: Subject true"}
	if diff := cmp.Diff(want, failed); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a"}, b.queues.bodies(queue)); diff != "" {
		t.Errorf("queue (-want +got):\n%s", diff)
	}

	inOrder := entries("1", "2", "3")
	for i := range inOrder {
		inOrder[i].MessageGroupId, inOrder[i].MessageDeduplicationId = aws.String("g"), aws.String([]string{"x", "y", "x"}[i])
	}
	out = must(b.client.PublishBatch(b.ctx, &sns.PublishBatchInput{TopicArn: &fifo, PublishBatchRequestEntries: inOrder}))(t)
	if s := out.Successful; len(s) != 3 || *s[0].SequenceNumber >= *s[1].SequenceNumber || *s[2].MessageId != *s[0].MessageId {
		t.Errorf("FIFO: %+v, want rising sequence numbers and the third to repeat the first", s)
	}
	if n := len(b.queues.got(queueARN("billing.fifo"))); n != 2 {
		t.Errorf("%d messages in the FIFO queue, want 2", n)
	}

	for _, c := range []struct {
		name    string
		topic   string
		entries []types.PublishBatchRequestEntry
		want    string
	}{
		{"none", topic, []types.PublishBatchRequestEntry{}, "EmptyBatchRequest: The batch request doesn't contain any entries."},
		{"eleven", topic, entries("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"), "TooManyEntriesInBatchRequest: The batch request contains more entries than permissible."},
		{"an id twice", topic, append(entries("1"), entries("2")...), "BatchEntryIdsNotDistinct: Two or more batch entries in the request have the same Id."},
		{"an id that is none", topic, []types.PublishBatchRequestEntry{{Id: aws.String("a b"), Message: aws.String("x")}}, "InvalidBatchEntryId: The Id of a batch entry in a batch request doesn't abide by the specification."},
		{"too long together", topic, entries(strings.Repeat("x", 200<<10), strings.Repeat("y", 100<<10)), "BatchRequestTooLong: The length of all the messages put together is more than the limit."},
		{"a FIFO message without its group", fifo, entries("x"), "InvalidParameter: Invalid parameter: The MessageGroupId parameter is required for FIFO topics"},
		{"no such topic", topic + "x", entries("x"), "NotFound: Topic does not exist"},
	} {
		_, err := b.client.PublishBatch(b.ctx, &sns.PublishBatchInput{TopicArn: &c.topic, PublishBatchRequestEntries: c.entries})
		if got := told(err); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
	}
	if n := len(b.queues.got(queue)); n != 1 {
		t.Errorf("%d messages: refused batches have delivered", n)
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	b := setupWith(t, snsserver.Config{NoSignature: true, LogLimit: 3})
	topic, queue := b.topic("orders"), b.queue("billing")
	b.subscribe(topic, queue)
	for i := range 10 {
		b.publish(topic, fmt.Sprint(i))
	}
	var bodies []string
	for _, p := range b.server.Published("") {
		bodies = append(bodies, p.Body)
	}
	if diff := cmp.Diff([]string{"7", "8", "9"}, bodies); diff != "" || len(b.server.Deliveries("")) != 3 || len(b.server.Log()) != 3 {
		t.Errorf("%d deliveries, %d calls, want 3; published (-want +got):\n%s", len(b.server.Deliveries("")), len(b.server.Log()), diff)
	}
	if got := b.server.Why("none", queue); got != "no message none is remembered" {
		t.Errorf("Why: %s", got)
	}
	if n := b.server.Calls("Publish"); n != 10 || b.server.Calls("") != 12 {
		t.Errorf("%d calls of Publish, %d in all", n, b.server.Calls(""))
	}
	b.server.ResetLog()
	if b.server.Calls("") != 0 || len(b.server.Log()) != 0 {
		t.Error("calls are left")
	}

	b = setupWith(t, snsserver.Config{NoSignature: true})
	topic = b.topic("large", "MaximumMessageSize", "1048576")
	body := strings.Repeat("x", 1<<20)
	for range 65 {
		must(b.server.Publish(topic, snsserver.Message{Body: body}))(t)
	}
	if n := len(b.server.Published("")); n != 1 {
		t.Errorf("%d messages of 1 MiB are kept after 65, want the last only", n)
	}
}
