package idempotency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast"
)

// Severity says what a Finding means.
type Severity uint8

// The severities.
const (
	// SeverityWarning: the protection is weaker than it could be. Start logs it.
	SeverityWarning Severity = iota
	// SeverityError: the protection is not what it says. Start returns it.
	SeverityError
)

// String returns the severity in words.
func (s Severity) String() string {
	if s == SeverityError {
		return "error"
	}
	return "warning"
}

// Finding is one thing that is wrong with a set-up.
type Finding struct {
	// Name names the rule, such as "done-ttl": the same in every version, for
	// those who look for a finding by program.
	Name     string
	Severity Severity
	// Problem says in plain words what is wrong, with the value found.
	Problem string
	// Advice says what to change, and to what.
	Advice string
}

// String returns the finding as a sentence for a log or an error.
func (f Finding) String() string { return f.Problem + ". " + f.Advice }

// CheckRequest is what a Checker is told of the set-up that it will serve.
type CheckRequest struct {
	// Queue is the queue that is consumed.
	Queue holdfast.Queue
	// Visibility is the visibility timeout of each receive, Lease what a fresh
	// claim lasts under it.
	Visibility, Lease time.Duration
	// StoreTimeout is what each call of the store is given.
	StoreTimeout time.Duration
}

// Checker is a Store that can tell what is wrong with its server or its client.
// Check is called at start, after Validate and Start; it may ask the server. Its
// error says that it could not be found out.
type Checker interface {
	Check(ctx context.Context, r CheckRequest) ([]Finding, error)
}

// Check returns all that is wrong with a middleware on store with cfg for the
// queue q, errors first. It is what Start goes by, as data: for a deploy check or a
// test of one's set-up. It asks the store where that is a Checker; its error says
// that cfg is not valid, or that the store could not be asked.
func Check(ctx context.Context, store Store, cfg Config, q holdfast.Queue) ([]Finding, error) {
	mw := New(store, cfg)
	if err := mw.Validate(); err != nil {
		return nil, err
	}
	return mw.check(ctx, q)
}

func (mw *Middleware) check(ctx context.Context, q holdfast.Queue) ([]Finding, error) {
	c, ok := mw.store.(Checker)
	if !ok {
		return nil, nil
	}
	visibility := q.Visibility
	if visibility <= 0 {
		visibility = defaultVisibility
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return c.Check(ctx, CheckRequest{
		Queue: q, Visibility: visibility, Lease: visibility - time.Second - mw.cfg.margin(visibility),
		StoreTimeout: mw.cfg.StoreTimeout,
	})
}

// checkTimeout bounds what a store's check may take.
const checkTimeout = 10 * time.Second

// startErr tells warnings to the log and returns the errors among findings.
func (mw *Middleware) startErr(q holdfast.Queue, findings []Finding) error {
	var errs []error
	for _, f := range findings {
		if f.Severity == SeverityError {
			errs = append(errs, fmt.Errorf("idempotency: %s", f))
			continue
		}
		mw.cfg.Logger.Warn("idempotency: "+f.String(), "check", f.Name, "queue", q.Name)
	}
	return errors.Join(errs...)
}
