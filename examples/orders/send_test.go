package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/sqstest"
)

func TestSendSendsFailedEntriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		srv.FailEntries("SendMessageBatch", "InternalError", false, sqstest.Every(3), sqstest.Times(8))
		var bodies []string
		for i := range 25 {
			bodies = append(bodies, fmt.Sprintf(`{"id":"o-%d","quantity":1}`, i))
		}
		var ids []string
		err := send(context.Background(), srv.SQS(), q.URL, linesOf(t, bodies...), func(id string) { ids = append(ids, id) })
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]int)
		for _, id := range ids {
			m, ok := q.Message(id)
			if !ok {
				t.Fatalf("message %s is not on the queue", id)
			}
			got[m.Body]++
			if want := refOf(m.Body).id; m.Attributes[orderID].Text != want {
				t.Errorf("attribute %s is %q, want %q", orderID, m.Attributes[orderID].Text, want)
			}
		}
		want := make(map[string]int)
		for _, b := range bodies {
			want[b] = 1
		}
		if diff := cmp.Diff(want, got); diff != "" || len(q.Messages()) != len(bodies) {
			t.Errorf("%d messages (-want +got):\n%s", len(q.Messages()), diff)
		}
	})
}

func TestSendTellsTheLineThatSQSRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		sender bool
		calls  int
	}{
		"at once where it is the sender's fault": {true, 1},
		"after some tries where it is not":       {false, sendTries},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders")
				srv.FailEntries("SendMessageBatch", "Broken", tt.sender, sqstest.After(1))
				err := send(context.Background(), srv.SQS(), q.URL, linesOf(t, fine, "", bad), func(string) {})
				if err == nil || !strings.HasPrefix(err.Error(), "line 3: SQS does not take it: Broken") {
					t.Errorf("got %v, want an error about line 3", err)
				}
				if got := srv.Calls("SendMessageBatch"); got != tt.calls {
					t.Errorf("%d calls, want %d", got, tt.calls)
				}
			})
		})
	}
}

func TestSendKeepsBatchesWithinTheirSize(t *testing.T) {
	t.Parallel()
	srv := sqstest.New(t)
	q := srv.Queue(t, "orders")
	big := strings.Repeat("x", maxBody)
	half := strings.Repeat("y", maxBody/2)
	if err := send(context.Background(), srv.SQS(), q.URL, linesOf(t, fine, big, half, half, fine, big), func(string) {}); err != nil {
		t.Fatal(err)
	}
	if got := len(q.Messages()); got != 6 {
		t.Errorf("%d messages on the queue, want 6", got)
	}
}

// strange answers for an entry that was not sent.
type strange struct{}

func (strange) SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	return &sqs.SendMessageBatchOutput{Failed: []types.BatchResultErrorEntry{{Id: aws.String("77")}}}, nil
}

func TestSendSurvivesStrangeAnswers(t *testing.T) {
	t.Parallel()
	err := send(context.Background(), strange{}, "", linesOf(t, fine), func(string) {})
	if err == nil || !strings.Contains(err.Error(), `"77"`) {
		t.Errorf("got %v, want an error that names the entry", err)
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		srv.FailEntries("SendMessageBatch", "InternalError", false)
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(context.Background())
		go func() {
			synctest.Wait()
			cancel(stopped)
		}()
		if err := send(ctx, srv.SQS(), q.URL, linesOf(t, fine), func(string) {}); !errors.Is(err, stopped) {
			t.Errorf("got %v, want %v", err, stopped)
		}
	})
}
