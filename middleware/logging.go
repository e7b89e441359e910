package middleware

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/holdfast-go/holdfast"
)

// Logging writes one line to logger for each finished run of what it wraps:
//
//	id       the SQS message id
//	queue    the queue's name
//	group    the message group, where it has one
//	attempt  the run's number, from 1
//	age      since the message was sent, to the millisecond
//	took     how long the run took
//	outcome  what the error asks for, see below
//	error    the error, where there is one
//
// A run that is done, discarded or given back (because the program stops) is
// logged at level Info, one that is parked at Debug, one that is retried or
// unsettled (because the hold was lost) at Warn, and one that is dead-lettered or
// panicked at Error. The outcome is what was asked for: hooks tell what became of
// the message, which for a last attempt may be another thing.
//
// Bodies and attributes are never logged. An error is logged as the handler worded
// it, so it must not quote the body either. Listed first it sees every run as the
// runtime does.
//
// A nil logger is an error of Validate.
func Logging(logger *slog.Logger) holdfast.Middleware { return logging{logger} }

type logging struct{ logger *slog.Logger }

// Validate reports a nil logger.
func (l logging) Validate() error {
	if l.logger == nil {
		return errors.New("middleware: Logging: logger is nil; give a *slog.Logger, or leave Logging out to log nothing")
	}
	return nil
}

// Wrap logs the runs of next.
func (l logging) Wrap(next holdfast.Handler) holdfast.Handler {
	return holdfast.HandlerFunc(func(ctx context.Context, m *holdfast.Message) (err error) {
		begun := time.Now()
		returned := false
		// Deferred, and without recover: the runtime needs the panic with its stack.
		defer func() {
			class, level := "panicked", slog.LevelError
			if returned {
				class, level = classify(ctx, err)
			}
			l.log(ctx, m, begun, class, level, err)
		}()
		err = next.Handle(ctx, m)
		returned = true
		return err
	})
}

func (l logging) log(ctx context.Context, m *holdfast.Message, begun time.Time, class string, level slog.Level, err error) {
	if !l.logger.Enabled(ctx, level) {
		return
	}
	now := time.Now()
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, slog.String("id", m.ID), slog.String("queue", m.Queue.Name))
	if m.GroupID != "" {
		attrs = append(attrs, slog.String("group", m.GroupID))
	}
	attrs = append(attrs, slog.Int("attempt", m.Attempt))
	if !m.SentAt.IsZero() {
		attrs = append(attrs, slog.Duration("age", now.Sub(m.SentAt).Round(time.Millisecond)))
	}
	attrs = append(attrs, slog.Duration("took", now.Sub(begun)), slog.String("outcome", class))
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	l.logger.LogAttrs(ctx, level, "message handled", attrs...)
}

// classify tells what err asks for, in the order in which the runtime looks.
func classify(ctx context.Context, err error) (string, slog.Level) {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(err, holdfast.ErrLeaseLost), errors.Is(cause, holdfast.ErrLeaseLost):
		return holdfast.Unsettled.String(), slog.LevelWarn
	case err == nil:
		return holdfast.Done.String(), slog.LevelInfo
	}
	switch holdfast.Verb(err).(type) {
	case *holdfast.DiscardError:
		return holdfast.Discarded.String(), slog.LevelInfo
	case *holdfast.ParkError:
		return "parked", slog.LevelDebug
	case *holdfast.PermanentError:
		return holdfast.DeadLettered.String(), slog.LevelError
	case *holdfast.RetryAfterError:
		return holdfast.Retried.String(), slog.LevelWarn
	}
	if errors.Is(cause, holdfast.ErrStopping) {
		return holdfast.GaveBack.String(), slog.LevelInfo
	}
	return holdfast.Retried.String(), slog.LevelWarn
}
