package claimcheck

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	deletes       = 8 // at once
	deleteTimeout = 10 * time.Second
	maxDiscarded  = 100_000 // objects that wait; the bucket's lifecycle rule has the rest
)

// discard has an object deleted in the background.
func (s *Store) discard(p pointer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) >= maxDiscarded {
		s.cfg.Logger.Warn("too many objects wait to be deleted: left to the lifecycle rule", "bucket", p.Bucket, "key", p.Key)
		return
	}
	s.queue = append(s.queue, p)
	if s.workers < deletes {
		s.workers++
		go s.work()
	}
}

// work deletes what waits, and ends.
func (s *Store) work() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 {
		p := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), deleteTimeout)
		if _, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.Bucket, Key: &p.Key}); err != nil {
			s.cfg.Logger.Warn("object could not be deleted: left to the lifecycle rule", "bucket", p.Bucket, "key", p.Key, "error", err)
		}
		cancel()
		s.mu.Lock()
	}
	s.workers--
	if s.workers == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// Wait waits until all objects of settled messages are deleted, or could not be. Call
// it after the consumer's Run: what is not deleted when the program ends stays in the
// bucket. When ctx ends before, the error tells how many are left.
func (s *Store) Wait(ctx context.Context) error {
	s.mu.Lock()
	if s.workers == 0 {
		s.mu.Unlock()
		return nil
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		return fmt.Errorf("claimcheck: %d objects were not deleted: %w", len(s.queue)+s.workers, context.Cause(ctx))
	}
}
