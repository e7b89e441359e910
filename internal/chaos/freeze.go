//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"time"
)

// freezeWorkers stops a process in the middle of an effect, for longer than the
// visibility and until another worker has done the work: what a virtual machine that
// moves or a laptop's lid does. When it goes on it writes its effect late, and nothing but
// the fence can refuse that. Chance would hardly ever bring this about, so the ledger is
// watched for it. A worker that is stopped must go on, also when the faults end: only the
// end of the whole ends that.
func (c *campaign) freezeWorkers(whole, faults context.Context, r *rand.Rand) {
	t := newTail(c.ledger)
	defer t.close()
	for pause(faults, 10*time.Millisecond) == nil {
		for _, p := range t.begun() {
			if _, w := c.hold(r, p.life); w != nil {
				frozen := c.freeze(whole, t, w)
				c.release(w)
				if frozen {
					_ = pause(faults, between(r, time.Second, 3*time.Second))
				}
				break // the others began too long ago
			}
		}
	}
}

// freeze stops a worker until its work was done by another one and it wrote its effect
// all the same. It reports false where the worker was not in the middle of an effect.
func (c *campaign) freeze(ctx context.Context, t *tail, w *worker) bool {
	goOn := c.stop(w)
	begin := time.Now()
	_ = pause(ctx, 50*time.Millisecond) // a write that was under way is in the ledger then
	t.read()
	if !t.any(w.life, func(p *progress) bool { return !p.written }) {
		goOn()
		return false
	}
	overtaken := func(p *progress) bool { return p.overtaken && !p.written }
	for time.Since(begin) < 4*visibility && (time.Since(begin) < visibility+time.Second || !t.any(w.life, overtaken)) {
		if pause(ctx, 50*time.Millisecond) != nil {
			break
		}
		t.read()
	}
	goOn()
	for awake := time.Now(); time.Since(awake) < 5*time.Second && t.any(w.life, overtaken); t.read() {
		if pause(ctx, 10*time.Millisecond) != nil {
			break
		}
	}
	return true
}

// progress is what became of the first run of a deaf handler.
type progress struct {
	life      string
	at        time.Time
	written   bool // its effect, by this run
	overtaken bool // its effect, by another run
}

// tail follows the deaf handlers in the ledger while the workers write it.
type tail struct {
	path   string
	f      *os.File // nil until a worker made it
	rest   []byte   // of a line that was read in part
	keys   map[string]*progress
	lives  map[string][]*progress
	recent []*progress // begun since they were asked for
}

func newTail(path string) *tail {
	return &tail{path: path, keys: make(map[string]*progress), lives: make(map[string][]*progress)}
}

// begun returns the deaf handlers that began just now and have not written.
func (t *tail) begun() (fresh []*progress) {
	t.read()
	for _, p := range t.recent {
		if !p.written && time.Since(p.at) < deafFor/2 {
			fresh = append(fresh, p)
		}
	}
	t.recent = t.recent[:0]
	return fresh
}

// any reports whether one of the runs of a worker's life is so.
func (t *tail) any(life string, so func(*progress) bool) bool {
	for _, p := range t.lives[life] {
		if so(p) {
			return true
		}
	}
	return false
}

// read takes in what was written since. What it cannot read the verdict complains of.
func (t *tail) read() {
	var err error
	if t.f == nil {
		if t.f, err = os.Open(t.path); err != nil {
			t.f = nil
			return
		}
	}
	fresh, _ := io.ReadAll(t.f)
	t.rest = append(t.rest, fresh...)
	for {
		line, rest, ok := bytes.Cut(t.rest, []byte("\n"))
		if !ok {
			return
		}
		t.rest = rest
		if len(line) > 0 && (line[0] == begun || line[0] == effect) {
			if e, err := parseEntry(string(line)); err == nil && deaf(e.name) {
				t.take(e)
			}
		}
	}
}

func (t *tail) take(e entry) {
	p := t.keys[e.name]
	switch {
	case p == nil && e.kind == begun:
		p = &progress{life: e.life, at: e.at}
		t.keys[e.name] = p
		t.lives[e.life] = append(t.lives[e.life], p)
		t.recent = append(t.recent, p)
	case p == nil || e.kind != effect:
	case p.life == e.life:
		p.written = true
	default:
		p.overtaken = true
	}
}

func (t *tail) close() {
	if t.f != nil {
		_ = t.f.Close()
	}
}
