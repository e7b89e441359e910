package filterpolicy

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
)

// Passes tells whether a filter policy lets a sample of SampleOf through, which may
// be another policy's: whether SNS delivers it there too. A policy that cannot be
// read lets nothing through, and one on the body no message without a JSON object that has
// something in it, whatever it asks for.
func (s Sample) Passes(policy string, onBody bool) bool {
	if Empty(policy) {
		return true
	}
	root, err := readNode(policy)
	if err != nil || !root.is('{') {
		return false
	}
	has := s.Body
	if onBody && len(has) == 0 {
		return false
	}
	if !onBody {
		has = map[string]any{}
		for name, a := range s.Attributes {
			has[name] = a.value()
		}
	}
	return allHold(&root, has)
}

// value is what rules are held against: the reverse of what SampleOf does.
func (a Attribute) value() any {
	switch a.Type {
	case "Number":
		return json.Number(a.Text)
	case "String.Array":
		var list []any
		if json.Unmarshal([]byte(a.Text), &list) == nil && len(list) == 1 {
			return list[0]
		}
	}
	return a.Text
}

// allHold tells whether what an object says of each of its keys holds.
func allHold(n *node, has map[string]any) bool {
	for i, key := range n.keys {
		item := &n.items[i]
		value, there := has[key]
		inner, isObject := value.(map[string]any) // which is no value itself
		switch {
		case key == "$or" && item.is('['):
			if !slices.ContainsFunc(item.items, func(choice node) bool { return allHold(&choice, has) }) {
				return false
			}
		case item.is('{'):
			if !allHold(item, inner) {
				return false
			}
		case !slices.ContainsFunc(item.items, func(rule node) bool { return holds(&rule, value, there && !isObject) }):
			return false
		}
	}
	return true
}

// holds tells whether a rule holds for the value of its key.
func holds(r *node, value any, there bool) bool {
	if isMissing(*r) || !there {
		return isMissing(*r) && !there
	}
	if !r.is('{') {
		return equal(r.value, value)
	}
	if len(r.keys) != 1 {
		return false
	}
	word, arg := r.keys[0], &r.items[0]
	switch word {
	case "exists":
		return value != nil
	case "numeric":
		return isWithin(arg, value)
	case "anything-but":
		list := []node{*arg}
		if arg.is('[') {
			list = arg.items
		}
		return !slices.ContainsFunc(list, func(n node) bool { return isBarred(&n, value) })
	}
	return fitsText(word, arg.value, value)
}

// isBarred tells whether a part of anything-but is against a value.
func isBarred(n *node, value any) bool {
	if !n.is('{') || len(n.items) != 1 {
		return equal(n.value, value)
	}
	patterns := []node{n.items[0]}
	if patterns[0].is('[') {
		patterns = patterns[0].items
	}
	return slices.ContainsFunc(patterns, func(p node) bool { return fitsText(n.keys[0], p.value, value) })
}

func equal(want, value any) bool {
	w, isNumber := want.(json.Number)
	if v, ok := value.(json.Number); ok && isNumber {
		x, errX := w.Float64()
		y, errY := v.Float64()
		return errX == nil && errY == nil && x == y
	}
	return want == value
}

// isWithin holds a number against the argument of numeric.
func isWithin(arg *node, value any) bool {
	number, ok := value.(json.Number)
	n, err := number.Float64()
	low, high, valid := numericRange(arg)
	if !ok || err != nil || !valid {
		return false
	}
	open := func(op string) bool {
		return slices.ContainsFunc(arg.items, func(n node) bool { return n.value == op })
	}
	return (n > low || n == low && !open(">")) && (n < high || n == high && !open("<"))
}

// fitsText holds a text against an operator on texts.
func fitsText(word string, pattern, value any) bool {
	p, ok := pattern.(string)
	v, isText := value.(string)
	if !ok || !isText {
		return false
	}
	switch word {
	case "prefix":
		return strings.HasPrefix(v, p)
	case "suffix":
		return strings.HasSuffix(v, p)
	case "equals-ignore-case":
		return strings.EqualFold(v, p)
	case "wildcard":
		return fitsWildcard(p, v)
	case "cidr":
		network, err := netip.ParsePrefix(p)
		ip, errIP := netip.ParseAddr(v)
		return err == nil && errIP == nil && network.Contains(ip)
	}
	return false
}

// fitsWildcard holds a text against a pattern in which each * is any text.
func fitsWildcard(pattern, text string) bool {
	head, rest, found := strings.Cut(pattern, "*")
	if !found {
		return text == pattern
	}
	if text, found = strings.CutPrefix(text, head); !found {
		return false
	}
	for {
		part, more, again := strings.Cut(rest, "*")
		if !again {
			return strings.HasSuffix(text, part)
		}
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text, rest = after, more
	}
}
