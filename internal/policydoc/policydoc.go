// Package policydoc edits access policies of queues without touching what others
// wrote in them: a document is taken apart into its statements as they are written,
// byte for byte, and put together again.
package policydoc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Doc is a policy document whose parts are kept as they are written. Make one with
// Read.
type Doc struct {
	members    []member // but for Statement
	at         int      // the place of Statement among members
	statements []Statement
}

type member struct {
	key string
	raw json.RawMessage
}

// Statement is a statement as it is written.
type Statement struct {
	Sid string
	Raw json.RawMessage
}

// Read reads a document; "" is one without statements.
func Read(text string) (doc Doc, err error) {
	if text == "" {
		doc.members = []member{{"Version", json.RawMessage(`"2012-10-17"`)}}
		doc.at = 1
		return doc, nil
	}
	d := json.NewDecoder(strings.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return doc, fmt.Errorf("the policy is not a JSON object: %.100q", text)
	}
	doc.at = -1
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return doc, err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return doc, err
		}
		if key != "Statement" {
			doc.members = append(doc.members, member{key.(string), raw})
			continue
		}
		if doc.at >= 0 {
			return doc, errors.New("the policy has two members named Statement")
		}
		doc.at = len(doc.members)
		if doc.statements, err = readStatements(raw); err != nil {
			return doc, err
		}
	}
	if doc.at < 0 {
		doc.at = len(doc.members)
	}
	if _, err := d.Token(); err != nil {
		return doc, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return doc, errors.New("there is more after the end of the policy")
	}
	return doc, nil
}

// Statements are all statements in their order. The list must not be written to.
func (p *Doc) Statements() []Statement { return p.statements }

// readStatements reads a list of statements, or the one that may stand alone.
func readStatements(raw json.RawMessage) ([]Statement, error) {
	var all []json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		all = []json.RawMessage{raw}
	}
	out := make([]Statement, len(all))
	for i, one := range all {
		var s struct{ Sid string }
		if err := json.Unmarshal(one, &s); err != nil {
			return nil, fmt.Errorf("statement %d of the policy: %w", i+1, err)
		}
		out[i] = Statement{s.Sid, one}
	}
	return out, nil
}

// Find is the statement of a Sid as it is written, "" for none.
func (p *Doc) Find(sid string) string {
	for _, s := range p.statements {
		if s.Sid == sid {
			return string(s.Raw)
		}
	}
	return ""
}

// Put adds a statement, in place of one with its Sid.
func (p *Doc) Put(sid, text string) {
	i := slices.IndexFunc(p.statements, func(s Statement) bool { return s.Sid == sid })
	if i < 0 {
		p.statements = append(p.statements, Statement{sid, json.RawMessage(text)})
		return
	}
	p.statements[i].Raw = json.RawMessage(text)
}

// Drop takes a statement out.
func (p *Doc) Drop(sid string) {
	p.statements = slices.DeleteFunc(p.statements, func(s Statement) bool { return s.Sid == sid })
}

// Text writes the document; "" where no statement is left, because SQS takes no
// policy without one.
func (p *Doc) Text() string {
	if len(p.statements) == 0 {
		return ""
	}
	var b bytes.Buffer
	b.WriteByte('{')
	separate := func() {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
	}
	for i := 0; i <= len(p.members); i++ {
		if i == p.at {
			separate()
			b.WriteString(`"Statement":[`)
			for j, s := range p.statements {
				if j > 0 {
					b.WriteByte(',')
				}
				b.Write(s.Raw)
			}
			b.WriteByte(']')
		}
		if i < len(p.members) {
			separate()
			b.WriteString(quote(p.members[i].key))
			b.WriteByte(':')
			b.Write(p.members[i].raw)
		}
	}
	b.WriteByte('}')
	return b.String()
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string
	}
	return string(b)
}

// Same tells whether two texts mean the same: the order of keys, spaces, and
// whether a number is written as a text, make no difference. A list of one is the
// same as its item, as AWS has it in policies.
func Same(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := parse(a)
	y, errY := parse(b)
	return errX == nil && errY == nil && same(x, y)
}

func same(a, b any) bool {
	if l, ok := a.([]any); ok && len(l) == 1 {
		a = l[0]
	}
	if l, ok := b.([]any); ok && len(l) == 1 {
		b = l[0]
	}
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for key, v := range x {
			if w, ok := y[key]; !ok || !same(v, w) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, same)
	}
	return fmt.Sprint(a) == fmt.Sprint(b)
}

func parse(text string) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("more after the end of the value")
	}
	return v, nil
}
