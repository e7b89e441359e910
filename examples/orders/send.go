package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// The limits of SendMessageBatch, and how often what SQS failed is sent again.
const (
	batchEntries = 10
	batchBytes   = 1 << 20
	sendTries    = 6
)

// sender is what send calls of the SDK's client.
type sender interface {
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

// send puts the lines on the queue and tells the message ids to sent.
func send(ctx context.Context, client sender, queueURL string, lines []line, sent func(id string)) error {
	for len(lines) > 0 {
		n, size := 0, 0
		for n < min(len(lines), batchEntries) {
			// Attributes count; none here is longer than what an order may lack of
			// the limit.
			if size += len(lines[n].body) + (batchBytes - maxBody); n > 0 && size > batchBytes {
				break
			}
			n++
		}
		if err := sendBatch(ctx, client, queueURL, lines[:n], sent); err != nil {
			return err
		}
		lines = lines[n:]
	}
	return nil
}

// sendBatch sends one batch. The call succeeds although entries fail: those that
// are not the sender's fault are sent again.
func sendBatch(ctx context.Context, client sender, queueURL string, lines []line, sent func(id string)) error {
	entries := make([]types.SendMessageBatchRequestEntry, len(lines))
	for i, l := range lines {
		entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(l.body)}
		if l.order != nil {
			entries[i].MessageAttributes = map[string]types.MessageAttributeValue{
				orderID: {DataType: aws.String("String"), StringValue: aws.String(l.order.ID)},
			}
		}
	}
	for try := 1; ; try++ {
		out, err := client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(queueURL), Entries: entries})
		if err != nil {
			return fmt.Errorf("sending orders: %w", err)
		}
		for _, ok := range out.Successful {
			sent(aws.ToString(ok.MessageId))
		}
		if len(out.Failed) == 0 {
			return nil
		}
		failed := make(map[string]bool)
		for _, f := range out.Failed {
			i, err := strconv.Atoi(aws.ToString(f.Id))
			if err != nil || i < 0 || i >= len(lines) {
				return fmt.Errorf("sending orders: SQS answers for an entry %q that was not sent", aws.ToString(f.Id))
			}
			if f.SenderFault || try == sendTries {
				return fmt.Errorf("line %d: SQS does not take it: %s: %s", lines[i].number, aws.ToString(f.Code), aws.ToString(f.Message))
			}
			failed[aws.ToString(f.Id)] = true
		}
		var again []types.SendMessageBatchRequestEntry
		for _, e := range entries {
			if failed[aws.ToString(e.Id)] {
				again = append(again, e)
			}
		}
		entries = again
		if err := wait(ctx, 100*time.Millisecond<<try); err != nil {
			return err
		}
	}
}

// wait waits for d, or returns why ctx ended.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
