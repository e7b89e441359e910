package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
)

func noEnv(string) string { return "" }

// TestTheLedgersBalance runs all of it on a few orders.
func TestTheLedgersBalance(t *testing.T) {
	t.Parallel()
	input := filepath.Join(t.TempDir(), "orders.jsonl")
	orders := `{"id":"a","quantity":1,"cents":100}
{"id":"b","quantity":2,"cents":200}
{"id":"b","quantity":2,"cents":200}
{"id":"c","quantity":3,"cents":300,"trouble":"refused"}
{"id":"d","quantity":1,"cents":400,"trouble":"fails-twice"}
{"id":"e","quantity":1,"cents":500,"trouble":"always-fails"}
no order
`
	if err := os.WriteFile(input, []byte(orders), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, complaints bytes.Buffer
	if status := run(context.Background(), []string{"-input", input}, noEnv, &out, &complaints); status != 0 {
		t.Errorf("status %d: %s", status, &complaints)
	}
	for _, want := range []string{
		"create  subscription orders -> shipping", "Planned again: no differences", "ok      orders -> audit",
		"billing: 7 messages, 3 done once, 1 duplicates suppressed, 1 dead-lettered as exhausted, 1 dead-lettered as permanent, 1 dead-lettered as undecodable. It balances.",
		"shipping: 3 messages, 2 done once, 1 duplicates suppressed. It balances.",
		"audit: 7 messages, 6 done once, 1 duplicates suppressed. It balances.",
		"All ledgers balance",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, &out)
		}
	}
}

func TestALedgerThatDoesNotBalanceSaysWhy(t *testing.T) {
	t.Parallel()
	lines := []line{parse(`{"id":"a","quantity":2,"cents":100}`), parse(`{"id":"b","quantity":1,"cents":200}`), parse(`{"id":"c","trouble":"refused"}`)}
	billing := newBooks(shopTopology("", "us-east-1", "000000000000"), lines)[0]
	ctx := context.Background()
	for _, order := range []struct {
		id     string
		amount int
	}{{"a", 100}, {"a", 100}, {"x", 1}} {
		if err := billing.did(ctx, order.id, order.amount); err != nil {
			t.Fatal(err)
		}
	}
	l := billing.balance([]deadLetter{{body: `{"id":"c"}`, cause: "exhausted"}, {body: "y", cause: "probe"}})
	want := []string{
		`"y" is in the dead-letter queue and was not for this queue`,
		`"x" was done and was not for this queue`,
		`"a" was done 2 times with 200 in all, dead-lettered for []; want once with 100`,
		`"b" was done 0 times with 0 in all, dead-lettered for []; want once with 200`,
		`"c" was done 0 times, dead-lettered for ["exhausted"]; want 1 times for permanent`,
	}
	if diff := cmp.Diff(want, l.problems); diff != "" || l.balances() || !strings.Contains(l.text(), "does NOT balance") {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestLongLinesAreReadAndTooLongOnesAreNamed(t *testing.T) {
	t.Parallel()
	input := func(second int) *strings.Reader {
		return strings.NewReader(`{"id":"a"}` + "\n" + strings.Repeat("x", second) + "\n" + `{"id":"c"}` + "\n")
	}
	for _, second := range []int{70_000, maxLine} {
		lines, err := readLines(input(second))
		if err != nil || len(lines) != 3 || len(lines[1].body) != second || refOf(lines[2].body) != "c" {
			t.Errorf("%d lines, %v; want 3, the second of %d bytes", len(lines), err, second)
		}
	}
	const want = "line 2: longer than 261120 bytes"
	for _, second := range []int{maxLine + 1, maxLine + 2, 1 << 20} {
		if lines, err := readLines(input(second)); err == nil || err.Error() != want {
			t.Errorf("%d lines, %v; want %s", len(lines), err, want)
		}
	}
	broken := errors.New("the disk is gone")
	if _, err := readLines(io.MultiReader(strings.NewReader("a\nb\n"), iotest.ErrReader(broken))); !errors.Is(err, broken) || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("%v", err)
	}
	if _, err := readLines(strings.NewReader("\n")); err == nil {
		t.Error("a file without orders is taken")
	}
}

func TestAMessageThatIsSettledAgainCountsOnce(t *testing.T) {
	t.Parallel()
	b := newBooks(shopTopology("", "us-east-1", "000000000000"), []line{parse(`{"id":"a"}`), parse(`{"id":"b"}`)})[0]
	settle := func(id string) {
		b.settled(holdfast.SettledEvent{Message: &holdfast.Message{ID: id}, Outcome: holdfast.Done})
	}
	drained := func() bool {
		select {
		case <-b.drained:
			return true
		default:
			return false
		}
	}
	settle("1")
	settle("1")
	if drained() {
		t.Error("drained after one of two messages, settled twice")
	}
	settle("2")
	if !drained() {
		t.Error("not drained after both")
	}
	settle("1")
	settle("2")
}

func TestAStopEndsWithStatus1(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, complaints bytes.Buffer
	if status := run(ctx, nil, noEnv, &out, &complaints); status != 1 || !strings.Contains(complaints.String(), "fanout:") {
		t.Errorf("status %d: %s", status, &complaints)
	}
	if status := run(ctx, []string{"-timeout", "1ms"}, noEnv, &out, &complaints); status != 2 {
		t.Errorf("status %d for a flag that is wrong", status)
	}
}
