package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/idempotency"
)

// Claim implements idempotency.Store.
func (s *Store) Claim(ctx context.Context, r idempotency.ClaimRequest) (idempotency.ClaimReply, error) {
	if err := r.Validate(); err != nil {
		return idempotency.ClaimReply{}, err
	}
	s.keyLike(r.Key)
	o := s.ops.get(claimScript, r.Key)
	o.words = [4]string{r.Token, r.PayloadHash, r.Life}
	o.nums = [8]int64{
		r.Lease.Milliseconds(), r.TTL.Milliseconds(), r.Hard.Milliseconds(), int64(r.MaxAttempts), digit(r.Alone), r.Sent,
	}
	o.durable = s.opts.Durability.All
	f := s.call(ctx, o)
	reply := idempotency.ClaimReply{Class: f.class("NTOBCMA"), Fence: f.number()}
	if f.err == nil && reply.Class != idempotency.ClassDone && reply.Class != idempotency.ClassMismatch {
		reply.Left = f.millis()
		reply.HardLeft = f.millis()
		reply.Attempts = int(f.number())
		reply.Duplicates = int(f.number())
		reply.Deadline = idempotency.Instant(f.number())
		reply.Hard = idempotency.Instant(f.number())
		reply.Deaths = int(f.number())
	}
	if f.err != nil {
		return idempotency.ClaimReply{}, f.err
	}
	return reply, nil
}

// Extend implements idempotency.Store.
func (s *Store) Extend(ctx context.Context, r idempotency.ExtendRequest) (idempotency.ExtendReply, error) {
	if err := r.Validate(); err != nil {
		return idempotency.ExtendReply{}, err
	}
	o := s.ops.get(extendScript, r.Key)
	o.words = [4]string{r.Token, r.PayloadHash, r.Life}
	o.nums = [8]int64{
		r.Fence, r.Lease.Milliseconds(), r.TTL.Milliseconds(), int64(r.LastDeadline), int64(r.Attempts),
		int64(r.Hard), int64(r.Deaths), digit(r.Alone),
	}
	o.durable = s.opts.Durability.All
	f := s.call(ctx, o)
	reply := idempotency.ExtendReply{Class: f.class("ORLCX"), Fence: f.number(), Deadline: idempotency.Instant(f.number())}
	if f.err != nil {
		return idempotency.ExtendReply{}, f.err
	}
	return reply, nil
}

// Complete implements idempotency.Store.
func (s *Store) Complete(ctx context.Context, r idempotency.CompleteRequest) (idempotency.CompleteReply, error) {
	if err := r.Validate(); err != nil {
		return idempotency.CompleteReply{}, err
	}
	o := s.ops.get(completeScript, r.Key)
	o.words = [4]string{r.Token, r.PayloadHash, r.Life}
	o.nums = [8]int64{r.Fence, r.TTL.Milliseconds(), int64(r.Attempts)}
	o.durable = s.opts.Durability.Replicas > 0
	f := s.call(ctx, o)
	reply := idempotency.CompleteReply{Class: f.class("ORCX"), Fence: f.number()}
	if f.err != nil {
		return idempotency.CompleteReply{}, f.err
	}
	return reply, nil
}

// Release implements idempotency.Store.
func (s *Store) Release(ctx context.Context, r idempotency.ReleaseRequest) (idempotency.ReleaseReply, error) {
	if err := r.Validate(); err != nil {
		return idempotency.ReleaseReply{}, err
	}
	charge := "charge"
	switch r.Charge {
	case idempotency.RefundAttempt:
		charge = "refund"
	case idempotency.ResetAttempts:
		charge = "reset"
	}
	o := s.ops.get(releaseScript, r.Key)
	o.words = [4]string{r.Token, charge}
	o.nums = [8]int64{r.Fence, r.TTL.Milliseconds()}
	o.durable = s.opts.Durability.Replicas > 0
	f := s.call(ctx, o)
	reply := idempotency.ReleaseReply{Class: f.class("OLX"), Fence: f.number(), Attempts: int(f.number())}
	if f.err != nil {
		return idempotency.ReleaseReply{}, f.err
	}
	return reply, nil
}

// Poll implements idempotency.Store: one small script per key, that reads only, in
// the pipelines of the nodes.
func (s *Store) Poll(ctx context.Context, keys []string) ([]idempotency.Snapshot, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, nil
	}
	for _, key := range keys {
		if key == "" {
			return nil, errors.New("redisstore: poll: a key is empty")
		}
	}
	asked := make([]*op, len(keys))
	for i, key := range keys {
		asked[i] = s.ops.get(pollScript, key)
		if err := s.ask(ctx, asked[i]); err != nil {
			return nil, fmt.Errorf("redisstore: poll %q: %w", key, err)
		}
	}
	snapshots := make([]idempotency.Snapshot, len(keys))
	for i, o := range asked {
		f := s.answerTo(ctx, o)
		switch {
		case errors.Is(f.err, idempotency.ErrBadRecord):
			snapshots[i].Err = f.err
			continue
		case f.err == nil && f.left == "":
			continue // no record
		}
		ttl, micros := f.millis(), f.number()
		if f.err != nil {
			return nil, f.err
		}
		// The rest is the record, which may be anything.
		snapshots[i] = idempotency.NewSnapshot(f.left, micros, ttl)
	}
	return snapshots, nil
}

// Forget implements idempotency.Store.
func (s *Store) Forget(ctx context.Context, key string) (existed bool, err error) {
	if err := s.Validate(); err != nil {
		return false, err
	}
	f := s.call(ctx, s.ops.get(forgetScript, key))
	existed = f.number() == 1
	return existed && f.err == nil, f.err
}

// Probe implements idempotency.Store: it writes a key that lives for a second to
// each master. Its name begins as the names of the keys claimed before, so that it
// needs no other permission.
func (s *Store) Probe(ctx context.Context) error {
	if err := s.Validate(); err != nil {
		return err
	}
	prefix := "hf:"
	if like := s.like.Load(); like != nil {
		prefix = *like
	}
	keys, err := s.keyPerMaster(ctx, prefix+"probe")
	if err != nil {
		return fmt.Errorf("redisstore: probe: %w", err)
	}
	asked := make([]*op, len(keys))
	for i, key := range keys {
		asked[i] = s.ops.get(probeScript, key)
		if err := s.ask(ctx, asked[i]); err != nil {
			return fmt.Errorf("redisstore: probe: %w", err)
		}
	}
	errs := make([]error, len(asked))
	for i, o := range asked {
		errs[i] = s.answerTo(ctx, o).err
	}
	return errors.Join(errs...)
}

// keyLike keeps what the keys of the store begin with.
func (s *Store) keyLike(key string) {
	if s.like.Load() == nil {
		prefix := key[:strings.LastIndexByte(key, ':')+1]
		s.like.CompareAndSwap(nil, &prefix)
	}
}

// call asks and waits for the answer.
func (s *Store) call(ctx context.Context, o *op) fields {
	if err := s.ask(ctx, o); err != nil {
		return fields{err: o.failed(err)}
	}
	return s.answerTo(ctx, o)
}

// ask hands a call to the lane of its key.
func (s *Store) ask(ctx context.Context, o *op) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return gaveUp(err)
	}
	d, ends := ctx.Deadline()
	o.ctx, o.hasty = ctx, ends && time.Until(d) < 3*soon
	l, err := s.route(ctx, o.key)
	if err != nil {
		return err
	}
	l.add(o)
	return nil
}

// answerTo waits for the answer to a call and takes the op back.
func (s *Store) answerTo(ctx context.Context, o *op) fields {
	if !o.wait(ctx) {
		return fields{err: fmt.Errorf("redisstore: %s: %w", o.script.name, gaveUp(ctx.Err()))}
	}
	f := fields{err: o.err}
	if f.err == nil {
		f.left = o.Val()
	}
	s.ops.put(o)
	return f
}

// gaveUp words the end of a caller's context. That its time ran out says that the
// store was not there in time.
func gaveUp(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", idempotency.ErrUnavailable, err)
	}
	return err
}

func digit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
