package conformance

import (
	"crypto/md5" //nolint:gosec // the digest that SQS replies with
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const mebibyte = 1 << 20

func sendCases() []Case {
	cases := []Case{
		{"SendMessage/returns an id and the MD5 of the body", "SendMessage", func(c *Check) {
			out := c.send(c.queue(), "This is a test message")
			sum := md5.Sum([]byte("This is a test message")) //nolint:gosec // as above
			c.equal("MD5OfMessageBody", *out.MD5OfMessageBody, hex.EncodeToString(sum[:]))
			c.equal("length of the id", len(*out.MessageId), 36)
			if out.SequenceNumber != nil {
				c.errorf("a standard queue gave the SequenceNumber %s", *out.SequenceNumber)
			}
		}},
		{"SendMessage/refuses a queue that is not there", "SendMessage, QueueDoesNotExist", func(c *Check) {
			_, err := c.trySend(noQueue(c.queue()), "x")
			c.refused(err, "QueueDoesNotExist")
		}},
		{"SendMessage/refuses an empty body", "SendMessage, MessageBody: the minimum size is one character", func(c *Check) {
			_, err := c.trySend(c.queue(), "")
			c.refused(err, "")
		}},
		{"SendMessage/takes a body of one character", "SendMessage, MessageBody", func(c *Check) {
			url := c.queue()
			c.send(url, "x")
			c.equal("body", *c.one(url).Body, "x")
		}},
		{"SendMessage/takes a body of 1 MiB and returns it whole", "SendMessage: the maximum is 1,048,576 bytes", func(c *Check) {
			url := c.queue()
			body := strings.Repeat("0123456789abcdef", mebibyte/16)
			c.send(url, body)
			if got := *c.one(url).Body; got != body {
				c.errorf("%d bytes came back", len(got))
			}
		}},
		{"SendMessage/refuses a body of 1 MiB and a byte", "SendMessage: the maximum is 1,048,576 bytes", func(c *Check) {
			_, err := c.trySend(c.queue(), strings.Repeat("x", mebibyte+1))
			c.refused(err, "InvalidParameterValue")
		}},
		{"SendMessage/takes a body as long as MaximumMessageSize", "CreateQueue, MaximumMessageSize", func(c *Check) {
			c.send(c.queue("MaximumMessageSize", "1024"), strings.Repeat("x", 1024))
		}},
		{"SendMessage/refuses a body longer than MaximumMessageSize", "CreateQueue, MaximumMessageSize", func(c *Check) {
			_, err := c.trySend(c.queue("MaximumMessageSize", "1024"), strings.Repeat("x", 1025))
			c.refused(err, "InvalidParameterValue")
		}},
		{"SendMessage/measures MaximumMessageSize in bytes, not characters", "CreateQueue, MaximumMessageSize", func(c *Check) {
			_, err := c.trySend(c.queue("MaximumMessageSize", "1024"), strings.Repeat("ä", 513))
			c.refused(err, "InvalidParameterValue")
		}},
		{"SendMessage/counts names, types and values of attributes into the size", "Amazon SQS message quotas", func(c *Check) {
			url := c.queue("MaximumMessageSize", "1024")
			// "k" + "String" + value
			at := func(n int) func(*sqs.SendMessageInput) {
				return with(map[string]types.MessageAttributeValue{"k": text(strings.Repeat("v", n))})
			}
			c.send(url, strings.Repeat("x", 1000), at(17))
			_, err := c.trySend(url, strings.Repeat("x", 1000), at(18))
			c.refused(err, "InvalidParameterValue")
		}},
		{"SendMessage/takes the highest delay, 900 s", "SendMessage, DelaySeconds", func(c *Check) {
			url := c.queue()
			c.send(url, "x", func(in *sqs.SendMessageInput) { in.DelaySeconds = 900 })
			c.none(url)
		}},
		{"SendMessage/refuses a delay of 901 s", "SendMessage, DelaySeconds", func(c *Check) {
			_, err := c.trySend(c.queue(), "x", func(in *sqs.SendMessageInput) { in.DelaySeconds = 901 })
			c.refused(err, "InvalidParameterValue")
		}},
		{"SendMessage/refuses a negative delay", "SendMessage, DelaySeconds", func(c *Check) {
			_, err := c.trySend(c.queue(), "x", func(in *sqs.SendMessageInput) { in.DelaySeconds = -1 })
			c.refused(err, "InvalidParameterValue")
		}},
		{"SendMessage/delays a message by its own DelaySeconds", "SendMessage, DelaySeconds", func(c *Check) {
			url := c.queue()
			began := time.Now()
			c.send(url, "x", func(in *sqs.SendMessageInput) { in.DelaySeconds = 2 })
			c.none(url)
			c.one(url)
			c.notBefore(began, 2*time.Second)
		}},
		{"SendMessage/delays a message by the queue's DelaySeconds", "Amazon SQS delay queues", func(c *Check) {
			url := c.queue("DelaySeconds", "2")
			began := time.Now()
			c.send(url, "x")
			c.none(url)
			c.one(url)
			c.notBefore(began, 2*time.Second)
		}},
		{"SendMessage/keeps the delay of messages sent before the queue's was changed", "Amazon SQS delay queues: not retroactive on standard queues", func(c *Check) {
			url := c.queue("DelaySeconds", "900")
			c.send(url, "x")
			c.ok(c.set(url, "DelaySeconds", "0"))
			c.none(url)
		}},
		{"SendMessage/refuses MessageDeduplicationId on a standard queue", "SendMessage, MessageDeduplicationId: applies only to FIFO queues", func(c *Check) {
			_, err := c.trySend(c.queue(), "x", func(in *sqs.SendMessageInput) { in.MessageDeduplicationId = aws.String("d") })
			c.refused(err, "InvalidParameterValue")
		}},
		{"SendMessage/takes MessageGroupId on a standard queue and hands it on", "Amazon SQS fair queues", func(c *Check) {
			url := c.queue()
			c.send(url, "x", func(in *sqs.SendMessageInput) { in.MessageGroupId = aws.String("tenant-7") })
			c.equal("MessageGroupId", c.one(url).Attributes["MessageGroupId"], "tenant-7")
		}},
		{"SendMessage/returns unicode as it was sent", "SendMessage, MessageBody", func(c *Check) {
			url := c.queue()
			body := "tab\t newline\n return\r <&>\"' ä 漢字 \U0001F600 \uE000 \uFFFD"
			c.send(url, body)
			c.equal("body", *c.one(url).Body, body)
		}},
		{"SendMessage/hands the trace header on", "SendMessage, MessageSystemAttributes", func(c *Check) {
			url := c.queue()
			const header = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
			out := c.send(url, "x", func(in *sqs.SendMessageInput) {
				in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String(header)}}
			})
			if out.MD5OfMessageSystemAttributes == nil {
				c.errorf("no MD5OfMessageSystemAttributes")
			}
			c.equal("AWSTraceHeader", c.one(url).Attributes["AWSTraceHeader"], header)
		}},
		{"SendMessage/refuses system attributes other than the trace header", "SendMessage, MessageSystemAttributes: AWSTraceHeader only", func(c *Check) {
			_, err := c.trySend(c.queue(), "x", func(in *sqs.SendMessageInput) {
				in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{"SenderId": {DataType: aws.String("String"), StringValue: aws.String("me")}}
			})
			c.refused(err, "InvalidParameterValue")
		}},
	}
	for _, r := range []rune{0x0, 0x1, 0x8, 0xB, 0xC, 0x1F, 0xFFFE, 0xFFFF} {
		cases = append(cases, Case{fmt.Sprintf("SendMessage/refuses a body with the character #x%X", r), "SendMessage, InvalidMessageContents", func(c *Check) {
			_, err := c.trySend(c.queue(), "a"+string(r)+"b")
			c.refused(err, "InvalidMessageContents")
		}})
	}
	return cases
}

// notBefore wants a time to have passed. A clock may be read in milliseconds.
func (c *Check) notBefore(began time.Time, d time.Duration) {
	if took := time.Since(began); took < d-10*time.Millisecond {
		c.errorf("came after %v, want at least %v", took, d)
	}
}

func messageAttributeCases() []Case {
	number := func(v string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("Number"), StringValue: &v}
	}
	binary := func(v []byte) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("Binary"), BinaryValue: v}
	}
	many := func(n int) map[string]types.MessageAttributeValue {
		m := map[string]types.MessageAttributeValue{}
		for i := range n {
			m[fmt.Sprintf("k%d", i)] = text("v")
		}
		return m
	}
	cases := []Case{
		{"MessageAttributes/come back as they were sent, in all types", "Amazon SQS message attributes", func(c *Check) {
			url := c.queue()
			sent := map[string]types.MessageAttributeValue{
				"s": text("ä <&>"), "n": number("-1.5e3"), "b": binary([]byte{0, 1, 255}),
				"s.label": {DataType: aws.String("String.email"), StringValue: aws.String("a@b")},
				"b.label": {DataType: aws.String("Binary.png"), BinaryValue: []byte("png")},
				"n_label": {DataType: aws.String("Number.int"), StringValue: aws.String("7")},
			}
			out := c.send(url, "x", with(sent))
			m := c.one(url)
			c.equal("names", len(m.MessageAttributes), len(sent))
			for name, want := range sent {
				got := m.MessageAttributes[name]
				c.equal(name, []any{aws.ToString(got.DataType), aws.ToString(got.StringValue), string(got.BinaryValue)},
					[]any{*want.DataType, aws.ToString(want.StringValue), string(want.BinaryValue)})
			}
			c.equal("MD5 received", aws.ToString(m.MD5OfMessageAttributes), aws.ToString(out.MD5OfMessageAttributes))
		}},
		{"MessageAttributes/may be ten", "Amazon SQS message quotas", func(c *Check) {
			url := c.queue()
			c.send(url, "x", with(many(10)))
			c.equal("attributes", len(c.one(url).MessageAttributes), 10)
		}},
		{"MessageAttributes/may not be eleven", "Amazon SQS message quotas", func(c *Check) {
			_, err := c.trySend(c.queue(), "x", with(many(11)))
			c.refused(err, "InvalidParameterValue")
		}},
		{"MessageAttributes/come only when asked for", "ReceiveMessage, MessageAttributeNames", func(c *Check) {
			url := c.queue()
			c.send(url, "x", with(many(3)))
			m := c.one(url, func(in *sqs.ReceiveMessageInput) { in.MessageAttributeNames = nil })
			c.equal("attributes", len(m.MessageAttributes), 0)
		}},
		{"MessageAttributes/come by name", "ReceiveMessage, MessageAttributeNames", func(c *Check) {
			url := c.queue()
			c.send(url, "x", with(many(3)))
			m := c.one(url, func(in *sqs.ReceiveMessageInput) { in.MessageAttributeNames = []string{"k1", "other"} })
			c.equal("attributes", len(m.MessageAttributes), 1)
			c.equal("k1", aws.ToString(m.MessageAttributes["k1"].StringValue), "v")
		}},
		{"MessageAttributes/come by prefix", "ReceiveMessage, MessageAttributeNames: bar.*", func(c *Check) {
			url := c.queue()
			c.send(url, "x", with(map[string]types.MessageAttributeValue{"bar.one": text("1"), "bar.two": text("2"), "barn": text("3")}))
			m := c.one(url, func(in *sqs.ReceiveMessageInput) { in.MessageAttributeNames = []string{"bar.*"} })
			if _, there := m.MessageAttributes["barn"]; there || len(m.MessageAttributes) != 2 {
				c.errorf("%d attributes came, barn among them: %v", len(m.MessageAttributes), there)
			}
		}},
		{"MessageAttributes/come all for .*", "ReceiveMessage, MessageAttributeNames", func(c *Check) {
			url := c.queue()
			c.send(url, "x", with(many(3)))
			m := c.one(url, func(in *sqs.ReceiveMessageInput) { in.MessageAttributeNames = []string{".*"} })
			c.equal("attributes", len(m.MessageAttributes), 3)
		}},
	}
	for _, row := range []struct {
		what  string
		name  string
		value types.MessageAttributeValue
		kind  string // of the refusal; "-": accepted
	}{
		{"take a name of 256 characters", strings.Repeat("n", 256), text("v"), "-"},
		{"refuse a name of 257 characters", strings.Repeat("n", 257), text("v"), "InvalidParameterValue"},
		{"take letters, digits, underscore, hyphen and period in names", "aZ0_-.x", text("v"), "-"},
		{"refuse a space in a name", "a b", text("v"), "InvalidParameterValue"},
		{"refuse a name that begins with AWS.", "AWS.x", text("v"), "InvalidParameterValue"},
		{"refuse a name that begins with Amazon.", "Amazon.x", text("v"), "InvalidParameterValue"},
		{"refuse a name that begins with aws. in lower case", "aws.x", text("v"), "InvalidParameterValue"},
		{"refuse a name that begins with a period", ".x", text("v"), "InvalidParameterValue"},
		{"refuse a name that ends with a period", "x.", text("v"), "InvalidParameterValue"},
		{"refuse a name with two periods in a row", "x..y", text("v"), "InvalidParameterValue"},
		{"refuse an unknown type", "k", types.MessageAttributeValue{DataType: aws.String("Date"), StringValue: aws.String("v")}, "InvalidParameterValue"},
		{"refuse an empty type", "k", types.MessageAttributeValue{DataType: aws.String(""), StringValue: aws.String("v")}, "InvalidParameterValue"},
		{"refuse an empty string", "k", text(""), "InvalidParameterValue"},
		{"refuse an empty binary", "k", binary([]byte{}), "InvalidParameterValue"},
		{"refuse a number that is none", "k", number("seven"), "InvalidParameterValue"},
		{"refuse a string with a character that is not allowed", "k", text("a\x01b"), ""},
		{"refuse lists of strings", "k", types.MessageAttributeValue{DataType: aws.String("String"), StringListValues: []string{"a"}}, ""},
	} {
		cases = append(cases, Case{"MessageAttributes/" + row.what, "SendMessage, MessageAttributes; Amazon SQS message attributes", func(c *Check) {
			_, err := c.trySend(c.queue(), "x", with(map[string]types.MessageAttributeValue{row.name: row.value}))
			if row.kind == "-" {
				c.ok(err)
			} else {
				c.refused(err, row.kind)
			}
		}})
	}
	return cases
}
