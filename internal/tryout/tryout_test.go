package tryout_test

import (
	"errors"
	"testing"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/internal/tryout"
)

// broken is an error whose methods need it not to be nil.
type broken struct{ text string }

func (b *broken) Error() string { return b.text }

func TestErrorsThatPanicDoSoHere(t *testing.T) {
	t.Parallel()
	var none *broken
	tests := map[string]struct {
		err    error
		panics bool
	}{
		"nil":                           {nil, false},
		"an error":                      {errors.New("x"), false},
		"a verb":                        {holdfast.Permanent(errors.New("x")), false},
		"a nil pointer":                 {none, true},
		"a nil pointer behind a verb":   {holdfast.RetryAfter(0, none), true},
		"a nil pointer as a fallback":   {holdfast.Park(nil, none), true},
		"a nil pointer beside an error": {errors.Join(errors.New("x"), none), true},
		"a fallback without fault":      {holdfast.Park(nil, errors.New("x")), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if panicked := recover() != nil; panicked != tt.panics {
					t.Errorf("panicked is %v, want %v", panicked, tt.panics)
				}
			}()
			tryout.Error(tt.err)
		})
	}
}
