package sqstest_test

import (
	"crypto/md5"
	"encoding/hex"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/holdfast-go/holdfast/sqstest"
)

func TestAMessageArrivesAsItWasSent(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q")
		body := "<a>\"\\ \t\n\r \u00e9\U0001F600\u2028</a>"
		attrs := map[string]types.MessageAttributeValue{
			"text":   {DataType: aws.String("String"), StringValue: aws.String("té\"xt")},
			"number": {DataType: aws.String("Number"), StringValue: aws.String("-1.5e3")},
			"bytes":  {DataType: aws.String("Binary.png"), BinaryValue: []byte{0, 1, 255}},
			"bar.x":  {DataType: aws.String("String"), StringValue: aws.String("x")},
		}
		trace := "Root=1-5759e988-bd862e3fe1be46a994272793"
		sent, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: &q.URL, MessageBody: &body, MessageAttributes: attrs, MessageGroupId: aws.String("tenant-1"),
			MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{"AWSTraceHeader": {DataType: aws.String("String"), StringValue: &trace}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if sent.MD5OfMessageAttributes == nil || sent.MD5OfMessageSystemAttributes == nil {
			t.Errorf("digests missing: %+v", sent)
		}
		time.Sleep(1500 * time.Millisecond)
		got := receive(t, client, q)[0]
		sum := md5.Sum([]byte(body))
		want := types.Message{
			MessageId: sent.MessageId, ReceiptHandle: got.ReceiptHandle, Body: &body,
			MD5OfBody: aws.String(hex.EncodeToString(sum[:])), MD5OfMessageAttributes: sent.MD5OfMessageAttributes,
			MessageAttributes: attrs,
			Attributes: map[string]string{
				"SenderId": "SQSTEST", "SentTimestamp": "946684800000", "ApproximateReceiveCount": "1",
				"ApproximateFirstReceiveTimestamp": "946684801500", "MessageGroupId": "tenant-1", "AWSTraceHeader": trace,
			},
		}
		ignore := cmpopts.IgnoreUnexported(types.Message{}, types.MessageAttributeValue{})
		if diff := cmp.Diff(want, got, ignore); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAReceiveBringsTheAttributesItAsksFor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		names []string
		want  []string
	}{
		"none":      {nil, nil},
		"by name":   {[]string{"a", "none"}, []string{"a"}},
		"by prefix": {[]string{"bar.*"}, []string{"bar.x", "bar.y"}},
		"all":       {[]string{".*"}, []string{"a", "bar.x", "bar.y", "barx"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
				q := srv.Queue(t, "q")
				q.Send(t, "x", sqstest.StringAttribute("a", "1"), sqstest.NumberAttribute("bar.x", "2"),
					sqstest.BinaryAttribute("bar.y", []byte{3}), sqstest.StringAttribute("barx", "4"))
				m := receive(t, client, q, func(in *sqs.ReceiveMessageInput) {
					in.MessageAttributeNames = tc.names
					in.MessageSystemAttributeNames = nil
				})[0]
				var got []string
				for n := range m.MessageAttributes {
					got = append(got, n)
				}
				if diff := cmp.Diff(tc.want, got, cmpopts.SortSlices(func(a, b string) bool { return a < b })); diff != "" {
					t.Error(diff)
				}
				if m.Attributes != nil || (m.MD5OfMessageAttributes == nil) != (tc.want == nil) {
					t.Errorf("system attributes %v, digest %v", m.Attributes, m.MD5OfMessageAttributes)
				}
			})
		})
	}
}

func TestTheOlderNameOfSystemAttributesWorks(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q")
		q.Send(t, "x", sqstest.TraceHeader("Root=1"))
		m := receive(t, client, q, func(in *sqs.ReceiveMessageInput) {
			in.MessageSystemAttributeNames = []types.MessageSystemAttributeName{"ApproximateReceiveCount"}
			in.AttributeNames = []types.QueueAttributeName{"AWSTraceHeader"} //nolint:staticcheck // clients still send it
		})[0]
		if diff := cmp.Diff(map[string]string{"ApproximateReceiveCount": "1", "AWSTraceHeader": "Root=1"}, m.Attributes); diff != "" {
			t.Error(diff)
		}
	})
}

// The digest is of Amazon's own sample (two texts, by name), whatever order a map
// hands the attributes over in.
func TestTheDigestOfAttributesGoesByTheirNames(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, srv *sqstest.Server, client *sqs.Client) {
		q := srv.Queue(t, "q")
		for range 20 {
			sent, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{
				QueueUrl: &q.URL, MessageBody: aws.String("x"), MessageAttributes: map[string]types.MessageAttributeValue{
					"test_attribute_name_1": text("test_attribute_value_1"),
					"test_attribute_name_2": text("test_attribute_value_2"),
				},
			})
			if err != nil || *sent.MD5OfMessageAttributes != "d53f3b558fe951154770f25cb63dbba9" {
				t.Fatalf("%+v, %v", sent, err)
			}
		}
	})
}
