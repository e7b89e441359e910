package envelope

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/holdfast-go/holdfast"
)

// The services that holdfast.Event names.
const (
	EventBridge = "EventBridge"
	S3          = "S3"
)

// Event tells which event of an AWS service a body is; a body that is none gives
// the zero Event. testEvent is true for what S3 sends to a target once to see that
// it may (s3:TestEvent), which is about no object.
//
// Whatever looks like an event is work twice over if it is taken for another, so
// this is as strict as SNS: one JSON object with all the fields that the service
// always writes, of their types and spelled just so. Further fields are taken, as
// services add some now and then. A notification of S3 whose records do not all
// have a sequencer has nothing that names it, and is no event here.
func Event(body string) (event holdfast.Event, testEvent bool) {
	start := strings.TrimLeft(body, " \t\r\n")
	if start == "" || start[0] != '{' {
		return event, false
	}
	switch {
	case strings.Contains(body, `"detail-type"`):
		event.Service, event.ID = EventBridge, eventBridge(body)
	case strings.Contains(body, `"aws:s3"`):
		event.Service, event.ID = S3, s3Records(body)
	case strings.Contains(body, `"s3:TestEvent"`):
		return event, s3Test(body)
	}
	if event.ID == "" {
		return holdfast.Event{}, false
	}
	return event, false
}

// object is a JSON object. It is a map and no struct, because keys match fields of
// structs whatever their case.
type object map[string]any

func parse(body string) object {
	var o object
	if json.Unmarshal([]byte(body), &o) != nil {
		return nil
	}
	return o
}

// text returns a field that is a string; empty where it is none.
func (o object) text(name string) string {
	s, _ := o[name].(string)
	return s
}

// object returns a field that is an object; nil where it is none.
func (o object) object(name string) object {
	in, _ := o[name].(map[string]any)
	return in
}

// hasTexts tells whether all these fields are strings that say something.
func (o object) hasTexts(names ...string) bool {
	for _, name := range names {
		if o.text(name) == "" {
			return false
		}
	}
	return true
}

// eventBridge returns the id of an event of EventBridge. See "AWS service event
// metadata" in its user guide.
func eventBridge(body string) string {
	event := parse(body)
	_, hasResources := event["resources"].([]any)
	if !hasResources || event.object("detail") == nil ||
		!event.hasTexts("version", "detail-type", "source", "account", "time", "region") {
		return ""
	}
	return event.text("id")
}

// s3Records names the events of a notification of S3. See "Event message
// structure" in its user guide.
func s3Records(body string) string {
	records, _ := parse(body)["Records"].([]any)
	var ids []string
	for _, record := range records {
		fields, _ := record.(map[string]any)
		id := s3Record(fields)
		if id == "" {
			return ""
		}
		ids = append(ids, id)
	}
	return strings.Join(ids, " ") // which no id contains
}

func s3Record(record object) string {
	bucket, of := record.object("s3").object("bucket"), record.object("s3").object("object")
	if record.text("eventSource") != "aws:s3" || !record.hasTexts("eventVersion", "awsRegion", "eventTime", "eventName") ||
		!bucket.hasTexts("name") || !of.hasTexts("key", "sequencer") {
		return ""
	}
	// The sequencer orders what is done to a key. It tells a put from the next one,
	// but not a put from a change of tags at the same version.
	id := url.PathEscape(bucket.text("name")) + "/" + url.QueryEscape(of.text("key")) +
		"?event=" + url.QueryEscape(record.text("eventName")) + "&sequencer=" + url.QueryEscape(of.text("sequencer"))
	if version := of.text("versionId"); version != "" {
		id += "&version=" + url.QueryEscape(version)
	}
	return id
}

func s3Test(body string) bool {
	event := parse(body)
	return event.text("Service") == "Amazon S3" && event.text("Event") == "s3:TestEvent" &&
		event.hasTexts("Time", "Bucket", "RequestId", "HostId")
}
