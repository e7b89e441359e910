package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The causes that the runtime gives, and that the input asks for.
const (
	causePermanent   = "permanent"
	causeExhausted   = "exhausted"
	causeUndecodable = "undecodable"
)

// ledger holds the input against the effects: the book of the shop and what lies
// in the dead-letter queue. No counter of the worker is in it.
type ledger struct {
	orders, messages int
	// done is how many orders were charged exactly once, cents how much in all.
	done  int
	cents int64
	// suppressed is how many messages were duplicates of an order done once.
	suppressed int
	// retries is how many runs came after a failed one: by the book for orders that
	// were done, by the attempts in the cause for those dead-lettered.
	retries int
	// dead lists the orders dead-lettered as they should be, by cause.
	dead map[string][]deadLetter
	// lost names the orders that were neither charged nor dead-lettered, or not with
	// each of their copies.
	lost []string
	// longest is the effect that took longest.
	longest effect
	// problems is all else that is not as it should be.
	problems []string
}

func (l *ledger) balances() bool { return len(l.problems)+len(l.lost) == 0 }

// account is one order in the making of the ledger.
type account struct {
	line    line // its first
	sent    int
	effects []effect
	dead    []deadLetter
}

// balance makes the ledger. It balances where every order is either charged
// exactly once, the right sum, under fences that grow, and in no dead-letter
// queue; or dead-lettered with all its copies, each with the cause that the input
// asks for, and never charged. Nothing else may have happened.
func balance(lines []line, effects []effect, dead []deadLetter) *ledger {
	l := &ledger{messages: len(lines), dead: make(map[string][]deadLetter)}
	accounts := make(map[ref]*account)
	var inOrder []*account
	for _, ln := range lines {
		key := refOf(ln.body)
		a := accounts[key]
		if a == nil {
			a = &account{line: ln}
			accounts[key] = a
			inOrder = append(inOrder, a)
		}
		a.sent++
	}
	for _, e := range effects {
		a := accounts[ref{id: e.order}]
		if a == nil {
			l.problem("order %q was worked on, but never sent", e.order)
			continue
		}
		a.effects = append(a.effects, e)
		if e.took > l.longest.took {
			l.longest = e
		}
	}
	for _, d := range dead {
		a := accounts[refOf(d.body)]
		if a == nil {
			l.problem("a message nobody sent is in the dead-letter queue: %.60q", d.body)
			continue
		}
		a.dead = append(a.dead, d)
	}
	l.orders = len(inOrder)
	for _, a := range inOrder {
		l.enter(a)
	}
	return l
}

func (l *ledger) problem(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

// enter enters one order.
func (l *ledger) enter(a *account) {
	was := len(l.problems)
	charged, failed := 0, 0
	var fence int64
	for _, e := range a.effects {
		if e.fence <= fence {
			l.problem("%s: fence %d came after %d", a.line, e.fence, fence)
		}
		fence = e.fence
		if e.err != nil {
			failed++
			continue
		}
		charged++
		l.cents += e.cents
		if a.line.order != nil && e.cents != a.line.order.Cents {
			l.problem("%s: charged %d cents, not %d", a.line, e.cents, a.line.order.Cents)
		}
	}
	want := a.line.wants()
	switch {
	case charged == 0 && len(a.dead) == 0:
		l.lost = append(l.lost, fmt.Sprintf("%s: neither charged nor dead-lettered", a.line))
	case charged > 1:
		l.problem("%s: charged %d times", a.line, charged)
	case charged == 1 && len(a.dead) > 0:
		l.problem("%s: charged and dead-lettered (%s)", a.line, a.dead[0].cause)
	case charged == 1 && want != "":
		l.problem("%s: charged, should be dead-lettered as %s", a.line, want)
	case charged == 1:
		if len(l.problems) == was {
			l.done++
			l.suppressed += a.sent - 1
			l.retries += failed
		}
	default:
		l.enterDead(a, want)
	}
}

// enterDead enters an order that was dead-lettered only.
func (l *ledger) enterDead(a *account, want string) {
	was := len(l.problems)
	for _, d := range a.dead {
		switch {
		case want == "":
			l.problem("%s: dead-lettered as %s, should be charged", a.line, d.cause)
		case d.cause != want:
			l.problem("%s: dead-lettered as %s, should be as %s", a.line, d.cause, want)
		}
	}
	switch {
	case len(a.dead) < a.sent:
		l.lost = append(l.lost, fmt.Sprintf("%s: sent %d times, but %d times in the dead-letter queue", a.line, a.sent, len(a.dead)))
		return
	case len(a.dead) > a.sent:
		l.problem("%s: sent %d times, but %d times in the dead-letter queue", a.line, a.sent, len(a.dead))
	}
	if len(l.problems) > was {
		return
	}
	l.dead[want] = append(l.dead[want], a.dead...)
	for _, d := range a.dead {
		l.retries += max(0, d.attempts-1)
	}
}

// wants is the cause that the line is to be dead-lettered for, "" where it is to be
// charged.
func (l line) wants() string {
	switch {
	case l.order == nil:
		return causeUndecodable
	case l.order.Trouble == refused:
		return causePermanent
	case l.order.Trouble == alwaysFails:
		return causeExhausted
	}
	return ""
}

// String names the line in a problem.
func (l line) String() string {
	if l.order == nil {
		return fmt.Sprintf("line %d (no order)", l.number)
	}
	return "order " + l.order.ID
}

// summary is what the ledger is printed with and does not check.
type summary struct {
	took     time.Duration
	requests map[string]int // to SQS, by operation
	stopped  bool           // before the queue was drained
}

// text returns the ledger as text.
func (l *ledger) text(s summary) string {
	var b strings.Builder
	row := func(indent int, name string, value any, note string) {
		text := fmt.Sprintf("%*s%-*s %6v   %s", indent, "", 26-indent, name, value, note)
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	fmt.Fprintf(&b, "%d orders in %d messages, in %.1f s\n", l.orders, l.messages, s.took.Seconds())
	row(2, "done exactly once", l.done, money(l.cents)+" charged")
	row(2, "duplicates suppressed", l.suppressed, "")
	row(2, "retries", l.retries, "")
	n := 0
	for _, ds := range l.dead {
		n += len(ds)
	}
	row(2, "dead-lettered", n, "")
	for _, cause := range slices.Sorted(maps.Keys(l.dead)) {
		ds := l.dead[cause]
		row(4, cause, len(ds), fmt.Sprintf("%.90s", ds[0].reason))
	}
	missing := "lost"
	if s.stopped {
		missing = "not handled yet"
	}
	row(2, missing, len(l.lost), "")
	total := 0
	var ops []string
	for _, op := range slices.Sorted(maps.Keys(s.requests)) {
		total += s.requests[op]
		ops = append(ops, fmt.Sprintf("%s %d", op, s.requests[op]))
	}
	row(2, "requests per message", fmt.Sprintf("%.2f", float64(total)/float64(l.messages)), "")
	for _, op := range ops {
		fmt.Fprintf(&b, "    %s\n", op)
	}
	if l.longest.took > demoVisibility {
		fmt.Fprintf(&b, "Order %s took %.1f s under a visibility timeout of %.0f s.\n",
			l.longest.order, l.longest.took.Seconds(), demoVisibility.Seconds())
	}
	wrong := l.problems
	switch {
	case l.balances():
		b.WriteString("The ledger balances.\n")
	case s.stopped:
		b.WriteString("Stopped before the queue was drained.\n")
	default:
		b.WriteString("The ledger does NOT balance.\n")
		for _, lost := range l.lost {
			wrong = append(wrong, "lost: "+lost)
		}
	}
	for i, p := range wrong {
		if i == mostProblems {
			fmt.Fprintf(&b, "  and %d more\n", len(wrong)-i)
			break
		}
		fmt.Fprintf(&b, "  %s\n", p)
	}
	return b.String()
}

// mostProblems is how many are printed.
const mostProblems = 20

// money writes cents as an amount.
func money(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }
