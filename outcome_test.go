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

func TestVerbIsTheOutermost(t *testing.T) {
	t.Parallel()
	because := errors.New("because")
	permanent, discard := holdfast.Permanent(because), holdfast.Discard(because)
	after, park := holdfast.RetryAfter(time.Second, discard), holdfast.Park(nil, permanent)
	tests := map[string]struct{ err, want error }{
		"nothing has none":                           {nil, nil},
		"a plain error has none":                     {because, nil},
		"a wrapped plain error has none":             {fmt.Errorf("charge: %w", because), nil},
		"a verb is its own":                          {permanent, permanent},
		"a wrapped verb":                             {fmt.Errorf("charge: %w", discard), discard},
		"a verb around a verb":                       {after, after},
		"a verb beside errors":                       {errors.Join(because, fmt.Errorf("charge: %w", permanent)), permanent},
		"the first of verbs side by side":            {fmt.Errorf("%w, then %w", discard, permanent), discard},
		"a fallback is not looked at":                {fmt.Errorf("charge: %w", park), park},
		"a panic with a verb":                        {&holdfast.PanicError{Value: permanent}, permanent},
		"what cannot be decoded has none":            {&holdfast.DecodeError{Type: "int", Err: because}, nil},
		"a verb wrapped twice, below a joined error": {fmt.Errorf("a: %w", errors.Join(because, fmt.Errorf("b: %w", after))), after},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := holdfast.Verb(tt.err); got != tt.want {
				t.Errorf("Verb(%v) = %v, want %v", tt.err, got, tt.want)
			}
		})
	}
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
