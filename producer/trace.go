package producer

import (
	"context"
	"strings"

	"github.com/holdfast-go/holdfast"
)

// Trace says to which trace a message belongs, in the two ways that are in use. It is
// metadata: where a message has no room for it, it goes without.
type Trace struct {
	// AWSTraceHeader is that of X-Ray, "Root=1-...;Parent=...;Sampled=1", in printable
	// characters of ASCII. A queue
	// takes it as a system attribute, which does not count among the ten. A topic takes
	// one per request: messages that were gathered into one get it where all have the
	// same.
	AWSTraceHeader string
	// TraceParent and TraceState are those of W3C Trace Context, sent as the message
	// attributes traceparent and tracestate where there is room among the ten; the
	// latter only beside the former.
	TraceParent, TraceState string
}

// Handled returns the trace of the message that a handler works on, for what the
// handler sends in turn; the zero Trace in any other context. It is the default of
// Config.Trace.
func Handled(ctx context.Context) Trace {
	m, ok := holdfast.MessageFrom(ctx)
	if !ok {
		return Trace{}
	}
	return Trace{AWSTraceHeader: m.TraceHeader, TraceParent: m.Attr(TraceParentAttribute), TraceState: m.Attr(TraceStateAttribute)}
}

// trace is the trace of m: what it says itself, else what Config.Trace does. Of that,
// which may be as a stranger sent it, the malformed is dropped and no reason to fail.
func (p *Producer) trace(ctx context.Context, m *Message) (t Trace, dropped bool) {
	if m.Trace != (Trace{}) {
		return m.Trace, false
	}
	t = p.cfg.Trace(ctx)
	if !validHeader(t.AWSTraceHeader) {
		t.AWSTraceHeader, dropped = "", true
	}
	if t.TraceParent != "" && !validTraceParent(t.TraceParent) {
		t.TraceParent, dropped = "", true
	}
	_, named := m.Attributes[TraceParentAttribute]
	if _, at := badCharacter(t.TraceState); at >= 0 || t.TraceParent == "" || named {
		t.TraceState = ""
	}
	if named {
		t.TraceParent = "" // the sender has set the attribute
	}
	return t, dropped
}

// validTraceParent tells whether s is version-traceid-parentid-flags in lower case
// hex. Versions beyond 00 may have more behind them; ff is none, and an id of
// zeros says that there is no trace.
func validTraceParent(s string) bool {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	version, id, parent, flags := s[:2], s[3:35], s[36:52], s[53:55]
	if version == "ff" || strings.Trim(id, "0") == "" || strings.Trim(parent, "0") == "" {
		return false
	}
	if strings.Trim(version+id+parent+flags, "0123456789abcdef") != "" {
		return false
	}
	return len(s) == 55 || version != "00" && s[55] == '-' && only(s[55:], "-_.")
}
