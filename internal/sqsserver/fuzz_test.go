package sqsserver

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzRequest sends any body to any action of a server with a queue of each
// type. Whatever comes, there is a reply in JSON with a status SQS uses.
func FuzzRequest(f *testing.F) {
	actions := sortedKeys(operations)
	for i := range actions {
		f.Add(uint8(i), `{"QueueUrl":"http://x/000000000000/q","QueueName":"q"}`)
	}
	seed := func(action, body string) { f.Add(uint8(slices.Index(actions, action)), body) }
	seed("CreateQueue", `{"QueueName":"n","Attributes":{"VisibilityTimeout":"0"},"tags":{"a":"b"}}`)
	seed("SendMessage", `{"QueueUrl":"/000000000000/q","MessageBody":"b","DelaySeconds":1,"MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"AAE="}}}`)
	seed("SendMessageBatch", `{"QueueUrl":"q.fifo","Entries":[{"Id":"1","MessageBody":"b","MessageGroupId":"g","MessageDeduplicationId":"d"}]}`)
	seed("ReceiveMessage", `{"QueueUrl":"q","MaxNumberOfMessages":10,"MessageSystemAttributeNames":["All"],"MessageAttributeNames":["a.*"]}`)
	seed("DeleteMessageBatch", `{"QueueUrl":"q","Entries":[{"Id":"1","ReceiptHandle":"x"}]}`)
	seed("ChangeMessageVisibilityBatch", `{"QueueUrl":"q","Entries":[{"Id":"1","ReceiptHandle":"x","VisibilityTimeout":0}]}`)
	seed("SetQueueAttributes", `{"QueueUrl":"q","Attributes":{"RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:q\",\"maxReceiveCount\":\"3\"}"}}`)
	f.Fuzz(func(t *testing.T, action uint8, body string) {
		if strings.Contains(body, "WaitTime") {
			return // a long poll blocks, as it should
		}
		s := New(Config{})
		if _, err := s.Create("q", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create("q.fifo", map[string]string{"FifoQueue": "true"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Send("arn:aws:sqs:us-east-1:000000000000:q", Outgoing{Body: "x"}); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("X-Amz-Target", targetPrefix+actions[int(action)%len(actions)])
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		switch w.Code {
		case 200, 400, 403, 404, 413:
		default:
			t.Errorf("status %d", w.Code)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("reply %q", w.Body)
		}
	})
}

func FuzzReceipt(f *testing.F) {
	f.Add(receipt{1, 2, 3}.handle())
	f.Add("made up")
	f.Add(strings.Repeat("\n", 43)) // the length of a handle, and nothing in it
	f.Fuzz(func(t *testing.T, handle string) {
		if r, ok := parseReceipt(handle); ok && r.handle() != handle {
			t.Errorf("%q reads as %v, which is %q", handle, r, r.handle())
		}
	})
}

func FuzzRedrivePolicy(f *testing.F) {
	f.Add(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:q","maxReceiveCount":3}`)
	f.Add(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:q","maxReceiveCount":"1000"}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseRedrivePolicy(text)
		if err != nil {
			return
		}
		if _, ok := splitARN(p.target); !ok || p.max < 1 || p.max > 1000 {
			t.Errorf("%q reads as %+v", text, p)
		}
	})
}

func FuzzRedriveAllowPolicy(f *testing.F) {
	f.Add(`{"redrivePermission":"byQueue","sourceQueueArns":["a"]}`)
	f.Add(`{"redrivePermission":"denyAll"}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseRedriveAllowPolicy(text)
		if err == nil && (p.Permission == "byQueue") != (len(p.Sources) > 0) {
			t.Errorf("%q reads as %+v", text, p)
		}
	})
}

func FuzzPolicy(f *testing.F) {
	f.Add(`{"Statement":[]}`)
	f.Add(`{"Statement":{"Effect":"Allow","Principal":{"AWS":["111111111111","arn:aws:iam::1:root"]},"Action":"sqs:Send*","Resource":"*"}}`)
	f.Add(`{"Statement":[{"Effect":"Deny","NotPrincipal":"*","NotAction":["a"],"NotResource":"b","Condition":{"StringNotEqualsIfExists":{"aws:PrincipalArn":["x",true]},"Null":{"k":"true"}}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, ofQueue := range []bool{true, false} {
			p, err := parsePolicy(text, ofQueue)
			if err != nil {
				continue
			}
			if !json.Valid([]byte(text)) {
				t.Errorf("%q is a policy", text)
			}
			id := identity{accessKey: "AKID", account: "111111111111"}
			if allowed, denied := p.ask(id, ofQueue, "SendMessage", "arn:aws:sqs:us-east-1:111111111111:q"); allowed && denied {
				t.Errorf("%q allows and denies", text)
			}
		}
	})
}

func FuzzMoveHandle(f *testing.F) {
	f.Add("eyJ0YXNrSWQiOiJhIiwic291cmNlQXJuIjoiYiJ9")
	f.Fuzz(func(t *testing.T, text string) {
		if h, ok := parseMoveHandle(text); ok && (h.TaskID == "" || h.SourceARN == "") {
			t.Errorf("%q reads as %+v", text, h)
		}
	})
}

func FuzzIdentity(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKID/20260102/eu-west-1/sqs/aws4_request, SignedHeaders=host")
	f.Add("AWS4-HMAC-SHA256 Credential=123456789012/20260102/us-east-1/sqs/aws4_request")
	f.Fuzz(func(t *testing.T, header string) {
		id := New(Config{}).identify(header)
		if !isAccount(id.account) || id.region == "" || id.sender() == "" {
			t.Errorf("%q reads as %+v", header, id)
		}
	})
}

func FuzzQueueURL(f *testing.F) {
	f.Add("https://sqs.us-east-1.amazonaws.com/000000000000/q")
	f.Add("q")
	f.Fuzz(func(t *testing.T, url string) {
		key, ok := splitURL(identity{account: "a", region: "r"}, url)
		if ok && (key.name == "" || strings.Contains(key.name, "/") || key.region != "r") {
			t.Errorf("%q reads as %+v", url, key)
		}
	})
}

func FuzzQueueARN(f *testing.F) {
	f.Add("arn:aws:sqs:us-east-1:000000000000:q")
	f.Fuzz(func(t *testing.T, arn string) {
		key, ok := splitARN(arn)
		if again, same := splitARN(key.arn()); ok && (!same || again != key) {
			t.Errorf("%q reads as %+v", arn, key)
		}
	})
}

func FuzzPageToken(f *testing.F) {
	f.Add("YQ")
	f.Fuzz(func(t *testing.T, token string) {
		page, next, err := paginate([]string{"b", "a", "c"}, token, 2)
		if err == nil && (len(page) > 2 || next != "" && len(page) != 2) {
			t.Errorf("%q gives %v and %q", token, page, next)
		}
	})
}

// FuzzJSONString holds the writer's strings against encoding/json's reader.
func FuzzJSONString(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\x1f\"\\\n\r\t\u2028é\U0001F600")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal(appendJSONString(nil, s), &back); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && back != want {
			t.Errorf("%q comes back as %q", s, back)
		}
	})
}

// FuzzFastRequest holds the reader of the hot requests against encoding/json:
// what it takes it reads alike.
func FuzzFastRequest(f *testing.F) {
	for _, body := range []string{
		`{"QueueUrl":"q","Entries":[{"Id":"1","MessageBody":"{\"a\":\"\u00e9\\n\"}","DelaySeconds":-1,"MessageGroupId":"g"},{}]}`,
		`{"QueueUrl":"q", "MessageBody" : "\t\b\f\r\n\/é", "MessageDeduplicationId":"d","DelaySeconds":10}`,
		`{"QueueUrl":"q","Entries":[{"Id":"1","ReceiptHandle":"h"}]}`,
		`{"QueueUrl":"q","MaxNumberOfMessages":10,"WaitTimeSeconds":0,"MessageAttributeNames":["All"],"AttributeNames":[]}`,
		`{"queueurl":"q"}`, `{"MaxNumberOfMessages":01}`, `{"MaxNumberOfMessages":-01}`, `{"QueueUrl":null}`, `{"QueueUrl":"q"}x`, `{"QueueUrl":"` + "\x01\xff" + `"}`, `{}`, ``,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, action := range []string{"SendMessage", "SendMessageBatch", "DeleteMessageBatch", "ReceiveMessage"} {
			fast, slow := operations[action](), operations[action]()
			if !fast.(fastRequest).readFast(&jsonReader{b: body}) {
				continue
			}
			if err := json.Unmarshal(body, slow); err != nil {
				t.Fatalf("%s: takes %q, which is wrong: %v", action, body, err)
			}
			a, _ := json.Marshal(fast)
			b, _ := json.Marshal(slow)
			if !bytes.Equal(a, b) {
				t.Errorf("%s: %q reads as\n%s, not as\n%s", action, body, a, b)
			}
		}
	})
}

func TestTheHotRequestsAreReadFast(t *testing.T) {
	t.Parallel()
	for action, body := range map[string]string{
		"SendMessage":        `{"QueueUrl":"q","MessageBody":"{\"a\":\"b\"}","MessageGroupId":"g","MessageDeduplicationId":"d","DelaySeconds":1}`,
		"SendMessageBatch":   `{"QueueUrl":"q","Entries":[{"Id":"1","MessageBody":"é"},{"Id":"2","MessageBody":"x"}]}`,
		"DeleteMessageBatch": `{"QueueUrl":"q","Entries":[{"Id":"1","ReceiptHandle":"h"}]}`,
		"ReceiveMessage":     `{"QueueUrl":"q","MaxNumberOfMessages":10,"VisibilityTimeout":30,"WaitTimeSeconds":20,"MessageSystemAttributeNames":["All"],"MessageAttributeNames":["All"]}`,
	} {
		if !operations[action]().(fastRequest).readFast(&jsonReader{b: []byte(body)}) {
			t.Errorf("%s goes the slow way", action)
		}
	}
}
