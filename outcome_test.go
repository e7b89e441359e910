package holdfast_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
)

func TestVerbsAreFoundInWrappedErrors(t *testing.T) {
	t.Parallel()
	because := errors.New("because")
	wrap := func(err error) error { return errors.Join(errors.New("beside"), fmt.Errorf("charge: %w", err)) }

	t.Run("Permanent carries its cause", func(t *testing.T) {
		t.Parallel()
		var verb *holdfast.PermanentError
		err := wrap(holdfast.Permanent(because))
		if !errors.As(err, &verb) || verb.Err != because || !errors.Is(err, because) {
			t.Errorf("error = %v, want Permanent because", err)
		}
	})
	t.Run("RetryAfter carries its delay and cause", func(t *testing.T) {
		t.Parallel()
		var verb *holdfast.RetryAfterError
		err := wrap(holdfast.RetryAfter(time.Minute, because))
		if !errors.As(err, &verb) || verb.Delay != time.Minute || verb.Err != because || !errors.Is(err, because) {
			t.Errorf("error = %v, want RetryAfter a minute because", err)
		}
	})
	t.Run("Discard carries its reason", func(t *testing.T) {
		t.Parallel()
		var verb *holdfast.DiscardError
		err := wrap(holdfast.Discard(because))
		if !errors.As(err, &verb) || verb.Reason != because || !errors.Is(err, because) {
			t.Errorf("error = %v, want Discard because", err)
		}
	})
	t.Run("Park carries its channel and hides its fallback", func(t *testing.T) {
		t.Parallel()
		ready := make(chan struct{})
		var park *holdfast.ParkError
		var permanent *holdfast.PermanentError
		err := wrap(holdfast.Park(ready, holdfast.Permanent(because)))
		if !errors.As(err, &park) || park.Ready != ready || !errors.Is(park.Fallback, because) {
			t.Errorf("error = %v, want Park until ready", err)
		}
		if errors.As(err, &permanent) || errors.Is(err, because) {
			t.Errorf("error = %v: the fallback shows through", err)
		}
	})
}

func TestErrorsSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	because := errors.New("because")
	tests := map[string]error{
		"permanent: because":                      holdfast.Permanent(because),
		"permanent: no reason given":              holdfast.Permanent(nil),
		"retry after 1m30s: because":              holdfast.RetryAfter(90*time.Second, because),
		"retry after 0s: no reason given":         holdfast.RetryAfter(0, nil),
		"discard: because":                        holdfast.Discard(because),
		"discard: no reason given":                holdfast.Discard(nil),
		"parked, else because":                    holdfast.Park(nil, because),
		"parked, else no reason given":            holdfast.Park(nil, nil),
		"cannot decode body as int: because":      &holdfast.DecodeError{Type: "int", Err: because},
		`no handler for route "r"`:                &holdfast.RouteError{Route: "r"},
		"message has no route":                    &holdfast.RouteError{},
		"holdfast: handler panicked: boom":        &holdfast.PanicError{Value: "boom"},
		"holdfast: handler called runtime.Goexit": &holdfast.PanicError{Goexit: true},
		"holdfast: handler panicked: because":     &holdfast.PanicError{Value: because},
		"holdfast: handler panicked: <nil>":       &holdfast.PanicError{},
		"holdfast: lease lost":                    holdfast.ErrLeaseLost,
		"holdfast: handler timeout":               holdfast.ErrHandlerTimeout,
		"holdfast: stopping":                      holdfast.ErrStopping,
	}
	for want, err := range tests {
		if got := err.Error(); got != want {
			t.Errorf("%T says %q, want %q", err, got, want)
		}
	}
}

func TestPanicErrorUnwrapsErrorsOnly(t *testing.T) {
	t.Parallel()
	because := errors.New("because")
	if err := (&holdfast.PanicError{Value: because}); !errors.Is(err, because) {
		t.Errorf("%v does not unwrap to the panic's error", err)
	}
	if got := errors.Unwrap(&holdfast.PanicError{Value: "boom"}); got != nil {
		t.Errorf("a panic with a string unwraps to %v", got)
	}
}

func TestOutcomesHaveNames(t *testing.T) {
	t.Parallel()
	for o, want := range map[holdfast.Outcome]string{
		holdfast.Done:          "done",
		holdfast.Discarded:     "discarded",
		holdfast.Retried:       "retried",
		holdfast.GaveBack:      "gave back",
		holdfast.DeadLettered:  "dead-lettered",
		holdfast.Unsettled:     "unsettled",
		holdfast.Unsettled + 1: "unknown outcome",
	} {
		if got := o.String(); got != want {
			t.Errorf("Outcome(%d) = %q, want %q", o, got, want)
		}
	}
}
