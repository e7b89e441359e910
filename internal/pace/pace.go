// Package pace measures how fast slots come free and how long a receive takes. From
// them follows how many messages to have on the way so that no slot waits.
package pace

import (
	"math"
	"time"
)

// Pace is the measure. The zero value is ready. It is not safe for concurrent use.
type Pace struct {
	finished int // since last
	last     time.Time
	rate     float64
	receive  time.Duration
}

const (
	memory    = 100 * time.Millisecond // how far back the rate looks
	shortest  = 5 * time.Millisecond   // no sample is shorter
	longest   = time.Second            // a receive counts as no longer
	smoothing = 8                      // how slowly a longer receive is believed
)

// Finished counts a run that ended.
func (p *Pace) Finished() { p.finished++ }

// Sample folds the runs finished since the last sample into the rate.
func (p *Pace) Sample(now time.Time) {
	dt := now.Sub(p.last)
	if dt < shortest {
		return
	}
	weight := 1 - math.Exp(-float64(dt)/float64(memory))
	p.rate += weight * (float64(p.finished)/dt.Seconds() - p.rate)
	p.finished, p.last = 0, now
}

// Rate is the number of runs that end per second.
func (p *Pace) Rate() float64 { return p.rate }

// Received notes the length of a receive that came back full. A shorter one is
// believed at once, a longer one slowly: a long poll that waited for its messages
// was not slow.
func (p *Pace) Received(took time.Duration) {
	if p.receive == 0 || took < p.receive {
		p.receive = took
		return
	}
	p.receive += (min(took, longest) - p.receive) / smoothing
}

// Ahead is the number of runs expected to end within one receive.
func (p *Pace) Ahead() int { return int(p.rate*p.receive.Seconds() + 0.5) }
