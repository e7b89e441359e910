package snsserver

import (
	"fmt"
	"net/netip"
	"strings"
)

// value is one value of a message that rules are held against.
type value struct {
	kind       kind
	text       string
	n          int64 // a number with its five decimals
	comparable bool  // whether n holds it
}

// scalar is the value of a string, a number, a boolean or null.
func scalar(n *node) value {
	v := value{kind: n.kind, text: n.text}
	if n.kind == isNumber {
		v.n, v.comparable = fixed(n.text)
	}
	return v
}

func (v value) equals(w value) bool {
	switch {
	case v.kind != w.kind:
		return false
	case v.kind == isNumber:
		return v.comparable && w.comparable && v.n == w.n
	}
	return v.text == w.text
}

// String is the value as a policy would write it.
func (v value) String() string {
	if v.kind == isString {
		return fmt.Sprintf("%q", v.text)
	}
	return v.text
}

// fields is what a message has to match: the values of its attributes by their
// names, or those in its body by their path.
type fields map[string][]value

// attributeFields is the fields of message attributes: of String, String.Array
// and Number, but not of Binary.
func attributeFields(attrs []attribute) fields {
	f := make(fields, len(attrs))
	for i := range attrs {
		a := &attrs[i]
		switch a.kind() {
		case "Number":
			v := value{kind: isNumber, text: a.text}
			v.n, v.comparable = fixed(a.text)
			f[a.name] = []value{v}
		case "String":
			f[a.name] = a.strings()
		}
	}
	return f
}

// strings is the values of an attribute of type String or String.Array. Policies
// over attributes write quotes and backslashes escaped (AWS, "Filter policy
// constraints": "you must double-escape").
func (a *attribute) strings() []value {
	if a.dataType == "String.Array" {
		if list, err := parseJSON(a.text); err == nil && list.kind == isArray {
			values := make([]value, 0, len(list.items))
			for i := range list.items {
				if list.items[i].kind < isArray {
					v := scalar(&list.items[i])
					v.text = escaper.Replace(v.text)
					values = append(values, v)
				}
			}
			return values
		}
	}
	return []value{{kind: isString, text: escaper.Replace(a.text)}}
}

var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// bodyFields is the fields of a body, nil when it is no JSON object. The values in
// an array, and in the objects of one, are values of the array's path.
func bodyFields(body string) fields {
	root, err := parseJSON(body)
	if err != nil || root.kind != isObject {
		return nil
	}
	f := make(fields)
	f.flatten(&root, "")
	return f
}

func (f fields) flatten(n *node, path string) {
	switch n.kind {
	case isObject:
		for i, key := range n.keys {
			inner := key
			if path != "" {
				inner = path + "." + key
			}
			f.flatten(&n.items[i], inner)
		}
	case isArray:
		if _, there := f[path]; !there {
			f[path] = nil // an empty array is there, and has no values
		}
		for i := range n.items {
			f.flatten(&n.items[i], path)
		}
	default:
		f[path] = append(f[path], scalar(n))
	}
}

// match says why a message does not pass, "" if it does.
func (f *filter) match(of fields) (miss string) {
	switch {
	case of == nil:
		return "the body is no JSON object"
	case len(of) == 0: // not even an exists of false holds then
		return "the message has nothing that the policy could match"
	}
	return matchAll(f.clauses, of)
}

func matchAll(clauses []clause, of fields) (miss string) {
	for i := range clauses {
		if miss := clauses[i].match(of); miss != "" {
			return miss
		}
	}
	return ""
}

func (c *clause) match(of fields) (miss string) {
	if c.or != nil {
		var misses []string
		for _, choice := range c.or {
			miss := matchAll(choice, of)
			if miss == "" {
				return ""
			}
			misses = append(misses, miss)
		}
		return "no choice of $or holds: " + strings.Join(misses, "; ")
	}
	values, present := of[c.path]
	for i := range c.rules {
		if c.rules[i].match(values, present) {
			return ""
		}
	}
	switch {
	case !present:
		return fmt.Sprintf("%q is missing", c.path)
	case len(values) == 1:
		return fmt.Sprintf("%q is %v and fits none of %d values", c.path, values[0], len(c.rules))
	}
	return fmt.Sprintf("%q is %v and fits none of %d values", c.path, values, len(c.rules))
}

// match holds a rule against all values of a key.
func (r *rule) match(values []value, present bool) bool {
	switch r.op {
	case opExists:
		if !r.yes {
			return !present
		}
		for i := range values { // "a non-null and non-empty value"
			if values[i].kind != isNull && values[i].text != "" {
				return true
			}
		}
		return false
	case opAnythingBut:
		return r.matchBut(values)
	}
	for i := range values {
		if r.fits(&values[i]) {
			return true
		}
	}
	return false
}

// matchBut holds an anything-but against all values of a key. AWS documents that
// an array passes a list of strings if none of its items is listed ("String value
// matching"), and a list of numbers if any is not ("Numeric value matching").
func (r *rule) matchBut(values []value) bool {
	for i := range values {
		excluded := false
		for j := range r.but {
			excluded = excluded || r.but[j].fits(&values[i])
		}
		if excluded != r.perItem {
			return r.perItem
		}
	}
	return len(values) > 0 && !r.perItem
}

// fits holds a rule against one value.
func (r *rule) fits(v *value) bool {
	switch r.op {
	case opExact:
		return r.want.equals(*v)
	case opNumeric:
		return v.kind == isNumber && v.comparable && r.low.below(v.n) && r.high.above(v.n)
	}
	if v.kind != isString {
		return false
	}
	switch r.op {
	case opPrefix:
		return strings.HasPrefix(v.text, r.text)
	case opSuffix:
		return strings.HasSuffix(v.text, r.text)
	case opFold:
		return strings.EqualFold(v.text, r.text)
	case opWildcard:
		return r.wild.match(v.text)
	case opCIDR:
		ip, err := netip.ParseAddr(v.text)
		return err == nil && r.net.Contains(ip)
	}
	return false
}

func (b *bound) below(n int64) bool { return !b.set || b.n < n || b.inclusive && b.n == n }
func (b *bound) above(n int64) bool { return !b.set || n < b.n || b.inclusive && b.n == n }
