package filterpolicy

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Sample is a message that a filter policy lets through.
type Sample struct {
	// Attributes are its message attributes, where the policy looks at these.
	Attributes map[string]Attribute
	// Body is its body, where the policy looks at that; else it has none that is JSON.
	Body map[string]any
}

// Attribute is a message attribute of a type that SNS takes.
type Attribute struct{ Type, Text string }

// variants is how many ways of meeting a policy are tried: a rule that a key has
// beside a choice of $or may rule some out.
const variants = 64

// SampleOf makes a message that fits a filter policy; ok is false where it knows
// none. "" lets everything through.
func SampleOf(policy string, onBody bool) (s Sample, ok bool) {
	if policy == "" {
		policy = "{}"
	}
	root, err := readNode(policy)
	if err != nil || !root.is('{') {
		return s, false
	}
	for n := range variants {
		if s, ok = sampleOf(&root, choices(n), onBody); ok && s.Passes(policy, onBody) {
			return s, true
		}
	}
	return s, false
}

func sampleOf(root *node, c choices, onBody bool) (s Sample, ok bool) {
	s = Sample{Attributes: map[string]Attribute{}, Body: map[string]any{}}
	if !c.fill(root, s.Body) {
		return s, false
	}
	if onBody {
		// A policy that only asks for what is absent lets no empty object through.
		if _, there := s.Body[filler]; !there {
			s.Body[filler] = filler
		}
		return s, true
	}
	for key, v := range s.Body {
		switch v := v.(type) {
		case string:
			s.Attributes[key] = Attribute{"String", v}
		case json.Number:
			s.Attributes[key] = Attribute{"Number", v.String()}
		case bool, nil:
			text, err := json.Marshal([]any{v})
			if err != nil {
				return s, false
			}
			s.Attributes[key] = Attribute{"String.Array", string(text)}
		default:
			return s, false
		}
	}
	s.Body = map[string]any{}
	return s, true
}

// choices are what is chosen where a policy leaves a choice, one after the other:
// each n makes others.
type choices int

func (c *choices) of(k int) int {
	chosen := int(*c) % k
	*c /= choices(k)
	return chosen
}

// fill puts values that fit an object's rules into out.
func (c *choices) fill(n *node, out map[string]any) bool {
	for i, key := range n.keys {
		item := &n.items[i]
		switch {
		case key == "$or" && item.is('[') && len(item.items) > 0:
			choice := &item.items[c.of(len(item.items))]
			if !choice.is('{') || !c.fill(choice, out) {
				return false
			}
		case item.is('{'):
			inner, _ := out[key].(map[string]any)
			if inner == nil {
				inner = map[string]any{}
			}
			if !c.fill(item, inner) {
				return false
			}
			out[key] = inner
		case item.is('[') && len(item.items) > 0:
			if !c.fillKey(key, item.items, out) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// fillKey takes a rule that it knows a value for, unless the value that is there
// already fits.
func (c *choices) fillKey(key string, rules []node, out map[string]any) bool {
	if value, there := out[key]; there && slices.ContainsFunc(rules, func(r node) bool { return holds(&r, value, true) }) {
		return true
	}
	first := c.of(len(rules))
	for i := range rules {
		r := &rules[(first+i)%len(rules)]
		if isMissing(*r) {
			return true
		}
		if v, ok := fitting(r); ok {
			out[key] = v
			return true
		}
	}
	return false
}

// fitting is a value that fits a rule.
func fitting(r *node) (any, bool) {
	if r.is('[') {
		return nil, false
	}
	if !r.is('{') {
		return r.value, true
	}
	if len(r.keys) != 1 {
		return nil, false
	}
	word, arg := r.keys[0], &r.items[0]
	text, _ := arg.value.(string)
	switch word {
	case "prefix", "suffix", "equals-ignore-case":
		return orFiller(text), true
	case "wildcard":
		return orFiller(strings.ReplaceAll(text, "*", "")), true
	case "exists":
		return filler, true
	case "cidr":
		ip, _, ok := strings.Cut(text, "/")
		return ip, ok
	case "numeric":
		return numberWithin(arg)
	case "anything-but":
		return otherThan(arg)
	}
	return nil, false
}

// filler is a text that hardly any rule excludes.
const filler = "holdfast-probe"

func orFiller(s string) string {
	if s == "" { // an attribute of SNS is not empty
		return filler
	}
	return s
}

func numberWithin(arg *node) (any, bool) {
	low, high, ok := numericRange(arg)
	if !ok || low > high {
		return nil, false
	}
	middle := low + (high-low)/2
	return json.Number(strconv.FormatFloat(middle, 'f', -1, 64)), true
}

// otherThan is a value that an anything-but does not exclude.
func otherThan(arg *node) (any, bool) {
	list := []node{*arg}
	if arg.is('[') {
		list = arg.items
	}
	if arg.is('{') && len(arg.items) == 1 {
		if list = []node{arg.items[0]}; arg.items[0].is('[') {
			list = arg.items[0].items
		}
	}
	numbers := slices.ContainsFunc(list, func(n node) bool { _, is := n.value.(json.Number); return is })
	for i := range 1000 {
		var candidate any = strconv.Itoa(i) + filler + strconv.Itoa(i)
		if numbers {
			candidate = json.Number(strconv.Itoa(i))
		}
		if !slices.ContainsFunc(list, func(n node) bool { return excludes(n.value, candidate) }) {
			return candidate, true
		}
	}
	return nil, false
}

// excludes is generous: it takes any text that shares the beginning or the end for
// excluded, whichever operator it was.
func excludes(excluded, candidate any) bool {
	switch e := excluded.(type) {
	case string:
		c, ok := candidate.(string)
		e = strings.Trim(e, "*")
		return ok && (strings.EqualFold(c, e) || strings.HasPrefix(c, e) || strings.HasSuffix(c, e))
	case json.Number:
		c, ok := candidate.(json.Number)
		x, errX := e.Float64()
		y, errY := c.Float64()
		return ok && errX == nil && errY == nil && x == y
	}
	return false
}
