package main

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMain(m *testing.M) {
	// The goroutine of os/signal lives for ever: it must not begin in a bubble.
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGINT)
	signal.Stop(c)
	os.Exit(m.Run())
}

func noEnv(string) string { return "" }

// runOn runs the program on an input of its own.
func runOn(ctx context.Context, t *testing.T, input string, flags ...string) (status int, out, errOut string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "orders.jsonl")
	if err := os.WriteFile(name, []byte(input), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	status = run(ctx, append([]string{"-input", name}, flags...), noEnv, &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

// small is the head of the embedded input and all of it that is dead-lettered.
func small(t *testing.T) string {
	t.Helper()
	lines, err := readInput("")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for i, l := range lines {
		if i < 60 || l.wants() != "" {
			b.WriteString(l.body + "\n")
		}
	}
	return b.String()
}

// The input sends three of its orders twice, two fail twice, one is slow, three are
// refused, one always fails and one is no order.
func TestProgramHandlesEveryOrderAndBalances(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		status, out, errOut := runOn(context.Background(), t, small(t))
		if status != 0 || errOut != "" {
			t.Fatalf("exit status %d\n%s%s", status, out, errOut)
		}
		_, got, _ := strings.Cut(out, "62 orders in 65 messages, in ")
		_, got, _ = strings.Cut(got, "\n")
		got, requests, _ := strings.Cut(got, "  requests per message")
		want := `  done exactly once            57   3047.65 charged
  duplicates suppressed         3
  retries                      10
  dead-lettered                 5
    exhausted                   1   card service does not answer
    permanent                   3   permanent: no such article: tea-unicorn-50
    undecodable                 1   cannot decode body as main.Order: unexpected end of JSON input
  lost                          0
`
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ledger (-want +got):\n%s\n%s", diff, out)
		}
		for _, want := range []string{
			"\n    ReceiveMessage ", "\n    DeleteMessageBatch ", "\n    SendMessageBatch 7\n", "\n    SendMessage 5\n",
			"\nOrder o-0042 took 5.0 s under a visibility timeout of 2 s.\nThe ledger balances.\n",
		} {
			if !strings.Contains(requests, want) {
				t.Errorf("the output lacks %q:\n%s", want, requests)
			}
		}
	})
}

func TestProgramStopsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		begun := time.Now()
		status, out, errOut := runOn(ctx, t, small(t), "-workers", "1")
		if status != 1 || !strings.Contains(out, "\nStopped before the queue was drained.\n") || errOut != "orders: the ledger does not balance\n" {
			t.Errorf("exit status %d\n%s%s", status, out, errOut)
		}
		if took := time.Since(begun); took > 25*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestProgramGivesUpOnAQueueThatDoesNotDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		status, out, errOut := runOn(context.Background(), t, small(t), "-timeout", "1s")
		if status != 1 || !strings.Contains(errOut, "the queue was not drained within 1s") {
			t.Errorf("exit status %d\n%s%s", status, out, errOut)
		}
	})
}

func TestProgramExplainsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args   []string
		env    map[string]string
		status int
		want   []string
	}{
		"all wrong flags at once": {
			[]string{"-workers", "0", "-queue", "a b", "-timeout", "1ms", "more"}, nil, 2,
			[]string{`unexpected argument "more"`, `-queue is "a b", want 1 to 50`, "-workers is 0, want 1 to 10000", "-timeout is 1ms, want 1s to 1h"},
		},
		"an unknown flag":  {[]string{"-x"}, nil, 2, []string{"-x", "Usage: orders"}},
		"help":             {[]string{"-help"}, nil, 0, []string{"Usage: orders", "REDIS_URL", "AWS_ENDPOINT_URL", "-workers"}},
		"a missing file":   {[]string{"-input", "/does/not/exist"}, nil, 1, []string{"/does/not/exist"}},
		"a broken Redis":   {nil, map[string]string{"REDIS_URL": "http://x"}, 1, []string{"REDIS_URL: "}},
		"no such Redis":    {nil, map[string]string{"REDIS_URL": "redis://127.0.0.1:1"}, 1, []string{"Redis at 127.0.0.1:1: "}},
		"no order to read": {[]string{"-input", os.DevNull}, nil, 1, []string{"no orders in 0 lines"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			status := run(context.Background(), tt.args, func(k string) string { return tt.env[k] }, &stdout, &stderr)
			if status != tt.status {
				t.Errorf("exit status %d, want %d", status, tt.status)
			}
			for _, want := range tt.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("standard error lacks %q:\n%s", want, &stderr)
				}
			}
		})
	}
}
