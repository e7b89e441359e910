package holdfast

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
)

// JSON makes a Handler of a plain function: the body is decoded as JSON into a T.
// Fields unknown to T are ignored, as encoding/json does, so that producers can
// be ahead of consumers. A body that is empty, null or not JSON, does not fit T or has
// something behind its first value gives a [*DecodeError] and fn is not called. fn reaches
// the rest of the message by [MessageFrom].
func JSON[T any](fn func(context.Context, T) error) Handler {
	name := reflect.TypeFor[T]().String()
	return HandlerFunc(func(ctx context.Context, m *Message) error {
		var v T
		// Both would run fn on a zero T, as if that had been sent.
		switch strings.TrimSpace(m.Body) {
		case "", "null":
			return &DecodeError{Type: name, Err: errors.New("body is empty or null")}
		}
		if err := json.Unmarshal([]byte(m.Body), &v); err != nil {
			return &DecodeError{Type: name, Err: err}
		}
		return fn(ctx, v)
	})
}
