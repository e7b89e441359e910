package consumer

import (
	"encoding/json"
	"net/http"
	"sort"
	"sync"
	"time"
)

// Health says how a consumer is. Live and Ready are different questions: a
// consumer that is not live should be restarted, one that is not ready cannot do
// its work now but will by itself when what it needs is back.
type Health struct {
	// Live is false when half of the slots or more are taken by abandoned
	// handlers, and when Run ended with an error.
	Live bool
	// Ready is true while Run receives and no problem stands in the way.
	Ready bool
	// State is new, starting, running, stopping or stopped.
	State string
	// Problems lists what is wrong, the oldest first.
	Problems []Problem
}

// Problem is one thing that is wrong.
type Problem struct {
	// Name is one of start, receive, settle, extend, dead-letter,
	// no-dead-letter-queue, gate, abandoned, in-flight-limit, run.
	Name string
	// Since is when it began.
	Since time.Time
	// Err says what it is and, where it is known, what to do about it.
	Err error
}

const (
	problemStart      = "start"
	problemReceive    = "receive"
	problemSettle     = "settle"
	problemExtend     = "extend"
	problemDeadLetter = "dead-letter"
	problemNoQueue    = "no-dead-letter-queue"
	problemGate       = "gate"
	problemAbandoned  = "abandoned"
	problemInFlight   = "in-flight-limit"
	problemRun        = "run"
)

// Problems that leave a consumer ready: it goes on working beside them.
var bearable = map[string]bool{problemNoQueue: true, problemAbandoned: true}

type health struct {
	mu       sync.Mutex // guards all below; a leaf: nothing is called under it
	state    string
	problems map[string]trouble

	// fade is after how long a problem is over that nobody told of again. It is for
	// those whose call may not be made again to show that it works now: another
	// process may have got the message, or no handler be slow enough to extend.
	fade map[string]time.Duration
}

// trouble is a problem, when it was told last, and whether one is dead of it.
type trouble struct {
	Problem
	told   time.Time
	deadly bool
}

func newHealth(cfg *Config) *health {
	retried := cfg.BackoffMax + time.Minute
	return &health{state: "new", problems: make(map[string]trouble), fade: map[string]time.Duration{
		problemSettle: time.Minute, problemExtend: time.Minute, problemDeadLetter: retried, problemNoQueue: retried,
	}}
}

// set notes a problem. One that stands already keeps its beginning.
func (h *health) set(name string, err error) { h.put(name, err, false) }

// die notes a problem for which the consumer is not live.
func (h *health) die(name string, err error) { h.put(name, err, true) }

func (h *health) put(name string, err error, deadly bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.sweep(now)
	p := trouble{Problem{Name: name, Since: now, Err: err}, now, deadly}
	if old, ok := h.problems[name]; ok {
		p.Since = old.Since
	}
	h.problems[name] = p
}

// sweep forgets the problems that have faded. Call with mu held.
func (h *health) sweep(now time.Time) {
	for name, p := range h.problems {
		if fade := h.fade[name]; fade > 0 && now.Sub(p.told) > fade {
			delete(h.problems, name)
		}
	}
}

func (h *health) clear(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.problems, name)
}

func (h *health) enter(state string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = state
}

// Health says what is wrong since when. Safe for concurrent use, also before and
// after Run.
func (c *Consumer) Health() Health {
	h := c.health
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sweep(time.Now())
	r := Health{Live: true, State: h.state, Ready: h.state == "running"}
	for name, p := range h.problems {
		r.Problems = append(r.Problems, p.Problem)
		if p.deadly {
			r.Live = false
		}
		if p.deadly || !bearable[name] {
			r.Ready = false
		}
	}
	sort.Slice(r.Problems, func(i, j int) bool {
		a, b := r.Problems[i], r.Problems[j]
		return a.Since.Before(b.Since) || (a.Since.Equal(b.Since) && a.Name < b.Name)
	})
	return r
}

// LiveHandler answers 200 while the consumer is live, else 503, with its health
// as JSON: what a liveness probe asks.
func (c *Consumer) LiveHandler() http.Handler {
	return c.probeHandler(func(h Health) bool { return h.Live })
}

// ReadyHandler answers 200 while the consumer is ready, else 503, with its health
// as JSON: what a readiness probe or a dashboard asks.
func (c *Consumer) ReadyHandler() http.Handler {
	return c.probeHandler(func(h Health) bool { return h.Ready })
}

func (c *Consumer) probeHandler(ok func(Health) bool) http.Handler {
	type problem struct {
		Name  string    `json:"name"`
		Since time.Time `json:"since"`
		Error string    `json:"error"`
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := c.Health()
		reply := struct {
			Live     bool      `json:"live"`
			Ready    bool      `json:"ready"`
			State    string    `json:"state"`
			Problems []problem `json:"problems"`
		}{h.Live, h.Ready, h.State, []problem{}}
		for _, p := range h.Problems {
			reply.Problems = append(reply.Problems, problem{p.Name, p.Since, p.Err.Error()})
		}
		w.Header().Set("Content-Type", "application/json")
		if !ok(h) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		// The only error is that the prober has gone.
		_ = json.NewEncoder(w).Encode(reply)
	})
}
