package envelope_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/internal/envelope"
)

// notification is what SNS delivers, from its developer guide, with attributes.
const notification = `{
  "Type" : "Notification",
  "MessageId" : "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
  "TopicArn" : "arn:aws:sns:us-west-2:123456789012:MyTopic",
  "Subject" : "My First Message",
  "Message" : "{\"order\":\"\u00e9 1\"}",
  "Timestamp" : "2012-05-02T00:54:06.655Z",
  "SignatureVersion" : "1",
  "Signature" : "EXAMPLEw6JRN",
  "SigningCertURL" : "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem",
  "UnsubscribeURL" : "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe",
  "MessageAttributes" : {
    "kind" : {"Type":"String","Value":"order"},
    "tries" : {"Type":"Number","Value":"3"},
    "tags" : {"Type":"String.Array","Value":"[\"a\",\"b\"]"},
    "raw" : {"Type":"Binary","Value":"aGVsZA=="}
  }
}`

const confirmation = `{
  "Type" : "SubscriptionConfirmation",
  "MessageId" : "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
  "Token" : "2336412f37f",
  "TopicArn" : "arn:aws:sns:us-west-2:123456789012:MyTopic",
  "Message" : "You have chosen to subscribe to the topic.",
  "SubscribeURL" : "https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription",
  "Timestamp" : "2012-04-26T20:45:04.751Z",
  "SignatureVersion" : "1"
}`

// minimal has nothing but what makes an envelope.
const minimal = `{"Type":"Notification","TopicArn":"arn:aws:sns:eu-west-1:1:t","MessageId":"m","Message":"b"}`

func TestSNSUnwrapsANotification(t *testing.T) {
	t.Parallel()
	got, kind := envelope.SNS(notification)
	if kind != envelope.Notification {
		t.Fatalf("kind = %d, want a notification", kind)
	}
	want := envelope.Message{
		Body: `{"order":"é 1"}`,
		Attributes: map[string]holdfast.Attribute{
			"kind":  {Type: "String", String: "order"},
			"tries": {Type: "Number", String: "3"},
			"tags":  {Type: "String.Array", String: `["a","b"]`},
			"raw":   {Type: "Binary", Binary: []byte("held")},
		},
		Topic: holdfast.Topic{
			ARN:         "arn:aws:sns:us-west-2:123456789012:MyTopic",
			MessageID:   "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
			Subject:     "My First Message",
			PublishedAt: time.Date(2012, 5, 2, 0, 54, 6, 655e6, time.UTC),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

func TestSNSKinds(t *testing.T) {
	t.Parallel()
	with := func(old, with string) string {
		changed := strings.Replace(minimal, old, with, 1)
		if changed == minimal {
			panic("nothing replaced: " + old)
		}
		return changed
	}
	add := func(field string) string { return with("{", "{"+field+",") }

	tests := map[string]struct {
		body string
		want envelope.Kind
	}{
		"a subscription confirmation":          {confirmation, envelope.SubscriptionConfirmation},
		"an unsubscribe confirmation":          {with("Notification", "UnsubscribeConfirmation"), envelope.UnsubscribeConfirmation},
		"the four fields are enough":           {minimal, envelope.Notification},
		"space around it":                      {" \n\t" + minimal + "\r\n", envelope.Notification},
		"a FIFO topic":                         {add(`"SequenceNumber":"10000000000000003000"`), envelope.Notification},
		"a replay":                             {add(`"Replayed":true`), envelope.Notification},
		"another partition":                    {with("arn:aws:", "arn:aws-cn:"), envelope.Notification},
		"a null subject":                       {add(`"Subject":null`), envelope.Notification},
		"no attributes":                        {add(`"MessageAttributes":{}`), envelope.Notification},
		"an empty message":                     {with(`"b"`, `""`), envelope.Notification},
		"an empty body":                        {"", envelope.None},
		"plain text":                           {"hello", envelope.None},
		"JSON of its own":                      {`{"id":1}`, envelope.None},
		"an array with an envelope":            {"[" + minimal + "]", envelope.None},
		"a string with an envelope":            {fmt.Sprintf("%q", minimal), envelope.None},
		"an envelope inside an object":         {`{"detail":` + minimal + `}`, envelope.None},
		"an envelope and something behind":     {minimal + minimal, envelope.None},
		"an envelope cut short":                {minimal[:len(minimal)-1], envelope.None},
		"a comma missing":                      {with(`",`, `"`), envelope.None},
		"a comma too many":                     {with(`"b"}`, `"b",}`), envelope.None},
		"no type":                              {with(`"Type":"Notification",`, ""), envelope.None},
		"another type":                         {with("Notification", "Order"), envelope.None},
		"a type in lower case":                 {with("Notification", "notification"), envelope.None},
		"no topic":                             {with(`"TopicArn":"arn:aws:sns:eu-west-1:1:t",`, ""), envelope.None},
		"a topic that is no ARN":               {with("arn:aws:sns:eu-west-1:1:t", "t"), envelope.None},
		"a topic that is nearly an ARN":        {with("arn:aws:", "urn:aws:"), envelope.None},
		"the ARN of a queue":                   {with(":sns:", ":sqs:"), envelope.None},
		"the ARN of a subscription":            {with("1:t", "1:t:80f2"), envelope.None},
		"an ARN without a name":                {with("1:t", "1:"), envelope.None},
		"a topic that is a number":             {with(`"arn:aws:sns:eu-west-1:1:t"`, "1"), envelope.None},
		"a key in another case":                {with(`"MessageId"`, `"messageId"`), envelope.None},
		"no message id":                        {with(`"MessageId":"m",`, ""), envelope.None},
		"an empty message id":                  {with(`"m"`, `""`), envelope.None},
		"no message":                           {with(`,"Message":"b"`, ""), envelope.None},
		"a message that is an object":          {with(`"b"`, `{"b":1}`), envelope.None},
		"a null message":                       {with(`"b"`, `null`), envelope.None},
		"a subject that is a number":           {add(`"Subject":1`), envelope.None},
		"a time that is none":                  {add(`"Timestamp":"yesterday"`), envelope.None},
		"a time that is a number":              {add(`"Timestamp":12`), envelope.None},
		"attributes that are a list":           {add(`"MessageAttributes":[]`), envelope.None},
		"an attribute that is a string":        {add(`"MessageAttributes":{"a":"b"}`), envelope.None},
		"an attribute without a type":          {add(`"MessageAttributes":{"a":{"Value":"b"}}`), envelope.None},
		"an attribute without a value":         {add(`"MessageAttributes":{"a":{"Type":"String"}}`), envelope.None},
		"an attribute with an empty type":      {add(`"MessageAttributes":{"a":{"Type":"","Value":"b"}}`), envelope.None},
		"a binary attribute that is no base64": {add(`"MessageAttributes":{"a":{"Type":"Binary.gif","Value":"?"}}`), envelope.None},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, kind := envelope.SNS(tt.body)
			if kind != tt.want {
				t.Errorf("kind = %d, want %d", kind, tt.want)
			}
			if kind == envelope.None {
				if diff := cmp.Diff(envelope.Message{}, got); diff != "" {
					t.Errorf("something was taken out of what is no envelope (-want +got):\n%s", diff)
				}
			}
		})
	}
}

//nolint:paralleltest // allocations cannot be counted beside other tests
func TestSNSRejectsWithoutAllocating(t *testing.T) {
	for name, body := range map[string]string{
		"text":                     "hold fast",
		"JSON of its own":          `{"id":1}`,
		"a list that names topics": `[{"TopicArn":"arn:aws:sns:eu-west-1:1:t"}]`,
	} {
		if n := testing.AllocsPerRun(10, func() { envelope.SNS(body) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func TestSNSTakesEscapes(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{
		`\"\\\/\b\f\n\r\t`:      "\"\\/\b\f\n\r\t",
		`\u00e9 \ud83d\ude00`:   "é 😀",
		`lone \ud83d surrogate`: "lone \ufffd surrogate",
		`é 😀`:                   "é 😀",
		"\xff":                  "\ufffd",
		`ends in \\`:            `ends in \`,
	} {
		m, kind := envelope.SNS(strings.Replace(minimal, `"b"`, `"`+written+`"`, 1))
		if kind != envelope.Notification || m.Body != want {
			t.Errorf("%q was read as %q (kind %d), want %q", written, m.Body, kind, want)
		}
	}
	for _, written := range []string{`\x`, `\`, `\u12`, "\n", "\x00"} {
		if m, kind := envelope.SNS(strings.Replace(minimal, `"b"`, `"`+written+`"`, 1)); kind != envelope.None {
			t.Errorf("%q was read as %q, want no envelope", written, m.Body)
		}
	}
}

func FuzzSNS(f *testing.F) {
	for _, seed := range []string{"", "{", notification, confirmation, minimal, `{"TopicArn":{}}`, strings.ToLower(minimal)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		m, kind := envelope.SNS(body)
		if kind == envelope.None {
			if diff := cmp.Diff(envelope.Message{}, m); diff != "" {
				t.Fatalf("message without an envelope (-want +got):\n%s", diff)
			}
			return
		}
		// Whatever is taken for an envelope says the same when written anew.
		var fields map[string]any
		if err := json.Unmarshal([]byte(body), &fields); err != nil {
			t.Fatalf("an envelope that is no JSON object: %v", err)
		}
		if fields["Message"] != m.Body || fields["TopicArn"] != m.Topic.ARN || fields["MessageId"] != m.Topic.MessageID {
			t.Fatalf("envelope %q was read as %+v", body, m)
		}
		again, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		m2, kind2 := envelope.SNS(string(again))
		if kind2 != kind {
			t.Fatalf("kind = %d, written anew %d", kind, kind2)
		}
		if diff := cmp.Diff(m, m2); diff != "" {
			t.Fatalf("written anew it differs (-first +second):\n%s", diff)
		}
	})
}

func BenchmarkSNS(b *testing.B) {
	for name, body := range map[string]string{
		"text":                                  strings.Repeat("hold fast ", 100),
		"JSON 1 KiB":                            `{"items":"` + strings.Repeat("x", 1000) + `"}`,
		"JSON 64 KiB":                           `{"items":"` + strings.Repeat("\"Topic\", ", 7000) + `"}`,
		"envelope":                              strings.ReplaceAll(notification, `\u00e9`, "é"),
		"an envelope with a code point escaped": notification,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				envelope.SNS(body)
			}
		})
	}
}
