package producer_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/producer"
)

// accepting takes every message at once: what is left is the producer's own cost.
type accepting struct{ producer.SQSAPI }

func (accepting) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	out := &sqs.SendMessageBatchOutput{Successful: make([]types.SendMessageBatchResultEntry, len(in.Entries))}
	for i := range in.Entries {
		out.Successful[i] = types.SendMessageBatchResultEntry{Id: in.Entries[i].Id, MessageId: aws.String("m")}
	}
	return out, nil
}

func BenchmarkSend(b *testing.B) {
	p, err := producer.New(accepting{}, "https://sqs.us-east-1.amazonaws.com/1/orders", producer.Config{MaxMessageBytes: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(50)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := p.Send(b.Context(), producer.Message{Body: "charge 42"}); err != nil {
				b.Error(err)
			}
		}
	})
	if err := p.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}
