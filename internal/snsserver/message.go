package snsserver

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// attribute is one message attribute. A message keeps them sorted by name.
type attribute struct {
	name     string
	dataType string
	text     string // all types but Binary
	binary   []byte
}

// kind is the type without its label: String, Number or Binary.
func (a *attribute) kind() string {
	kind, _, _ := strings.Cut(a.dataType, ".")
	return kind
}

func (a *attribute) size() int {
	return len(a.name) + len(a.dataType) + len(a.text) + len(a.binary)
}

// message is what was published to a topic, or a confirmation that SNS sends. It
// does not change once it is under way.
type message struct {
	typ        string // Notification or SubscriptionConfirmation
	id         string
	sequence   string // FIFO topics only
	topic      *topic
	body       string // for SQS, where the publisher gave several
	subject    string
	attributes []attribute
	group      string
	dedup      string
	trace      string
	token      string // of a confirmation
	at         time.Time

	signature  string // once it was asked for
	attrFields fields // once a filter asked for them
	bodyFields fields
	bodyParsed bool
}

// fields is what a filter of that scope looks at.
func (m *message) fields(scope string) fields {
	if scope == scopeAttributes {
		if m.attrFields == nil {
			m.attrFields = attributeFields(m.attributes)
		}
		return m.attrFields
	}
	if !m.bodyParsed {
		m.bodyFields, m.bodyParsed = bodyFields(m.body), true
	}
	return m.bodyFields
}

// readAttributes checks message attributes as SNS does and sorts them by name.
// place begins the name that AWS gives a missing type: that of the entry.
func readAttributes(in []wireAttribute, place string) ([]attribute, *Error) {
	var out []attribute
	for i := range in {
		a, err := readAttribute(&in[i], place)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b attribute) int { return cmp.Compare(a.name, b.name) })
	for i := 1; i < len(out); i++ {
		if out[i].name == out[i-1].name {
			return nil, errParameterValue.with("The message attribute '%s' is given twice.", out[i].name)
		}
	}
	return out, nil
}

func readAttribute(in *wireAttribute, place string) (attribute, *Error) {
	a := attribute{name: in.name, dataType: in.dataType, text: in.text, binary: in.binary}
	if problem := nameProblem(in.name); problem != "" {
		return a, errParameterValue.with("%s", problem)
	}
	if !in.hasType {
		return a, errValidation.with("1 validation error detected: Value null at '%smessageAttributes.%s.member.dataType' failed to satisfy constraint: Member must not be null", place, in.name)
	}
	kind, label, labelled := strings.Cut(in.dataType, ".")
	empty := errParameterValue.with("The message attribute '%s' must contain non-empty message attribute value for message attribute type '%s'.", in.name, in.dataType)
	field := "String"
	given := in.hasText
	switch kind {
	case "Binary":
		field, given = "Binary", in.hasBytes
	case "String", "Number":
	default:
		return a, errParameterValue.with("The message attribute '%s' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", in.name)
	}
	switch {
	case labelled && label == "" || len(in.dataType) > maxAttributeName:
		return a, errParameterValue.with("The message attribute '%s' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", in.name)
	case !in.hasText && !in.hasBytes:
		return a, empty
	case !given || in.hasText && in.hasBytes:
		return a, errParameterValue.with("The message attribute '%s' with type '%s' must use field '%s'.", in.name, in.dataType, field)
	case a.text == "" && len(a.binary) == 0:
		return a, empty
	}
	if r, bad := badCharacter(a.text); bad {
		return a, errParameterValue.with("Invalid character '#x%X' was found in the message attribute '%s'.", r, in.name)
	}
	if kind == "Number" && !decimal(a.text) {
		return a, errParameterValue.with("Could not cast message attribute '%s' value to number.", in.name)
	}
	return a, nil
}

// decimal tells whether s is a number as people write it: ParseFloat takes NaN
// and hexadecimals as well.
func decimal(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return (err == nil || errors.Is(err, strconv.ErrRange)) && strings.Trim(s, "+-.eE0123456789") == ""
}

// badCharacter finds the first character that SNS and SQS refuse:
// all but #x9 | #xA | #xD | #x20-#xD7FF | #xE000-#xFFFD | #x10000-#x10FFFF.
func badCharacter(s string) (rune, bool) {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1, r < 0x20 && r != '\t' && r != '\n' && r != '\r', r == 0xFFFE, r == 0xFFFF:
			return r, true
		}
		i += n
	}
	return 0, false
}
