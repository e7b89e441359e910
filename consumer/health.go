package consumer

import (
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-go/holdfast/consumer/internal/troubles"
	"github.com/holdfast-go/holdfast/consumer/internal/wire"
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
	// Name is one of start, receive, slow-receive, settle, extend, dead-letter,
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
	problemSlow       = "slow-receive"
	problemSettle     = "settle"
	problemExtend     = "extend"
	problemDeadLetter = "dead-letter"
	problemNoQueue    = "no-dead-letter-queue"
	problemGate       = "gate"
	problemAbandoned  = "abandoned"
	problemInFlight   = "in-flight-limit"
	problemRun        = "run"
)

func newHealth(cfg *Config) *troubles.Ledger {
	// Another process may have got the message, or no handler be slow enough to extend.
	retried := cfg.BackoffMax + time.Minute
	return troubles.New("new", map[string]troubles.Kind{
		problemSlow:       {Fade: time.Minute},
		problemSettle:     {Fade: time.Minute},
		problemExtend:     {Fade: time.Minute},
		problemDeadLetter: {Fade: retried},
		problemNoQueue:    {Fade: retried, Bearable: true},
		problemAbandoned:  {Bearable: true},
	})
}

// failed counts a failed call, which is a problem at once where it will hardly go by
// itself, else from the third in a row. It returns how many they are.
func (c *Consumer) failed(name, action string, f wire.Fault, err error) int {
	at := 3
	if f.Slow() || f == wire.OverLimit {
		at = 1
	}
	return c.health.Failed(name, at, c.explain(action, f, err))
}

// tellSlow tells whether a reply took so long that what it brought was lost.
func (c *Consumer) tellSlow(lost bool, took time.Duration) {
	if !lost {
		c.health.Worked(problemSlow)
		return
	}
	err := fmt.Errorf("reading a reply of sqs:ReceiveMessage took %v, longer than a Visibility of %v allows: raise it, or find out why", took, c.cfg.Visibility)
	c.health.Failed(problemSlow, 3, err)
	c.log.Warn("all that a receive brought is lost", "queue", c.queueName(), "error", err)
}

// Health says what is wrong since when. Safe for concurrent use, also before and
// after Run.
func (c *Consumer) Health() Health { return healthOf(c.health.Report()) }

func healthOf(r troubles.Report) Health {
	h := Health{Live: r.Live, State: r.State, Ready: r.Able && r.State == "running"}
	for _, p := range r.Problems {
		h.Problems = append(h.Problems, Problem(p))
	}
	return h
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
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r := c.health.Report()
		h := healthOf(r)
		r.Answer(w, h.Ready, ok(h))
	})
}
