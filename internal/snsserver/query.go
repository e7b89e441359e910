package snsserver

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
)

// maxParameters bounds a request: the largest legal one, a batch of ten messages
// with their attributes, has far fewer.
const maxParameters = 5000

// form is the input of a request in the query protocol, in which lists and maps
// are numbered from one: Tags.member.1.Key, Attributes.entry.1.value.
type form struct {
	values map[string]string
	// nodes is every name and every beginning of one up to a dot.
	nodes map[string]bool
}

// parseForm reads a query string. Of a parameter given twice the first counts.
func parseForm(query string) (form, error) {
	f := form{values: make(map[string]string), nodes: make(map[string]bool)}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			return form{}, errMalformed.with("The query string contains a syntax error: %v", err)
		}
		value, err := url.QueryUnescape(rawValue)
		if err != nil {
			return form{}, errMalformed.with("The query string contains a syntax error in the value of %.100s: %v", name, err)
		}
		if len(name) > 512 {
			return form{}, errMalformed.with("The query string contains a name of %d bytes", len(name))
		}
		if _, again := f.values[name]; again {
			continue
		}
		if len(f.values) == maxParameters {
			return form{}, errMalformed.with("The query string contains more than %d parameters", maxParameters)
		}
		f.values[name] = value
		for i := 0; ; {
			dot := strings.IndexByte(name[i:], '.')
			if dot < 0 {
				break
			}
			i += dot
			f.nodes[name[:i]] = true
			i++
		}
		f.nodes[name] = true
	}
	return f, nil
}

// get is a parameter, "" where there is none.
func (f form) get(name string) string { return f.values[name] }

// lookup is a parameter that may be empty.
func (f form) lookup(name string) (string, bool) {
	v, ok := f.values[name]
	return v, ok
}

// list calls each with the beginning of every member's name, in order. Members
// stand under name.member.1; the older name.1 is understood as well.
func (f form) list(name, member string, each func(prefix string) error) error {
	for _, base := range [...]string{name + "." + member + ".", name + "."} {
		for i := 1; ; i++ {
			prefix := base + strconv.Itoa(i)
			if !f.nodes[prefix] {
				break
			}
			if err := each(prefix); err != nil {
				return err
			}
		}
	}
	return nil
}

// strings is a list of texts.
func (f form) strings(name string) []string {
	var out []string
	_ = f.list(name, "member", func(prefix string) error {
		out = append(out, f.values[prefix])
		return nil
	})
	return out
}

// attributes is a map of texts, with the names in their order.
func (f form) attributes() (names []string, values map[string]string) {
	values = make(map[string]string)
	_ = f.list("Attributes", "entry", func(prefix string) error {
		name := f.values[prefix+".key"]
		if _, again := values[name]; !again {
			names = append(names, name)
		}
		values[name] = f.values[prefix+".value"]
		return nil
	})
	return names, values
}

// wireAttribute is a message attribute on the wire.
type wireAttribute struct {
	name     string
	dataType string
	hasType  bool
	text     string
	hasText  bool
	binary   []byte
	hasBytes bool
}

// messageAttributes reads message attributes under prefix ("" or that of a
// batch's entry, with its dot).
func (f form) messageAttributes(prefix string) ([]wireAttribute, error) {
	var out []wireAttribute
	err := f.list(prefix+"MessageAttributes", "entry", func(entry string) error {
		a := wireAttribute{name: f.values[entry+".Name"]}
		a.dataType, a.hasType = f.lookup(entry + ".Value.DataType")
		a.text, a.hasText = f.lookup(entry + ".Value.StringValue")
		encoded, ok := f.lookup(entry + ".Value.BinaryValue")
		if ok {
			decoded, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				return errMalformed.with("%s.Value.BinaryValue is not Base64: %v", entry, err)
			}
			a.binary, a.hasBytes = decoded, true
		}
		out = append(out, a)
		return nil
	})
	return out, err
}
