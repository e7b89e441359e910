package envelope

import (
	"strings"
	"unicode/utf8"

	"github.com/holdfast-go/holdfast"
)

// scan reads the fields of an envelope as SNS writes it: an object of strings and
// of MessageAttributes. It exists because every message of an SNS subscription
// comes this way, and decode takes five times as long and twenty times the
// allocations (BenchmarkSNS). What it does not take (other values, escapes of code
// points, broken UTF-8, mistakes) is left to decode; what it takes it reads as
// decode does.
func scan(body string) (fields, bool) {
	x := scanner{s: body}
	var f fields
	ok := x.begin()
	for ok && !x.end {
		key := x.key()
		switch key {
		case "Type":
			f.typ = x.value()
		case "TopicArn":
			f.topicARN = x.value()
		case "MessageId":
			f.messageID = x.value()
		case "Message":
			f.message, f.hasMessage = x.value(), true
		case "Subject":
			f.subject = x.value()
		case "Timestamp":
			f.timestamp = x.value()
		case "MessageAttributes":
			f.attributes = x.attributes()
		default:
			x.value()
		}
		ok = x.next()
	}
	x.space()
	return f, ok && x.i == len(x.s)
}

// scanner goes through s. After the first thing that it does not take, bad is
// set and its results mean nothing.
type scanner struct {
	s   string
	i   int
	end bool // what begin or next looked for last was the end of the object
	bad bool
}

func (x *scanner) attributes() map[string]holdfast.Attribute {
	var all map[string]holdfast.Attribute
	for ok := x.begin(); ok && !x.end; ok = x.next() {
		name := x.key()
		a := x.attribute()
		if all == nil {
			all = make(map[string]holdfast.Attribute)
		}
		all[name] = a
	}
	return all
}

func (x *scanner) attribute() holdfast.Attribute {
	var typ, value string
	hasValue := false
	for ok := x.begin(); ok && !x.end; ok = x.next() {
		switch x.key() {
		case "Type":
			typ = x.value()
		case "Value":
			value, hasValue = x.value(), true
		default:
			x.value()
		}
	}
	a, ok := attribute(typ, value)
	x.bad = x.bad || !ok || !hasValue
	return a
}

// begin reads the brace that opens an object, and the one that closes it where
// the object is empty; next what stands behind each of its fields.
func (x *scanner) begin() bool {
	if !x.take('{') {
		x.bad = true
		return false
	}
	x.end = x.take('}')
	return true
}

func (x *scanner) next() bool {
	if x.bad {
		return false
	}
	x.end = x.take('}')
	x.bad = !x.end && !x.take(',')
	return !x.bad
}

func (x *scanner) key() string {
	key := x.value()
	x.bad = x.bad || !x.take(':')
	return key
}

func (x *scanner) space() {
	for x.i < len(x.s) && (x.s[x.i] == ' ' || x.s[x.i] == '\n' || x.s[x.i] == '\t' || x.s[x.i] == '\r') {
		x.i++
	}
}

func (x *scanner) take(c byte) bool {
	x.space()
	if x.i == len(x.s) || x.s[x.i] != c {
		return false
	}
	x.i++
	return true
}

// value reads a string.
func (x *scanner) value() string {
	if x.bad || !x.take('"') {
		x.bad = true
		return ""
	}
	begin, escapes := x.i, false
	for ; x.i < len(x.s); x.i++ {
		switch c := x.s[x.i]; {
		case c == '"':
			raw := x.s[begin:x.i]
			x.i++
			if !utf8.ValidString(raw) {
				x.bad = true
			} else if escapes {
				raw = x.unescape(raw)
			}
			return raw
		case c == '\\':
			escapes = true
			x.i++ // what is escaped may be a quote
		case c < ' ':
			x.bad = true
			return ""
		}
	}
	x.bad = true
	return ""
}

func (x *scanner) unescape(raw string) string {
	var plain strings.Builder
	plain.Grow(len(raw))
	for {
		before, after, found := strings.Cut(raw, `\`)
		plain.WriteString(before)
		if !found {
			return plain.String()
		}
		at := strings.IndexByte(`"\/bfnrt`, after[0]) // value left no backslash without a byte behind it
		if at < 0 {
			x.bad = true
			return ""
		}
		plain.WriteByte("\"\\/\b\f\n\r\t"[at])
		raw = after[1:]
	}
}
