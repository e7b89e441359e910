package snsserver

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// test is one condition of a statement: an operator, a key of the request's
// context and the values that satisfy it.
type test struct {
	operator string // as it is written
	key      string // as it is written
	values   []string

	match    func(pattern, s string) bool // nil for an operator that is not known
	not      bool
	ifExists bool
	null     bool
}

// matchers is the operators this server knows, without their negations. Those of
// dates, numbers and addresses say nothing about a delivery.
var matchers = map[string]func(pattern, s string) bool{
	"StringEquals":           func(pattern, s string) bool { return pattern == s },
	"StringEqualsIgnoreCase": strings.EqualFold,
	"StringLike":             matchWild,
	"ArnEquals":              matchARN, // AWS makes no difference between the two
	"ArnLike":                matchARN,
	"Bool":                   strings.EqualFold,
}

func newTest(operator, key string, values []string) test {
	t := test{operator: operator, key: key, values: values}
	name := operator
	if _, rest, ok := strings.Cut(operator, ":"); ok { // ForAnyValue:, ForAllValues: no key here has several values
		name = rest
	}
	name, t.ifExists = strings.CutSuffix(name, "IfExists")
	if name == "Null" {
		t.null = true
		return t
	}
	if t.match = matchers[name]; t.match == nil {
		name = strings.Replace(name, "Not", "", 1)
		t.match, t.not = matchers[name], true
	}
	return t
}

// holds evaluates the test. known is false for an operator this server does not
// know.
func (t *test) holds(context map[string]string) (holds, known bool) {
	value, present := context[strings.ToLower(t.key)]
	switch {
	case t.null:
		return slices.Contains(t.values, strconv.FormatBool(!present)), true
	case t.match == nil:
		return false, false
	case !present:
		return t.not || t.ifExists, true
	}
	return matchAny(t.values, value, t.match) != t.not, true
}

// miss says why the test does not hold.
func (t *test) miss(context map[string]string) string {
	wants := fmt.Sprintf("wants %s %s %s", t.key, t.operator, strings.Join(t.values, " or "))
	if value, present := context[strings.ToLower(t.key)]; present {
		return wants + ", it is " + value
	}
	return wants + ", the request does not have it"
}

// matchARN matches ARNs part by part: a wildcard does not go over a colon, but in
// the last part.
func matchARN(pattern, s string) bool {
	p, ok := splitARN(pattern)
	if !ok {
		return pattern == "*"
	}
	a, ok := splitARN(s)
	return ok && matchWild(p.partition, a.partition) && matchWild(p.service, a.service) && matchWild(p.region, a.region) &&
		matchWild(p.account, a.account) && matchWild(p.resource, a.resource)
}
