package idempotency

import (
	"context"
	"runtime"
	"sync"
	"weak"

	"github.com/holdfast-go/holdfast"
)

// postDelete shortens the memory of completed keys once their message is surely
// deleted (Config.PostDeleteTTL): the completion is repeated under its own token
// with the shorter time to live, which the store takes as a repetition.
//
// It is a saving and never more: what finds no room, or fails, keeps its DoneTTL.
type postDelete struct {
	queue chan CompleteRequest

	mu sync.Mutex // guards completed
	// completed is what was recorded for messages not settled yet. A message that
	// never is, because its hold was lost, drops out with its memory.
	completed map[weak.Pointer[holdfast.Message]]CompleteRequest
}

func newPostDelete() *postDelete {
	return &postDelete{
		queue:     make(chan CompleteRequest, 1024),
		completed: make(map[weak.Pointer[holdfast.Message]]CompleteRequest),
	}
}

// remember keeps what was recorded for m until m is settled.
func (p *postDelete) remember(m *holdfast.Message, r CompleteRequest) {
	w := weak.Make(m)
	p.mu.Lock()
	_, known := p.completed[w]
	p.completed[w] = r
	p.mu.Unlock()
	if !known {
		runtime.AddCleanup(m, p.forget, w)
	}
}

func (p *postDelete) forget(w weak.Pointer[holdfast.Message]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.completed, w)
}

// settled has the memory of m shortened where m was deleted.
func (p *postDelete) settled(m *holdfast.Message, err error) {
	w := weak.Make(m)
	p.mu.Lock()
	r, known := p.completed[w]
	delete(p.completed, w)
	p.mu.Unlock()
	if !known || err != nil {
		return
	}
	select {
	case p.queue <- r:
	default:
	}
}

// shorten works off the queue until ctx ends.
func (mw *Middleware) shorten(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-mw.post.queue:
			r.TTL = mw.cfg.PostDeleteTTL
			opCtx, cancel := context.WithTimeout(ctx, mw.cfg.StoreTimeout)
			_, err := mw.store.Complete(opCtx, r)
			cancel()
			if err != nil && ctx.Err() == nil {
				mw.cfg.Hooks.storeFailed(StoreFailedEvent{Key: r.Key, Op: "complete", Err: err})
			}
		}
	}
}
