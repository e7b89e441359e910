package snsserver

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is what a JSON value is.
type kind uint8

const (
	isNull kind = iota
	isBool
	isNumber
	isString
	isArray
	isObject
)

// node is a JSON value, with its place in the source: errors about filter
// policies tell it, as AWS's do.
type node struct {
	kind  kind
	text  string // of a string; true, false, or a number as it is written
	keys  []string
	items []node // an array's, or an object's in the order of keys
	// seen is how far the source was read when AWS's parser knew what this is: a
	// string by its first quote, all else by its end or its opening bracket. end is
	// how far it was when all was read.
	seen, end int
}

// maxDepth bounds nesting; what is deeper is no JSON here.
const maxDepth = 100

// parseJSON reads one JSON value and nothing behind it.
func parseJSON(src string) (node, error) {
	p := &jsonParser{src: src}
	n, err := p.value(0)
	if err != nil {
		return node{}, err
	}
	if p.space(); p.pos != len(p.src) {
		return node{}, p.bad("something behind the end")
	}
	return n, nil
}

type jsonParser struct {
	src string
	pos int
}

func (p *jsonParser) bad(what string) error { return fmt.Errorf("%s at byte %d", what, p.pos) }

func (p *jsonParser) space() {
	for p.pos < len(p.src) {
		switch p.src[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// take goes over c and the space before it.
func (p *jsonParser) take(c byte) bool {
	p.space()
	if p.pos < len(p.src) && p.src[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *jsonParser) value(depth int) (node, error) {
	if depth > maxDepth {
		return node{}, p.bad("nested too deep")
	}
	p.space()
	if p.pos == len(p.src) {
		return node{}, p.bad("unexpected end")
	}
	switch c := p.src[p.pos]; {
	case c == '"':
		n := node{kind: isString, seen: p.pos + 1}
		var err error
		n.text, err = p.str()
		n.end = p.pos
		return n, err
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	}
	for _, word := range [...]struct {
		text string
		kind kind
	}{{"true", isBool}, {"false", isBool}, {"null", isNull}} {
		if strings.HasPrefix(p.src[p.pos:], word.text) {
			p.pos += len(word.text)
			return node{kind: word.kind, text: word.text, seen: p.pos, end: p.pos}, nil
		}
	}
	return node{}, p.bad("no value")
}

func (p *jsonParser) object(depth int) (node, error) {
	p.pos++
	n := node{kind: isObject, seen: p.pos}
	for first := true; !p.take('}'); first = false {
		if !first && !p.take(',') {
			return n, p.bad("no comma")
		}
		p.space()
		if p.pos == len(p.src) || p.src[p.pos] != '"' {
			return n, p.bad("no name")
		}
		key, err := p.str()
		if err != nil {
			return n, err
		}
		if !p.take(':') {
			return n, p.bad("no colon")
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return n, err
		}
		n.keys, n.items = append(n.keys, key), append(n.items, item)
	}
	n.end = p.pos
	return n, nil
}

func (p *jsonParser) array(depth int) (node, error) {
	p.pos++
	n := node{kind: isArray, seen: p.pos}
	for first := true; !p.take(']'); first = false {
		if !first && !p.take(',') {
			return n, p.bad("no comma")
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return n, err
		}
		n.items = append(n.items, item)
	}
	n.end = p.pos
	return n, nil
}

// str reads a string, from its first quote on.
func (p *jsonParser) str() (string, error) {
	start := p.pos
	p.pos++
	plain := true
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '"':
			p.pos++
			if plain {
				return p.src[start+1 : p.pos-1], nil
			}
			var s string
			if err := json.Unmarshal([]byte(p.src[start:p.pos]), &s); err != nil {
				return "", p.bad("bad escape")
			}
			return s, nil
		case c == '\\':
			plain = false
			p.pos += 2
		case c < ' ':
			return "", p.bad("control character in a string")
		default:
			p.pos++
		}
	}
	p.pos = min(p.pos, len(p.src))
	return "", p.bad("unending string")
}

func (p *jsonParser) number() (node, error) {
	start := p.pos
	for p.pos < len(p.src) && strings.IndexByte("+-.eE0123456789", p.src[p.pos]) >= 0 {
		p.pos++
	}
	n := node{kind: isNumber, text: p.src[start:p.pos], seen: p.pos, end: p.pos}
	if !json.Valid([]byte(n.text)) {
		return n, p.bad("bad number")
	}
	return n, nil
}

// at is a place in a source as AWS's parser tells it.
func at(src string, pos int) string {
	before := src[:min(pos, len(src))]
	line := strings.Count(before, "\n")
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	const shown = 500
	quoted := `"` + src + `"`
	if len(src) > shown {
		quoted = fmt.Sprintf(`"%s"[truncated %d chars]`, src[:shown], len(src)-shown)
	}
	return fmt.Sprintf("\n at [Source: (String)%s; line: %d, column: %d]", quoted, line+1, column+1)
}

// Bounds of the numbers that filters compare (AWS, "Filter policy constraints").
const (
	maxNumber = 1e9
	decimals  = 1e5
)

// fixed is a number with five decimals, which is how precisely SNS compares. ok
// is false for what is no number between -1e9 and 1e9.
func fixed(s string) (n int64, ok bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(math.Abs(f) <= maxNumber) {
		return 0, false
	}
	return int64(math.Round(f * decimals)), true
}
