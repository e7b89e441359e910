//go:build unix

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// at is a moment of the histories below, in seconds.
func at(s float64) time.Time { return time.Unix(0, 0).Add(time.Duration(s * float64(time.Second))) }

// line is an entry as a worker writes it.
func line(kind byte, name string, number int64, life string, s float64) string {
	return fmt.Sprintf("%c %s %d %s %d\n", kind, name, number, life, at(s).UnixMicro())
}

// clean is the history of one message that is received, worked on and recorded.
var clean = line(received, "m", 1, "a", 1) + line(begun, "0", 10, "a", 1) + line(effect, "0", 10, "a", 2) + line(recorded, "0", 10, "a", 2.1)

func TestVerdict(t *testing.T) {
	t.Parallel()
	killed := func(s float64) func(*events) { return func(e *events) { e.killed["a"] = at(s) } }
	for name, c := range map[string]struct {
		ledger string
		events func(*events)
		dead   int
		want   string // in the error; empty where no promise is broken
		check  func(t *testing.T, v *verdict)
	}{
		"a message that is done": {ledger: clean},
		"a message that never had its effect": {
			ledger: line(received, "m", 1, "a", 1) + line(begun, "0", 10, "a", 1),
			want:   "1 messages were lost",
		},
		"a message that was dead-lettered": {ledger: "", dead: 1, want: "1 messages were dead-lettered"},
		"a run after the completion was recorded": {
			ledger: clean + line(begun, "0", 11, "b", 3),
			want:   "1 runs began although their key was recorded done",
		},
		"two runs under one fence": {
			ledger: line(begun, "0", 10, "b", 0) + clean,
			want:   "1 runs had the fence of another run",
		},
		"an effect written again without a reason": {
			ledger: line(begun, "0", 9, "a", 0) + line(effect, "0", 9, "a", 0.5) + clean,
			want:   "1 effects were written again for no reason",
		},
		"an effect written again after a kill": {
			ledger: line(begun, "0", 9, "a", 0) + line(effect, "0", 9, "a", 0.5) + strings.ReplaceAll(clean, " a ", " b "),
			events: killed(0.6),
			check: func(t *testing.T, v *verdict) {
				if v.executions[byKill] != 1 || v.repeats != 1 {
					t.Errorf("executions %v, repeats %d, want one after a kill", v.executions, v.repeats)
				}
			},
		},
		"an effect that comes behind a newer fence": {
			ledger: line(begun, "0", 9, "a", 0) + strings.ReplaceAll(clean, " a ", " b ") + line(effect, "0", 9, "a", 3),
			events: func(e *events) { e.paused["a"] = []span{{from: at(0.1)}} },
			check: func(t *testing.T, v *verdict) {
				if v.refused != 1 || v.executions[byPause] != 1 {
					t.Errorf("refused %d, executions %v, want one refused after a pause", v.refused, v.executions)
				}
			},
		},
		"a kill after the message had come again explains nothing": {
			ledger: line(begun, "0", 9, "a", 0) + line(effect, "0", 9, "a", 0.5) + strings.ReplaceAll(clean, " a ", " b "),
			events: killed(7),
			want:   "1 effects were written again for no reason",
		},
		"a receive for nothing": {
			ledger: clean + line(received, "m", 2, "b", 5),
			want:   "2.000 receives per message besides crashes",
		},
		"receives after a kill, while the store is away, and unseen": {
			ledger: clean + line(received, "m", 2, "b", 5) + line(received, "m", 5, "c", 9),
			events: func(e *events) { killed(4)(e); e.outages = []span{{at(6), at(7)}} },
			check: func(t *testing.T, v *verdict) {
				if v.again[byKill] != 1 || v.again[byOutage] != 1 || v.again[byCut] != 2 {
					t.Errorf("again %v, want 1 by a kill, 1 by an outage, 2 unseen", v.again)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEvents()
			if c.events != nil {
				c.events(e)
			}
			v, err := judge(strings.NewReader(c.ledger), e, []string{"0"}, c.dead)
			if err != nil {
				t.Fatal(err)
			}
			v.sent = 1
			switch err := v.err(); {
			case c.want == "" && err != nil:
				t.Errorf("verdict: %v, want none", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("verdict: %v, want %q", err, c.want)
			}
			if c.check != nil {
				c.check(t, v)
			}
		})
	}
}

func TestLedgerRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"B 0 1 a\n", "BB 0 1 a 5\n", "B 0 x a 5\n", "B 0 1 a x\n"} {
		if _, err := judge(strings.NewReader(clean+text), newEvents(), nil, 0); err == nil || !strings.Contains(err.Error(), "line 5") {
			t.Errorf("ledger with %q: %v, want an error that names line 5", text, err)
		}
	}
}

func FuzzLedger(f *testing.F) {
	f.Add(clean)
	f.Add("B 0 1 a 5\nE 0 1 a 6")
	f.Fuzz(func(t *testing.T, text string) {
		e := newEvents()
		if v, err := judge(strings.NewReader(text), e, []string{"0"}, 0); err == nil {
			_ = v.markdown(plan{})
			_ = v.err()
		}
	})
}
