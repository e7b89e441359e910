package fanout

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"github.com/holdfast-go/holdfast/internal/filterpolicy"
)

// Filter says which messages a subscription lets through. Build one with Where:
//
//	fanout.Where("kind", fanout.Is("order", "refund")).
//		And("cents", fanout.AtLeast(1000)).
//		And("region", fanout.Not("us"))
//
// or take one that is written as JSON with FilterJSON. All keys must fit, and of a
// key's rules one. The zero Filter lets everything through. A Filter is a value and is
// safe for concurrent use; nothing that is wrong with it panics: Validate says what.
type Filter struct {
	text    string // from FilterJSON
	clauses []clause
}

// clause is what a filter says of one key, or the choices of an $or.
type clause struct {
	key   string
	rules []Rule
	inner *Filter
	or    []Filter
}

// Rule is one thing that a key's value may be.
type Rule struct{ values []any }

// FilterJSON is a filter policy as it is written in JSON. "" and {} let everything
// through.
func FilterJSON(policy string) Filter { return Filter{text: policy} }

// Where is a filter with one key, of which one of the rules must fit.
func Where(key string, rules ...Rule) Filter { return Filter{}.And(key, rules...) }

// And adds a key that must fit too. On a filter from FilterJSON it is an error that
// Validate tells.
func (f Filter) And(key string, rules ...Rule) Filter {
	return f.with(clause{key: key, rules: rules})
}

// In adds what must fit inside an object of the body. Only with OnBody.
func (f Filter) In(key string, inner Filter) Filter {
	return f.with(clause{key: key, inner: &inner})
}

// AndAnyOf adds choices of which one must fit (an $or): at least two.
func (f Filter) AndAnyOf(choices ...Filter) Filter {
	return f.with(clause{key: "$or", or: choices})
}

func (f Filter) with(c clause) Filter {
	f.clauses = append(slices.Clip(f.clauses), c)
	return f
}

// Is fits any of the values, exactly.
func Is(values ...string) Rule { return ruleOf(values) }

// IsNumber fits any of the numbers, between -1e9 and 1e9 with five decimals.
func IsNumber(values ...float64) Rule { return ruleOf(values) }

// IsBool fits a boolean of the body.
func IsBool(value bool) Rule { return Rule{[]any{value}} }

// IsNull fits a null of the body.
func IsNull() Rule { return Rule{[]any{nil}} }

// Prefix fits what begins so.
func Prefix(text string) Rule { return operation("prefix", text) }

// Suffix fits what ends so.
func Suffix(text string) Rule { return operation("suffix", text) }

// EqualFold fits the value in any case.
func EqualFold(text string) Rule { return operation("equals-ignore-case", text) }

// Wildcard fits a pattern in which * stands for any text, up to three times.
func Wildcard(pattern string) Rule { return operation("wildcard", pattern) }

// CIDR fits an IP address in the network, as in 10.0.0.0/24.
func CIDR(network string) Rule { return operation("cidr", network) }

// Exists fits any value that is neither null nor empty.
func Exists() Rule { return operation("exists", true) }

// Missing fits messages that lack the key, but have others.
func Missing() Rule { return operation("exists", false) }

// Not fits every value but these.
func Not(values ...string) Rule { return operation("anything-but", values) }

// NotNumber fits every number but these.
func NotNumber(values ...float64) Rule { return operation("anything-but", values) }

// NotPrefix fits what does not begin so.
func NotPrefix(text string) Rule { return operation("anything-but", map[string]any{"prefix": text}) }

// NotSuffix fits what does not end so.
func NotSuffix(text string) Rule { return operation("anything-but", map[string]any{"suffix": text}) }

// Above fits numbers above n.
func Above(n float64) Rule { return operation("numeric", []any{">", n}) }

// AtLeast fits n and numbers above it.
func AtLeast(n float64) Rule { return operation("numeric", []any{">=", n}) }

// Below fits numbers below n.
func Below(n float64) Rule { return operation("numeric", []any{"<", n}) }

// AtMost fits n and numbers below it.
func AtMost(n float64) Rule { return operation("numeric", []any{"<=", n}) }

// Between fits numbers from low to high, both included.
func Between(low, high float64) Rule {
	return operation("numeric", []any{">=", low, "<=", high})
}

func operation(word string, argument any) Rule { return Rule{[]any{map[string]any{word: argument}}} }

func ruleOf[T any](values []T) Rule {
	r := Rule{values: make([]any, len(values))}
	for i, v := range values {
		r.values[i] = v
	}
	return r
}

// JSON is the filter policy as SNS takes it, "" for one that lets everything
// through. What was built gives the same text each time.
func (f Filter) JSON() string {
	if len(f.clauses) == 0 {
		if filterpolicy.Empty(f.text) {
			return ""
		}
		return f.text
	}
	return string(f.append(nil))
}

// append writes the filter. encoding/json would sort the keys, and a key that
// stands twice has to be seen by Validate.
func (f Filter) append(b []byte) []byte {
	b = append(b, '{')
	for i, c := range f.clauses {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJSON(b, c.key), ':')
		switch {
		case c.inner != nil:
			b = c.inner.append(b)
		case c.or != nil:
			b = append(b, '[')
			for j, choice := range c.or {
				if j > 0 {
					b = append(b, ',')
				}
				b = choice.append(b)
			}
			b = append(b, ']')
		default:
			b = appendJSON(b, flatten(c.rules))
		}
	}
	return append(b, '}')
}

func flatten(rules []Rule) []any {
	all := []any{}
	for _, r := range rules {
		all = append(all, r.values...)
	}
	return all
}

// appendJSON writes v as JSON without escaping <, > and &, which are operators.
// Numbers that JSON has no word for become texts, which SNS refuses as rules.
func appendJSON(b []byte, v any) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(legible(v)) // strings, numbers and lists of these
	return append(b, bytes.TrimRight(out.Bytes(), "\n")...)
}

func legible(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
		return json.Number(strconv.FormatFloat(v, 'f', -1, 64))
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = legible(v[i])
		}
		return out
	case []float64:
		out := make([]any, len(v))
		for i := range v {
			out[i] = legible(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key := range v {
			out[key] = legible(v[key])
		}
		return out
	}
	return v
}
