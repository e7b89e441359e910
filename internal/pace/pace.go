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
	rate     float64 // runs that end per second
	receive  time.Duration

	running  int       // since changed
	changed  time.Time // when running changed
	busy     float64   // seconds of runs since last
	occupied float64   // runs under way, on average
}

const (
	memory    = 100 * time.Millisecond // how far back the rate looks
	shortest  = 5 * time.Millisecond   // no sample is shorter
	longest   = time.Second            // a receive counts as no longer
	smoothing = 8                      // how slowly a longer receive is believed
	growth    = 2                      // most that idle slots raise the rate by
	worth     = 0.1                    // less of a run is not worth a message ahead
)

// Running notes how many runs are under way from now on.
func (p *Pace) Running(now time.Time, runs int) {
	p.busy += float64(p.running) * now.Sub(p.changed).Seconds()
	p.running, p.changed = runs, now
}

// Finished counts a run that ended.
func (p *Pace) Finished() { p.finished++ }

// Sample folds what happened since the last sample into the measure.
func (p *Pace) Sample(now time.Time) {
	dt := now.Sub(p.last)
	if dt < shortest {
		return
	}
	p.Running(now, p.running)
	weight := 1 - math.Exp(-float64(dt)/float64(memory))
	p.rate += weight * (float64(p.finished)/dt.Seconds() - p.rate)
	p.occupied += weight * (p.busy/dt.Seconds() - p.occupied)
	p.finished, p.busy, p.last = 0, 0, now
}

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

// Ahead is the number of runs expected to end within one receive and slack, if all
// slots are busy. Where some were idle the rate is raised accordingly, at most
// twofold at a time: the rate of starved slots would keep them starved.
func (p *Pace) Ahead(slots int, slack time.Duration) int {
	rate := p.rate
	if idle := float64(slots) / p.occupied; idle > 1 { // so too where nothing ran: +Inf
		rate *= min(idle, growth)
	}
	ahead := rate*(p.receive+slack).Seconds() + 1 - worth
	// Where slots turn over many times within the slack it would be a hoard, which
	// costs memory and hides messages from others, and no slot would wait less.
	return int(min(ahead, max(float64(slots), 2*rate*p.receive.Seconds())))
}
