package consumer_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// causes counts dead-letterings by their cause.
type causes struct {
	mu sync.Mutex // guards by
	by map[string]int
}

func (c *causes) hook(e holdfast.DeadLetteredEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = make(map[string]int)
	}
	c.by[e.Cause]++
}

func (c *causes) of(cause string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[cause]
}

func TestParkedMessageIsDeadLetteredBeforeItsRetentionEnds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(5), sqstest.Retention(time.Hour))
		q.Send(t, "x")
		var told causes
		start(t, srv, q, handle(func(context.Context, *holdfast.Message) error {
			return holdfast.Park(make(chan struct{}), errTest)
		}), consumer.Config{Hooks: holdfast.Hooks{DeadLettered: told.hook}})
		time.Sleep(50 * time.Minute)
		if n := q.Depth().InFlight; n != 1 {
			t.Fatalf("%d messages are held, want the parked one", n)
		}
		time.Sleep(15 * time.Minute)
		if n := len(q.DLQ().Messages()); n != 1 || told.of("retention") != 1 {
			t.Errorf("%d messages are dead, %d for retention, want one", n, told.of("retention"))
		}
	})
}

func TestGuardLetsGoOfAMessageWhoseRetentionEnds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(100), sqstest.Retention(time.Hour))
		q.SendN(t, 60)
		var told causes
		start(t, srv, q, handle(func(context.Context, *holdfast.Message) error {
			return holdfast.Permanent(errTest)
		}), consumer.Config{Hooks: holdfast.Hooks{DeadLettered: told.hook}})
		time.Sleep(45 * time.Minute)
		if dead := told.of("permanent"); dead == 0 || dead >= 60 || told.of("retention") != 0 {
			t.Fatalf("%d are dead at once and %d for retention, want the guard to hold some back", dead, told.of("retention"))
		}
		time.Sleep(20 * time.Minute)
		// What was held when the guard closed is here; the rest SQS dropped itself.
		if told.of("retention") == 0 {
			t.Error("none is dead for retention, want what waited for the guard to be saved before SQS drops it")
		}
	})
}

func TestHTTPClientThatCutsLongPollsIsRefused(t *testing.T) {
	t.Parallel()
	for timeout, refused := range map[time.Duration]bool{0: false, 24 * time.Second: true, 25 * time.Second: false} {
		client := sqs.New(sqs.Options{Region: "us-east-1", HTTPClient: &http.Client{Timeout: timeout}})
		_, err := consumer.New(client, "orders", nothing, consumer.Config{})
		if refused != (err != nil) {
			t.Errorf("a timeout of %v: error %v", timeout, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "24s") || !strings.Contains(err.Error(), "at least 25s")) {
			t.Errorf("error %v names neither value nor bound", err)
		}
	}
}
