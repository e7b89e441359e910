package idempotency_test

import (
	"time"

	"github.com/holdfast-go/holdfast/idempotency"
)

// simStore keeps a record per key and has the transitions change it. It checks
// each change against what it knows by itself: who claimed last, the greatest
// fence, what was completed. Its clock is its own and may be stepped, it can be
// down, and it loses records as a failover or an eviction does.
type simStore struct {
	s       *sim
	offset  time.Duration // of its clock
	stepped time.Duration // when it was last stepped
	back    bool          // it was stepped back once
	down    bool
	records []simRecord
	mirror  simMirror
	applied int
}

type simRecord struct {
	v, before *idempotency.Record // now, and before the last write
	ttl       time.Duration
	// What the checks know.
	fence   int64  // the greatest given
	owner   string // the token of the last claim; "" where it was settled
	unsure  bool   // a record was lost, so owner may be wrong
	lostAt  time.Duration
	lost    int
	resets  int // completions and lives over
	charged int // attempts that must count: failures, and deaths alone
}

// simMirror is another store on which each call is repeated, and compared.
type simMirror interface {
	// Call applies a request at micros to the record under key, and returns the
	// reply and the record that is there then.
	Call(key string, micros int64, request any) (reply any, packed string, ttl time.Duration, err error)
	// Put sets a record, or with nil deletes it.
	Put(key string, v *idempotency.Record) error
}

// epoch is the store's clock at the beginning, in microseconds.
const epoch = 1_790_000_000_000_000

func (st *simStore) micros() int64 { return epoch + (st.s.now + st.offset).Microseconds() }

func (st *simStore) instant() idempotency.Instant { return idempotency.Instant(st.micros() / 1000) }

// lose forgets a record, or takes it back to what it was before the last write, as
// a failover to a replica that lagged does.
func (st *simStore) lose() {
	k := st.s.r.IntN(len(st.records))
	r := &st.records[k]
	if r.v == nil {
		return
	}
	completed := r.v.State == idempotency.StateCompleted
	r.unsure, r.lostAt = true, st.s.now
	r.lost++
	if st.s.r.IntN(2) == 0 {
		r.v, r.before = nil, nil
		st.s.count.losses++
	} else {
		r.v = r.before
		st.s.count.rollbacks++
	}
	if completed && (r.v == nil || r.v.State != idempotency.StateCompleted) {
		st.s.keys[k].forget()
		st.s.count.lostDone++
	}
	st.s.logf("store: record of key %d lost, now %v", k, r.v)
	if st.mirror != nil {
		if err := st.mirror.Put(st.s.keys[k].name, r.v); err != nil {
			st.s.violate("mirror", "put: %v", err)
		}
	}
}

// stepClock sets the clock, as a failover to another machine does.
func (st *simStore) stepClock() {
	d := st.s.draw(-8*time.Second, 8*time.Second)
	st.offset += d
	st.stepped = st.s.now
	st.back = st.back || d < 0
	st.s.count.steps++
	st.s.logf("store: clock stepped by %v", d)
}

// goDown is an outage.
func (st *simStore) goDown() {
	if st.down {
		return
	}
	st.down = true
	d := st.s.draw(100*time.Millisecond, 10*time.Second)
	if st.s.r.IntN(4) == 0 {
		d = st.s.draw(10*time.Second, 3*time.Minute)
	}
	st.s.count.outages++
	st.s.logf("store: down for %v", d)
	st.s.after(d, func() { st.down = false; st.s.logf("store: up") })
	for _, w := range st.s.workers {
		w.faulted(st.s.now + d)
	}
}

// write takes over what a transition wants written, and holds it to I3, I5 and I6.
func (st *simStore) write(k *simKey, op string, w idempotency.Written) {
	r := &st.records[k.id]
	if w.Record == nil {
		return
	}
	if r.v != nil && r.v.State == idempotency.StateCompleted {
		st.s.count.onDone++
		if w.Record.State != idempotency.StateCompleted {
			st.s.violate("I3", "%s made %v of the completed %v", op, w.Record, r.v)
		}
	}
	if !w.Keep {
		r.ttl = w.TTL
	}
	st.s.count.writes++
	if r.ttl < 24*time.Hour {
		st.s.violate("I6", "%s left a record that lives for %v: %v", op, r.ttl, w.Record)
	}
	if w.Record.State == idempotency.StateInProgress && w.Record.Deadline == 0 {
		st.s.violate("I6", "%s left a claim without end: %v", op, w.Record)
	}
	next := *w.Record
	r.before, r.v = r.v, &next
}

// foreign holds a call by someone who does not hold the key to I5: it must leave
// the record as it is.
func (st *simStore) foreign(op string, k *simKey, token string, fence int64, w idempotency.Written) {
	v := st.records[k.id].v
	if v == nil || v.Token == token && v.Fence == fence {
		return
	}
	st.s.count.foreign++
	if w.Record != nil {
		st.s.violate("I5", "%s with token %s and fence %d made %v of %v", op, token, fence, w.Record, v)
	}
}

func same(a, b *idempotency.Record) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// twice tells whether this call is one of those held to I9.
func (st *simStore) twice() bool {
	st.applied++
	return st.applied%3 == 0
}

// after is the record once w is written.
func after(v *idempotency.Record, w idempotency.Written) *idempotency.Record {
	if w.Record == nil {
		return v
	}
	next := *w.Record
	return &next
}

// repeated holds a call and its repetition to I9.
func (st *simStore) repeated(op string, first, second idempotency.Class, one, two *idempotency.Record) {
	st.s.count.repeated++
	group := func(c idempotency.Class) idempotency.Class {
		switch c {
		case idempotency.ClassNew, idempotency.ClassTakeover, idempotency.ClassRestored:
			return idempotency.ClassOwn
		}
		return c
	}
	if group(first) != group(second) {
		st.s.violate("I9", "%s answered %v, and when repeated %v", op, first, second)
	}
	if first != idempotency.ClassBusy && !same(one, two) {
		st.s.violate("I9", "%s left %v, and when repeated %v", op, one, two)
	}
}

// reflect repeats a call on the mirror and compares.
func (st *simStore) reflect(k *simKey, request, reply any) {
	if st.mirror == nil {
		return
	}
	st.s.count.mirrored++
	r := &st.records[k.id]
	got, packed, ttl, err := st.mirror.Call(k.name, st.micros(), request)
	want := ""
	if r.v != nil {
		want = r.v.String()
	}
	switch {
	case err != nil:
		st.s.violate("mirror", "%+v: %v", request, err)
	case got != reply:
		st.s.violate("mirror", "%+v was answered\n\t%+v, by the Go twin\n\t%+v", request, got, reply)
	case packed != want:
		st.s.violate("mirror", "%+v left\n\t%s, by the Go twin\n\t%s", request, packed, want)
	case r.v != nil && (ttl > r.ttl || ttl < r.ttl-10*time.Minute):
		st.s.violate("mirror", "%+v left a time to live of %v, by the Go twin %v", request, ttl, r.ttl)
	}
}

// claim applies a claim of h.
func (st *simStore) claim(h *simHold, r idempotency.ClaimRequest) idempotency.ClaimReply {
	s, k := st.s, h.m.key
	rec := &st.records[k.id]
	v := rec.v
	reply, w := idempotency.TwinClaim(v, st.micros(), r)
	s.count.claims.add(reply.Class.String())
	if st.twice() {
		one := after(v, w)
		again, w2 := idempotency.TwinClaim(one, st.micros(), r)
		st.repeated("claim", reply.Class, again.Class, one, after(one, w2))
	}
	st.classified(r, v, reply, w)
	s.logf("store: w%d claims key %d for m%d under %s: %v, fence %d, attempts %d, deaths %d, left %v",
		h.w.id, k.id, h.m.id, r.Token, reply.Class, reply.Fence, reply.Attempts, reply.Deaths, reply.Left)
	if reply.Class == idempotency.ClassNew || reply.Class == idempotency.ClassTakeover {
		st.claimed(h, r, v, reply)
	}
	st.write(k, "claim", w)
	st.reflect(k, r, reply)
	return reply
}

// claimed checks a new claim: I2, and what is charged.
func (st *simStore) claimed(h *simHold, r idempotency.ClaimRequest, v *idempotency.Record, reply idempotency.ClaimReply) {
	s := st.s
	rec := &st.records[h.m.key.id]
	if rec.lost > 0 {
		s.count.claimsAfterLoss++
	}
	if reply.Fence <= rec.fence && !(rec.lost > 0 && st.back) {
		s.violate("I2", "fence %d was given after %d", reply.Fence, rec.fence)
	}
	rec.fence = max(rec.fence, reply.Fence)
	if v != nil && v.State == idempotency.StateInProgress {
		s.count.steals++
		if v.Alone {
			rec.charged++
		}
	}
	if v != nil && v.State == idempotency.StateInProgress && r.Alone {
		s.count.alone++
	}
	rec.owner, rec.unsure = r.Token, false
	h.m.key.claims++
	// I8 is checked by when the request was sent: L_end <= V_end - margin.
	st.leased("claim", h, r.Token, r.Lease)
}

// leased holds a lease that was asked for to I8, while the visibility is healthy.
func (st *simStore) leased(op string, h *simHold, token string, lease time.Duration) {
	s := st.s
	if h.token != token || !h.in(simClaiming, simRunning, simRecording) {
		st.s.count.orphans++ // a request that came when all was over
		return
	}
	if h.w.suspended >= h.confirmed && h.w.suspended > 0 {
		return // its monotonic clock stood still: it knows less of the visibility than it thinks
	}
	if h.m.handle != h.handle || h.m.visibleAt <= s.now || h.lost || h.sentAlone || h.storeSent < h.renewed || h.m.state != simLive {
		return
	}
	s.count.leases++
	// What the way of the request took is the margin's to bear.
	end := h.storeSent + lease
	if slack := h.m.visibleAt - end; slack < s.plan.margin-h.late-h.w.drift(lease) {
		s.violate("I8", "%s for m%d: the lease ends %v before the visibility, want %v", op, h.m.id, slack, s.plan.margin)
	}
}

// classified holds the answer to a claim, and what it wrote, to one reading of the
// record: I15.
func (st *simStore) classified(r idempotency.ClaimRequest, v *idempotency.Record, reply idempotency.ClaimReply, w idempotency.Written) {
	s := st.s
	s.count.classified++
	wrong := func(why string) { s.violate("I15", "%v to %+v on %v: %s", reply, r, v, why) }
	now := st.instant()
	untouched := w.Record == nil || v != nil && same(w.Record, v)
	mismatch := v != nil && v.PayloadHash != "" && r.PayloadHash != "" && v.PayloadHash != r.PayloadHash
	lapsed := v != nil && v.State == idempotency.StateInProgress && v.Deadline <= now && v.Token != r.Token
	switch reply.Class {
	case idempotency.ClassMismatch:
		if !mismatch || !untouched {
			wrong("no mismatch, or written")
		}
	case idempotency.ClassDone:
		if mismatch || v == nil || v.State != idempotency.StateCompleted || !untouched {
			wrong("not completed, or written")
		}
	case idempotency.ClassBusy:
		if mismatch || v == nil || v.State != idempotency.StateInProgress || v.Token == r.Token || lapsed || w.Record == nil {
			wrong("nobody else holds it")
			return
		}
		next := *w.Record
		next.Duplicates--
		if next != *v || !w.Keep {
			wrong("more than the duplicates was written")
		}
	case idempotency.ClassOwn:
		if mismatch || v == nil || v.State != idempotency.StateInProgress || v.Token != r.Token || !untouched {
			wrong("the token does not hold it")
		}
	case idempotency.ClassAlone:
		if mismatch || !lapsed || v.Deaths < 1 || r.Alone || !untouched {
			wrong("it need not run alone, or written")
		}
	case idempotency.ClassNew:
		if v != nil || w.Record == nil || w.Record.Token != r.Token || reply.Attempts != 1 || reply.Deaths != 0 {
			wrong("there is a record, or its count does not start at 1")
		}
	case idempotency.ClassTakeover:
		if mismatch || v == nil || v.State != idempotency.StateFree && !lapsed || w.Record == nil || w.Record.Token != r.Token {
			wrong("it is held")
			return
		}
		st.counted(r, v, reply, wrong)
	default:
		wrong("unknown")
	}
	if reply.Class == idempotency.ClassNew || reply.Class == idempotency.ClassTakeover {
		n := w.Record
		if n.PayloadHash != r.PayloadHash || n.Life != r.Life || n.Alone != r.Alone || n.Duplicates != 0 ||
			n.Deadline != now+idempotency.Instant(r.Lease.Milliseconds()) || n.Deadline != reply.Deadline ||
			n.Fence != reply.Fence || n.Attempts != reply.Attempts || n.Hard < n.Deadline {
			wrong("the record is not what was asked for")
		}
	}
}

// counted holds the attempts after a takeover to what they must be: a death is
// charged only to who ran alone, and a redrive is a new life.
func (st *simStore) counted(r idempotency.ClaimRequest, v *idempotency.Record, reply idempotency.ClaimReply, wrong func(string)) {
	attempts, deaths := v.Attempts, 0
	if v.State == idempotency.StateInProgress {
		deaths = v.Deaths + 1
		if !v.Alone {
			attempts = max(attempts-1, 0)
		}
	}
	if attempts >= r.MaxAttempts && v.Life != r.Life && r.Sent > v.Fence/1000-time.Minute.Milliseconds() {
		attempts, deaths = 0, 0
		st.s.count.lives++
		st.s.fresh++
	}
	if reply.Attempts != attempts+1 || reply.Deaths != deaths {
		wrong("the count is wrong")
	}
	if deaths >= 2 && !r.Alone {
		wrong("it must run alone")
	}
}

// extend applies an extension of h.
func (st *simStore) extend(h *simHold, r idempotency.ExtendRequest) idempotency.ExtendReply {
	s, k := st.s, h.m.key
	rec := &st.records[k.id]
	v := rec.v
	reply, w := idempotency.TwinExtend(v, st.micros(), r)
	s.count.extends.add(reply.Class.String())
	if st.twice() {
		one := after(v, w)
		again, w2 := idempotency.TwinExtend(one, st.micros(), r)
		st.repeated("extend", reply.Class, again.Class, one, after(one, w2))
	}
	st.foreign("extend", k, r.Token, r.Fence, w)
	s.logf("store: w%d extends key %d by %v: %v", h.w.id, k.id, r.Lease, reply.Class)
	switch reply.Class {
	case idempotency.ClassRestored:
		// Past the last deadline a newer claim may have been lost as well.
		if v != nil || st.instant() > r.LastDeadline {
			s.violate("I1", "extend restored %+v at %d, over %v", r, st.instant(), v)
		}
		if w.Record.Fence != r.Fence || w.Record.Attempts != r.Attempts || w.Record.PayloadHash != r.PayloadHash ||
			w.Record.Deaths != r.Deaths || w.Record.Alone != r.Alone {
			s.violate("I12", "extend restored %v of %+v", w.Record, r)
		}
		rec.owner = r.Token
		st.leased("extend", h, r.Token, r.Lease)
	case idempotency.ClassLost:
		if v != nil || w.Record != nil {
			s.violate("I15", "extend found %v lost and wrote %v", v, w.Record)
		}
	case idempotency.ClassOwn:
		if v == nil || v.State != idempotency.StateInProgress || v.Token != r.Token || v.Fence != r.Fence {
			s.violate("I5", "extend by %s was accepted on %v", r.Token, v)
		} else if v.Deadline < st.instant() {
			s.count.lateExtends++
		}
		if w.Record != nil && w.Record.Deadline < v.Deadline {
			s.violate("I1", "a late extension took back a part of the lease: %v became %v", v, w.Record)
		}
		if w.Record != nil && w.Record.Deadline == v.Deadline {
			s.count.overtakenExtends++
		}
		st.leased("extend", h, r.Token, r.Lease)
	case idempotency.ClassDone:
		if v == nil || v.State != idempotency.StateCompleted {
			s.violate("I15", "extend found %v done", v)
		}
	}
	st.write(k, "extend", w)
	st.reflect(k, r, reply)
	return reply
}

// complete applies a completion of h.
func (st *simStore) complete(h *simHold, r idempotency.CompleteRequest) idempotency.CompleteReply {
	s, k := st.s, h.m.key
	rec := &st.records[k.id]
	v := rec.v
	reply, w := idempotency.TwinComplete(v, st.micros(), r)
	s.count.completes.add(reply.Class.String())
	if st.twice() {
		one := after(v, w)
		again, w2 := idempotency.TwinComplete(one, st.micros(), r)
		st.repeated("complete", reply.Class, again.Class, one, after(one, w2))
	}
	st.foreign("complete", k, r.Token, r.Fence, w)
	s.logf("store: w%d completes key %d under fence %d: %v", h.w.id, k.id, r.Fence, reply.Class)
	if v != nil && v.State == idempotency.StateInProgress && !rec.unsure {
		// I10: it succeeds exactly where nobody claimed since.
		late := v.Deadline < st.instant()
		switch own := rec.owner == r.Token; {
		case own && v.Fence != r.Fence && rec.lost > 0:
			// A claim that came twice, and the record was lost in between: the same
			// token has two fences, and the run knows the older one.
		case own && reply.Class != idempotency.ClassOwn:
			s.violate("I10", "completion of the last claimer answered %v", reply.Class)
		case !own && reply.Class == idempotency.ClassOwn:
			s.violate("I10", "completion accepted although %s claimed since", rec.owner)
		case own && late:
			s.count.lateCompletes++
		case !own:
			s.count.stolenCompletes++
		}
	}
	if reply.Class == idempotency.ClassOwn || reply.Class == idempotency.ClassRestored {
		if w.Record == nil || w.Record.State != idempotency.StateCompleted || w.Record.PayloadHash != r.PayloadHash ||
			w.Record.Fence != r.Fence {
			s.violate("I12", "completion %+v of %v left %v", r, v, w.Record)
		}
		s.count.completionsKept++
		k.completed(h.m.body)
		rec.owner = ""
	}
	st.write(k, "complete", w)
	st.reflect(k, r, reply)
	return reply
}

// release applies a release of h.
func (st *simStore) release(h *simHold, r idempotency.ReleaseRequest) idempotency.ReleaseReply {
	s, k := st.s, h.m.key
	rec := &st.records[k.id]
	v := rec.v
	reply, w := idempotency.TwinRelease(v, st.micros(), r)
	s.count.releases.add(reply.Class.String())
	if st.twice() {
		one := after(v, w)
		again, w2 := idempotency.TwinRelease(one, st.micros(), r)
		st.repeated("release", reply.Class, again.Class, one, after(one, w2))
	}
	st.foreign("release", k, r.Token, r.Fence, w)
	s.logf("store: w%d releases key %d under fence %d, charge %d: %v", h.w.id, k.id, r.Fence, r.Charge, reply.Class)
	if reply.Class == idempotency.ClassOwn {
		if v == nil || v.State == idempotency.StateCompleted || v.Token != r.Token || v.Fence != r.Fence {
			s.violate("I5", "release by %s was accepted on %v", r.Token, v)
		} else if v.State == idempotency.StateInProgress {
			want := v.Attempts
			switch r.Charge {
			case idempotency.ChargeAttempt:
				rec.charged++
			case idempotency.RefundAttempt:
				want = max(want-1, 0)
				s.count.refunds++
			case idempotency.ResetAttempts:
				want = 0
				rec.resets++
			}
			if w.Record == nil || w.Record.Attempts != want || w.Record.State != idempotency.StateFree ||
				w.Record.PayloadHash != v.PayloadHash || w.Record.Deaths != 0 {
				s.violate("I15", "release %+v of %v left %v", r, v, w.Record)
			}
		}
		rec.owner = ""
		s.fresh++
	}
	st.write(k, "release", w)
	st.reflect(k, r, reply)
	return reply
}
