package idempotency_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/idempotency"
)

// begin takes the message through the chain: claim, handle, record, settle.
func (h *simHold) begin() {
	w, s := h.w, h.w.s
	wait := func(state simHeld) {
		h.state = state
		if w.alone == h {
			w.alone = nil
		}
	}
	for _, o := range w.holds {
		if o != h && o.m.key == h.m.key && o.in(simClaiming, simRunning, simRecording) {
			s.count.followers++
			wait(simFollowing)
			return
		}
	}
	if w.storeOff {
		s.count.waits++
		wait(simWaits)
		w.after(time.Minute, func() {
			if h.state == simWaits {
				h.back(s.draw(time.Second, 10*time.Second), "outage")
			}
		})
		return
	}
	w.active++
	h.state = simClaiming
	h.runCount++
	h.token = fmt.Sprintf("t%d-%d-%d", w.id, h.seq, h.runCount)
	h.over, h.lapsed, h.onItsOwn, h.cancelled, h.wrote = 0, false, false, "", false
	h.extending, h.want = false, false
	if h.visible-w.mono() >= 10*time.Second {
		h.claim(1)
		return
	}
	token := h.token
	h.prolong(func(bool) {
		switch {
		case h.state != simClaiming || h.token != token:
		case h.lost:
			h.gone()
		case h.visible-w.mono() < 10*time.Second:
			h.back(s.draw(time.Second, 10*time.Second), "short hold")
		default:
			h.claim(1)
		}
	})
}

// claim asks the store for the key, twice where it must.
func (h *simHold) claim(try int) {
	w, s := h.w, h.w.s
	sent := w.clocks()
	lease := (h.visible - s.plan.margin - sent.mono).Truncate(time.Millisecond)
	if lease < time.Millisecond || h.lost {
		h.back(s.draw(time.Second, 10*time.Second), "short hold")
		return
	}
	r := idempotency.ClaimRequest{
		Key: h.m.key.name, Token: h.token, Lease: lease, Hard: max(12*time.Hour-(sent.mono-h.received), lease),
		TTL: 4*24*time.Hour + lease, PayloadHash: h.m.body, Life: fmt.Sprintf("life%d", h.m.id),
		MaxAttempts: s.plan.maxAttempts, Sent: (epoch + h.m.sent.Microseconds()) / 1000, Alone: w.alone == h,
	}
	var reply idempotency.ClaimReply
	w.call(s.plan.storeTimeout, func() bool {
		if s.store.down {
			return false
		}
		h.storeSent, h.sentAlone = sent.now, false
		reply = s.store.claim(h, r)
		return true
	}, func(ok bool) {
		switch {
		case h.state != simClaiming || h.token != r.Token:
		case ok:
			h.answeredClaim(r, reply, sent)
		case try == 1:
			w.after(s.draw(50*time.Millisecond, 100*time.Millisecond), func() {
				if h.state == simClaiming && h.token == r.Token {
					h.claim(2)
				}
			})
		default:
			w.storeDown()
			h.leave()
			if h.lost {
				h.gone()
				return
			}
			w.schedule() // which has it wait for the store
		}
	})
}

// answeredClaim goes on by the table of the protocol.
func (h *simHold) answeredClaim(r idempotency.ClaimRequest, reply idempotency.ClaimReply, sent simMoment) {
	w, s := h.w, h.w.s
	switch reply.Class {
	case idempotency.ClassDone:
		s.count.duplicates++
		h.remove()
		return
	case idempotency.ClassBusy:
		h.park()
		return
	case idempotency.ClassMismatch:
		s.count.mismatches++
		h.bury("mismatch")
		return
	case idempotency.ClassAlone:
		h.leave()
		if h.lost {
			h.gone()
			return
		}
		h.state = simAlone
		w.schedule()
		return
	}
	h.fence, h.attempts, h.deaths, h.hard = reply.Fence, reply.Attempts, reply.Deaths, reply.Hard
	h.claimed = true
	h.grant(sent, reply.Left, reply.Deadline)
	if !h.lost && h.visible-h.mono > 2*s.plan.margin {
		// The visibility was extended while the key was claimed. Its next extension
		// may be further off than the end of the claim.
		h.extend()
	}
	switch {
	case h.lost:
		h.release(idempotency.RefundAttempt, func() { h.letGo("visibility lost") })
	case w.stopping:
		h.release(idempotency.RefundAttempt, func() { h.back(0, "shutdown") })
	case reply.Attempts > s.plan.maxAttempts:
		s.count.poisoned++
		if rec := &s.store.records[h.m.key.id]; rec.charged < s.plan.maxAttempts && rec.lost == 0 {
			s.violate("poison", "m%d is dead-lettered after %d claims of which %d may be charged", h.m.id, h.m.key.claims, rec.charged)
		}
		if k := h.m.key; h.m.moved && k.runs == k.runsBefore {
			s.violate("redrive", "m%d was moved back and is dead-lettered before it ran", h.m.id)
		}
		h.release(idempotency.ResetAttempts, func() { h.bury("poison") })
	case h.passed():
		// The claim lapsed before its reply was read: it must hold before anything
		// runs under it.
		s.count.lateClaims++
		h.extend()
		h.whenHeld()
	default:
		h.run(r.Alone)
	}
}

// whenHeld runs once the extension of a lapsed claim is confirmed.
func (h *simHold) whenHeld() {
	w, token := h.w, h.token
	w.after(w.s.plan.storeTimeout, func() {
		switch {
		case h.token != token || h.state != simClaiming:
		case h.over == idempotency.ClassDone:
			h.remove()
		case h.over != 0 || h.passed() || h.lost:
			h.letGo("lapsed before it ran")
		default:
			h.run(w.alone == h)
		}
	})
}

// grant notes a lease that was asked for at sent.
func (h *simHold) grant(sent simMoment, lease time.Duration, last idempotency.Instant) {
	w, token := h.w, h.token
	lease -= lease / 1000 // clocks differ in their rate
	h.mono, h.wall = sent.mono+lease, sent.wall+lease
	h.last, h.granted = last, sent.now
	if h.cancelled == "" {
		h.lapsed = false
	}
	w.at(h.mono, func() {
		if h.token == token {
			h.watch()
		}
	})
	if h.onItsOwn {
		w.after(lease/2, func() {
			if h.token == token && h.onItsOwn {
				h.extend()
			}
		})
	}
}

// passed tells whether the claim has run out, by either of the worker's clocks.
func (h *simHold) passed() bool { return h.w.mono() >= h.mono || h.w.wall() >= h.wall }

// watch ends a handler whose claim has run out: at once where that is asked for or
// the visibility is lost too; else the message is this worker's alone, and the
// handler goes on for two minutes.
func (h *simHold) watch() {
	w, s := h.w, h.w.s
	if !h.claimed || h.over != 0 || !h.running || !h.passed() {
		return
	}
	if !h.lapsed {
		h.lapsed = true
		s.count.lapses++
		s.logf("w%d: claim for m%d ran out", w.id, h.m.id)
		if w.faultAt < h.granted && (s.store.stepped == 0 || s.store.stepped < h.granted) {
			s.violate("lapse", "the claim of w%d for m%d ran out although nothing happened since %v", w.id, h.m.id, h.granted)
		}
	}
	if h.cancelled != "" {
		return
	}
	if s.plan.strict || h.lost || s.now-h.granted > s.plan.visibility+2*time.Minute {
		h.cancel("lapsed")
		return
	}
	token := h.token
	w.after(time.Second, func() {
		if h.token == token {
			h.watch()
		}
	})
}

// extend extends the claim, one call at a time.
func (h *simHold) extend() {
	w, s := h.w, h.w.s
	if !h.claimed || h.over != 0 {
		return
	}
	if h.extending {
		h.want = true
		return
	}
	sent := w.clocks()
	lease := (h.visible - s.plan.margin - sent.mono).Truncate(time.Millisecond)
	if h.onItsOwn {
		lease = s.plan.visibility - s.plan.margin
	}
	if lease < time.Millisecond {
		return
	}
	h.extending = true
	own := h.onItsOwn
	r := idempotency.ExtendRequest{
		Key: h.m.key.name, Token: h.token, Lease: lease, TTL: 4*24*time.Hour + lease,
		PayloadHash: h.m.body, Life: fmt.Sprintf("life%d", h.m.id),
		Fence: h.fence, Attempts: h.attempts, Hard: h.hard, LastDeadline: h.last,
		Deaths: h.deaths, Alone: w.alone == h,
	}
	var reply idempotency.ExtendReply
	w.call(s.plan.storeTimeout, func() bool {
		if s.store.down {
			return false
		}
		h.storeSent, h.sentAlone = sent.now, own
		reply = s.store.extend(h, r)
		return true
	}, func(ok bool) {
		if h.token != r.Token || !h.claimed {
			return
		}
		h.extending = false
		if !ok {
			w.storeDown()
			w.after(s.draw(100*time.Millisecond, time.Second), func() {
				if h.token == r.Token {
					h.extend()
				}
			})
			return
		}
		h.answeredExtend(reply, sent, lease)
		if h.want {
			h.want = false
			h.extend()
		}
	})
}

func (h *simHold) answeredExtend(reply idempotency.ExtendReply, sent simMoment, lease time.Duration) {
	switch reply.Class {
	case idempotency.ClassOwn, idempotency.ClassRestored:
		h.grant(sent, lease, reply.Deadline)
		if h.running {
			h.m.key.exclusive(h)
		}
	default:
		h.over = reply.Class
		h.w.s.logf("w%d: claim for m%d is %v", h.w.id, h.m.id, reply.Class)
		if h.running {
			h.cancel("over")
		}
	}
}

// park keeps a message whose key is busy elsewhere: under heartbeat, out of the
// slots, looking at the record now and then.
func (h *simHold) park() {
	w, s := h.w, h.w.s
	h.leave()
	if h.lost {
		h.gone()
		return
	}
	h.state = simParked
	s.count.parks++
	w.schedule()
	var look func()
	look = func() {
		if h.state != simParked {
			return
		}
		free := false
		w.call(s.plan.storeTimeout, func() bool {
			if s.store.down {
				return false
			}
			v := s.store.records[h.m.key.id].v
			free = v == nil || v.State != idempotency.StateInProgress || v.Deadline <= s.store.instant()
			return true
		}, func(ok bool) {
			switch {
			case h.state != simParked:
			case !ok || !free:
				if !ok {
					w.storeDown()
				}
				w.after(s.draw(500*time.Millisecond, 5*time.Second), look)
			default:
				s.count.unparked++
				h.state = simQueued
				w.schedule()
			}
		})
	}
	w.after(s.draw(250*time.Millisecond, 5*time.Second), look)
}

// simResult is how a handler ends.
type simResult byte

const (
	simOK simResult = iota
	simDiscard
	simFail
	simRetryLater
	simPermanent
	simKill
	simCancelled
)

// run runs the handler.
func (h *simHold) run(alone bool) {
	w, s, k := h.w, h.w.s, h.m.key
	h.state = simRunning
	h.running = true
	s.logf("w%d runs m%d under fence %d, attempt %d", w.id, h.m.id, h.fence, h.attempts)
	k.started(h, alone)

	took := s.draw(50*time.Millisecond, 3*time.Second)
	if s.plan.long {
		took = s.draw(time.Second, 90*time.Second)
		if s.r.IntN(10) == 0 {
			took = s.draw(time.Minute, 8*time.Minute)
		}
	}
	result := simOK
	switch p := s.r.Float64(); {
	case k.kills():
		result = simKill
	case k.failsForEver():
		result = simFail
	case !s.faulty():
	case p < s.plan.fail:
		result = simFail
	case p < s.plan.fail+0.05:
		result = simRetryLater
	case p < s.plan.fail+0.06:
		result = simPermanent
	case p < s.plan.fail+0.07:
		result = simDiscard
	}
	deaf := s.faulty() && s.chance(s.plan.deaf)
	token := h.token
	same := func() bool { return h.running && h.token == token }
	heeds := func() bool { return h.cancelled != "" && !deaf }
	w.after(took*time.Duration(s.r.IntN(100))/100, func() {
		switch {
		case !same() || heeds():
		case result == simKill:
			s.count.kills++
			k.killed(h)
			w.die("killed by its handler")
		default:
			k.write(h)
		}
	})
	w.after(took, func() {
		if same() && !heeds() {
			if !h.wrote && result != simKill {
				k.write(h)
			}
			h.finish(result)
		}
	})
	// A handler that heeds its context ends soon after that.
	if !deaf {
		h.heed(same)
	}
}

// heed has the handler return when it is cancelled.
func (h *simHold) heed(same func() bool) {
	h.onCancel = func() {
		h.w.after(h.w.s.draw(0, 5*time.Millisecond), func() {
			if same() {
				h.finish(simCancelled)
			}
		})
	}
}

// cancel cancels the handler's context.
func (h *simHold) cancel(why string) {
	if !h.running || h.cancelled != "" {
		return
	}
	h.cancelled = why
	h.w.s.count.cancels.add(why)
	h.w.s.logf("w%d cancels the handler of m%d: %s", h.w.id, h.m.id, why)
	if f := h.onCancel; f != nil {
		f()
	}
}

// finish goes on after the handler.
func (h *simHold) finish(result simResult) {
	w, s := h.w, h.w.s
	h.running, h.onCancel = false, nil
	h.state = simRecording
	s.logf("w%d: handler of m%d ends: %d", w.id, h.m.id, result)
	ok := result == simOK || result == simDiscard
	if ok {
		h.m.key.ended(h, simSucceeded)
	} else {
		h.m.key.ended(h, simFailed)
	}
	if h.over == idempotency.ClassDone {
		h.remove()
		return
	}
	if ok {
		h.complete()
		return
	}
	if h.over == idempotency.ClassStolen {
		h.letGo("stolen")
		return
	}
	charge, then := idempotency.ChargeAttempt, func() { h.back(s.draw(time.Second, 30*time.Second), "failure") }
	switch result {
	case simPermanent:
		charge, then = idempotency.ResetAttempts, func() { h.bury("permanent") }
	case simRetryLater:
		charge, then = idempotency.RefundAttempt, func() { h.back(s.draw(time.Second, 30*time.Second), "retry later") }
	case simCancelled:
		charge = idempotency.RefundAttempt
		if h.cancelled == "stop" {
			then = func() { h.back(0, "shutdown") }
		}
	}
	if h.lapsed || h.over == idempotency.ClassLost {
		charge, then = idempotency.RefundAttempt, func() { h.letGo("lapsed") }
	}
	h.release(charge, then)
}

// holds tells whether the message or the claim is still held.
func (h *simHold) holds() bool {
	return !h.lost && h.w.mono() < h.visible || h.over == 0 && !h.passed()
}

// complete records that the work is done, for as long as the message is held.
func (h *simHold) complete() {
	w, s, token := h.w, h.w.s, h.token
	r := idempotency.CompleteRequest{
		Key: h.m.key.name, Token: h.token, Fence: h.fence, Attempts: h.attempts,
		PayloadHash: h.m.body, Life: fmt.Sprintf("life%d", h.m.id), TTL: 30 * 24 * time.Hour,
	}
	var try func()
	try = func() {
		if h.token != token || h.state != simRecording {
			return
		}
		var reply idempotency.CompleteReply
		w.call(s.plan.storeTimeout, func() bool {
			if s.store.down {
				return false
			}
			reply = s.store.complete(h, r)
			return true
		}, func(ok bool) {
			switch {
			case h.token != token || h.state != simRecording:
			case !ok && h.holds():
				w.storeDown()
				w.after(s.draw(50*time.Millisecond, time.Second), try)
			case !ok:
				h.m.key.unrecorded(h)
				h.back(s.draw(time.Second, 10*time.Second), "unrecorded")
			case reply.Class == idempotency.ClassStolen:
				s.count.doubles++
				h.m.key.unrecorded(h)
				h.letGo("stolen")
			default:
				if reply.Class == idempotency.ClassDone {
					s.count.doubles++
				}
				h.remove()
			}
		})
	}
	try()
}

// release frees the key and then goes on; under a lost claim it settles nothing.
func (h *simHold) release(charge idempotency.Charge, then func()) {
	w, s, token := h.w, h.w.s, h.token
	h.state = simRecording
	r := idempotency.ReleaseRequest{Key: h.m.key.name, Token: h.token, Fence: h.fence, TTL: 4 * 24 * time.Hour, Charge: charge}
	var try func(n int)
	try = func(n int) {
		if h.token != token || h.state != simRecording {
			return
		}
		var reply idempotency.ReleaseReply
		w.call(s.plan.storeTimeout, func() bool {
			if s.store.down {
				return false
			}
			reply = s.store.release(h, r)
			return true
		}, func(ok bool) {
			switch {
			case h.token != token || h.state != simRecording:
			case ok && reply.Class == idempotency.ClassStolen:
				h.letGo("stolen")
			case ok || n == 2:
				if !ok {
					w.storeDown()
					h.m.excused("release faulted")
				}
				then()
			default:
				w.after(s.draw(50*time.Millisecond, 100*time.Millisecond), func() { try(n + 1) })
			}
		})
	}
	try(1)
}

// simKey is a key, and what the checks know of its runs.
type simKey struct {
	s      *sim
	id     int
	name   string
	mended bool // its handler
	// runs counts its runs, runsBefore those before the redrive.
	runs, runsBefore int
	claims           int
	deaths           int
	isDone           bool     // its completion is on record
	done             []string // the payloads that were completed once
	running          []*simHold
	last             *simRun
	fence            int64 // the greatest that wrote
}

// simRun is one run of a handler.
type simRun struct {
	h          *simHold
	life       int
	token      string
	start      time.Duration
	end        simEnd
	unrecorded bool
}

type simEnd byte

const (
	simUnderWay simEnd = iota
	simSucceeded
	simFailed
	simCrashed
)

func (k *simKey) kills() bool { return k.s.plan.killer && k.id == 0 && !k.mended }

func (k *simKey) failsForEver() bool {
	return k.s.plan.neverEnds && k.id == len(k.s.keys)-1 && !k.mended
}

func (k *simKey) wasDone(body string) bool { return slices.Contains(k.done, body) }

func (k *simKey) completed(body string) {
	k.isDone = true
	if !k.wasDone(body) {
		k.done = append(k.done, body)
	}
}

// forget notes that the record of its completion is lost.
func (k *simKey) forget() { k.isDone = false }

// explained tells whether h's claim may have been given to someone else while it
// seemed to hold: the record was lost, or the store's clock stepped.
func (k *simKey) explained(h *simHold) bool {
	rec, st := &k.s.store.records[k.id], k.s.store
	return rec.lost > 0 && rec.lostAt >= h.granted || st.stepped > 0 && st.stepped >= h.granted
}

// exclusive holds h, which runs, to I1: nobody else runs whose claim has not run
// out by that worker's own clocks.
func (k *simKey) exclusive(h *simHold) {
	for _, o := range k.running {
		if o == h {
			continue
		}
		k.s.count.pairs++
		switch {
		case o.w == h.w:
			k.s.violate("I14", "w%d runs m%d and m%d of one key", h.w.id, o.m.id, h.m.id)
		case o.passed() || h.passed():
			k.s.count.overtaken++
		case k.explained(o) || k.explained(h):
			k.s.count.explained++
		default:
			k.s.violate("I1", "w%d runs m%d under fence %d while w%d runs m%d under %d with %v left",
				h.w.id, h.m.id, h.fence, o.w.id, o.m.id, o.fence, o.mono-o.w.mono())
		}
	}
}

// started holds a run to I1, I11 and I14.
func (k *simKey) started(h *simHold, alone bool) {
	s := k.s
	s.count.runs++
	k.runs++
	if h.m.moved {
		s.count.movedRuns++
	}
	k.exclusive(h)
	if k.isDone {
		s.violate("I11", "w%d runs m%d although the key is done", h.w.id, h.m.id)
	}
	if alone {
		s.count.ranAlone++
		if h.w.active != 1 {
			s.violate("alone", "w%d runs m%d with %d chains under way", h.w.id, h.m.id, h.w.active)
		}
	} else if h.w.alone != nil && h.w.alone != h {
		s.violate("alone", "w%d runs m%d beside m%d, which must run alone", h.w.id, h.m.id, h.w.alone.m.id)
	}
	if p := k.last; p != nil {
		rec := &s.store.records[k.id]
		cause := ""
		switch {
		case p.end == simFailed:
			cause = "failure"
		case p.end == simCrashed || p.h.w.life != p.life:
			cause = "crash"
		case p.unrecorded:
			cause = "unrecorded"
		case p.h.token != p.token || p.h.passed() || p.h.over != 0:
			cause = "lease ran out"
		case rec.lost > 0 && rec.lostAt >= p.start:
			cause = "record lost"
		case k.explained(h):
			cause = "record lost" // after h had claimed, and before it ran
		case k.explained(p.h):
			cause = "clock stepped"
		default:
			s.violate("I11", "w%d runs m%d again although nothing happened to the run before", h.w.id, h.m.id)
		}
		s.count.reruns.add(cause)
	}
	k.last = &simRun{h: h, life: h.w.life, token: h.token, start: s.now}
	k.running = append(k.running, h)
}

// ended notes how a run ended.
func (k *simKey) ended(h *simHold, how simEnd) {
	k.running = slices.DeleteFunc(k.running, func(o *simHold) bool { return o == h })
	if k.last != nil && k.last.h == h && k.last.token == h.token {
		k.last.end = how
	}
}

// unrecorded notes that a run succeeded, but that could not be recorded.
func (k *simKey) unrecorded(h *simHold) {
	if k.last != nil && k.last.h == h {
		k.last.unrecorded = true
	}
}

// killed holds the deaths of a process-killer to their bound: two beside others,
// and as many alone as a message has attempts.
func (k *simKey) killed(h *simHold) {
	s := k.s
	k.deaths++
	rec := &s.store.records[k.id]
	lives := 1 + rec.lost + s.fresh
	if most := (2 + s.plan.maxAttempts) * lives; k.deaths > most {
		s.violate("poison", "m%d killed %d processes, want %d at most", h.m.id, k.deaths, most)
	}
}

// write is the effect, behind a fence.
func (k *simKey) write(h *simHold) {
	h.wrote = true
	if h.fence < k.fence {
		k.s.count.refused++
		return
	}
	k.fence = h.fence
	k.s.count.effects++
	if k.isDone && !k.explained(h) {
		k.s.violate("done once", "w%d writes under fence %d after the key was completed", h.w.id, h.fence)
	}
}

// finish holds the end of a history to I4 and I6.
func (s *sim) finish() {
	for _, m := range s.queue.messages {
		if !m.key.wasDone(m.body) && len(m.dead) == 0 {
			s.violate("I4", "m%d is gone: it is neither done nor dead-lettered", m.id)
		}
		s.count.settled++
	}
	for i := range s.store.records {
		if r := &s.store.records[i]; r.v != nil && r.ttl <= 0 {
			s.violate("I6", "the record of key %d lives for ever: %v", i, r.v)
		}
	}
}
