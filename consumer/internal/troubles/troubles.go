// Package troubles keeps a ledger of what is wrong with something that runs: which
// problems stand, since when, and what follows for its health.
package troubles

import (
	"encoding/json"
	"net/http"
	"sort"
	"sync"
	"time"
)

// Problem is one thing that is wrong.
type Problem struct {
	Name  string
	Since time.Time
	Err   error
}

// Kind is how problems of one name count. The zero value is for a problem that is in
// the way of the work until it is cleared.
type Kind struct {
	// Fade is after how long a problem is over that nobody told of again; 0 is never.
	// It is for those whose call may not be made again to show that it works now.
	Fade time.Duration
	// Bearable is true where work goes on beside the problem.
	Bearable bool
}

// Ledger has what stands. Make one with New; its methods are safe for concurrent use
// and call nothing while they lock.
type Ledger struct {
	kinds map[string]Kind

	mu       sync.Mutex // guards all below
	state    string
	problems map[string]trouble
	failures map[string]int // in a row
}

// trouble is a problem, when it was told last, and whether one is dead of it.
type trouble struct {
	Problem
	told   time.Time
	deadly bool
}

// New returns an empty ledger in a state. A name that kinds has not is of the zero Kind.
func New(state string, kinds map[string]Kind) *Ledger {
	return &Ledger{kinds: kinds, state: state, problems: make(map[string]trouble), failures: make(map[string]int)}
}

// Enter changes the state.
func (l *Ledger) Enter(state string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = state
}

// Set notes a problem. One that stands already keeps its beginning.
func (l *Ledger) Set(name string, err error) { l.put(name, err, false) }

// Note is Set with an error, and Clear without one.
func (l *Ledger) Note(name string, err error) {
	if err == nil {
		l.Clear(name)
		return
	}
	l.Set(name, err)
}

// Die notes a problem for which one is not live.
func (l *Ledger) Die(name string, err error) { l.put(name, err, true) }

// Failed counts a failure of what the problem is named for. The at-th in a row, and
// each after it, notes the problem. It returns how many they are. That is one step with
// the count, as Worked is: a failure that is noted late cannot outlast a later success.
func (l *Ledger) Failed(name string, at int, err error) (inRow int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures[name]++
	inRow = l.failures[name]
	if inRow >= at {
		l.note(name, err, false)
	}
	return inRow
}

// Worked notes a success: it ends the row of failures and the problem, and tells
// whether that stood.
func (l *Ledger) Worked(name string) (stood bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failures[name] == 0 {
		return false
	}
	l.failures[name] = 0
	_, stood = l.problems[name]
	delete(l.problems, name)
	return stood
}

func (l *Ledger) put(name string, err error, deadly bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(name, err, deadly)
}

// note is put. Call with mu held.
func (l *Ledger) note(name string, err error, deadly bool) {
	now := time.Now()
	l.sweep(now)
	p := trouble{Problem{Name: name, Since: now, Err: err}, now, deadly}
	if old, ok := l.problems[name]; ok {
		p.Since = old.Since
	}
	l.problems[name] = p
}

// Clear ends a problem, if it stands.
func (l *Ledger) Clear(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.problems, name)
}

// sweep forgets the problems that have faded. Call with mu held.
func (l *Ledger) sweep(now time.Time) {
	for name, p := range l.problems {
		if fade := l.kinds[name].Fade; fade > 0 && now.Sub(p.told) > fade {
			delete(l.problems, name)
		}
	}
}

// Report is the ledger at one time.
type Report struct {
	State string
	// Live is false while a problem stands that was noted by Die.
	Live bool
	// Able is true while live and beside bearable problems alone.
	Able bool
	// Problems are those that stand, the oldest first.
	Problems []Problem
}

// Report tells what stands now.
func (l *Ledger) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(time.Now())
	r := Report{State: l.state, Live: true, Able: true}
	for name, p := range l.problems {
		r.Problems = append(r.Problems, p.Problem)
		r.Live = r.Live && !p.deadly
		r.Able = r.Able && !p.deadly && l.kinds[name].Bearable
	}
	sort.Slice(r.Problems, func(i, j int) bool {
		a, b := r.Problems[i], r.Problems[j]
		return a.Since.Before(b.Since) || (a.Since.Equal(b.Since) && a.Name < b.Name)
	})
	return r
}

// Answer answers a probe with the report as JSON: 200 where all is well, else 503.
func (r Report) Answer(w http.ResponseWriter, ready, well bool) {
	type problem struct {
		Name  string    `json:"name"`
		Since time.Time `json:"since"`
		Error string    `json:"error"`
	}
	reply := struct {
		Live     bool      `json:"live"`
		Ready    bool      `json:"ready"`
		State    string    `json:"state"`
		Problems []problem `json:"problems"`
	}{r.Live, ready, r.State, []problem{}}
	for _, p := range r.Problems {
		reply.Problems = append(reply.Problems, problem{p.Name, p.Since, p.Err.Error()})
	}
	w.Header().Set("Content-Type", "application/json")
	if !well {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// The only error is that the prober has gone.
	_ = json.NewEncoder(w).Encode(reply)
}
