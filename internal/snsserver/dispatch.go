package snsserver

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// operation does the work of an action and writes the members of its result.
type operation func(s *Server, c *call, w *xmlWriter) error

// operations is every action this server knows.
var operations = map[string]operation{
	"AddPermission":             (*Server).addPermission,
	"ConfirmSubscription":       (*Server).confirmSubscription,
	"CreateTopic":               (*Server).createTopic,
	"DeleteTopic":               (*Server).deleteTopic,
	"GetSubscriptionAttributes": (*Server).getSubscriptionAttributes,
	"GetTopicAttributes":        (*Server).getTopicAttributes,
	"ListSubscriptions":         (*Server).listSubscriptions,
	"ListSubscriptionsByTopic":  (*Server).listSubscriptionsByTopic,
	"ListTagsForResource":       (*Server).listTags,
	"ListTopics":                (*Server).listTopics,
	"Publish":                   (*Server).publish,
	"PublishBatch":              (*Server).publishBatch,
	"RemovePermission":          (*Server).removePermission,
	"SetSubscriptionAttributes": (*Server).setSubscriptionAttributes,
	"SetTopicAttributes":        (*Server).setTopicAttributes,
	"Subscribe":                 (*Server).subscribe,
	"TagResource":               (*Server).tagResource,
	"Unsubscribe":               (*Server).unsubscribe,
	"UntagResource":             (*Server).untagResource,
}

// outside is every other action of SNS: what it does there has nothing to do
// with queues.
var outside = map[string]string{
	"CheckIfPhoneNumberIsOptedOut":       "SMS",
	"CreatePlatformApplication":          "mobile push",
	"CreatePlatformEndpoint":             "mobile push",
	"CreateSMSSandboxPhoneNumber":        "SMS",
	"DeleteEndpoint":                     "mobile push",
	"DeletePlatformApplication":          "mobile push",
	"DeleteSMSSandboxPhoneNumber":        "SMS",
	"GetDataProtectionPolicy":            "data protection",
	"GetEndpointAttributes":              "mobile push",
	"GetPlatformApplicationAttributes":   "mobile push",
	"GetSMSAttributes":                   "SMS",
	"GetSMSSandboxAccountStatus":         "SMS",
	"ListEndpointsByPlatformApplication": "mobile push",
	"ListOriginationNumbers":             "SMS",
	"ListPhoneNumbersOptedOut":           "SMS",
	"ListPlatformApplications":           "mobile push",
	"ListSMSSandboxPhoneNumbers":         "SMS",
	"OptInPhoneNumber":                   "SMS",
	"PutDataProtectionPolicy":            "data protection",
	"SetEndpointAttributes":              "mobile push",
	"SetPlatformApplicationAttributes":   "mobile push",
	"SetSMSAttributes":                   "SMS",
	"VerifySMSSandboxPhoneNumber":        "SMS",
}

// call is one request on its way.
type call struct {
	id      identity
	action  string
	form    form
	topic   string // the topic's name, for faults and the log
	entries int
	trace   string // X-Amzn-Trace-Id
	record  *Call
}

// do serves one request: faults that strike before it, the operation, faults
// that strike after.
func (s *Server) do(ctx context.Context, in incoming) reply {
	c := &call{id: s.identify(in.authorization), trace: in.trace, entries: 1}
	op, err := c.read(in)
	if err != nil {
		return s.finish(c, nil, err)
	}
	c.record = s.log.begin(c)

	strike := s.faults.strike(c.action, c.topic)
	if err := strike.before(ctx); err != nil {
		return s.finish(c, nil, err)
	}
	w := &xmlWriter{}
	err = op(s, c, w)
	if lost := strike.after(ctx); lost != nil {
		return s.finish(c, nil, lost)
	}
	return s.finish(c, w, err)
}

// read finds the operation and reads the request's form.
func (c *call) read(in incoming) (operation, error) {
	if in.query != "" && !isForm(in.contentType) {
		return nil, errMissingAction.with("The request has the content type %.100q; SNS takes %s", in.contentType, formType)
	}
	var err error
	if c.form, err = parseForm(in.query); err != nil {
		return nil, err
	}
	c.action = c.form.get("Action")
	if c.action == "" {
		return nil, errMissingAction.with("The request must contain the parameter Action.")
	}
	op := operations[c.action]
	if op == nil {
		if field, known := outside[c.action]; known {
			return nil, errUnsupported.with("%s is not supported: this server has topics and their SQS subscriptions, not %s.", c.action, field)
		}
		return nil, errInvalidAction.with("The action %.100s is not valid for this endpoint.", c.action)
	}
	c.topic = c.topicName()
	if c.action == "PublishBatch" {
		c.entries = 0
		_ = c.form.list("PublishBatchRequestEntries", "member", func(string) error { c.entries++; return nil })
	}
	return op, nil
}

// topicName is the name of the topic a request is about, "" without one.
func (c *call) topicName() string {
	if name := c.form.get("Name"); name != "" {
		return name
	}
	for _, parameter := range [...]string{"TopicArn", "TargetArn", "SubscriptionArn", "ResourceArn"} {
		if a, ok := splitARN(c.form.get(parameter)); ok {
			name, _, _ := strings.Cut(a.resource, ":")
			return name
		}
	}
	return ""
}

// finish turns a result or an error into the reply and notes it in the log.
func (s *Server) finish(c *call, result *xmlWriter, err error) reply {
	var refused *Error
	if err != nil && !errors.As(err, &refused) {
		s.log.end(c.record, err.Error())
		return reply{broken: err}
	}
	out := reply{status: http.StatusOK, contentType: "text/xml", requestID: s.log.requestID()}
	w := &xmlWriter{}
	if refused != nil {
		s.log.end(c.record, refused.Code)
		out.status = refused.Status
		w.b.WriteString(`<ErrorResponse xmlns="` + namespace + `"><Error>`)
		w.text("Type", refused.fault())
		w.text("Code", refused.Code)
		w.text("Message", refused.Message)
		w.close("Error")
		w.text("RequestId", out.requestID)
		w.close("ErrorResponse")
	} else {
		s.log.end(c.record, "")
		w.b.WriteString("<" + c.action + `Response xmlns="` + namespace + `">`)
		w.open(c.action + "Result")
		w.b.Write(result.b.Bytes())
		w.close(c.action + "Result")
		w.open("ResponseMetadata")
		w.text("RequestId", out.requestID)
		w.close("ResponseMetadata")
		w.close(c.action + "Response")
	}
	out.body = w.b.Bytes()
	return out
}
