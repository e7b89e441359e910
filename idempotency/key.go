package idempotency

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/holdfast-go/holdfast"
)

// identity is what the protocol needs to know of a message. It is made once,
// from the message as received, before any handler can change it.
type identity struct {
	key   string // the record's key
	phash string // payload hash, empty where payloads are not compared
	life  string // hash of the SQS message id
}

// The tags keep the sources apart: one source's parts cannot be another's.
const (
	tagUser       = "user"
	tagAttribute  = "attribute"
	tagCloudEvent = "cloudevent"
	tagEvent      = "event"
	tagSNS        = "sns"
	tagFIFO       = "fifo"
	tagSQS        = "sqs"
	tagPayload    = "payload"
	tagMismatch   = "mismatch"
)

// identify makes the identity of m. Its errors are what the handler returns;
// errUnkeyed is for one that has it run unprotected.
func (mw *Middleware) identify(m *holdfast.Message) (identity, error) {
	tag, parts, err := mw.source(m)
	if err != nil {
		return identity{}, err
	}
	if epoch := mw.cfg.ReplayEpoch; epoch != "" {
		tag, parts = "replay:"+tag, append([]string{epoch}, parts...)
	}
	id := identity{key: keyID(mw.prefix, tag, parts...)}
	if m.ID != "" {
		id.life = short(m.ID, 6)
	}
	if !mw.cfg.SkipPayloadCheck {
		id.phash = short(m.Body, 8)
	}
	return id, nil
}

// errUnkeyed marks what MissingKey RunUnkeyed lets run.
var errUnkeyed = errors.New("runs unprotected")

// source finds what names the work of m.
func (mw *Middleware) source(m *holdfast.Message) (tag string, parts []string, err error) {
	if mw.cfg.Key != nil {
		key, err := mw.cfg.Key(m)
		if err != nil {
			return "", nil, fmt.Errorf("idempotency: Config.Key: %w", err)
		}
		if key != "" {
			return tagUser, []string{key}, nil
		}
	}
	if name := mw.cfg.KeyAttribute; name != "" {
		if v := attribute(m, name); v != "" {
			return tagAttribute, []string{v}, nil
		}
	}
	asked := mw.cfg.Key != nil || mw.cfg.KeyAttribute != ""
	if !asked || mw.cfg.MissingKey == DeriveKey {
		first, last := mw.cfg.Source, mw.cfg.Source
		if first == SourceStrongest {
			first, last = SourceCloudEvent, SourceSQS
		}
		for s := first; s <= last; s++ {
			if tag, parts = derive(m, s); tag != "" {
				return tag, parts, nil
			}
		}
	}
	err = fmt.Errorf("%w: %s", ErrNoKey, mw.wanted(asked))
	if mw.cfg.MissingKey == RunUnkeyed {
		return "", nil, fmt.Errorf("%w, %w", err, errUnkeyed)
	}
	return "", nil, holdfast.Permanent(err)
}

// derive takes the key from one source; tag is empty where m does not have it.
func derive(m *holdfast.Message, s Source) (tag string, parts []string) {
	switch s {
	case SourceCloudEvent:
		// The names of its HTTP binding and of its Kafka binding. Only source and id
		// together are unique.
		for _, sep := range []string{"-", "_"} {
			source, id := attribute(m, "ce"+sep+"source"), attribute(m, "ce"+sep+"id")
			if source != "" && id != "" {
				return tagCloudEvent, []string{source, id}
			}
		}
	case SourceEvent: // the service may publish one event twice
		if m.Event.ID != "" {
			return tagEvent, []string{m.Event.Service, m.Event.ID}
		}
	case SourceSNS:
		if m.Topic.ARN != "" && m.Topic.MessageID != "" {
			return tagSNS, []string{m.Topic.ARN, m.Topic.MessageID}
		}
	case SourceFIFO:
		if m.Queue.FIFO && m.DeduplicationID != "" {
			return tagFIFO, []string{m.Queue.ARN, m.GroupID, m.DeduplicationID}
		}
	case SourceSQS:
		if m.ID != "" {
			return tagSQS, []string{m.ID}
		}
	case SourcePayload:
		return tagPayload, []string{m.Body}
	}
	return "", nil
}

// wanted says what a message without a key lacks.
func (mw *Middleware) wanted(asked bool) string {
	var missing []string
	if mw.cfg.Key != nil {
		missing = append(missing, "Config.Key returned an empty one")
	}
	if mw.cfg.KeyAttribute != "" {
		missing = append(missing, fmt.Sprintf("attribute %q is missing or empty", mw.cfg.KeyAttribute))
	}
	switch {
	case asked && mw.cfg.MissingKey != DeriveKey:
	case mw.cfg.Source == SourceStrongest:
		missing = append(missing, "it does not even have an SQS message id")
	default:
		missing = append(missing, "it has not "+mw.cfg.Source.String())
	}
	return strings.Join(missing, " and ")
}

func attribute(m *holdfast.Message, name string) string {
	a := m.Attributes[name]
	if strings.HasPrefix(a.Type, "Binary") {
		return string(a.Binary)
	}
	return a.String
}

// keyID hashes a source into 22 characters behind prefix. Each part is preceded by its
// length, so that no two lists of parts run into the same bytes.
func keyID(prefix, tag string, parts ...string) string {
	b := append(append(make([]byte, 0, 256), tag...), 0)
	for _, p := range parts {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(p))), p...)
	}
	sum := sha256.Sum256(b)
	return encode(prefix, sum[:16])
}

// short is the first n bytes of the SHA-256 of s in base64url.
func short(s string, n int) string {
	// Read only: a body may be 1 MiB, too much to be copied for each message.
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(s), len(s)))
	return encode("", sum[:n])
}

// encode puts up to 16 bytes behind prefix, in base64url.
func encode(prefix string, src []byte) string {
	var b [22]byte
	n := base64.RawURLEncoding.EncodedLen(len(src))
	base64.RawURLEncoding.Encode(b[:], src)
	return prefix + string(b[:n])
}
