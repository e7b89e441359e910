package sqsserver

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// attribute is one message attribute. A message keeps them sorted by name.
type attribute struct {
	name     string
	dataType string
	text     string // String and Number
	binary   []byte // Binary
	isBinary bool
}

func (a *attribute) size() int {
	return len(a.name) + len(a.dataType) + len(a.text) + len(a.binary)
}

// readAttributes checks message attributes and sorts them by name.
func readAttributes(in map[string]attributeValue) ([]attribute, *Error) {
	if len(in) > maxAttributes {
		return nil, errParameter.with("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(in), maxAttributes)
	}
	var out []attribute
	for name, v := range in {
		if !validAttributeName(name) {
			return nil, errParameter.with("The message attribute name '%s' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore (_), hyphen (-), and period (.) characters, up to 256 of them, must not start with AWS. or Amazon., and must not begin, end or repeat a period.", name)
		}
		a, err := readAttribute(name, v)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b attribute) int { return cmp.Compare(a.name, b.name) })
	return out, nil
}

func readAttribute(name string, v attributeValue) (attribute, *Error) {
	a := attribute{name: name, dataType: v.DataType}
	kind, label, _ := strings.Cut(v.DataType, ".")
	empty := func() *Error {
		return errParameter.with("The message attribute '%s' must contain non-empty message attribute value for message attribute type '%s'.", name, kind)
	}
	switch {
	case v.DataType == "":
		return a, errParameter.with("The message attribute '%s' must contain non-empty message attribute type.", name)
	case len(v.DataType) > maxAttributeName || strings.HasSuffix(v.DataType, ".") || !wordy(label, "_-."):
		return a, errParameter.with("The message attribute '%s' has an invalid type '%s'.", name, v.DataType)
	case len(v.StringListValues) > 0 || len(v.BinaryListValues) > 0:
		return a, errUnsupported.with("Message attribute list values in SendMessage operation are not supported.")
	}
	switch kind {
	case "String", "Number":
		if v.StringValue == nil || *v.StringValue == "" || v.BinaryValue != nil {
			return a, empty()
		}
		a.text = *v.StringValue
		if r, bad := badCharacter(a.text); bad {
			return a, errContents.with("Invalid binary character '#x%X' was found in the message attribute '%s'.", r, name)
		}
		if kind == "Number" {
			if _, err := strconv.ParseFloat(a.text, 64); err != nil {
				return a, errParameter.with("Can't cast the value of message (user) attribute '%s' to a number.", name)
			}
		}
	case "Binary":
		if len(v.BinaryValue) == 0 || v.StringValue != nil {
			return a, empty()
		}
		a.binary, a.isBinary = v.BinaryValue, true
	default:
		return a, errParameter.with("The type of message (user) attribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", name)
	}
	return a, nil
}

// readSystemAttributes takes AWSTraceHeader, the only one a sender may set.
func readSystemAttributes(in map[string]attributeValue) (trace string, all []attribute, err *Error) {
	for name, v := range in {
		if name != "AWSTraceHeader" {
			return "", nil, errParameter.with("Message system attribute name '%s' is invalid.", name)
		}
		if v.DataType != "String" {
			return "", nil, errParameter.with("The type of message (system) attribute '%s' is invalid. You must use only the following supported type prefixes: String.", name)
		}
		a, err := readAttribute(name, v)
		if err != nil {
			return "", nil, err
		}
		trace, all = a.text, append(all, a)
	}
	return trace, all, nil
}

// writeAttributes writes attributes and their digest.
func writeAttributes(w *jsonWriter, attrs []attribute) {
	if len(attrs) == 0 {
		return
	}
	w.text("MD5OfMessageAttributes", attributesDigest(attrs))
	w.key("MessageAttributes")
	w.open('{')
	for i := range attrs {
		a := &attrs[i]
		w.givenKey(a.name)
		w.open('{')
		w.text("DataType", a.dataType)
		if a.isBinary {
			w.bytes("BinaryValue", a.binary)
		} else {
			w.text("StringValue", a.text)
		}
		w.close('}')
	}
	w.close('}')
}

// selectAttributes picks the attributes asked for: by name, by prefix ("bar.*"),
// or all ("All", ".*").
func selectAttributes(attrs []attribute, names []string) []attribute {
	var out []attribute
	for _, a := range attrs {
		for _, name := range names {
			prefix, isPrefix := strings.CutSuffix(name, ".*")
			if name == "All" || name == ".*" || name == a.name || isPrefix && strings.HasPrefix(a.name, prefix+".") {
				out = append(out, a)
				break
			}
		}
	}
	return out
}
