package consumer

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer/internal/gates"
	"github.com/holdfast-go/holdfast/internal/envelope"
	"github.com/holdfast-go/holdfast/internal/jitter"
)

// seconds rounds d up to whole seconds, the unit of SQS.
func seconds(d time.Duration) int32 {
	return int32((d + time.Second - 1) / time.Second)
}

// judge decides what becomes of h after a run that returned err. Call with mu
// held.
func (d *dispatcher) judge(h *hold, err error, now time.Time) settlement {
	q := d.c.source() // once: it may be replaced meanwhile
	stolen := errors.Is(err, holdfast.ErrLeaseLost)
	switch {
	case h.dropped:
		return settlement{outcome: holdfast.Unsettled, err: errors.Join(errors.New("the handler was abandoned"), err)}
	case h.cut && h.lost == nil:
		// The hold was lost, its handler cancelled, and then a newer receive of
		// the same message revived the hold: run it again under that.
		return settlement{outcome: holdfast.Retried, err: err, here: true}
	case h.cut, stolen:
		return settlement{outcome: holdfast.Unsettled, err: err}
	case err == nil:
		d.c.deploy.Succeeded(h.id, now)
		return settlement{outcome: holdfast.Done}
	}
	verb := holdfast.Verb(err)
	park, refused := verb.(*holdfast.ParkError)
	if refused {
		if park.Ready != nil && (d.mayPark(h, q, now) || d.makeRoom(h, q, now)) {
			return waitFor(park.Ready, err)
		}
		if d.stopped || d.draining {
			return settlement{outcome: holdfast.GaveBack, err: err}
		}
		err = park.Fallback
		verb = holdfast.Verb(err)
		if _, again := verb.(*holdfast.ParkError); again || err == nil {
			err, verb = fmt.Errorf("could not be parked: %s", park), nil
		}
	}
	if _, ok := verb.(*holdfast.DiscardError); ok {
		d.c.deploy.Succeeded(h.id, now)
		return settlement{outcome: holdfast.Discarded, err: err, refused: refused}
	}
	if h.lost != nil {
		// A claim outlived the visibility, and its handler failed: the message
		// comes back by itself.
		return settlement{outcome: holdfast.Unsettled, err: err}
	}
	s := d.judgeFailure(h, q, err, verb, now)
	s.refused = refused
	return s
}

// judgeFailure is judge for errors that are neither success nor waiting.
func (d *dispatcher) judgeFailure(h *hold, q *holdfast.Queue, err, verb error, now time.Time) settlement {
	attempt := h.receives + h.reruns
	last := q.MaxReceiveCount > 0 && attempt >= q.MaxReceiveCount
	delay := jitter.Full(d.cfg.BackoffBase, d.cfg.BackoffMax, attempt)
	cause, waits, hasQueue := "", false, q.DeadLetterARN != ""
	switch v := verb.(type) {
	case *holdfast.PermanentError:
		cause = causePermanent
	case *holdfast.RetryAfterError:
		if v.Delay < 0 || v.Delay > maxHold {
			err = fmt.Errorf("RetryAfter delay is %v; it must be 0s to 12h0m0s: %w", v.Delay, err)
			break
		}
		delay, waits = v.Delay, true
	default:
		switch {
		case errors.Is(err, envelope.ErrConfirmation):
			cause = causeConfirmation
		case errors.Is(err, errTooOld):
			cause = causeMaxAge
		case errors.Is(err, envelope.ErrProbe) && hasQueue: // else it is only handed back
			cause = causeProbe
		case errors.As(err, new(*holdfast.DecodeError)) && attempt >= d.cfg.DecodeAttempts:
			cause = causeUndecodable
		case errors.As(err, new(*holdfast.RouteError)) && attempt >= d.cfg.DecodeAttempts:
			cause = causeNoRoute
		case d.stopped:
			return settlement{outcome: holdfast.GaveBack, err: err}
		}
	}
	if cause == "" && last && !waits {
		cause = causeExhausted
	}
	late := d.pastRetention(h, q, now.Add(delay))
	if cause == "" && late {
		cause = causeRetention
	}
	if cause != "" && hasQueue {
		// None of them is the mark of a bad deploy.
		harmless := cause == causeRetention || cause == causeConfirmation || cause == causeMaxAge || cause == causeProbe
		if harmless || d.c.deploy.MayDeadLetter(h.id, now) {
			return settlement{outcome: holdfast.DeadLettered, err: err, cause: cause}
		}
		if late {
			return settlement{outcome: holdfast.DeadLettered, err: err, cause: causeRetention}
		}
		if d.mayPark(h, q, now) {
			return waitFor(d.c.deploy.WaitFor(h.id), err)
		}
	} else {
		d.c.deploy.Failed(h.id)
	}
	orphan := cause != "" && !hasQueue
	room := h.limit.Sub(now) - d.cfg.Visibility
	if d.fifo && delay < room {
		return settlement{outcome: holdfast.Retried, err: err, delay: delay, here: true, waits: waits, cause: cause, orphan: orphan}
	}
	if last && waits && delay < room && d.mayPark(h, q, now) {
		// Another receive would be one too many, and waiting is not failing.
		return waitFor(gates.After(delay), err)
	}
	return settlement{outcome: holdfast.Retried, err: err, delay: max(0, min(delay, h.limit.Sub(now))), cause: cause, orphan: orphan}
}

// waitFor has the message run again here when ready is closed.
func waitFor(ready <-chan struct{}, err error) settlement {
	return settlement{outcome: holdfast.Retried, err: err, here: true, ready: ready}
}

// retentionEnd is when SQS is about to drop the message; zero where that is not
// known. A minute is left for the receive and the run, less where retention is
// short.
func (d *dispatcher) retentionEnd(h *hold, q *holdfast.Queue) time.Time {
	retention := q.Retention
	if retention <= 0 || h.sentAt.IsZero() {
		return time.Time{}
	}
	return h.sentAt.Add(retention - min(time.Minute+d.cfg.Visibility, retention/10))
}

// pastRetention tells whether SQS would have dropped the message by then.
func (d *dispatcher) pastRetention(h *hold, q *holdfast.Queue, then time.Time) bool {
	end := d.retentionEnd(h, q)
	return !end.IsZero() && !then.Before(end)
}

// mayPark tells whether h can wait without a slot. Call with mu held.
func (d *dispatcher) mayPark(h *hold, q *holdfast.Queue, now time.Time) bool {
	room := !d.stopped && !d.draining && d.n[parked] < d.cfg.MaxParked && d.bytes < d.cfg.HeldBytes
	return room && h.lost == nil && h.limit.Sub(now) > d.cfg.Visibility && !d.pastRetention(h, q, now)
}

// makeRoom lets h be parked, for which another receive may be the last, in place of a
// parked message that can afford one: that takes its fallback. Call with mu held.
func (d *dispatcher) makeRoom(h *hold, q *holdfast.Queue, now time.Time) bool {
	endangered := q.MaxReceiveCount - 1
	if d.fifo || h.receives < endangered || d.n[parked] < d.cfg.MaxParked {
		return false
	}
	out, fallback := h, error(nil)
	for _, other := range d.held {
		park, ok := holdfast.Verb(other.change.err).(*holdfast.ParkError)
		if !ok || other.state != parked || other.receives >= min(out.receives, endangered) {
			continue
		}
		if retry, ok := holdfast.Verb(park.Fallback).(*holdfast.RetryAfterError); ok {
			out, fallback = other, retry
		}
	}
	if out == h {
		return false
	}
	d.c.wg.Go(d.apply(out, d.judgeFailure(out, q, fallback, fallback, now)))
	return d.mayPark(h, q, now)
}
