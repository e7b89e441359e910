package snsserver_test

import (
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/internal/envelope"
	"github.com/holdfast-go/holdfast/internal/snsserver"
)

func TestPublish(t *testing.T) {
	t.Parallel()

	t.Run("comes in an envelope that is laid out as AWS's", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := setupWith(t, snsserver.Config{NoSignature: true})
			topic, queue := b.topic("orders"), b.queue("billing")
			sub := b.subscribe(topic, queue)
			id := b.publish(topic, "hello \"you\"\n<&>\x7fé", func(in *sns.PublishInput) {
				in.Subject = aws.String("greeting")
				in.MessageAttributes = map[string]types.MessageAttributeValue{
					"store": {DataType: aws.String("String"), StringValue: aws.String("fans")},
					"blob":  {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
					"price": {DataType: aws.String("Number"), StringValue: aws.String("3.5")},
				}
			})
			want := `{
  "Type" : "Notification",
  "MessageId" : "` + id + `",
  "TopicArn" : "` + topic + `",
  "Subject" : "greeting",
  "Message" : "hello \"you\"\n<&>` + "\x7f" + `é",
  "Timestamp" : "2000-01-01T00:00:00.000Z",
  "SignatureVersion" : "1",
  "Signature" : "EXAMPLE",
  "SigningCertURL" : "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-686f6c6466617374.pem",
  "UnsubscribeURL" : "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=` + sub + `",
  "MessageAttributes" : {
    "blob" : {"Type":"Binary","Value":"AP8="},
    "price" : {"Type":"Number","Value":"3.5"},
    "store" : {"Type":"String","Value":"fans"}
  }
}`
			if diff := cmp.Diff([]string{want}, b.queues.bodies(queue)); diff != "" {
				t.Errorf("queue (-want +got):\n%s", diff)
			}
			if got := b.queues.got(queue)[0]; got.Attributes != nil || got.Sender != "AIDAIT2UOQQY3AUEKVGXU" {
				t.Errorf("message %+v, want no attributes of its own, sent by SNS", got)
			}
			if m, kind := envelope.SNS(want); kind != envelope.Notification || m.Body == "" || len(m.Attributes) != 3 {
				t.Errorf("the runtime reads the envelope as %v %+v", kind, m)
			}
		})
	})

	t.Run("comes raw with its attributes", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		topic, queue := b.topic("orders"), b.queue("billing")
		b.subscribe(topic, queue, "RawMessageDelivery", "true")
		b.publish(topic, "hello", func(in *sns.PublishInput) {
			in.MessageAttributes = map[string]types.MessageAttributeValue{
				"store": {DataType: aws.String("String"), StringValue: aws.String("fans")},
				"blob":  {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
			}
		})
		want := []snsserver.QueueMessage{{
			Body: "hello", Sender: "AIDAIT2UOQQY3AUEKVGXU",
			Attributes: map[string]snsserver.Attribute{
				"store": {Type: "String", Text: "fans"},
				"blob":  {Type: "Binary", Binary: []byte{0, 255}},
			},
		}}
		if diff := cmp.Diff(want, b.queues.got(queue)); diff != "" {
			t.Errorf("queue (-want +got):\n%s", diff)
		}
	})
}
