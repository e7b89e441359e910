package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/internal/bench/stub"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "stub" {
		main()
		return
	}
	os.Exit(m.Run())
}

// spawn starts a stub that ends with the test.
func spawn(tb testing.TB) *stub.Process {
	tb.Helper()
	p, err := stub.Spawn(context.WithoutCancel(tb.Context()), "stub") // its Close ends it
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Close(); err != nil {
			tb.Error(err)
		}
	})
	return p
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	small := workload{name: "small", messages: 3000}
	for name, run := range map[string]side{"the hand-written loop": runRaw, "the runtime": runHoldfast} {
		t.Run(name+" handles and deletes each message with two requests for ten", func(t *testing.T) {
			t.Parallel()
			c, err := measure(t.Context(), spawn(t), run, small)
			if err != nil {
				t.Fatal(err)
			}
			if c.requests < 0.15 || c.requests > 0.3 || c.cpu <= 0 || c.allocs <= 0 || c.rate <= 0 {
				t.Errorf("cost %+v, want about 0.2 requests and all else above 0", c)
			}
		})
	}
	t.Run("a side that handles a message twice fails", func(t *testing.T) {
		t.Parallel()
		_, err := measure(t.Context(), spawn(t), func(ctx context.Context, target *stub.Process, handle func()) error {
			defer handle()
			return runRaw(ctx, target, handle)
		}, small)
		if err == nil || !strings.Contains(err.Error(), "of 3000 messages 3001 were handled and 3000 deleted") {
			t.Errorf("error %v, want one with the counts", err)
		}
	})
	t.Run("deletes that do not come are an error", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := awaitDeletes(ctx, spawn(t), 1); err == nil {
			t.Error("no error")
		}
	})
	t.Run("a side that ends early fails with its error", func(t *testing.T) {
		t.Parallel()
		broken := errors.New("broken")
		_, err := measure(t.Context(), spawn(t), func(context.Context, *stub.Process, func()) error { return broken }, small)
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "0 of 3000") {
			t.Errorf("error %v, want that of the side and how far it came", err)
		}
	})
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, args, want string }{
		{"an unknown command is named", "nonsense", `"nonsense"`},
		{"rounds below one are refused", "-rounds 0", "-rounds is 0"},
		{"a heap below nothing is refused", "-heap -1", "-heap is -1"},
		{"an unknown side is named", "-side both", `"both"`},
		{"a workload needs a side", "-workload x", `"x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := run(t.Context(), strings.Fields(c.args), strings.NewReader(""), &out)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %s", err, c.want)
			}
		})
	}
}

func TestLostReplies(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := countLostReplies(t.Context(), spawn(t), 200, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "bodies in plain memory: 200 calls") || !strings.Contains(got, " 0 failed, ") {
		t.Errorf("report %q, want 200 calls without a failure", got)
	}
}

// BenchmarkCall is the floor under everything: one call at a time through the SDK.
func BenchmarkCall(b *testing.B) {
	target := spawn(b)
	client, done := newClient(target.URL)
	b.Cleanup(done)
	url := target.QueueURL()
	b.Run("ReceiveMessage", func(b *testing.B) {
		if err := target.Reset(b.Context(), stub.Settings{Budget: 1 << 40}); err != nil {
			b.Fatal(err)
		}
		in := &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, MessageSystemAttributeNames: systemAttributes, MessageAttributeNames: []string{"All"}}
		perCall(b, func() error {
			_, err := client.ReceiveMessage(b.Context(), in)
			return err
		})
	})
	b.Run("DeleteMessageBatch", func(b *testing.B) {
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &url}
		for i := range 10 {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(string(rune('0' + i))), ReceiptHandle: aws.String(strings.Repeat("kZ3vR7xT", 43))})
		}
		perCall(b, func() error {
			_, err := client.DeleteMessageBatch(b.Context(), in)
			return err
		})
	})
}

// perCall reports the CPU time of this process beside the time on the clock.
func perCall(b *testing.B, call func() error) {
	b.ReportAllocs()
	before, err := cpuTime()
	if err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		if err := call(); err != nil {
			b.Fatal(err)
		}
	}
	after, err := cpuTime()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64((after-before).Microseconds())/float64(b.N), "cpu-us/op")
}
