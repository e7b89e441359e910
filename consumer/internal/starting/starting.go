// Package starting runs what must be started before the work begins, and may not heed
// that it is stopped.
package starting

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/holdfast-go/holdfast"
)

// ErrDeaf is returned by Do for a function that was left running.
var ErrDeaf = errors.New("its Start does not heed its context and was left running at the stop")

// heed is the time that anyone needs to heed a context, also when in a hurry.
const heed = time.Second

// Do calls start and returns its error, or its panic as one. The context that start is
// given ends with ctx as long as start has not returned, with the cause ErrStopping, and
// after that with life. Where ctx ends before, Do returns nil as soon as start has
// returned; where that takes longer than patience, or until hurry is closed, but not less
// than heed, ErrDeaf.
func Do(ctx, life context.Context, patience time.Duration, hurry <-chan struct{}, start func(context.Context) error) error {
	given, end := context.WithCancelCause(life)
	stopped := context.AfterFunc(ctx, func() { end(holdfast.ErrStopping) })
	done := make(chan error, 1)
	go func() {
		err := error(&holdfast.PanicError{Goexit: true})
		defer func() {
			if v := recover(); v != nil {
				err = &holdfast.PanicError{Value: v, Stack: debug.Stack()}
			}
			done <- err
		}()
		err = start(given)
	}()
	select {
	case err := <-done:
		if stopped() {
			return err
		}
		return nil // what it says after the cancel is about that
	case <-ctx.Done():
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	soon := time.NewTimer(min(heed, patience))
	defer soon.Stop()
	var hurried <-chan struct{}
	for {
		select {
		case <-done: //nolint:errcheck // it is about the stop, too
			return nil
		case <-soon.C:
			hurried = hurry
		case <-late.C:
			return ErrDeaf
		case <-hurried:
			return ErrDeaf
		}
	}
}
