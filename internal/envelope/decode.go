package envelope

import (
	"encoding/json"

	"github.com/holdfast-go/holdfast"
)

// decode reads the fields of an envelope from any JSON object. It is the measure
// for scan, and reads what scan leaves.
func decode(body string) (fields, bool) {
	// A map and not a struct: keys of structs match whatever their case.
	var all map[string]any
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		return fields{}, false
	}
	var f fields
	attributes, ok := decodeAttributes(all["MessageAttributes"])
	f.attributes = attributes
	f.message, f.hasMessage = all["Message"].(string)
	for key, into := range map[string]*string{
		"Type": &f.typ, "TopicArn": &f.topicARN, "MessageId": &f.messageID,
		"Subject": &f.subject, "Timestamp": &f.timestamp,
	} {
		s, isString := all[key].(string)
		ok = ok && (isString || all[key] == nil)
		*into = s
	}
	return f, ok
}

// decodeAttributes reads {"name": {"Type": "String", "Value": "..."}}.
func decodeAttributes(v any) (map[string]holdfast.Attribute, bool) {
	if v == nil {
		return nil, true
	}
	written, ok := v.(map[string]any)
	if !ok || len(written) == 0 {
		return nil, ok
	}
	all := make(map[string]holdfast.Attribute, len(written))
	for name, v := range written {
		one, _ := v.(map[string]any)
		typ, hasType := one["Type"].(string)
		value, hasValue := one["Value"].(string)
		a, ok := attribute(typ, value)
		if !ok || !hasType || !hasValue {
			return nil, false
		}
		all[name] = a
	}
	return all, true
}
