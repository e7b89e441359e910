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
	cuts       int // of connections, and of those to SQS
	cutsSQS    int
	freezes    int           // stops longer than the visibility
	longest    time.Duration // stop of a worker

	lost       int // keys without an effect, and not dead-lettered
	afterDone  int // runs that began after the completion of their key was recorded
	applied    int // effects that the database applied: the first of their key
	refused    int // effects that it refused by the fence: a newer one had written
	repeats    int // effects of newer claims: the fence lets them by, the unique key refused them
	doubles    int // effects that the fence let by although no newer claim wrote them
	disorder   int // claims whose fence is not greater than that of a claim before
	sameFence  int // runs under a fence that another run had
	runs       int
	executions map[string]int // effects written again, without the fence's doing, by reason
	receives   int
	unseen     int            // receives that reached no worker
	again      map[string]int // receives beyond the first, by reason
}

// run is one run of a handler, by key.
type handlerRun struct {
	fence    int64
	life     string
	asked    time.Time // for its claim; zero where that is not known
	at       time.Time // it began: its claim had been answered then
	late     bool      // it began after the key was recorded done
	effectAt time.Time // zero while it has written none
}

// after reports whether the claim of r is surely newer than that of other.
func (r handlerRun) after(other handlerRun) bool { return r.asked.After(other.at) }

// account is what the fenced table of a database would have of one key.
type account struct {
	fence   int64      // the greatest that has written
	written bool       // the effect is there: once, since the key is unique
	writer  handlerRun // that has written under the fence
	done    bool       // recorded in the store
	asked   map[int64]time.Time
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
			a = &account{asked: make(map[int64]time.Time, 1)}
			accounts[key] = a
		}
		return a
	}
	err := readLedger(r, func(n entry) {
		switch n.kind {
		case received:
			v.receives++
			deliveries[n.name] = append(deliveries[n.name], delivery{n.number, n.life, n.at})
		case asked:
			of(n.name).asked[n.number] = n.at
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
			began := handlerRun{fence: n.number, life: n.life, asked: a.asked[n.number], at: n.at, late: a.done}
			for _, other := range a.runs {
				v.disorder += count(began.after(other) && began.fence < other.fence || other.after(began) && other.fence < began.fence)
			}
			a.runs = append(a.runs, began)
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

// write does what a database does whose table has a fence and a unique key:
//
//	UPDATE ... SET fence = f WHERE key = k AND fence <= f   -- else refused
//	INSERT the effect of k, where there is none
//
// The key alone keeps the effect single, so the fence is judged by itself: what it lets by
// once the effect is there must come from a newer claim, which nothing but the key can
// refuse, and not from an older one, under a fence that has written, or for a key that
// was recorded done before.
func (v *verdict) write(a *account, n entry) {
	var by handlerRun
	for i := range a.runs {
		if a.runs[i].fence == n.number {
			a.runs[i].effectAt = n.at
			by = a.runs[i]
		}
	}
	switch {
	case n.number < a.fence:
		v.refused++
		return
	case !a.written:
		v.applied++
	case n.number == a.fence || by.late || a.writer.after(by):
		v.doubles++
	default:
		v.repeats++
	}
	a.fence, a.written, a.writer = n.number, true, by
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
		var since time.Time
		for i, d := range ds {
			unseen := d.count - 1
			if i > 0 {
				prev := ds[i-1]
				unseen = d.count - prev.count - 1
				since = earlier(prev.at, d.at)
				v.again[e.why(prev.life, since, later(prev.at, d.at))]++
			}
			if unseen > 0 {
				// The message stayed hidden for its visibility after the last of them.
				v.again[e.whyUnseen(earlier(since, d.at.Add(-visibility)), d.at.Add(-visibility))] += int(unseen)
				v.unseen += int(unseen)
			}
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

// perMessage is the receives of a message, without those beyond the first that have one
// of the reasons.
func (v *verdict) perMessage(excused ...string) float64 {
	n := total(v.again)
	for _, reason := range excused {
		n -= v.again[reason]
	}
	return 1 + float64(n)/float64(max(v.sent, 1))
}

// besides are the excuses for a receive beyond the first, from the strictest on. To SQS a
// worker that is stopped for longer than the visibility is a worker that crashed: it hears
// nothing of it until others have its messages.
var (
	besidesKills   = []string{byKill}
	besidesCrashes = []string{byKill, byFreeze}
	besidesAll     = []string{byKill, byFreeze, byPause, byOutage, byCut, byLost}
)

// A campaign of fullCampaign messages must have done all to the workers that it is for.
// One of longCampaign lasts so long that single events weigh little: a worker that is
// stopped or killed loses up to a hundred receives, however short the campaign.
const (
	fullCampaign = 5_000
	longCampaign = 100_000
)

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
	broken(v.doubles != 0, "%d effects were let by the fence twice", v.doubles)
	broken(v.disorder != 0, "%d claims had a fence that is less than that of an older claim", v.disorder)
	burned := func(what string, excused []string) {
		n := v.perMessage(excused...)
		broken(n > 1+mostBurned, "%.3f receives per message besides %s, want at most %.2f", n, what, 1+mostBurned)
	}
	burned("all that was done", besidesAll)
	if v.keys >= fullCampaign {
		burned("crashes", besidesCrashes)
		broken(v.kills == 0, "no worker was killed")
		broken(v.longest <= visibility, "no worker was stopped for longer than its visibility")
		broken(v.cutsSQS == 0, "no connection to SQS was cut")
		broken(v.refused == 0, "no late write came to be refused by the fence")
	}
	if v.keys >= longCampaign {
		burned("kills alone", besidesKills)
	}
	return errors.Join(errs...)
}
