package idempotency_test

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// simTally counts by name.
type simTally map[string]int

func (t *simTally) add(name string) {
	if *t == nil {
		*t = make(simTally)
	}
	(*t)[name]++
}

// simCounts is what happened, so that a check which was never put to the test is
// seen. The tag names the invariant that a number stands for.
type simCounts struct {
	pairs            int `check:"I1: two handlers of a key at once, of which one was overtaken"`
	overtaken        int `check:"I1: of them overtaken after their claim ran out"`
	explained        int `check:"I1: of them by a lost record or a stepped clock"`
	overtakenExtends int `check:"I1: extensions that arrived behind a later one"`
	claimsAfterLoss  int `check:"I2: claims after the record was lost"`
	onDone           int `check:"I3: writes on a completed record"`
	deletes          int `check:"I4: deletes"`
	staleDeletes     int `check:"I4: deletes by a stale handle"`
	foreign          int `check:"I5: calls of who does not hold the key"`
	writes           int `check:"I6: writes, each with a time to live"`
	settled          int `check:"I6: messages settled in the end"`
	repeats          int `check:"I7: receives after the first, each with an excuse"`
	leases           int `check:"I8: leases under a healthy visibility"`
	repeated         int `check:"I9: calls applied twice"`
	lateCompletes    int `check:"I10: completions accepted after the lease"`
	stolenCompletes  int `check:"I10: completions refused because someone claimed"`
	runs             int `check:"I11: runs"`
	completionsKept  int `check:"I12: completions under the identity of the claim"`
	gated            int `check:"I13: receives held back by the breaker"`
	followers        int `check:"I14: followers of a run in the same process"`
	parks            int `check:"I14: parked"`
	unparked         int `check:"I14: claimed from the park"`
	classified       int `check:"I15: claims classified"`
	ranAlone         int `check:"alone: runs alone"`
	poisoned         int `check:"poison: dead-lettered for their attempts"`
	kills            int `check:"poison: processes killed by a handler"`
	lapses           int `check:"lapse: claims that ran out, each with a cause"`
	movedRuns        int `check:"redrive: runs of messages that were moved back"`
	refused          int `check:"done once: writes refused by the fence"`
	effects          int `check:"done once: writes"`

	polls, receives, deadByQueue, deadByUs, redriven, ghosts, staleChanges int
	losses, rollbacks, lostDone, steps, outages                            int
	crashes, pauses, shutdowns, callFaults, lostReceives                   int
	handovers, heartbeats, visibilityLost, letGo, breakers, waits          int
	steals, alone, lives, refunds, lateExtends, duplicates, mismatches     int
	doubles, mirrored, orphans, lateClaims, histories, events              int

	claims, extends, completes, releases simTally
	reasons, givenBack, cancels, reruns  simTally
}

// totals are the counts by name, those of several goroutines added up.
type totals map[string]int

func (t totals) merge(c *simCounts) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		name, f := v.Type().Field(i).Name, v.Field(i)
		if f.Kind() == reflect.Map {
			for _, key := range f.MapKeys() {
				t[name+" "+key.String()] += int(f.MapIndex(key).Int())
			}
			continue
		}
		t[name] += int(f.Int())
	}
}

// report lists the checks with how often they were put to the test, and what else
// happened.
func (t totals) report() string {
	var b strings.Builder
	fields := reflect.TypeFor[simCounts]()
	checked := map[string]bool{}
	for i := range fields.NumField() {
		f := fields.Field(i)
		if text, ok := f.Tag.Lookup("check"); ok {
			fmt.Fprintf(&b, "%14d  %s\n", t[f.Name], text)
			checked[f.Name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if !checked[name] {
			fmt.Fprintf(&b, "%14d  %s\n", t[name], name)
		}
	}
	return b.String()
}

// untested returns the checks that no history put to the test.
func (t totals) untested() []string {
	var none []string
	fields := reflect.TypeFor[simCounts]()
	for i := range fields.NumField() {
		if f := fields.Field(i); f.Type.Kind() == reflect.Int && t[f.Name] == 0 {
			none = append(none, f.Name)
		}
	}
	return none
}

// setting returns the number in an environment variable.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// histories runs n histories from seed first on, on all processors, until one fails.
// mirror makes the second store of a goroutine's histories; nil for none.
func histories(t *testing.T, first, n uint64, mirror func(t *testing.T) simMirror) totals {
	t.Helper()
	all := totals{}
	var mu sync.Mutex // guards all
	var next atomic.Uint64
	var failed atomic.Bool
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		var second simMirror
		if mirror != nil {
			second = mirror(t)
		}
		wg.Go(func() {
			var count simCounts
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				all.merge(&count)
			}()
			for i := next.Add(1); i <= n && !failed.Load(); i = next.Add(1) {
				seed := first + i - 1
				s := newSim(seed, false, &count, second)
				s.run()
				count.histories++
				count.events += s.made
				if len(s.faults) > 0 && !failed.Swap(true) {
					replay := newSim(seed, true, new(simCounts), second)
					replay.run()
					t.Error(replay.report())
				}
			}
		})
	}
	wg.Wait()
	return all
}

// TestHistories checks the invariants I1 to I15 of the protocol, and what follows
// from them, on histories drawn at random; see sim. HOLDFAST_HISTORIES says how
// many, HOLDFAST_SEED which is the first, and HOLDFAST_HISTORY replays one and
// prints its events.
func TestHistories(t *testing.T) {
	t.Parallel()
	if seed := setting(t, "HOLDFAST_HISTORY", 0); seed != 0 {
		s := newSim(seed, true, new(simCounts), nil)
		s.run()
		if len(s.faults) > 0 {
			t.Fatal(s.report())
		}
		t.Logf("history %d keeps all invariants\n%s", seed, strings.Join(s.log, "\n"))
		return
	}
	first, n := setting(t, "HOLDFAST_SEED", 1), setting(t, "HOLDFAST_HISTORIES", 20_000)
	if raceDetector {
		n /= 10 // one goroutine each: there is nothing to race
	}
	began := time.Now()
	all := histories(t, first, n, nil)
	t.Logf("%d histories from seed %d in %v:\n%s", all["histories"], first, time.Since(began).Round(time.Second), all.report())
	if t.Failed() || n < 2_000 {
		return
	}
	for _, name := range all.untested() {
		if name != "mirrored" {
			t.Errorf("no history put %s to the test", name)
		}
	}
}
