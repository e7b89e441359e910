package snsserver

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The values of FilterPolicyScope.
const (
	scopeAttributes = "MessageAttributes"
	scopeBody       = "MessageBody"
)

// Limits of filter policies (AWS, "Filter policy constraints").
const (
	maxFilterSize   = 256 << 10 // bytes
	maxFilterKeys   = 5
	maxCombinations = 150
)

// filter is a filter policy, ready to match.
type filter struct {
	scope   string
	clauses []clause // all must hold
}

// clause is what a policy says of one key, or an $or of several policies.
type clause struct {
	path  string // a nested key's names are joined by dots, as in flattened bodies
	rules []rule // one must hold
	or    [][]clause
}

// operator is how a rule compares.
type operator uint8

const (
	opExact operator = iota
	opExists
	opPrefix
	opSuffix
	opFold
	opWildcard
	opNumeric
	opCIDR
	opAnythingBut
)

// rule is one element of a key's array.
type rule struct {
	op   operator
	want value        // opExact
	text string       // opPrefix, opSuffix, opFold
	yes  bool         // opExists
	wild wildcard     // opWildcard
	low  bound        // opNumeric
	high bound        // opNumeric
	net  netip.Prefix // opCIDR
	// but is what opAnythingBut excludes. perItem: an array matches by any item
	// that is not excluded, else only if none is.
	but     []rule
	perItem bool
}

// bound is one end of a numeric range.
type bound struct {
	set, inclusive bool
	n              int64
}

// operators is the words that introduce a rule. An $or with one of them as a key
// is a key of that name.
var operators = []string{"exists", "prefix", "suffix", "equals-ignore-case", "wildcard", "numeric", "cidr", "anything-but"}

// filterParser reads a policy and remembers how complex it is.
type filterParser struct {
	src    string
	scope  string
	nested bool
}

// parseFilter reads a filter policy. nil stands for one that lets everything
// pass. Errors are a problem in AWS's words.
func parseFilter(src, scope string) (*filter, error) {
	if len(src) > maxFilterSize {
		return nil, problem(fmt.Sprintf("FilterPolicy: Filter policy is too large: %d bytes, the limit is %d", len(src), maxFilterSize))
	}
	root, err := parseJSON(src)
	if err != nil || root.kind != isObject {
		return nil, problem("FilterPolicy: failed to parse JSON.")
	}
	if len(root.items) == 0 {
		return nil, nil //nolint:nilnil // an empty policy is no policy
	}
	p := &filterParser{src: src, scope: scope}
	clauses, combinations, err := p.object(&root, "", 1)
	switch {
	case err != nil:
		return nil, err
	case p.nested && scope == scopeAttributes:
		return nil, problem("Filter policy scope MessageAttributes does not support nested filter policy")
	case len(root.keys) > maxFilterKeys:
		return nil, problem("FilterPolicy: Filter policy can not have more than 5 keys")
	case combinations > maxCombinations:
		return nil, problem("FilterPolicy: Filter policy is too complex")
	}
	return &filter{scope: scope, clauses: clauses}, nil
}

// bad is a problem at a place of the source.
func (p *filterParser) bad(pos int, format string, args ...any) error {
	return problem("FilterPolicy: " + fmt.Sprintf(format, args...) + at(p.src, pos))
}

// object reads an object of keys. combinations is the product, over the keys, of
// the number of their rules and their depth; an $or is worth the sum of its
// choices.
func (p *filterParser) object(n *node, parent string, depth int) (clauses []clause, combinations int, err error) {
	combinations = 1
	times := func(factor int) { combinations = min(combinations*factor, maxCombinations+1) }
	for i, key := range n.keys {
		item := &n.items[i]
		path := key
		if parent != "" {
			path = parent + "." + key
		}
		switch {
		case key == "$or" && isOr(item):
			c := clause{}
			sum := 0
			for j := range item.items {
				choice, worth, err := p.object(&item.items[j], parent, depth)
				if err != nil {
					return nil, 0, err
				}
				c.or = append(c.or, choice)
				sum += worth
			}
			times(sum)
			clauses = append(clauses, c)
		case item.kind == isObject:
			p.nested = true
			if len(item.items) == 0 {
				return nil, 0, p.bad(item.end, "Empty objects are not allowed")
			}
			inner, worth, err := p.object(item, path, depth+1)
			if err != nil {
				return nil, 0, err
			}
			times(worth)
			clauses = append(clauses, inner...)
		case item.kind == isArray:
			if len(item.items) == 0 {
				return nil, 0, p.bad(item.end, "Empty arrays are not allowed")
			}
			c := clause{path: path}
			for j := range item.items {
				r, err := p.rule(&item.items[j])
				if err != nil {
					return nil, 0, err
				}
				c.rules = append(c.rules, r)
			}
			times(len(item.items) * depth)
			clauses = append(clauses, c)
		default:
			return nil, 0, p.bad(item.seen, "%q must be an object or an array", key)
		}
	}
	return clauses, combinations, nil
}

// isOr holds AWS's conditions for $or to be more than a name: an array of at
// least two objects, none of which uses a word that introduces a rule as a key.
func isOr(n *node) bool {
	if n.kind != isArray || len(n.items) < 2 {
		return false
	}
	for i := range n.items {
		choice := &n.items[i]
		if choice.kind != isObject || len(choice.keys) == 0 {
			return false
		}
		for _, key := range choice.keys {
			if slices.Contains(operators, key) {
				return false
			}
		}
	}
	return true
}

// rule reads an element of a key's array.
func (p *filterParser) rule(n *node) (rule, error) {
	switch n.kind {
	case isObject:
	case isArray:
		return rule{}, p.bad(n.seen, "Match value must be String, number, true, false, or null")
	default:
		return p.exact(n)
	}
	if len(n.items) == 0 {
		return rule{}, p.bad(n.end, "Empty objects are not allowed")
	}
	word, arg := n.keys[0], &n.items[0]
	r, err := p.operation(word, arg)
	if err == nil && len(n.items) > 1 {
		err = p.bad(n.items[1].seen, "Only one key allowed in match expression")
	}
	return r, err
}

func (p *filterParser) exact(n *node) (rule, error) {
	v := scalar(n)
	if n.kind == isNumber && !v.comparable {
		return rule{}, p.bad(n.seen, "Value must be between -1.0E9 and 1.0E9, inclusive")
	}
	return rule{want: v}, nil
}

func (p *filterParser) operation(word string, arg *node) (rule, error) {
	switch word {
	case "prefix":
		return p.textRule(opPrefix, word, arg)
	case "suffix":
		return p.textRule(opSuffix, word, arg)
	case "equals-ignore-case":
		return p.textRule(opFold, word, arg)
	case "wildcard":
		return p.wildcard(arg)
	case "exists":
		if arg.kind != isBool {
			return rule{}, p.bad(arg.seen, "exists match pattern must be either true or false.")
		}
		return rule{op: opExists, yes: arg.text == "true"}, nil
	case "numeric":
		return p.numeric(arg)
	case "cidr":
		return p.cidr(arg)
	case "anything-but":
		return p.anythingBut(arg)
	}
	return rule{}, p.bad(arg.seen, "Unrecognized match type %s", word)
}

func (p *filterParser) textRule(op operator, word string, arg *node) (rule, error) {
	if arg.kind != isString {
		return rule{}, p.bad(arg.seen, "%s match pattern must be a string", word)
	}
	return rule{op: op, text: arg.text}, nil
}

func (p *filterParser) wildcard(arg *node) (rule, error) {
	if arg.kind != isString {
		return rule{}, p.bad(arg.seen, "wildcard match pattern must be a string")
	}
	w, err := parseWildcard(arg.text)
	if err != nil {
		return rule{}, p.bad(arg.end, "%v", err)
	}
	return rule{op: opWildcard, wild: w}, nil
}

func (p *filterParser) cidr(arg *node) (rule, error) {
	if arg.kind != isString {
		return rule{}, p.bad(arg.seen, "prefix match pattern must be a string") // AWS's text is this one
	}
	ip, bits, ok := strings.Cut(arg.text, "/")
	if !ok || strings.Contains(bits, "/") {
		return rule{}, p.bad(arg.end, "Malformed CIDR, one '/' required")
	}
	if _, err := strconv.Atoi(bits); err != nil {
		return rule{}, p.bad(arg.end, "Malformed CIDR, mask bits must be an integer")
	}
	network, err := netip.ParsePrefix(arg.text)
	if err != nil {
		return rule{}, p.bad(arg.end, "Nonstandard IP address: %s", ip)
	}
	return rule{op: opCIDR, net: network}, nil
}

// anythingBut reads what is excluded: a value, a list of values, or a pattern.
func (p *filterParser) anythingBut(arg *node) (rule, error) {
	r := rule{op: opAnythingBut}
	add := func(n *node, read func(*node) (rule, error)) error {
		but, err := read(n)
		r.but = append(r.but, but)
		return err
	}
	each := func(n *node, read func(*node) (rule, error)) error {
		if n.kind != isArray {
			return add(n, read)
		}
		if len(n.items) == 0 {
			return p.bad(n.end, "Empty arrays are not allowed")
		}
		for i := range n.items {
			if err := add(&n.items[i], read); err != nil {
				return err
			}
		}
		return nil
	}
	if arg.kind != isObject {
		err := each(arg, func(n *node) (rule, error) {
			if n.kind != isString && n.kind != isNumber {
				return rule{}, p.bad(n.seen, "Inside anything but list, start|null|boolean is not supported.")
			}
			return p.exact(n)
		})
		r.perItem = !slices.ContainsFunc(r.but, func(b rule) bool { return b.want.kind != isNumber })
		return r, err
	}
	if len(arg.items) != 1 {
		return r, p.bad(arg.end, "Only one key allowed in match expression")
	}
	word, pattern := arg.keys[0], &arg.items[0]
	switch word {
	case "prefix", "suffix", "equals-ignore-case", "wildcard":
		return r, each(pattern, func(n *node) (rule, error) { return p.operation(word, n) })
	}
	return r, p.bad(pattern.seen, "Unsupported anything-but pattern: %s", word)
}

// numeric reads the operators and values of a range. Where it complains, and
// about what, follows AWS's parser token by token.
func (p *filterParser) numeric(arg *node) (rule, error) {
	r := rule{op: opNumeric}
	if arg.kind != isArray {
		return r, p.bad(arg.seen, "Value of numeric must be an array.")
	}
	// seen is how far the parser was at token i; behind the last it saw the bracket.
	seen := func(i int) int {
		if i < len(arg.items) {
			return arg.items[i].seen
		}
		return arg.end
	}
	shown := func(i int) string {
		if i < len(arg.items) {
			return p.src[arg.items[i].end-len(arg.items[i].text) : arg.items[i].end]
		}
		return "]"
	}
	number := func(i int, op string) (int64, error) {
		if op == "=" {
			op = "equals"
		}
		if i >= len(arg.items) || arg.items[i].kind != isNumber {
			return 0, p.bad(seen(i), "Value of %s must be numeric", op)
		}
		n, ok := fixed(arg.items[i].text)
		if !ok {
			return 0, p.bad(seen(i), "Value must be between -1.0E9 and 1.0E9, inclusive")
		}
		return n, nil
	}

	if len(arg.items) == 0 || arg.items[0].kind != isString {
		return r, p.bad(seen(0), "Invalid member in numeric match: %s", shown(0))
	}
	op := arg.items[0].text
	if !slices.Contains([]string{"=", "<", "<=", ">", ">="}, op) {
		return r, p.bad(seen(1), "Unrecognized numeric range operator: %s", op)
	}
	n, err := number(1, op)
	if err != nil {
		return r, err
	}
	b := bound{set: true, inclusive: op != "<" && op != ">", n: n}
	switch op[0] {
	case '=':
		r.low, r.high = b, b
	case '<':
		r.high = b
	case '>':
		r.low = b
	}
	if len(arg.items) == 2 {
		return r, nil
	}

	if op[0] != '>' {
		return r, p.bad(seen(2), "Too many elements in numeric expression")
	}
	if arg.items[2].kind != isString {
		return r, p.bad(seen(2), "Bad value in numeric range: %s", shown(2))
	}
	if op = arg.items[2].text; op != "<" && op != "<=" {
		return r, p.bad(arg.items[2].end, "Bad numeric range operator: %s", op)
	}
	if n, err = number(3, op); err != nil {
		return r, err
	}
	if n <= r.low.n {
		return r, p.bad(seen(4), "Bottom must be less than top")
	}
	if len(arg.items) > 4 {
		return r, p.bad(seen(4), "Too many terms in numeric range expression")
	}
	r.high = bound{set: true, inclusive: op == "<=", n: n}
	return r, nil
}
