// Package recent remembers what was seen lately, in bounded memory.
package recent

import (
	"sync"
	"time"
)

// Set remembers keys, each with a word, until they expire, and the younger of them
// where there are too many. Safe for concurrent use; make one with New.
//
// It keeps two generations: when the young one is full or old it becomes the old
// one, and what was the old one is forgotten. That costs no list and no sweep.
type Set struct {
	most int           // keys of one generation
	life time.Duration // of one generation, half of that of a key

	mu         sync.Mutex // guards all below
	young, old map[string]entry
	turned     time.Time // when the young generation began
}

type entry struct {
	word    string
	expires time.Time
}

// New makes a Set of at most most keys (0 and less: none), each kept for life at
// most and half of it at least.
func New(most int, life time.Duration) *Set {
	return &Set{most: (most + 1) / 2, life: life / 2, young: map[string]entry{}}
}

// Add remembers key with word for life, or for as long as the Set keeps keys where
// that is less.
func (s *Set) Add(key, word string, life time.Duration) {
	if s.most <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.turn(now)
	if _, known := s.young[key]; !known && len(s.young) >= s.most {
		s.renew(now)
	}
	s.young[key] = entry{word, now.Add(min(life, 2*s.life))}
}

// Get returns the word of key.
func (s *Set) Get(key string) (word string, ok bool) {
	if s.most <= 0 {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.turn(now)
	e, ok := s.young[key]
	if !ok {
		e, ok = s.old[key]
	}
	if !ok || !now.Before(e.expires) {
		return "", false
	}
	return e.word, true
}

// Forget forgets key.
func (s *Set) Forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.young, key)
	delete(s.old, key)
}

// turn forgets generations that are over. mu is held.
func (s *Set) turn(now time.Time) {
	switch age := now.Sub(s.turned); {
	case age >= 2*s.life:
		clear(s.young)
		s.old, s.turned = nil, now
	case age >= s.life:
		s.renew(now)
	}
}

// renew begins a young generation, in what held the old one: a map that has its size
// need not grow. mu is held.
func (s *Set) renew(now time.Time) {
	clear(s.old)
	s.old, s.young, s.turned = s.young, s.old, now
	if s.young == nil {
		s.young = map[string]entry{}
	}
}
