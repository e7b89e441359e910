package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer/internal/wire"
	"github.com/holdfast-go/holdfast/internal/cause"
	"github.com/holdfast-go/holdfast/internal/jitter"
)

// CauseAttribute is the message attribute, holdfast-cause, that tells why a message
// was dead-lettered: a JSON object of at most 1 KiB with the members cause, error,
// attempt, queue, message and at.
const CauseAttribute = cause.Attribute

// The causes, as hooks and the cause attribute tell them.
const causePermanent, causeUndecodable, causeNoRoute, causeExhausted = "permanent", "undecodable", "no-route", "exhausted"
const causeRetention, causeConfirmation, causeMaxAge, causeProbe = "retention", "subscription-confirmation", "max-age", "probe"

// ErrNoDeadLetterQueue is the Err of a DeadLetteredEvent for a message that
// should be dead-lettered where the queue has no redrive policy. The message is
// kept and tried again; give the queue a dead-letter queue, which is noticed when it is
// tried, or some minutes later.
var ErrNoDeadLetterQueue = errors.New("consumer: the queue has no dead-letter queue")

var (
	errTooOld    = errors.New("consumer: older than Config.MaxAge")
	errAbandoned = errors.New("consumer: the handler did not heed its context and was abandoned")
)

// causeText is the value of the cause attribute.
func causeText(h *hold, attempt int, now time.Time) string {
	c := cause.Cause{
		Cause: h.change.cause, Attempt: attempt, Queue: h.d.c.source().ARN, Message: h.id, At: now,
	}
	if h.change.err != nil {
		c.Error = h.change.err.Error()
	}
	return c.Encode()
}

// deadLetter copies one message to the dead-letter queue and then deletes it. A
// crash between leaves it in both, never in none.
func (s *settler) deadLetter(hs []*hold) {
	h := hs[0]
	s.d.mu.Lock()
	attempt := h.receives + h.reruns // a newer receive may change it
	s.d.mu.Unlock()
	var to string
	var dropped bool
	err := s.c.settleCall(func(ctx context.Context) (err error) {
		to, dropped, err = s.c.t.DeadLetter(ctx, h.origin, causeText(h, attempt, time.Now()))
		return err
	})
	s.c.stats.sendCalls.Add(1)
	event := holdfast.DeadLetteredEvent{
		Message: &h.msg, Queue: to, Cause: h.change.cause, Reason: h.change.err, CauseDropped: dropped, Err: err,
	}
	if err == nil {
		s.c.health.Clear(problemDeadLetter)
		s.c.log.Warn("message dead-lettered", "message", h.id, "cause", h.change.cause, "error", h.change.err, "attribute-dropped", dropped)
		call(s.c, s.c.cfg.Hooks.DeadLettered, event)
		s.d.mu.Lock()
		h.tries = 0
		s.d.mu.Unlock()
		s.deletes.Add(h)
		s.deletes.FlushNow()
		return
	}
	f := wire.Classify(err)
	s.d.mu.Lock()
	h.tries++
	tries := h.tries
	if h.state == gone {
		s.d.mu.Unlock()
		return
	}
	if (f == wire.Transient || f == wire.OverLimit) && tries < 4 && h.lost == nil {
		h.timer = time.AfterFunc(s.backoff(2*time.Second, tries), func() { s.letters.Add(h) })
		s.d.mu.Unlock()
		return
	}
	// Refused: keep the message and try it again later. On FIFO this gives the
	// group back.
	h.tries = 0
	h.change.outcome = holdfast.Retried
	h.change.delay = min(jitter.Full(s.c.cfg.BackoffBase, s.c.cfg.BackoffMax, h.receives+h.reruns), max(0, time.Until(h.limit)))
	after := s.begin(h)
	s.d.mu.Unlock()
	if f == wire.Missing || f == wire.Denied || f == wire.Rejected {
		s.c.recheck.Doubt() // the redrive policy may name another by now
	}
	if errors.Is(err, wire.ErrNoDeadLetterQueue) { // taken away since this was decided
		err, event.Err = ErrNoDeadLetterQueue, ErrNoDeadLetterQueue
		s.c.health.Set(problemNoQueue, err)
	} else {
		s.c.health.Set(problemDeadLetter, s.c.explainFor("sqs:SendMessage", to, f, err))
	}
	s.c.log.Error("message could not be dead-lettered; it was kept", "message", h.id, "cause", h.change.cause, "error", err)
	call(s.c, s.c.cfg.Hooks.DeadLettered, event)
	after()
}

// tellOrphan says loudly that a message should be dead-lettered and cannot be,
// because the queue has no dead-letter queue.
func (c *Consumer) tellOrphan(h *hold, s settlement) {
	if !s.orphan {
		return
	}
	c.health.Set(problemNoQueue, ErrNoDeadLetterQueue)
	c.recheck.Doubt()
	c.log.Error("message should be dead-lettered, but the queue has no dead-letter queue", "queue", c.queueName(), "message", h.id, "cause", s.cause, "error", s.err)
	call(c, c.cfg.Hooks.DeadLettered, holdfast.DeadLetteredEvent{Message: &h.msg, Cause: s.cause, Reason: s.err, Err: ErrNoDeadLetterQueue})
}
