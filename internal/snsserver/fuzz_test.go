package snsserver

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzFilterPolicy(f *testing.F) {
	for _, seed := range []string{
		`{"a":["x",1,true,null,{"prefix":"p"},{"suffix":"s"},{"equals-ignore-case":"E"},{"wildcard":"a*b\\*"}]}`,
		`{"a":[{"numeric":[">",1,"<=",2.5]},{"exists":false},{"cidr":"10.0.0.0/8"},{"anything-but":["x",1]},{"anything-but":{"prefix":["x"]}}]}`,
		`{"$or":[{"a":[1]},{"b":{"c":[2]}}],"d":{"$or":[{"e":["x"]},{"f":["y"]}]}}`,
		`{"a":[{"numeric":["=",1e400]}]}`, `{"a":{}}`, `{"a":[{}]}`, `[`, `{"a":"\ud800"}`,
	} {
		f.Add(seed, `{"a":["x",{"b":1}],"d":{"e":null}}`, "x")
	}
	f.Fuzz(func(t *testing.T, policy, body, text string) {
		for _, scope := range []string{scopeAttributes, scopeBody} {
			p, err := parseFilter(policy, scope)
			if err != nil {
				if why := err.Error(); !strings.HasPrefix(why, "FilterPolicy: ") && !strings.HasPrefix(why, "Filter policy scope ") {
					t.Errorf("policy %q: %q is not in AWS's words", policy, why)
				}
				continue
			}
			if p == nil {
				continue
			}
			m := &message{body: body, attributes: []attribute{{name: "a", dataType: "String.Array", text: text}, {name: "b", dataType: "Number", text: text}}}
			first := p.match(m.fields(scope))
			if again := p.match(m.fields(scope)); again != first {
				t.Errorf("policy %q: first %q, then %q", policy, first, again)
			}
		}
	})
}

// FuzzJSON holds the parser against that of the standard library.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-2.5e+3,"x\n\u00e9",true,false,null,{}],"":[]}`, ` [ 1 , 2 ] `, `"\ud834\udd1e"`, `01`, `1.`, `"`, `"\`, `{"a" 1}`, `[1,]`, `{,}`, `nul`, `tru e`, "\"\x01\"",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		n, err := parseJSON(src)
		if valid := json.Valid([]byte(src)); valid != (err == nil) {
			if !valid || !strings.Contains(err.Error(), "too deep") {
				t.Fatalf("%q: valid %v, parsed with %v", src, valid, err)
			}
		}
		if err == nil && n.kind == isString && utf8.ValidString(src) {
			var want string
			if json.Unmarshal([]byte(src), &want) != nil || n.text != want {
				t.Errorf("%q is %q, want %q", src, n.text, want)
			}
		}
		if err == nil && (n.end > len(src) || n.seen > n.end) {
			t.Errorf("%q ends at %d, was seen at %d", src, n.end, n.seen)
		}
	})
}

func FuzzPolicyDocument(f *testing.F) {
	for _, seed := range []string{
		`{"Statement":[{"Sid":"a","Effect":"Allow","Principal":{"Service":["sns.amazonaws.com"],"AWS":"*"},"Action":["sqs:*"],"Resource":"*","Condition":{"ArnLike":{"aws:SourceArn":["arn:aws:sns:*:*:t"]},"Bool":{"aws:SecureTransport":true}}}]}`,
		`{"Statement":{"Effect":"Deny","NotPrincipal":{"AWS":"1"},"NotAction":"x","NotResource":["y"],"Condition":{"ForAnyValue:StringNotLikeIfExists":{"k":"*"},"Null":{"k":"true"}}}}`,
		`{"Statement":{"Effect":"Allow","Action":"sns:Publish","Resource":"*"}}`,
		`{"Statement":[]}`, `{}`, `null`, `{"Statement":[null]}`, `{"Statement":[{"Effect":"Allow","Principal":"*","Action":null}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		if p, err := parseDocument(document, true); err == nil {
			p.ask(requester{account: "000000000000"}, "SNS:Publish", "arn:aws:sns:us-east-1:000000000000:t")
		}
		p, err := parsePolicy(document)
		if err != nil {
			return
		}
		v := p.ask(requester{service: "sns.amazonaws.com", context: map[string]string{"aws:sourcearn": "arn:aws:sns:us-east-1:000000000000:t"}}, "sqs:SendMessage", "arn:aws:sqs:us-east-1:000000000000:q")
		if v.why == "" || v.allowed && v.denied {
			t.Errorf("%s: %+v", document, v)
		}
	})
}

// FuzzQuery gives the server whole requests: what comes back is XML, and an error
// of the client at worst.
func FuzzQuery(f *testing.F) {
	topic := "arn:aws:sns:us-east-1:000000000000:t"
	for _, seed := range []string{
		"Action=CreateTopic&Name=x.fifo&Attributes.entry.1.key=FifoTopic&Attributes.entry.1.value=true&Tags.member.1.Key=a&Tags.member.1.Value=b",
		"Action=Subscribe&Protocol=sqs&Endpoint=arn:aws:sqs:us-east-1:000000000000:q&TopicArn=" + topic + "&Attributes.entry.1.key=FilterPolicy&Attributes.entry.1.value=" + url.QueryEscape(`{"a":["x"]}`),
		"Action=Publish&Message=x&TopicArn=" + topic + "&MessageAttributes.entry.1.Name=a&MessageAttributes.entry.1.Value.DataType=String&MessageAttributes.entry.1.Value.StringValue=x",
		"Action=PublishBatch&TopicArn=" + topic + "&PublishBatchRequestEntries.member.1.Id=a&PublishBatchRequestEntries.member.1.Message=%00",
		"Action=SetTopicAttributes&AttributeName=Policy&AttributeValue={}&TopicArn=" + topic,
		"Action=AddPermission&Label=x&AWSAccountId.member.1=000000000000&ActionName.member.1=Publish&TopicArn=" + topic,
		"Action=ListTopics&NextToken=31", "Action=ConfirmSubscription&Token=x&TopicArn=" + topic, "Action=%zz&&=&a",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		s := New(Config{NoSignature: true}, nil)
		if _, err := s.Create("t", nil); err != nil {
			t.Fatal(err)
		}
		out := s.do(t.Context(), incoming{contentType: formType, query: query})
		if out.broken != nil || out.status >= 500 {
			t.Fatalf("%q: status %d, %v", query, out.status, out.broken)
		}
		var root struct {
			XMLName xml.Name
		}
		if err := xml.Unmarshal(out.body, &root); err != nil {
			t.Errorf("%q: %v in %s", query, err, out.body)
		}
	})
}

// FuzzWildcard holds patterns against themselves, with something for each star.
func FuzzWildcard(f *testing.F) {
	f.Add("a*b", "x")
	f.Add(`\**\\`, "*")
	f.Add("*", "")
	f.Fuzz(func(t *testing.T, pattern, filling string) {
		w, err := parseWildcard(pattern)
		if err != nil {
			return
		}
		if s := strings.Join(w, filling); !w.match(s) && len(w) > 1 || len(w) == 1 && !w.match(w[0]) {
			t.Errorf("%q does not match %q", pattern, s)
		}
		if len(w) > 1 && w[0] != "" && w.match("") {
			t.Errorf("%q matches nothing", pattern)
		}
	})
}

// FuzzEnvelope reads back what an envelope writes.
func FuzzEnvelope(f *testing.F) {
	f.Add("hello", "subject", "name", "value", []byte{1})
	f.Add("\x00\"\\\n\u2028\U0001F600", "", "a.b", `["x"]`, []byte{})
	f.Fuzz(func(t *testing.T, body, subject, name, value string, binary []byte) {
		for _, s := range []string{body, subject, name, value} {
			if !utf8.ValidString(s) {
				return
			}
		}
		s := New(Config{NoSignature: true}, nil)
		m := &message{typ: "Notification", id: "id", body: body, subject: subject, topic: &topic{settings: topicSettings{signature: "1"}},
			attributes: []attribute{{name: name + "1", dataType: "String", text: value}, {name: name + "2", dataType: "Binary.x", binary: binary}}}
		var e struct {
			Message, Subject  string
			MessageAttributes map[string]struct{ Type, Value string }
		}
		text := s.envelope(m, &subscription{arn: "arn"})
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if e.Message != body || e.Subject != subject || e.MessageAttributes[name+"1"].Value != value ||
			e.MessageAttributes[name+"2"].Value != base64.StdEncoding.EncodeToString(binary) {
			t.Errorf("%q %q %q %q came back as %+v", body, subject, name, value, e)
		}
	})
}
