package sqsserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// policy is an access policy: that of a queue, or one bound to an access key.
type policy struct{ statements []statement }

// statement is one statement of a policy.
type statement struct {
	allow      bool
	principals principals
	actions    []string
	notActions bool
	resources  []string // none: whatever the policy hangs on
	notRes     bool
	conditions []condition
}

// principals is whom a statement of a queue's policy is about.
type principals struct {
	not       bool
	everybody bool
	accounts  []string // accounts, and ARNs of accounts and users
}

// condition is an operator, a key of the request's context and the values that
// satisfy it.
type condition struct {
	key      string // in lower case
	values   []string
	match    func(pattern, s string) bool // nil for an operator that is not known
	not      bool
	ifExists bool
	null     bool
}

// texts reads what may be one string or a list of them.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	var many []json.RawMessage
	if json.Unmarshal(b, &many) != nil {
		many = []json.RawMessage{b}
	}
	for _, one := range many {
		var s string
		if json.Unmarshal(one, &s) != nil {
			s = string(one) // booleans and numbers stand for their text
			if s == "" || s == "null" || s[0] == '{' || s[0] == '[' {
				return fmt.Errorf("%.50s is neither a string nor a list of strings", s)
			}
		}
		*t = append(*t, s)
	}
	return nil
}

// wireStatement is a statement as it is written.
type wireStatement struct {
	Effect       string
	Principal    json.RawMessage
	NotPrincipal json.RawMessage
	Action       texts
	NotAction    texts
	Resource     texts
	NotResource  texts
	Condition    map[string]map[string]texts
}

// parsePolicy reads a policy document. Statements of a queue's policy name a
// principal; those of an identity's do not.
func parsePolicy(document string, ofQueue bool) (*policy, error) {
	var wire struct{ Statement json.RawMessage }
	if err := json.Unmarshal([]byte(document), &wire); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	var many []wireStatement
	if err := json.Unmarshal(wire.Statement, &many); err != nil {
		var one wireStatement
		if json.Unmarshal(wire.Statement, &one) != nil {
			return nil, fmt.Errorf("policy: Statement: %w", err)
		}
		many = []wireStatement{one}
	}
	p := &policy{statements: make([]statement, len(many))}
	var problems []error
	for i := range many {
		if err := many[i].compile(&p.statements[i], ofQueue); err != nil {
			problems = append(problems, fmt.Errorf("policy: statement %d: %w", i+1, err))
		}
	}
	return p, errors.Join(problems...)
}

func (w *wireStatement) compile(st *statement, ofQueue bool) error {
	if w.Effect != "Allow" && w.Effect != "Deny" {
		return fmt.Errorf("effect %.20q is neither Allow nor Deny", w.Effect)
	}
	st.allow = w.Effect == "Allow"
	if ofQueue {
		if err := st.principals.read(w.Principal, w.NotPrincipal); err != nil {
			return err
		}
	} else if w.Principal != nil || w.NotPrincipal != nil {
		return errors.New("it names a Principal, which is for the policies of queues")
	}
	if st.actions = w.Action; st.actions == nil {
		st.actions, st.notActions = w.NotAction, true
	}
	if len(st.actions) == 0 {
		return errors.New("it names no Action")
	}
	if st.resources = w.Resource; st.resources == nil {
		st.resources, st.notRes = w.NotResource, w.NotResource != nil
	}
	if !ofQueue && len(st.resources) == 0 {
		return errors.New("it names no Resource")
	}
	for operator, keys := range w.Condition {
		for key, values := range keys {
			st.conditions = append(st.conditions, newCondition(operator, key, values))
		}
	}
	return nil
}

func (p *principals) read(is, isNot json.RawMessage) error {
	raw := is
	if raw == nil {
		raw, p.not = isNot, true
	}
	if raw == nil {
		return errors.New("it names no Principal")
	}
	var star string
	if json.Unmarshal(raw, &star) == nil {
		if p.everybody = star == "*"; !p.everybody {
			return fmt.Errorf("principal %.50q is not *", star)
		}
		return nil
	}
	var by map[string]texts
	if err := json.Unmarshal(raw, &by); err != nil {
		return fmt.Errorf("principal: %w", err)
	}
	p.accounts = by["AWS"]
	p.everybody = slices.Contains(p.accounts, "*")
	return nil
}

func (p *principals) covers(id identity) bool {
	found := p.everybody
	for _, name := range p.accounts {
		parts := strings.SplitN(name, ":", 6)
		switch {
		case name == id.account, name == id.principal():
			found = true
		case len(parts) == 6 && parts[2] == "iam" && parts[4] == id.account && parts[5] == "root":
			found = true
		}
	}
	return found != p.not
}

// matchers is the operators known, without their negations. Those of dates,
// numbers and addresses never hold for an Allow and always for a Deny.
var matchers = map[string]func(pattern, s string) bool{
	"StringEquals":           func(pattern, s string) bool { return pattern == s },
	"StringEqualsIgnoreCase": strings.EqualFold,
	"StringLike":             matchWild,
	"ArnEquals":              matchWild,
	"ArnLike":                matchWild,
	"Bool":                   strings.EqualFold,
}

func newCondition(operator, key string, values []string) condition {
	c := condition{key: strings.ToLower(key), values: values}
	name := operator
	if _, rest, ok := strings.Cut(operator, ":"); ok { // ForAnyValue:, ForAllValues: no key here has several values
		name = rest
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	if c.null = name == "Null"; c.null {
		return c
	}
	if c.match = matchers[name]; c.match == nil {
		c.match, c.not = matchers[strings.Replace(name, "Not", "", 1)], true
	}
	return c
}

func (c *condition) holds(context map[string]string, allow bool) bool {
	value, present := context[c.key]
	switch {
	case c.null:
		return slices.Contains(c.values, strconv.FormatBool(!present))
	case c.match == nil:
		return !allow
	case !present:
		return c.not || c.ifExists
	}
	return matchAny(c.values, value, c.match) != c.not
}

// ask evaluates a policy: denied by a Deny that fits, which nothing overrules,
// else allowed by an Allow that fits.
func (p *policy) ask(id identity, ofQueue bool, action, resource string) (allowed, denied bool) {
	if p == nil {
		return false, false
	}
	context := map[string]string{
		"aws:principalaccount": id.account,
		"aws:principalarn":     id.principal(),
		"aws:securetransport":  "true",
	}
	for i := range p.statements {
		st := &p.statements[i]
		switch {
		case ofQueue && !st.principals.covers(id),
			matchAny(st.actions, "sqs:"+action, matchFold) == st.notActions,
			len(st.resources) > 0 && matchAny(st.resources, resource, matchWild) == st.notRes,
			slices.ContainsFunc(st.conditions, func(c condition) bool { return !c.holds(context, st.allow) }):
		case st.allow:
			allowed = true
		default:
			return false, true
		}
	}
	return allowed, false
}

func matchAny(patterns []string, s string, match func(pattern, s string) bool) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return match(pattern, s) })
}

func matchFold(pattern, s string) bool {
	return matchWild(strings.ToLower(pattern), strings.ToLower(s))
}

// matchWild matches with * for any text and ? for any one byte.
func matchWild(pattern, s string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case i < len(pattern) && (pattern[i] == '?' || pattern[i] == s[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}
