package envelope_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/internal/envelope"
)

// From the user guides of EventBridge and S3.
const (
	eventBridgeEvent = `{
  "version": "0",
  "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
  "detail-type": "EC2 Instance State-change Notification",
  "source": "aws.ec2",
  "account": "111122223333",
  "time": "2017-12-22T18:43:48Z",
  "region": "us-west-1",
  "resources": ["arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"],
  "detail": {"instance-id": "i-1234567890abcdef0", "state": "terminated"}
}`
	s3Notification = `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-west-2","eventTime":"1970-01-01T00:00:00.000Z",` +
		`"eventName":"ObjectCreated:Put","userIdentity":{"principalId":"AIDAJDPLRKLG7UEXAMPLE"},"requestParameters":{"sourceIPAddress":"127.0.0.1"},` +
		`"responseElements":{"x-amz-request-id":"C3D13FE58DE4C810","x-amz-id-2":"FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD"},` +
		`"s3":{"s3SchemaVersion":"1.0","configurationId":"testConfigRule","bucket":{"name":"amzn-s3-demo-bucket","ownerIdentity":{"principalId":"A3NL1KOZZKExample"},` +
		`"arn":"arn:aws:s3:::amzn-s3-demo-bucket"},"object":{"key":"HappyFace.jpg","size":1024,"eTag":"d41d8cd98f00b204e9800998ecf8427e",` +
		`"versionId":"096fKKXTRTtl3on89fVO.nfljtsv6qko","sequencer":"0055AED6DCD90281E5"}}}]}`
	s3TestEvent = `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2014-10-13T15:57:02.089Z","Bucket":"amzn-s3-demo-bucket",` +
		`"RequestId":"5582815E1AEA5ADF","HostId":"8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE"}`
)

// but returns what with old replaced by with.
func but(what, old, with string) string {
	changed := strings.Replace(what, old, with, 1)
	if changed == what {
		panic("nothing replaced: " + old)
	}
	return changed
}

func TestEvents(t *testing.T) {
	t.Parallel()
	bridge := holdfast.Event{Service: "EventBridge", ID: "6a7e8feb-b491-4cf7-a9f1-bf3703467718"}
	const happy = "amzn-s3-demo-bucket/HappyFace.jpg?event=ObjectCreated%3APut&sequencer=0055AED6DCD90281E5"
	const version = "&version=096fKKXTRTtl3on89fVO.nfljtsv6qko"
	s3 := func(id string) holdfast.Event { return holdfast.Event{Service: "S3", ID: id} }
	record := strings.TrimSuffix(strings.TrimPrefix(s3Notification, `{"Records":[`), "]}")
	var none holdfast.Event

	tests := map[string]struct {
		body string
		want holdfast.Event
	}{
		"an event of EventBridge":            {eventBridgeEvent, bridge},
		"a replayed one":                     {but(eventBridgeEvent, "{", `{"replay-name":"again",`), bridge},
		"one without resources":              {but(eventBridgeEvent, `["arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"]`, "[]"), bridge},
		"one with an empty detail":           {but(eventBridgeEvent, `{"instance-id": "i-1234567890abcdef0", "state": "terminated"}`, "{}"), bridge},
		"one with space around it":           {"\n " + eventBridgeEvent + "\n", bridge},
		"one without id":                     {but(eventBridgeEvent, `"id"`, `"ID"`), none},
		"one with an empty id":               {but(eventBridgeEvent, "6a7e8feb-b491-4cf7-a9f1-bf3703467718", ""), none},
		"one with a number as id":            {but(eventBridgeEvent, `"6a7e8feb-b491-4cf7-a9f1-bf3703467718"`, "1"), none},
		"one without source":                 {but(eventBridgeEvent, `"source"`, `"Source"`), none},
		"one without account":                {but(eventBridgeEvent, `"account"`, `"accounts"`), none},
		"one with a null region":             {but(eventBridgeEvent, `"us-west-1"`, "null"), none},
		"one whose resources are text":       {but(eventBridgeEvent, `["arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"]`, `"x"`), none},
		"one whose detail is text":           {but(eventBridgeEvent, `{"instance-id": "i-1234567890abcdef0", "state": "terminated"}`, `"x"`), none},
		"one whose detail is null":           {but(eventBridgeEvent, `{"instance-id": "i-1234567890abcdef0", "state": "terminated"}`, `null`), none},
		"its detail alone":                   {`{"detail-type": "x"}`, none},
		"two of them":                        {eventBridgeEvent + eventBridgeEvent, none},
		"one in a list":                      {"[" + eventBridgeEvent + "]", none},
		"one in an object":                   {`{"a":` + eventBridgeEvent + `}`, none},
		"one cut short":                      {eventBridgeEvent[:len(eventBridgeEvent)-1], none},
		"a notification of S3":               {s3Notification, s3(happy + version)},
		"one of a bucket without versions":   {but(s3Notification, `"versionId":"096fKKXTRTtl3on89fVO.nfljtsv6qko",`, ""), s3(happy)},
		"one of other characters":            {but(s3Notification, "HappyFace.jpg", "a/b&event=c d?"), s3(strings.Replace(happy+version, "HappyFace.jpg", "a%2Fb%26event%3Dc+d%3F", 1))},
		"one of two records":                 {`{"Records":[` + record + "," + but(record, "HappyFace", "Sad") + "]}", s3(happy + version + " " + strings.Replace(happy+version, "HappyFace", "Sad", 1))},
		"one of tags at the same version":    {but(s3Notification, "ObjectCreated:Put", "ObjectTagging:Put"), s3(strings.Replace(happy+version, "ObjectCreated%3APut", "ObjectTagging%3APut", 1))},
		"one without records":                {`{"Records":[],"a":"aws:s3"}`, none},
		"one without sequencer":              {but(s3Notification, "sequencer", "sequence"), none},
		"one whose second has no sequencer":  {`{"Records":[` + record + "," + but(record, "sequencer", "sequence") + "]}", none},
		"one without bucket":                 {but(s3Notification, `"bucket"`, `"Bucket"`), none},
		"one without key":                    {but(s3Notification, `"HappyFace.jpg"`, "null"), none},
		"one of another service":             {but(s3Notification, `"eventSource":"aws:s3"`, `"eventSource":"aws:sqs","a":"aws:s3"`), none},
		"one without the name of its event":  {but(s3Notification, `"eventName":"ObjectCreated:Put",`, ""), none},
		"one whose record is a list":         {`{"Records":[["aws:s3"]],"a":"aws:s3"}`, none},
		"a null record":                      {`{"Records":[null],"a":"aws:s3"}`, none},
		"plain text":                         {"hello", none},
		"nothing":                            {"", none},
		"JSON of its own":                    {`{"id":"1"}`, none},
		"a text that tells of detail-type":   {`"detail-type"`, none},
		"an envelope of SNS":                 {notification, none},
		"an event of EventBridge about S3":   {but(eventBridgeEvent, `"state"`, `"from":"aws:s3","state"`), bridge},
		"a test event that is also an event": {but(eventBridgeEvent, `"state"`, `"Event":"s3:TestEvent","state"`), bridge},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, test := envelope.Event(tt.body)
			if diff := cmp.Diff(tt.want, got); diff != "" || test {
				t.Errorf("test event is %v, event (-want +got):\n%s", test, diff)
			}
		})
	}
}

func TestTestEvents(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body string
		want bool
	}{
		"as S3 sends it":   {s3TestEvent, true},
		"without a bucket": {but(s3TestEvent, `"Bucket"`, `"bucket"`), false},
		"without HostId":   {but(s3TestEvent, `"HostId"`, `"Host"`), false},
		"of another event": {but(s3TestEvent, `"Event":"s3:TestEvent"`, `"Event":"x","Other":"s3:TestEvent"`), false},
		"in another case":  {but(s3TestEvent, `"Service"`, `"service"`), false},
		"of a shop":        {but(s3TestEvent, `"Amazon S3"`, `"shop"`), false},
		"in a list":        {"[" + s3TestEvent + "]", false},
	} {
		if event, got := envelope.Event(tt.body); got != tt.want || event != (holdfast.Event{}) {
			t.Errorf("%s: test event is %v with %+v, want %v and no event", name, got, event, tt.want)
		}
	}
}

//nolint:paralleltest // allocations cannot be counted beside other tests
func TestEventRejectsWithoutAllocating(t *testing.T) {
	for name, body := range map[string]string{
		"text":              "hold fast",
		"JSON of its own":   `{"id":1}`,
		"a list of aws:s3s": `["aws:s3", "detail-type", "s3:TestEvent"]`,
	} {
		if n := testing.AllocsPerRun(10, func() { envelope.Event(body) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func TestUnwrap(t *testing.T) {
	t.Parallel()
	inSNS := func(body string) string {
		quoted, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return but(minimal, `"b"`, string(quoted))
	}
	listed := map[string]bool{"arn:aws:sns:eu-west-1:1:t": true}
	other := map[string]bool{"arn:aws:sns:eu-west-1:1:other": true}
	bridge := holdfast.Event{Service: "EventBridge", ID: "6a7e8feb-b491-4cf7-a9f1-bf3703467718"}
	for name, tt := range map[string]struct {
		body   string
		topics map[string]bool
		want   holdfast.Message
	}{
		"an event": {eventBridgeEvent, nil, holdfast.Message{Body: eventBridgeEvent, Event: bridge}},
		"an event that came through a topic": {inSNS(eventBridgeEvent), listed, holdfast.Message{
			Body: eventBridgeEvent, Event: bridge, Topic: holdfast.Topic{ARN: "arn:aws:sns:eu-west-1:1:t", MessageID: "m"},
		}},
		"an event through a topic that is not listed": {inSNS(eventBridgeEvent), other, holdfast.Message{Body: inSNS(eventBridgeEvent)}},
		"a test event through one":                    {inSNS(s3TestEvent), other, holdfast.Message{Body: inSNS(s3TestEvent)}},
		"plain text":                                  {"hello", nil, holdfast.Message{Body: "hello"}},
	} {
		m := holdfast.Message{Body: tt.body}
		if err := envelope.Unwrap(&m, tt.topics); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, m); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for name, body := range map[string]string{"a test event": s3TestEvent, "a test event that came through a topic": inSNS(s3TestEvent)} {
		_, discarded := holdfast.Verb(envelope.Unwrap(&holdfast.Message{Body: body}, listed)).(*holdfast.DiscardError)
		if !discarded {
			t.Errorf("%s is not discarded", name)
		}
	}
}

func FuzzEvent(f *testing.F) {
	for _, seed := range []string{
		"", "{", eventBridgeEvent, s3Notification, s3TestEvent, `{"detail-type":{}}`, `{"Records":[{"eventSource":"aws:s3"}]}`, strings.ToLower(s3TestEvent),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		event, test := envelope.Event(body)
		if event == (holdfast.Event{}) && !test {
			return
		}
		if test && event != (holdfast.Event{}) || !test && (event.Service == "" || event.ID == "") {
			t.Fatalf("%q is half an event: %+v, test event is %v", body, event, test)
		}
		var whole map[string]any
		if err := json.Unmarshal([]byte(body), &whole); err != nil {
			t.Fatalf("an event that is no JSON object: %v", err)
		}
		if event.Service == envelope.EventBridge && whole["id"] != event.ID {
			t.Fatalf("event %q has id %v", event.ID, whole["id"])
		}
		if records, _ := whole["Records"].([]any); event.Service == envelope.S3 && len(records) != len(strings.Fields(event.ID)) {
			t.Fatalf("%d records are named %q", len(records), event.ID)
		}
		// Written anew, it is the same event.
		again, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		again = []byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(again)))
		if e, same := envelope.Event(string(again)); e != event || same != test {
			t.Fatalf("%+v (%v), written anew %+v (%v)", event, test, e, same)
		}
	})
}

func BenchmarkEvent(b *testing.B) {
	for name, body := range map[string]string{
		"JSON 1 KiB":  fmt.Sprintf(`{"items":%q}`, strings.Repeat("x", 1000)),
		"EventBridge": eventBridgeEvent,
		"S3":          s3Notification,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				envelope.Event(body)
			}
		})
	}
}
