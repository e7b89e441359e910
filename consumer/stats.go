package consumer

import (
	"sort"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast"
)

// Stats is a snapshot of a consumer: counts since Run began and what is held now.
type Stats struct {
	// Received is how many messages arrived; Duplicates how many of a message
	// already held came beside them.
	Received, Duplicates int64
	// Done, Discarded, Retried, GaveBack, DeadLettered and Unsettled count the
	// outcomes; Retried counts runs repeated under the same hold too.
	Done, Discarded, Retried, GaveBack, DeadLettered, Unsettled int64
	// LeasesLost, Panics and Abandoned count what handlers suffered or did.
	LeasesLost, Panics, Abandoned int64

	// Polls is how many receives were answered, EmptyPolls how many of them
	// without a message, PollErrors how many failed and PollsCut how many were cut
	// off by the stop.
	Polls, EmptyPolls, PollErrors, PollsCut int64
	// DeleteCalls, ExtendCalls, ChangeCalls and SendCalls count the other calls
	// of SQS: deletes, extensions, give-backs, dead-letters.
	DeleteCalls, ExtendCalls, ChangeCalls, SendCalls int64

	// Held is how many messages are held, HeldBytes their size. Running, Waiting,
	// Parked and Settling are its parts.
	Held      int
	HeldBytes int64
	// Running is how many handlers run, abandoned ones included.
	Running, Waiting, Parked, Settling int
	// Pollers is how many goroutines receive.
	Pollers int
}

// InFlight is one message that is held.
type InFlight struct {
	// ID is the message id; Key the idempotency key, where one was set.
	ID, Key string
	// GroupID is the message group.
	GroupID string
	// State is queued, running, delayed, parked or settling.
	State string
	// Age is the time since the message arrived here, Running the time since its
	// handler started; 0 where none runs.
	Age, Running time.Duration
	// Attempt counts the runs, from 1.
	Attempt int
	// Deadline is when its visibility ends unless it is extended.
	Deadline time.Time
}

var stateNames = [states]string{"queued", "running", "delayed", "parked", "settling", "gone"}

type counters struct {
	receivedN, duplicates                            atomic.Int64
	outcomes                                         [holdfast.Unsettled + 1]atomic.Int64
	lost, panics, abandoned                          atomic.Int64
	polls, emptyPolls, pollErrors, pollsCut          atomic.Int64
	deleteCalls, extendCalls, changeCalls, sendCalls atomic.Int64
}

func (s *counters) received(fresh, dups int) {
	s.receivedN.Add(int64(fresh))
	if dups > 0 {
		s.duplicates.Add(int64(dups))
	}
}

func (s *counters) count(o holdfast.Outcome) { s.outcomes[o].Add(1) }

func (s *counters) polled(n int) {
	s.polls.Add(1)
	if n == 0 {
		s.emptyPolls.Add(1)
	}
}

// Stats returns a snapshot. Safe for concurrent use, also before and after Run.
func (c *Consumer) Stats() Stats {
	n := &c.stats
	s := Stats{
		Received: n.receivedN.Load(), Duplicates: n.duplicates.Load(),
		Done: n.outcomes[holdfast.Done].Load(), Discarded: n.outcomes[holdfast.Discarded].Load(),
		Retried: n.outcomes[holdfast.Retried].Load(), GaveBack: n.outcomes[holdfast.GaveBack].Load(),
		DeadLettered: n.outcomes[holdfast.DeadLettered].Load(), Unsettled: n.outcomes[holdfast.Unsettled].Load(),
		LeasesLost: n.lost.Load(), Panics: n.panics.Load(), Abandoned: n.abandoned.Load(),
		Polls: n.polls.Load(), EmptyPolls: n.emptyPolls.Load(), PollErrors: n.pollErrors.Load(), PollsCut: n.pollsCut.Load(),
		DeleteCalls: n.deleteCalls.Load(), ExtendCalls: n.extendCalls.Load(), ChangeCalls: n.changeCalls.Load(), SendCalls: n.sendCalls.Load(),
	}
	d := c.d
	d.mu.Lock()
	s.Held, s.HeldBytes = d.heldNow(), d.bytes
	s.Running, s.Waiting, s.Parked, s.Settling = d.n[running], d.n[queued]+d.n[delayed], d.n[parked], d.n[settling]
	d.mu.Unlock()
	c.pollers.mu.Lock()
	s.Pollers = c.pollers.active
	c.pollers.mu.Unlock()
	return s
}

// InFlight lists what is held, the oldest first. Safe for concurrent use.
func (c *Consumer) InFlight() []InFlight {
	now := time.Now()
	d := c.d
	d.mu.Lock()
	list := make([]InFlight, 0, len(d.held))
	for _, h := range d.held {
		f := InFlight{
			ID: h.id, Key: h.key, GroupID: h.groupID, State: stateNames[h.state],
			Age: now.Sub(h.arrived), Attempt: h.receives + h.reruns, Deadline: h.deadline,
		}
		if h.state == running {
			f.Running = now.Sub(h.started)
		}
		list = append(list, f)
	}
	d.mu.Unlock()
	sort.Slice(list, func(i, j int) bool { return list[i].Age > list[j].Age })
	return list
}
