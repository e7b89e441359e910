package pace

import "time"

const (
	// Gather is how long a poller waits for slots to make a receive of ten out of
	// several small ones, where they are about to come free.
	Gather = 5 * time.Millisecond
	// most is what a receive can bring [ReceiveMessage].
	most = 10
)

// Held is what is held and on its way here.
type Held struct {
	Slots, Prefetch int
	FIFO            bool
	Asked, Polls    int // messages asked for, in so many receives under way
	Live            int // what waits, runs or was asked for
	Settling        int // what is held beside that
	Free            int // slots for which nothing is ready
}

// Room says how many messages to ask for now: 0 where a poller must wait, with a time
// after which to ask again where waiting a little, as it has not done yet, makes a fuller
// receive.
func (p *Pace) Room(h Held, waited bool) (n int, again time.Duration) {
	total := h.Live + h.Settling
	coming := h.Asked
	ahead := min(h.Prefetch, p.Ahead(h.Slots, Gather))
	room := h.Slots + ahead - h.Live
	if h.FIFO {
		// Ten messages may be of one group, of which one runs: what counts is
		// whether slots are idle.
		coming = h.Polls
		if h.Free-coming > 0 {
			room = 10*h.Slots - total
		}
		room = min(room, max(10*h.Slots, h.Slots+h.Prefetch)-total)
	} else {
		room = min(room, h.Slots+h.Prefetch-total)
	}
	// Slots that take long to fill a receive of ten would be idle by then.
	full := min(most, h.Slots, max(1, ahead))
	if room >= full {
		return min(room, most), 0
	}
	if room <= 0 || h.Free-coming <= 0 {
		return 0, 0
	}
	if !waited && p.rate > 0 {
		if eta := float64(full-room) / p.rate; eta < Gather.Seconds() {
			return 0, Gather
		}
	}
	return room, 0
}
