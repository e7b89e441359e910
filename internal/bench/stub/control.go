package stub

import (
	"encoding/json"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// Counts is what the stub was asked for since its last reset.
type Counts struct {
	// Receive, DeleteBatch, VisibilityBatch and SendBatch count requests of these
	// actions; Other counts those of all other actions.
	Receive, DeleteBatch, VisibilityBatch, SendBatch, Other uint64
	// Received, Deleted, Extended and Sent count messages.
	Received, Deleted, Extended, Sent uint64
	// Connections counts the connections accepted.
	Connections uint64
}

// Requests is the number of requests of all actions.
func (c Counts) Requests() uint64 {
	return c.Receive + c.DeleteBatch + c.VisibilityBatch + c.SendBatch + c.Other
}

// Settings is what a benchmark sets on the stub.
type Settings struct {
	// Latency is how long every request takes.
	Latency time.Duration
	// Budget is the number of messages after which receives come back empty.
	Budget int64
}

type counters struct {
	receive, deleteBatch, visibilityBatch, sendBatch, other atomic.Uint64
	received, deleted, extended, sent                       atomic.Uint64
	connections                                             atomic.Uint64
}

func (c *counters) all() []*atomic.Uint64 {
	return []*atomic.Uint64{
		&c.receive, &c.deleteBatch, &c.visibilityBatch, &c.sendBatch, &c.other,
		&c.received, &c.deleted, &c.extended, &c.sent, &c.connections,
	}
}

func (c *counters) snapshot() Counts {
	return Counts{
		Receive: c.receive.Load(), DeleteBatch: c.deleteBatch.Load(),
		VisibilityBatch: c.visibilityBatch.Load(), SendBatch: c.sendBatch.Load(), Other: c.other.Load(),
		Received: c.received.Load(), Deleted: c.deleted.Load(), Extended: c.extended.Load(), Sent: c.sent.Load(),
		Connections: c.connections.Load(),
	}
}

// Reset sets the counters to 0 and applies the settings.
func (s *Server) Reset(set Settings) {
	for _, c := range s.counts.all() {
		c.Store(0)
	}
	s.latency.Store(int64(set.Latency))
	s.budget.Store(set.Budget)
}

// Counts returns the counters.
func (s *Server) Counts() Counts { return s.counts.snapshot() }

// control serves the control endpoint: the path alone reads the counters, with
// latency (a duration) and budget in the query it resets them and sets both.
func (s *Server) control(path string) reply {
	u, err := url.Parse(path)
	if err != nil {
		return failure("BadControl", err.Error())
	}
	if q := u.Query(); len(q) > 0 {
		latency, err := time.ParseDuration(q.Get("latency"))
		if err != nil || latency < 0 {
			return failure("BadControl", "latency "+strconv.Quote(q.Get("latency"))+" is not a duration of at least 0")
		}
		budget, err := strconv.ParseInt(q.Get("budget"), 10, 64)
		if err != nil || budget < 0 {
			return failure("BadControl", "budget "+strconv.Quote(q.Get("budget"))+" is not a number of at least 0")
		}
		s.Reset(Settings{Latency: latency, Budget: budget})
	}
	body, err := json.Marshal(s.Counts())
	if err != nil {
		return failure("BadControl", err.Error())
	}
	return ok(body)
}
