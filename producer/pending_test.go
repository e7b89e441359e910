package producer_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/producer"
)

// stuck answers when its context ends.
type stuck struct{ producer.SQSAPI }

func (stuck) SendMessageBatch(ctx context.Context, _ *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestManyPending holds the cost of giving up on many messages to about their number:
// what grows with its square takes 20 s and more.
func TestManyPending(t *testing.T) {
	t.Parallel()
	for name, cancels := range map[string]bool{"of one group whose sender goes": true, "that are out of time one after the other": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 200_000
			if raceDetector {
				n = 20_000 // only for its races
			}
			spent := took(func() { // by the real clock
				synctest.Test(t, func(t *testing.T) {
					p, err := producer.New(stuck{}, "https://sqs.us-east-1.amazonaws.com/1/orders.fifo", producer.Config{
						MaxMessageBytes: 1 << 20, MaxPending: n, MaxPendingBytes: 1 << 30, Timeout: 2 * time.Second,
					})
					if err != nil {
						t.Fatal(err)
					}
					closeAtEnd(t, p)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					var wg sync.WaitGroup
					batch := func(n int) {
						msgs := texts(n)
						for i := range msgs {
							msgs[i].GroupID = "g"
						}
						wg.Go(func() {
							if _, err := p.SendBatch(ctx, msgs); err == nil {
								t.Error("sent")
							}
						})
					}
					if cancels {
						batch(n)
						synctest.Wait()
						cancel()
					} else {
						for range n / 20 {
							batch(20)
							time.Sleep(100 * time.Microsecond)
						}
					}
					wg.Wait()
				})
			})
			if spent > 10*time.Second {
				t.Errorf("%d took %v", n, spent)
			}
		})
	}
}
