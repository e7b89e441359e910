package sqstest_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/sqstest"
)

// BenchmarkRound is ten messages sent, received and deleted in batches of ten
// through the SDK's client: three calls. The greater part of it is the client.
func BenchmarkRound(b *testing.B) {
	srv := sqstest.New(b, sqstest.NoHistory())
	q := srv.Queue(b, "q")
	client := srv.SQS()
	send := &sqs.SendMessageBatchInput{QueueUrl: &q.URL}
	for i := range 10 {
		send.Entries = append(send.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String("x")})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.SendMessageBatch(b.Context(), send); err != nil {
			b.Fatal(err)
		}
		got, err := client.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.URL, MaxNumberOfMessages: 10})
		if err != nil {
			b.Fatal(err)
		}
		remove := &sqs.DeleteMessageBatchInput{QueueUrl: &q.URL}
		for i := range got.Messages {
			remove.Entries = append(remove.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), ReceiptHandle: got.Messages[i].ReceiptHandle})
		}
		if _, err := client.DeleteMessageBatch(b.Context(), remove); err != nil {
			b.Fatal(err)
		}
	}
}
