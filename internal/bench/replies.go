package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/internal/bench/stub"
)

// replyCallers is the number of goroutines that call at once.
const replyCallers = 16

// countLostReplies makes calls to the stub at 0 ms latency, half of them receives
// and half of them batch deletes, without retries: first with the SDK's own
// request bodies, then with those of wholebody, and writes how many failed and
// why.
func countLostReplies(ctx context.Context, target *stub.Process, calls int, out io.Writer) error {
	plain := func(o *sqs.Options) {
		o.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(tune)
	}
	for _, way := range []struct {
		name    string
		options []func(*sqs.Options)
	}{
		{"bodies as the SDK sends them", []func(*sqs.Options){plain}},
		{"bodies in plain memory", nil},
	} {
		if err := target.Reset(ctx, stub.Settings{Budget: math.MaxInt64}); err != nil {
			return err
		}
		client, done := newClient(target.URL, way.options...)
		begin := time.Now()
		failed := callAtOnce(ctx, client, target.QueueURL(), calls)
		took := time.Since(begin)
		done()
		c, err := target.Counts(ctx)
		if err != nil {
			return err
		}
		total := 0
		for _, n := range failed {
			total += n
		}
		fmt.Fprintf(out, "%s: %d calls in %.1f s, %d failed, %d connections\n", way.name, c.Requests(), took.Seconds(), total, c.Connections)
		for _, reason := range slices.Sorted(maps.Keys(failed)) {
			fmt.Fprintf(out, "  %6d  %s\n", failed[reason], reason)
		}
	}
	return ctx.Err()
}

// callAtOnce makes the calls and counts the errors by their innermost cause.
func callAtOnce(ctx context.Context, client *sqs.Client, queueURL string, calls int) map[string]int {
	var (
		wg     sync.WaitGroup
		left   atomic.Int64
		mu     sync.Mutex // guards failed
		failed = map[string]int{}
	)
	left.Store(int64(calls / 2))
	note := func(err error) {
		if err == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		failed[innermost(err)]++
	}
	for range replyCallers {
		wg.Go(func() {
			receive := &sqs.ReceiveMessageInput{QueueUrl: &queueURL, MaxNumberOfMessages: 10, WaitTimeSeconds: 20, MessageSystemAttributeNames: systemAttributes}
			remove := &sqs.DeleteMessageBatchInput{QueueUrl: &queueURL}
			for left.Add(-1) >= 0 && ctx.Err() == nil {
				out, err := client.ReceiveMessage(ctx, receive)
				note(err)
				remove.Entries = remove.Entries[:0]
				if err == nil {
					for i := range out.Messages {
						remove.Entries = append(remove.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(string(rune('0' + i))), ReceiptHandle: out.Messages[i].ReceiptHandle})
					}
				} else {
					remove.Entries = append(remove.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String("0"), ReceiptHandle: aws.String("lost")})
				}
				_, err = client.DeleteMessageBatch(ctx, remove)
				note(err)
			}
		})
	}
	wg.Wait()
	return failed
}

func innermost(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
