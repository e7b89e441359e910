package producer

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
)

// Typed sends values of one type as JSON. Make one with JSON. Safe for concurrent
// use.
type Typed[T any] struct {
	p        *Producer
	describe func(T) Message
}

// JSON makes a sender of values of T: each is encoded as JSON into the body, which
// holdfast.JSON decodes at the far end. describe gives what else belongs to the
// message of a value, such as its Key and its GroupID; its Body is replaced, and its
// ContentType is application/json unless it says otherwise. A nil describe gives
// nothing.
func JSON[T any](p *Producer, describe func(T) Message) *Typed[T] {
	if describe == nil {
		describe = func(T) Message { return Message{} }
	}
	return &Typed[T]{p: p, describe: describe}
}

// Send sends v as Producer.Send does. A value that cannot be encoded gives an
// *EncodeError.
func (t *Typed[T]) Send(ctx context.Context, v T) error {
	m, err := t.message(v)
	if err != nil {
		return err
	}
	return t.p.Send(ctx, m)
}

// SendBatch sends values as Producer.SendBatch does. Where one cannot be encoded
// nothing is sent, and the results are nil.
func (t *Typed[T]) SendBatch(ctx context.Context, vs []T) ([]Result, error) {
	msgs := make([]Message, len(vs))
	for i, v := range vs {
		var err error
		if msgs[i], err = t.message(v); err != nil {
			return nil, fmt.Errorf("value %d of %d: %w", i, len(vs), err)
		}
	}
	return t.p.SendBatch(ctx, msgs)
}

func (t *Typed[T]) message(v T) (Message, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return Message{}, &EncodeError{Type: reflect.TypeFor[T]().String(), Err: err}
	}
	m := t.describe(v)
	m.Body = string(body)
	if m.ContentType == "" {
		m.ContentType = "application/json"
	}
	return m, nil
}

// EncodeError is returned by senders made by JSON for a value that cannot be encoded.
type EncodeError struct {
	// Type is the Go type.
	Type string
	// Err is the encoder's error.
	Err error
}

func (e *EncodeError) Error() string { return fmt.Sprintf("cannot encode %s: %v", e.Type, e.Err) }

// Unwrap returns the encoder's error.
func (e *EncodeError) Unwrap() error { return e.Err }
