// Package filterpolicy reads the filter policies of SNS subscriptions: what SNS would
// refuse in them, and what a message looks like that they let through.
package filterpolicy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Limits of filter policies [SNS, "Filter policy constraints"].
const (
	maxFilterKeys         = 5
	maxFilterCombinations = 150
	maxFilterBytes        = 256 << 10
	maxFilterNumber       = 1e9
)

var errTrailing = errors.New("more after the end of the value")

// node is a JSON value with the keys of objects in order, and those that stand
// twice not lost.
type node struct {
	keys  []string
	items []node // of an object or a list
	value any    // json.Delim('{'), json.Delim('['), string, json.Number, bool, nil
}

func (n *node) is(d json.Delim) bool { return n.value == d }

// readNode reads one JSON value.
func readNode(text string) (n node, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if n, err = nextNode(d); err == nil && d.More() {
		err = errTrailing
	}
	return n, err
}

func nextNode(d *json.Decoder) (n node, err error) {
	if n.value, err = d.Token(); err != nil {
		return n, err
	}
	open, isDelim := n.value.(json.Delim)
	if !isDelim {
		return n, nil
	}
	for d.More() {
		if open == '{' {
			key, err := d.Token()
			if err != nil {
				return n, err
			}
			n.keys = append(n.keys, key.(string)) // the decoder takes nothing else
		}
		item, err := nextNode(d)
		if err != nil {
			return n, err
		}
		n.items = append(n.items, item)
	}
	_, err = d.Token()
	return n, err
}

// Problem is one thing that is wrong with a policy.
type Problem struct {
	Value any
	Bound string
}

// Check finds what SNS would refuse in a policy, and what would let no message
// through. "" is no policy. onBody is the scope MessageBody; carries, where it is not
// nil, are the attributes that messages may have.
func Check(policy string, onBody bool, carries []string) []Problem {
	c := &check{onBody: onBody, carries: carries}
	c.policy(policy)
	return c.problems
}

type check struct {
	onBody   bool
	carries  []string
	problems []Problem
}

func (c *check) bad(value any, format string, args ...any) {
	c.problems = append(c.problems, Problem{value, fmt.Sprintf(format, args...)})
}

func (c *check) policy(text string) {
	if text == "" {
		return
	}
	if len(text) > maxFilterBytes {
		c.bad(len(text), "at most %d bytes", maxFilterBytes)
		return
	}
	root, err := readNode(text)
	if err != nil || !root.is('{') {
		c.bad(text, "a JSON object")
		return
	}
	if len(root.keys) > maxFilterKeys {
		c.bad(len(root.keys), "at most %d keys", maxFilterKeys)
	}
	if n := c.object(&root, 1); n > maxFilterCombinations {
		c.bad(n, "at most %d combinations of values", maxFilterCombinations)
	}
}

// object returns how many combinations an object is worth: the product, over its
// keys, of their rules and their depth.
func (c *check) object(n *node, depth int) int {
	worth := 1
	if len(n.keys) == 0 {
		c.bad("{}", "an object with a key")
	}
	for i, key := range n.keys {
		item := &n.items[i]
		if slices.Contains(n.keys[:i], key) {
			c.bad(key, "each key once")
		}
		factor := 1
		switch {
		case key == "$or" && item.is('[') && !slices.ContainsFunc(item.items, func(n node) bool { return !n.is('{') }):
			if len(item.items) < 2 {
				c.bad(key, "at least two choices")
			}
			factor = 0
			for j := range item.items {
				factor += c.object(&item.items[j], depth)
			}
		case item.is('{'):
			if !c.onBody {
				c.bad(key, "a list of rules: only OnBody may look inside objects")
			}
			factor = c.object(item, depth+1)
		case item.is('['):
			if len(item.items) == 0 {
				c.bad(key, "at least one rule")
			}
			if !c.onBody && c.carries != nil && !slices.Contains(c.carries, key) && !slices.ContainsFunc(item.items, isMissing) {
				c.bad(key, "one of the topic's Carries (%s): no message has it, so none would pass", strings.Join(c.carries, ", "))
			}
			for j := range item.items {
				c.rule(key, &item.items[j])
			}
			factor = len(item.items) * depth
		default:
			c.bad(key, "a list of rules")
		}
		worth = min(worth*max(factor, 1), 1_000_000)
	}
	return worth
}

func isMissing(n node) bool {
	return n.is('{') && len(n.keys) == 1 && n.keys[0] == "exists" && n.items[0].value == false
}

// rule looks at one rule of a key.
func (c *check) rule(key string, n *node) {
	if n.is('[') {
		c.bad(key, "rules that are texts, numbers, true, false, null or an operator")
		return
	}
	if !n.is('{') {
		c.number(key, n)
		return
	}
	if len(n.keys) != 1 {
		c.bad(key, "one operator in each rule")
		return
	}
	word, arg := n.keys[0], &n.items[0]
	switch word {
	case "exists":
		if _, ok := arg.value.(bool); !ok {
			c.bad(key, "exists with true or false")
		}
	case "prefix", "suffix", "equals-ignore-case":
		c.text(key, word, arg)
	case "wildcard":
		if s := c.text(key, word, arg); strings.Count(s, "*") > 3 || strings.Contains(s, "**") {
			c.bad(key, "a wildcard with at most 3 *, none next to another")
		}
	case "cidr":
		if _, err := netip.ParsePrefix(c.text(key, word, arg)); err != nil {
			c.bad(key, "cidr with a network as in 10.0.0.0/24")
		}
	case "numeric":
		if low, high, ok := numericRange(arg); !ok || low >= high && len(arg.items) > 2 {
			c.bad(key, `numeric with [op, number] or [">" or ">=", low, "<" or "<=", high], low below high`)
		}
		for i := range arg.items {
			c.number(key, &arg.items[i])
		}
	case "anything-but":
		c.anythingBut(key, arg)
	default:
		c.bad(key, "an operator that SNS knows, not %q", word)
	}
}

func (c *check) text(key, word string, n *node) string {
	s, ok := n.value.(string)
	if !ok {
		c.bad(key, "%s with a text", word)
	}
	return s
}

func (c *check) number(key string, n *node) {
	if v, ok := n.value.(json.Number); ok {
		if f, err := v.Float64(); err != nil || f < -maxFilterNumber || f > maxFilterNumber {
			c.bad(key, "numbers from -1e9 to 1e9")
		}
	}
}

func (c *check) anythingBut(key string, n *node) {
	if n.is('{') && len(n.keys) == 1 && slices.Contains([]string{"prefix", "suffix", "equals-ignore-case", "wildcard"}, n.keys[0]) {
		return
	}
	list := []node{*n}
	if n.is('[') {
		list = n.items
	}
	ok := len(list) > 0
	for i := range list {
		switch list[i].value.(type) {
		case string, json.Number:
			c.number(key, &list[i])
		default:
			ok = false
		}
	}
	if !ok {
		c.bad(key, "anything-but with texts, numbers, or a prefix, suffix, equals-ignore-case or wildcard")
	}
}

// numericRange reads the argument of numeric: the lowest and the highest number
// that are meant, as far as they are.
func numericRange(n *node) (low, high float64, ok bool) {
	low, high = -maxFilterNumber, maxFilterNumber
	if !n.is('[') || len(n.items) != 2 && len(n.items) != 4 {
		return low, high, false
	}
	for i := 0; i < len(n.items); i += 2 {
		op, isText := n.items[i].value.(string)
		number, isNumber := n.items[i+1].value.(json.Number)
		f, err := strconv.ParseFloat(string(number), 64)
		if !isText || !isNumber || err != nil {
			return low, high, false
		}
		switch upper := op == "<" || op == "<="; {
		case op == "=" && len(n.items) == 2:
			low, high = f, f
		case upper && (i == 2 || len(n.items) == 2):
			high = f
		case (op == ">" || op == ">=") && i == 0:
			low = f
		default:
			return low, high, false
		}
	}
	return low, high, true
}

// Empty tells whether a policy lets everything through: "" and {}.
func Empty(policy string) bool {
	if policy == "" {
		return true
	}
	n, err := readNode(policy)
	return err == nil && n.is('{') && len(n.keys) == 0
}

// Same tells whether two policies are the same but for spaces, the order of keys and
// how a number is written: 1.0 is 1. A number is not a text in them.
func Same(a, b string) bool {
	if a == b || Empty(a) && Empty(b) {
		return true
	}
	x, errX := readNode(a)
	y, errY := readNode(b)
	return errX == nil && errY == nil && same(&x, &y)
}

func sameValue(a, b any) bool {
	x, isNumber := a.(json.Number)
	y, both := b.(json.Number)
	if !isNumber || !both {
		return a == b
	}
	f, errF := x.Float64()
	g, errG := y.Float64()
	return x == y || errF == nil && errG == nil && f == g
}

func same(a, b *node) bool {
	if !sameValue(a.value, b.value) || len(a.items) != len(b.items) {
		return false
	}
	for i := range a.items {
		j := i
		if a.is('{') {
			if j = slices.Index(b.keys, a.keys[i]); j < 0 {
				return false
			}
		}
		if !same(&a.items[i], &b.items[j]) {
			return false
		}
	}
	return true
}
