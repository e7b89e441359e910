//go:build unix

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at is a moment of the histories below, in seconds.
func at(s float64) time.Time { return time.Unix(0, 0).Add(time.Duration(s * float64(time.Second))) }

// line is an entry as a worker writes it.
func line(kind byte, name string, number int64, life string, s float64) string {
	return fmt.Sprintf("%c %s %d %s %d\n", kind, name, number, life, at(s).UnixMicro())
}

// ask is the entry of a claim of key 0 that was asked for.
func ask(fence int64, life string, s float64) string {
	return line(asked, "0", fence, life, s)
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
			events: func(e *events) { e.paused["a"] = []span{{at(0.1), at(2.9)}} },
			check: func(t *testing.T, v *verdict) {
				if v.applied != 1 || v.refused != 1 || v.repeats != 0 || v.executions[byPause] != 1 {
					t.Errorf("applied %d, refused %d, repeats %d, executions %v, want one refused after a pause", v.applied, v.refused, v.repeats, v.executions)
				}
			},
		},
		"an effect that comes again behind the fence that wrote it": {
			ledger: clean + line(effect, "0", 10, "a", 2.2),
			want:   "1 effects were let by the fence twice",
		},
		"an effect of an older claim that has the greater fence": {
			ledger: ask(20, "a", 0) + line(begun, "0", 20, "a", 0.1) + ask(10, "b", 1) + strings.ReplaceAll(clean, " a ", " b ") +
				line(effect, "0", 20, "a", 14),
			events: func(e *events) { e.paused["a"] = []span{{at(0.2), at(14)}} },
			want:   "1 effects were let by the fence twice\n1 claims had a fence that is less",
		},
		"an effect of an older claim that was told late": {
			// Both claims may have been made in either order: it proves nothing.
			ledger: ask(20, "a", 0) + ask(10, "b", 1) + line(received, "m", 1, "b", 1) + line(begun, "0", 10, "b", 1.1) +
				line(begun, "0", 20, "a", 1.5) + line(effect, "0", 10, "b", 2) + line(effect, "0", 20, "a", 2.1),
			events: func(e *events) { e.paused["b"] = []span{{at(0.2), at(14)}} },
			check: func(t *testing.T, v *verdict) {
				if v.applied != 1 || v.repeats != 1 {
					t.Errorf("applied %d, repeats %d, want one each", v.applied, v.repeats)
				}
			},
		},
		"an effect of a newer claim after the completion was recorded": {
			ledger: clean + ask(11, "b", 3) + line(begun, "0", 11, "b", 3) + line(effect, "0", 11, "b", 4),
			want:   "1 effects were let by the fence twice",
		},
		"a kill after the message had come again explains nothing": {
			ledger: line(begun, "0", 9, "a", 0) + line(effect, "0", 9, "a", 0.5) + strings.ReplaceAll(clean, " a ", " b "),
			events: killed(7),
			want:   "1 effects were written again for no reason",
		},
		"a receive for nothing": {
			ledger: clean + line(received, "m", 2, "b", 5),
			want:   "2.000 receives per message besides all that was done",
		},
		"receives after a kill, while the store is away, and unseen": {
			ledger: clean + line(received, "m", 2, "b", 5) + line(received, "m", 5, "c", 29),
			events: func(e *events) { killed(4)(e); e.outages = []span{{at(6), at(7)}}; e.cuts = []time.Time{at(14)} },
			check: func(t *testing.T, v *verdict) {
				if v.again[byKill] != 1 || v.again[byOutage] != 1 || v.again[byCut] != 2 || v.unseen != 2 {
					t.Errorf("again %v, unseen %d, want 1 by a kill, 1 by an outage, 2 cut", v.again, v.unseen)
				}
			},
		},
		"a receive unseen while nothing was cut": {
			ledger: clean + line(received, "m", 3, "b", 30),
			events: func(e *events) { killed(4)(e); e.cuts = []time.Time{at(22), at(-1)} }, // the kill is all there was
			check: func(t *testing.T, v *verdict) {
				if v.again[byLost] != 1 || v.again[byCut] != 0 {
					t.Errorf("again %v, want 1 lost with a worker", v.again)
				}
			},
		},
		"a receive unseen while nothing was done": {
			ledger: strings.Replace(clean, "m 1", "m 2", 1), // at 1: the first was at -9 or before
			events: func(e *events) { e.cuts = []time.Time{at(-7)}; e.killed["b"] = at(1) },
			want:   "2.000 receives per message besides all that was done",
		},
		"a receive unseen while a worker was stopped": {
			ledger: strings.Replace(clean, "m 1", "m 2", 1),
			events: func(e *events) { e.paused["b"] = []span{{at(-20), at(-9)}} },
			check: func(t *testing.T, v *verdict) {
				if v.again[byLost] != 1 {
					t.Errorf("again %v, want 1 lost with a worker", v.again)
				}
			},
		},
		"a receive after a short stop is no crash, and one after a long stop is": {
			ledger: clean + line(received, "m", 2, "b", 20) + line(received, "m", 3, "c", 40),
			events: func(e *events) { e.paused["a"] = []span{{at(3), at(12)}}; e.paused["b"] = []span{{at(21), at(33)}} },
			check: func(t *testing.T, v *verdict) {
				got := []float64{v.perMessage(besidesKills...), v.perMessage(besidesCrashes...), v.perMessage(besidesAll...)}
				if diff := cmp.Diff([]float64{3, 2, 1}, got); diff != "" {
					t.Errorf("receives besides kills, crashes, all (-want +got):\n%s", diff)
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

// A campaign that did nothing to its workers proves nothing, however well it ends.
func TestVerdictAsksThatAllWasDone(t *testing.T) {
	t.Parallel()
	full := func() *verdict {
		return &verdict{
			keys: fullCampaign, sent: fullCampaign, kills: 1, cuts: 1, cutsSQS: 1, longest: visibility + 1, freezes: 1, refused: 1,
			again: map[string]int{}, executions: map[string]int{},
		}
	}
	for name, c := range map[string]struct {
		spoil func(*verdict)
		want  string // empty where it passes
	}{
		"all was done":                      {func(*verdict) {}, ""},
		"no kill":                           {func(v *verdict) { v.kills = 0 }, "no worker was killed"},
		"cuts of the store only":            {func(v *verdict) { v.cutsSQS = 0 }, "no connection to SQS was cut"},
		"no stop beyond the visibility":     {func(v *verdict) { v.longest = visibility }, "no worker was stopped for longer than its visibility"},
		"no late write":                     {func(v *verdict) { v.refused = 0 }, "no late write came to be refused by the fence"},
		"too short a campaign to ask it of": {func(v *verdict) { *v = verdict{keys: fullCampaign - 1, sent: 1} }, ""},
		"too many receives that no crash explains": {
			func(v *verdict) { v.again[byCut] = fullCampaign/50 + 1 }, "1.020 receives per message besides crashes",
		},
		"as many receives after stops beyond the visibility": {func(v *verdict) { v.again[byFreeze] = fullCampaign/50 + 1 }, ""},
		"as many in a campaign where single events weigh little": {
			func(v *verdict) { v.keys, v.sent, v.again[byFreeze] = longCampaign, longCampaign, longCampaign/50+1 },
			"1.020 receives per message besides kills alone",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := full()
			c.spoil(v)
			switch err := v.err(); {
			case c.want == "" && err != nil:
				t.Errorf("verdict: %v, want none", err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n")):
				t.Errorf("verdict: %v, want %q alone", err, c.want)
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
	f.Add(ask(10, "a", 0) + clean)
	f.Add("B 0 1 a 5\nE 0 1 a 6")
	f.Fuzz(func(t *testing.T, text string) {
		e := newEvents()
		if v, err := judge(strings.NewReader(text), e, []string{"0"}, 0); err == nil {
			_ = v.markdown(plan{})
			_ = v.err()
		}
	})
}
