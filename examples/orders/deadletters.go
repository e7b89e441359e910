package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/consumer"
)

// deadLetter is a message found in the dead-letter queue.
type deadLetter struct {
	body string
	// cause, reason and attempts are what its attribute tells: the rule it fell
	// under, the error, and how often it was tried. cause is unknownCause for one
	// that SQS moved by itself.
	cause    string
	reason   string
	attempts int
}

// unknownCause stands for a message without a cause.
const unknownCause = "moved by SQS without a cause"

// readDeadLetters reads the dead-letter queue to its end: until a long poll, which
// asks all servers of the queue, comes back empty twice.
func readDeadLetters(ctx context.Context, client *sqs.Client, queueURL string) ([]deadLetter, error) {
	var found []deadLetter
	seen := make(map[string]bool)
	for empty := 0; empty < 2; {
		out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl:              aws.String(queueURL),
			MaxNumberOfMessages:   10,
			WaitTimeSeconds:       1,
			VisibilityTimeout:     600, // none shall come again while this reads
			MessageAttributeNames: []string{consumer.CauseAttribute},
		})
		if err != nil {
			return nil, fmt.Errorf("reading the dead-letter queue: %w", err)
		}
		empty++
		for _, m := range out.Messages {
			empty = 0
			if id := aws.ToString(m.MessageId); !seen[id] {
				seen[id] = true
				cause := m.MessageAttributes[consumer.CauseAttribute]
				found = append(found, newDeadLetter(aws.ToString(m.Body), aws.ToString(cause.StringValue)))
			}
		}
	}
	return found, nil
}

// newDeadLetter makes one of a body and the text of the cause attribute.
func newDeadLetter(body, attribute string) deadLetter {
	var c struct {
		Cause   string `json:"cause"`
		Error   string `json:"error"`
		Attempt int    `json:"attempt"`
	}
	if json.Unmarshal([]byte(attribute), &c) != nil || c.Cause == "" {
		return deadLetter{body: body, cause: unknownCause}
	}
	return deadLetter{body: body, cause: c.Cause, reason: c.Error, attempts: c.Attempt}
}
