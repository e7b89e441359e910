package claimcheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/holdfast-go/holdfast"
)

// PointerAttribute is the attribute that a message has in the handler where its body
// was fetched: the pointer that was its body. SizeAttribute is taken off.
const PointerAttribute = "claimcheck-pointer"

// Wrap fetches the payload of messages that are pointers before next runs; all
// others pass as they are. Where it cannot be had now the message is tried again
// like after any error of a handler; where it never can, because the object is gone,
// too large or not the store's, the message is dead-lettered.
func (s *Store) Wrap(next holdfast.Handler) holdfast.Handler {
	return holdfast.HandlerFunc(func(ctx context.Context, m *holdfast.Message) error {
		p, ok := pointerOf(m)
		if !ok {
			return next.Handle(ctx, m)
		}
		if err := s.fetch(ctx, p, m); err != nil {
			return err
		}
		return next.Handle(ctx, m)
	})
}

// fetch puts the payload into m.
func (s *Store) fetch(ctx context.Context, p pointer, m *holdfast.Message) error {
	if !s.owns(p) {
		return holdfast.Permanent(fmt.Errorf("%w: s3://%s/%s", ErrPointer, p.Bucket, p.Key))
	}
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &p.Bucket, Key: &p.Key})
	switch {
	case errors.As(err, new(*types.NoSuchKey)):
		return holdfast.Permanent(fmt.Errorf("%w: s3://%s/%s: %w", ErrGone, p.Bucket, p.Key, err))
	case err != nil:
		return fmt.Errorf("claimcheck: get s3://%s/%s: %w", p.Bucket, p.Key, err)
	}
	defer out.Body.Close()
	tooLarge := func() error {
		return holdfast.Permanent(fmt.Errorf("%w (%d): s3://%s/%s", ErrTooLarge, s.cfg.MaxBytes, p.Bucket, p.Key))
	}
	size := aws.ToInt64(out.ContentLength)
	if size > s.cfg.MaxBytes {
		return tooLarge()
	}
	var payload strings.Builder
	payload.Grow(int(max(0, size)))
	n, err := io.Copy(&payload, io.LimitReader(out.Body, s.cfg.MaxBytes+1))
	switch {
	case err != nil:
		return fmt.Errorf("claimcheck: read s3://%s/%s: %w", p.Bucket, p.Key, err)
	case n > s.cfg.MaxBytes:
		return tooLarge()
	}
	attributes := maps.Clone(m.Attributes)
	delete(attributes, SizeAttribute)
	delete(attributes, LegacySizeAttribute)
	attributes[PointerAttribute] = holdfast.Attribute{Type: "String", String: m.Body}
	m.Body, m.Attributes = payload.String(), attributes
	return nil
}

// owns tells whether the store follows p.
func (s *Store) owns(p pointer) bool {
	return (p.Bucket == s.cfg.Bucket || slices.Contains(s.cfg.Buckets, p.Bucket)) && strings.HasPrefix(p.Key, s.cfg.Prefix)
}

// Settled deletes the object of a message once SQS confirmed that the message was
// deleted, in the background. What was given back or dead-lettered keeps it, and so
// does what may be for other queues too.
func (s *Store) Settled(m *holdfast.Message, err error) {
	if err != nil || s.cfg.Keep {
		return
	}
	p, ok := parsePointer(m.Attr(PointerAttribute))
	if !ok { // a duplicate that was never fetched
		p, ok = pointerOf(m)
	}
	if ok && s.owns(p) && m.Topic.ARN == "" && s.deletes(p) {
		s.discard(p)
	}
}

// deletes tells by the name of an object whether it is of one message only. In doubt it
// is not: what is kept costs money, what is deleted a message.
func (s *Store) deletes(p pointer) bool {
	name := strings.TrimPrefix(p.Key, s.cfg.Prefix)
	return !namedShared.MatchString(name) && (namedQueue.MatchString(name) || s.cfg.DeleteForeign)
}
