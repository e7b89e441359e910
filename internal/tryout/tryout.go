// Package tryout finds errors that panic when they are used.
package tryout

import (
	"errors"

	"github.com/holdfast-go/holdfast"
)

// Error uses err as the runtime will, while a panic still counts as the handler's:
// the methods of a nil pointer that was returned as an error mostly panic.
func Error(err error) {
	if err == nil {
		return
	}
	_ = err.Error()
	_ = errors.Is(err, holdfast.ErrLeaseLost)
	_ = errors.As(err, new(*holdfast.PanicError))
	if park, ok := holdfast.Verb(err).(*holdfast.ParkError); ok { //nolint:errorlint // what Verb returns is the verb itself
		Error(park.Fallback)
	}
}
