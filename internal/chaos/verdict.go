//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"time"
)

// verdict is what the ledger tells of a campaign.
type verdict struct {
	keys, sent int // different messages, messages sent
	dead       int // in the dead-letter queue
	took       time.Duration
	kills      int
	pauses     int
	stores     int // kills of the store
	cuts       int

	lost       int // keys without an effect, and not dead-lettered
	afterDone  int // runs that began after the completion of their key was recorded
	repeats    int // effects that found theirs there already
	refused    int // effects that came behind a newer fence
	sameFence  int // runs under a fence that another run had
	runs       int
	executions map[string]int // effects written again, without the fence's doing, by reason
	receives   int
	again      map[string]int // receives beyond the first, by reason
}

// run is one run of a handler, by key.
type handlerRun struct {
	fence    int64
	life     string
	at       time.Time
	effectAt time.Time // zero while it has written none
}

// account is what the fenced table of a database would have of one key.
type account struct {
	fence   int64 // the greatest that has written
	written bool  // the effect is there: once, since the key is unique
	done    bool  // recorded in the store
	runs    []handlerRun
}

// delivery is one receive of one message.
type delivery struct {
	count int64
	life  string
	at    time.Time
}

// judge reads the ledger. wanted are the keys that were sent, dead is how many messages
// are in the dead-letter queue.
func judge(r io.Reader, e *events, wanted []string, dead int) (*verdict, error) {
	v := &verdict{keys: len(wanted), dead: dead, executions: make(map[string]int), again: make(map[string]int)}
	accounts := make(map[string]*account, len(wanted))
	deliveries := make(map[string][]delivery, len(wanted))
	of := func(key string) *account {
		a := accounts[key]
		if a == nil {
			a = &account{}
			accounts[key] = a
		}
		return a
	}
	err := readLedger(r, func(n entry) {
		switch n.kind {
		case received:
			v.receives++
			deliveries[n.name] = append(deliveries[n.name], delivery{n.number, n.life, n.at})
		case begun:
			v.runs++
			a := of(n.name)
			if a.done {
				v.afterDone++
			}
			for _, other := range a.runs {
				if other.fence == n.number {
					v.sameFence++
				}
			}
			a.runs = append(a.runs, handlerRun{fence: n.number, life: n.life, at: n.at})
		case effect:
			v.write(of(n.name), n)
		case recorded:
			of(n.name).done = true
		}
	})
	if err != nil {
		return nil, err
	}
	v.explain(accounts, e)
	v.count(deliveries, e)
	for _, key := range wanted {
		if a := accounts[key]; a == nil || !a.written {
			v.lost++
		}
	}
	v.lost = max(v.lost-dead, 0)
	return v, nil
}

// write does what a database does whose table has a unique key and a fence:
//
//	UPDATE ... SET fence = f WHERE key = k AND fence <= f   -- else refused
//	INSERT the effect of k, where there is none
func (v *verdict) write(a *account, n entry) {
	for i := range a.runs {
		if a.runs[i].fence == n.number {
			a.runs[i].effectAt = n.at
		}
	}
	if n.number < a.fence {
		v.refused++
		return
	}
	v.repeats += count(a.written)
	a.fence, a.written = n.number, true
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// explain finds a reason for each effect that was written after another one: what
// would have happened twice where nothing guards it.
func (v *verdict) explain(accounts map[string]*account, e *events) {
	for _, a := range accounts {
		var first *handlerRun
		sort.Slice(a.runs, func(i, j int) bool { return a.runs[i].fence < a.runs[j].fence })
		for i := range a.runs {
			r := &a.runs[i]
			if r.effectAt.IsZero() {
				continue
			}
			if first != nil {
				v.executions[e.why(first.life, earlier(first.at, r.at), later(r.effectAt, first.effectAt))]++
			}
			first = r
		}
	}
}

// count finds a reason for each receive beyond the first of a message.
func (v *verdict) count(deliveries map[string][]delivery, e *events) {
	for _, ds := range deliveries {
		sort.Slice(ds, func(i, j int) bool { return ds[i].count < ds[j].count })
		unseen := ds[0].count - 1
		for i := 1; i < len(ds); i++ {
			unseen += max(ds[i].count-ds[i-1].count-1, 0)
			v.again[e.why(ds[i-1].life, ds[i-1].at, ds[i].at)]++
		}
		if unseen > 0 {
			v.again[byCut] += int(unseen)
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// mostBurned is how many receives a message may cost beside those that crashes cost.
const mostBurned = 0.02

// perMessage is the receives of a message, without those that something explains.
func (v *verdict) perMessage() float64 {
	return 1 + float64(v.again[byNothing])/float64(max(v.sent, 1))
}

// err says which promises were broken.
func (v *verdict) err() error {
	var errs []error
	broken := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	broken(v.lost != 0, "%d messages were lost", v.lost)
	broken(v.dead != 0, "%d messages were dead-lettered although no handler failed", v.dead)
	broken(v.afterDone != 0, "%d runs began although their key was recorded done", v.afterDone)
	broken(v.sameFence != 0, "%d runs had the fence of another run", v.sameFence)
	broken(v.executions[byNothing] != 0, "%d effects were written again for no reason", v.executions[byNothing])
	broken(v.perMessage() > 1+mostBurned, "%.3f receives per message besides crashes, want at most %.2f", v.perMessage(), 1+mostBurned)
	return errors.Join(errs...)
}
