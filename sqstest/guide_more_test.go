package sqstest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// The code of docs/testing.md, as far as it is not in guide_test.go.

func TestABadOrderIsDeadLettered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sqstest.New(t)
		orders := srv.Queue(t, "orders", sqstest.DLQ(20))
		start(t, srv, func(context.Context, Order) error {
			return holdfast.Permanent(errors.New("no such customer"))
		}, consumer.Config{})

		orders.Send(t, `{"ID": 7}`)
		pass(time.Second)

		dead := orders.DLQ().Messages()
		if len(dead) != 1 {
			t.Fatalf("%d messages are dead", len(dead))
		}
		t.Log(dead[0].Attributes["holdfast-cause"].Text)
	})
}

func TestElevenHoursOfWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sqstest.New(t)
		orders := srv.Queue(t, "orders")
		start(t, srv, func(ctx context.Context, _ Order) error {
			select {
			case <-time.After(11 * time.Hour):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}, consumer.Config{HandlerTimeout: 12 * time.Hour})

		id := orders.Send(t, `{"ID": 7}`)
		pass(12 * time.Hour)

		if n := orders.Receives(id); n != 1 || len(orders.Deleted()) != 1 {
			t.Errorf("received %d times, deleted %v", n, orders.Deleted())
		}
	})
}

func TestAnOutageLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sqstest.New(t)
		orders := srv.Queue(t, "orders")
		srv.Fail("DeleteMessageBatch", sqstest.ServiceUnavailable503, sqstest.Times(2))
		lost := srv.DropReply("ReceiveMessage", sqstest.Times(1))
		runs := 0
		start(t, srv, func(context.Context, Order) error {
			runs++
			return nil
		}, consumer.Config{})

		id := orders.Send(t, `{"ID": 7}`)
		pass(time.Minute)

		t.Logf("%d replies lost, received %d times", lost.Hits(), orders.Receives(id))
		if runs != 1 || len(orders.Deleted()) != 1 {
			t.Errorf("%d runs, deleted %v\n%s", runs, orders.Deleted(), srv.Dump())
		}
	})
}

func TestOnlyOrdersArriveFromTheTopic(t *testing.T) {
	t.Parallel()
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	events := srv.Topic(t, "events")
	events.Subscribe(t, orders, sqstest.Raw(), sqstest.Filter(`{"kind": ["order"]}`))

	events.Publish(t, `{"ID": 7}`, sqstest.StringAttribute("kind", "order"))
	id := events.Publish(t, `{"ID": 8}`, sqstest.StringAttribute("kind", "refund"))

	if n := orders.Depth().Visible; n != 1 {
		t.Errorf("%d orders; the refund was %s", n, events.Why(id, orders))
	}
}

func TestAProgramOfItsOwn(t *testing.T) {
	t.Parallel()
	srv := sqstest.New(t)
	orders := srv.Queue(t, "orders")
	url := srv.Listen(t) // http://127.0.0.1:port, for AWS_ENDPOINT_URL of a subprocess, say

	client := srv.SQS(sqstest.At(url))
	if _, err := client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &orders.URL}); err != nil {
		t.Fatal(err)
	}
}

// docs/testing.md shows guide_test.go as a whole, and of this file what it shows.
func TestTheGuideShowsWhatIsTestedHere(t *testing.T) {
	t.Parallel()
	read := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	guide, more := read("guide_test.go"), read("guide_more_test.go")
	blocks := strings.Split(read("../docs/testing.md"), "\n```")
	shown := 0
	for _, block := range blocks {
		code, ok := strings.CutPrefix(block, "go\n")
		if !ok {
			continue
		}
		if shown++; shown == 1 {
			if strings.Replace(code, "package orders_test", "package sqstest_test", 1)+"\n" != guide {
				t.Error("the first block is not guide_test.go")
			}
			continue
		}
		if !strings.Contains(more, "\n"+code+"\n") {
			t.Errorf("not in guide_more_test.go:\n%s", code)
		}
	}
	if shown < 6 {
		t.Errorf("%d blocks of Go", shown)
	}
}

// The first block of docs/testing.md is all that a new module needs.
func TestTheGuideWorksInAnEmptyModule(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, begins := strings.Cut(string(guide), "\n```go\n")
	code, _, ends := strings.Cut(code, "\n```\n")
	if !begins || !ends {
		t.Fatal("the guide shows no code")
	}
	module := t.TempDir()
	if err := os.WriteFile(filepath.Join(module, "orders_test.go"), []byte(code+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"mod init example.com/orders", "mod edit -replace github.com/holdfast-go/holdfast=" + here, "mod tidy", "test -v ./...",
	} {
		cmd := exec.CommandContext(t.Context(), "go", strings.Split(args, " ")...)
		cmd.Dir = module
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", args, err, out)
		}
		if strings.HasPrefix(args, "test") && !strings.Contains(string(out), "--- PASS: TestOrdersAreCharged") {
			t.Errorf("go %s:\n%s", args, out)
		}
	}
}
