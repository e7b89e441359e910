package snsserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// policy is an access policy: of a queue or of a topic.
type policy struct {
	statements []statement
}

// statement is one statement of a policy.
type statement struct {
	sid       string
	allow     bool
	principal principals
	actions   []string
	notAction bool
	resources []string // none: the statement is for what it hangs on
	notRes    bool
	tests     []test
}

// name is how people find the statement.
func (st *statement) name(i int) string {
	if st.sid != "" {
		return fmt.Sprintf("statement %q", st.sid)
	}
	return fmt.Sprintf("statement %d", i+1)
}

// principals is whom a statement is about.
type principals struct {
	not       bool
	everybody bool
	services  []string
	accounts  []string // accounts, and ARNs of accounts and users
}

// texts reads what may be one string or a list of them. Booleans and numbers are
// taken as they are written, as conditions allow.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	var many []json.RawMessage
	if err := json.Unmarshal(b, &many); err != nil {
		many = []json.RawMessage{b}
	}
	for _, one := range many {
		var s string
		if err := json.Unmarshal(one, &s); err != nil {
			s = string(one)
			if s == "null" || s == "" || s[0] == '{' || s[0] == '[' {
				return fmt.Errorf("want a string or a list of strings, not %.50s", s)
			}
		}
		*t = append(*t, s)
	}
	return nil
}

// wireStatement is a statement as it is written.
type wireStatement struct {
	Sid          string
	Effect       string
	Principal    json.RawMessage
	NotPrincipal json.RawMessage
	Action       texts
	NotAction    texts
	Resource     texts
	NotResource  texts
	Condition    map[string]map[string]texts
}

// parsePolicy reads the policy document of a queue or a topic.
func parsePolicy(document string) (*policy, error) { return parseDocument(document, false) }

// parseDocument reads a policy document. Those of identities name resources and no
// principal.
func parseDocument(document string, ofIdentity bool) (*policy, error) {
	var wire struct {
		Statement json.RawMessage
	}
	if err := json.Unmarshal([]byte(document), &wire); err != nil {
		return nil, fmt.Errorf("the document cannot be read: %w", err)
	}
	var many []wireStatement
	if err := json.Unmarshal(wire.Statement, &many); err != nil {
		var one wireStatement
		if json.Unmarshal(wire.Statement, &one) != nil {
			return nil, fmt.Errorf("the document's Statement cannot be read: %w", err)
		}
		many = []wireStatement{one}
	}
	p := &policy{}
	var problems []error
	for i := range many {
		st, err := many[i].compile(ofIdentity)
		if err != nil {
			problems = append(problems, fmt.Errorf("statement %d: %w", i+1, err))
		}
		p.statements = append(p.statements, st)
	}
	return p, errors.Join(problems...)
}

func (w *wireStatement) compile(ofIdentity bool) (statement, error) {
	st := statement{sid: w.Sid}
	switch w.Effect {
	case "Allow":
		st.allow = true
	case "Deny":
	default:
		return st, fmt.Errorf("effect %.20q is neither Allow nor Deny", w.Effect)
	}
	raw := w.Principal
	if raw == nil {
		raw, st.principal.not = w.NotPrincipal, true
	}
	switch {
	case !ofIdentity:
		if err := st.principal.read(raw); err != nil {
			return st, err
		}
	case raw != nil:
		return st, errors.New("it names a Principal, which is for the policies of queues and topics")
	default:
		st.principal = principals{everybody: true}
	}
	st.actions = w.Action
	if st.actions == nil {
		st.actions, st.notAction = w.NotAction, true
	}
	if len(st.actions) == 0 {
		return st, errors.New("it names no Action")
	}
	st.resources = w.Resource
	if st.resources == nil {
		st.resources, st.notRes = w.NotResource, w.NotResource != nil
	}
	if ofIdentity && len(st.resources) == 0 {
		return st, errors.New("it names no Resource")
	}
	for _, operator := range sortedKeys(w.Condition) {
		for _, key := range sortedKeys(w.Condition[operator]) {
			st.tests = append(st.tests, newTest(operator, key, w.Condition[operator][key]))
		}
	}
	return st, nil
}

func (p *principals) read(raw json.RawMessage) error {
	if raw == nil {
		return errors.New("it names no Principal")
	}
	var star string
	if json.Unmarshal(raw, &star) == nil {
		p.everybody = star == "*"
		if !p.everybody {
			return fmt.Errorf("principal %.50q is not *", star)
		}
		return nil
	}
	var by map[string]texts
	if err := json.Unmarshal(raw, &by); err != nil {
		return fmt.Errorf("its Principal cannot be read: %w", err)
	}
	p.services, p.accounts = by["Service"], by["AWS"]
	p.everybody = slices.Contains(p.accounts, "*") || slices.Contains(p.services, "*")
	return nil
}

// covers tells whether a statement is about who asks.
func (p *principals) covers(who requester) bool {
	found := p.everybody
	for _, service := range p.services {
		found = found || who.service != "" && service == who.service
	}
	for _, name := range p.accounts {
		a, isARN := splitARN(name)
		switch {
		case who.account == "":
		case name == who.account, name == who.principal, isARN && a.resource == "root" && a.account == who.account:
			found = true
		}
	}
	return found != p.not
}

// requester is who asks for permission, and the context that conditions look at:
// keys in lower case.
type requester struct {
	service   string // sns.amazonaws.com
	account   string // of users
	principal string // ARN of users
	context   map[string]string
}

// verdict is the result of asking a policy: why tells what decided, or for a
// refusal how near the statements came.
type verdict struct {
	allowed bool
	denied  bool // by a Deny, which no other policy can overrule
	why     string
}

// ask evaluates a policy, for the resource it hangs on: a Deny that fits decides,
// then an Allow that fits.
func (p *policy) ask(who requester, action, resource string) verdict {
	var misses []string
	allowed := ""
	for i := range p.statements {
		st := &p.statements[i]
		miss := st.miss(who, action, resource)
		switch {
		case miss != "":
			misses = append(misses, st.name(i)+" "+miss)
		case !st.allow:
			return verdict{denied: true, why: st.name(i) + " denies it"}
		case allowed == "":
			allowed = st.name(i) + " allows it"
		}
	}
	switch {
	case allowed != "":
		return verdict{allowed: true, why: allowed}
	case len(misses) == 0:
		return verdict{why: "it has no statements"}
	}
	return verdict{why: strings.Join(misses, "; ")}
}

// miss says why a statement is not about the request, "" if it is.
func (st *statement) miss(who requester, action, resource string) string {
	switch {
	case !st.principal.covers(who):
		return "is for another Principal"
	case matchAny(st.actions, action, matchFold) == st.notAction:
		return "is for another Action than " + action
	case len(st.resources) > 0 && matchAny(st.resources, resource, matchWild) == st.notRes:
		return "is for another Resource than " + resource
	}
	for i := range st.tests {
		holds, known := st.tests[i].holds(who.context)
		if !known && st.allow {
			return "has the condition " + st.tests[i].operator + ", which this server does not know"
		}
		if known && !holds {
			return st.tests[i].miss(who.context)
		}
	}
	return ""
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

// policyOf reads a policy document, which the server remembers: it is asked once
// per delivery.
func (s *Server) policyOf(document string) (*policy, error) {
	if p, ok := s.policies[document]; ok {
		return p, nil
	}
	p, err := parsePolicy(document)
	if err != nil {
		return nil, err
	}
	if len(s.policies) >= 1000 { // policies that nobody has any more are among them
		clear(s.policies)
	}
	s.policies[document] = p
	return p, nil
}
