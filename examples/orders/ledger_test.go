package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The bodies of the tables: an order each, named for what should become of it.
const (
	fine     = `{"id":"fine","customer":"c","sku":"s","quantity":1,"cents":250}`
	bad      = `{"id":"bad","customer":"c","sku":"s","quantity":1,"cents":250,"trouble":"refused"}`
	hopeless = `{"id":"hopeless","customer":"c","sku":"s","quantity":1,"cents":250,"trouble":"always-fails"}`
	broken   = `{"id":"bro`
)

var errFailed = errors.New("failed")

func linesOf(t *testing.T, bodies ...string) []line {
	t.Helper()
	lines, err := readLines(strings.NewReader(strings.Join(bodies, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestLedgerBalances(t *testing.T) {
	t.Parallel()
	lines := linesOf(t, fine, fine, bad, hopeless, broken, fine)
	effects := []effect{
		{order: "fine", fence: 1, err: errFailed, took: time.Second},
		{order: "hopeless", fence: 1, err: errFailed},
		{order: "bad", fence: 7, err: errFailed},
		{order: "hopeless", fence: 2, err: errFailed},
		{order: "fine", fence: 2, cents: 250, took: 3 * time.Second},
	}
	dead := []deadLetter{
		{body: hopeless, cause: causeExhausted, attempts: 2},
		{body: broken, cause: causeUndecodable, attempts: 3},
		{body: bad, cause: causePermanent, attempts: 1},
	}
	l := balance(lines, effects, dead)
	want := &ledger{
		orders: 4, messages: 6, done: 1, cents: 250, suppressed: 2,
		retries: 1 + 1 + 2, // fine's, hopeless's and broken's
		dead: map[string][]deadLetter{
			causeExhausted: dead[0:1], causeUndecodable: dead[1:2], causePermanent: dead[2:3],
		},
		longest: effects[4],
	}
	if diff := cmp.Diff(want, l, cmp.AllowUnexported(ledger{}, effect{}, deadLetter{})); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	if !l.balances() {
		t.Error("it does not balance")
	}
}

func TestLedgerFindsWhatIsNotAsItShouldBe(t *testing.T) {
	t.Parallel()
	once := []effect{{order: "fine", fence: 1, cents: 250}}
	for name, tt := range map[string]struct {
		bodies  []string
		effects []effect
		dead    []deadLetter
		lost    []string
		want    []string
	}{
		"an order lost": {
			bodies: []string{fine},
			lost:   []string{"order fine: neither charged nor dead-lettered"},
		},
		"an order that only failed": {
			bodies: []string{fine}, effects: []effect{{order: "fine", fence: 1, err: errFailed}},
			lost: []string{"order fine: neither charged nor dead-lettered"},
		},
		"a line lost that is no order": {
			bodies: []string{broken},
			lost:   []string{"line 1 (no order): neither charged nor dead-lettered"},
		},
		"a copy lost of an order to be dead-lettered": {
			bodies: []string{bad, bad}, dead: []deadLetter{{body: bad, cause: causePermanent}},
			lost: []string{"order bad: sent 2 times, but 1 times in the dead-letter queue"},
		},
		"more dead letters than were sent": {
			bodies: []string{bad}, dead: []deadLetter{{body: bad, cause: causePermanent}, {body: bad, cause: causePermanent}},
			want: []string{"order bad: sent 1 times, but 2 times in the dead-letter queue"},
		},
		"an order charged twice": {
			bodies: []string{fine, fine}, effects: append(once, effect{order: "fine", fence: 2, cents: 250}),
			want: []string{"order fine: charged 2 times"},
		},
		"a wrong sum": {
			bodies: []string{fine}, effects: []effect{{order: "fine", fence: 1, cents: 251}},
			want: []string{"order fine: charged 251 cents, not 250"},
		},
		"a fence that does not grow": {
			bodies: []string{fine}, effects: []effect{{order: "fine", fence: 2, err: errFailed}, {order: "fine", fence: 2, cents: 250}},
			want: []string{"order fine: fence 2 came after 2"},
		},
		"an effect without a fence": {
			bodies: []string{fine}, effects: []effect{{order: "fine", cents: 250}},
			want: []string{"order fine: fence 0 came after 0"},
		},
		"an order charged and dead-lettered": {
			bodies: []string{fine}, effects: once, dead: []deadLetter{{body: fine, cause: causeExhausted}},
			want: []string{"order fine: charged and dead-lettered (exhausted)"},
		},
		"a good order dead-lettered": {
			bodies: []string{fine}, dead: []deadLetter{{body: fine, cause: causeExhausted}},
			want: []string{"order fine: dead-lettered as exhausted, should be charged"},
		},
		"a bad order charged": {
			bodies: []string{bad}, effects: []effect{{order: "bad", fence: 1, cents: 250}},
			want: []string{"order bad: charged, should be dead-lettered as permanent"},
		},
		"the wrong cause": {
			bodies: []string{hopeless}, dead: []deadLetter{{body: hopeless, cause: causePermanent}},
			want: []string{"order hopeless: dead-lettered as permanent, should be as exhausted"},
		},
		"no cause": {
			bodies: []string{broken}, dead: []deadLetter{newDeadLetter(broken, "")},
			want: []string{"line 1 (no order): dead-lettered as moved by SQS without a cause, should be as undecodable"},
		},
		"an order nobody sent": {
			bodies: []string{fine}, effects: append(once, effect{order: "other", fence: 1, cents: 1}),
			want: []string{`order "other" was worked on, but never sent`},
		},
		"a dead letter nobody sent": {
			bodies: []string{fine}, effects: once, dead: []deadLetter{{body: bad, cause: causePermanent}},
			want: []string{`a message nobody sent is in the dead-letter queue: "{\"id\":\"bad\",\"customer\":\"c\",\"sku\":\"s\",\"quantity\":1,\"cents\":25"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := balance(linesOf(t, tt.bodies...), tt.effects, tt.dead)
			if diff := cmp.Diff(tt.want, l.problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.lost, l.lost); diff != "" {
				t.Errorf("lost (-want +got):\n%s", diff)
			}
			if l.balances() {
				t.Error("it balances")
			}
			if text := l.text(summary{}); !strings.Contains(text, "does NOT balance") {
				t.Errorf("the print does not say so:\n%s", text)
			}
		})
	}
}

func TestLedgerIsPrinted(t *testing.T) {
	t.Parallel()
	l := balance(linesOf(t, fine, fine, bad),
		[]effect{{order: "fine", fence: 1, cents: 250, took: 5 * time.Second}},
		[]deadLetter{{body: bad, cause: causePermanent, reason: "no such article", attempts: 1}})
	got := l.text(summary{took: 1500 * time.Millisecond, requests: map[string]int{"ReceiveMessage": 2, "DeleteMessageBatch": 1}})
	want := `2 orders in 3 messages, in 1.5 s
  done exactly once             1   2.50 charged
  duplicates suppressed         1
  retries                       0
  dead-lettered                 1
    permanent                   1   no such article
  lost                          0
  requests per message       1.00
    DeleteMessageBatch 1
    ReceiveMessage 2
Order fine took 5.0 s under a visibility timeout of 2 s.
The ledger balances.
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("print (-want +got):\n%s", diff)
	}
}

func TestLedgerOfAStoppedRunDoesNotCryLoss(t *testing.T) {
	t.Parallel()
	l := balance(linesOf(t, fine, bad), []effect{{order: "fine", fence: 1, cents: 2}}, nil)
	_, got, _ := strings.Cut(l.text(summary{stopped: true}), "  not handled yet ")
	want := `              1
  requests per message       0.00
Stopped before the queue was drained.
  order fine: charged 2 cents, not 250
`
	if got = strings.TrimLeft(got, " "); got != strings.TrimLeft(want, " ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLedgerPrintsTheFirstProblems(t *testing.T) {
	t.Parallel()
	var bodies []string
	for i := range mostProblems + 2 {
		bodies = append(bodies, fmt.Sprintf(`{"id":"o-%d","quantity":1}`, i))
	}
	text := balance(linesOf(t, bodies...), nil, nil).text(summary{})
	if got := strings.Count(text, "  lost: order o-"); got != mostProblems || !strings.Contains(text, "\n  and 2 more\n") {
		t.Errorf("%d problems of %d:\n%s", got, len(bodies), text)
	}
}
