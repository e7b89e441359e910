package pace

import "time"

// Crew finds out how many calls at once are of use. Where calls wait for the network,
// half as many more get half as much more done. Where they wait for the processor,
// more of them get nothing more done, and each costs a connection, a stack to scan
// and memory that the processor's caches have no room for. So it lets the number
// grow by half, looks whether that paid, and goes back where it did not, to try again
// later.
//
// The zero value is ready. It is not safe for concurrent use.
type Crew struct {
	most int // calls at once that there may be; 0 before the first

	// The sample under way: calls that ended, all of them while there were as many
	// at once as there may be and more were wanted.
	last, began time.Time
	count       int

	size int     // the number that was found to pay
	rate float64 // what it did, in calls per second

	until time.Time     // no growth is tried before
	wait  time.Duration // the last wait for that
}

const (
	freeCrew   = 8                      // so many are always allowed
	enough     = 30 * time.Millisecond  // no sample is shorter
	crewGrowth = 1.5                    // of the number, where one is tried
	gain       = 0.3                    // share of the growth that the rate has to gain
	firstWait  = 250 * time.Millisecond // after a growth that did not pay
	longWait   = 4 * time.Second        // after several in a row
	forgotten  = time.Second            // a pause after which all begins anew
)

// Ended notes that one of so many calls at once ended, and tells how many there may
// be. more says that they were too few for what there is to do.
func (c *Crew) Ended(now time.Time, atOnce int, more bool) int {
	if now.Sub(c.last) > forgotten {
		*c = Crew{most: freeCrew}
	}
	c.last = now
	if !more || atOnce < c.most*4/5 {
		c.began, c.count = now, 0
		return c.most
	}
	c.count++
	if took := now.Sub(c.began); took >= enough && c.count >= 2*atOnce {
		c.judge(now, float64(c.count)/took.Seconds())
		c.began, c.count = now, 0
	}
	return c.most
}

// judge decides by what the calls have done.
func (c *Crew) judge(now time.Time, rate float64) {
	if c.size > 0 && c.most > c.size {
		grown := float64(c.most) / float64(c.size)
		if rate < c.rate*(1+gain*(grown-1)) {
			c.wait = min(max(2*c.wait, firstWait), longWait)
			c.most, c.until = c.size, now.Add(c.wait)
			return
		}
		c.wait = 0
	}
	c.size, c.rate = c.most, rate
	if !now.Before(c.until) {
		c.most = int(crewGrowth * float64(c.most))
	}
}
