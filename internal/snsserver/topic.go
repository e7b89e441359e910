package snsserver

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// topic is a topic and all that hangs on it.
type topic struct {
	arn        arn
	name       string
	owner      string
	serial     uint64
	settings   topicSettings
	attributes map[string]string // as they were set, defaults left out
	tags       map[string]string
	subs       []*subscription // in the order they were made
	deleted    int             // how many subscriptions it had beside those
	dedup      dedupMemory
}

// topicSettings is what the attributes mean.
type topicSettings struct {
	fifo         bool
	contentDedup bool
	groupScope   bool // FifoThroughputScope is MessageGroup
	maxSize      int
	signature    string // SignatureVersion
	policy       *policy
}

// newest drops what time has taken: subscriptions nobody confirmed in time.
func (s *Server) newest(t *topic, now time.Time) *topic {
	for i := 0; i < len(t.subs); {
		if sub := t.subs[i]; sub.pending && !now.Before(sub.expires) {
			s.remove(sub)
			continue
		}
		i++
	}
	return t
}

// counts is how many subscriptions are confirmed, and how many wait for it.
func (t *topic) counts() (confirmed, pending int) {
	for _, sub := range t.subs {
		if sub.pending {
			pending++
		} else {
			confirmed++
		}
	}
	return confirmed, pending
}

// filters is how many subscriptions have a filter policy.
func (t *topic) filters() int {
	n := 0
	for _, sub := range t.subs {
		if sub.filter != nil {
			n++
		}
	}
	return n
}

// dedupInterval is for how long a FIFO topic recognises a message.
const dedupInterval = 5 * time.Minute

// sentBefore is what a duplicate is answered with.
type sentBefore struct{ id, sequence string }

// dedupMemory is the messages of the last five minutes.
type dedupMemory struct {
	known map[string]sentBefore
	order []dedupEntry // oldest first
}

type dedupEntry struct {
	key string
	end time.Time
}

// get finds the message that one with this key repeats.
func (m *dedupMemory) get(key string, now time.Time) (sentBefore, bool) {
	n := 0
	for n < len(m.order) && !now.Before(m.order[n].end) {
		delete(m.known, m.order[n].key)
		n++
	}
	if m.order = m.order[n:]; len(m.order) == 0 {
		m.order = nil
	}
	twin, ok := m.known[key]
	return twin, ok
}

// put notes a message. The interval is not extended by duplicates.
func (m *dedupMemory) put(key string, sent sentBefore, now time.Time) {
	if m.known == nil {
		m.known = make(map[string]sentBefore)
	}
	m.known[key] = sent
	m.order = append(m.order, dedupEntry{key, now.Add(dedupInterval)})
}

// contentID is the deduplication id that a topic makes of a message's body.
func contentID(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}
