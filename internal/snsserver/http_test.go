package snsserver_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/internal/snsserver"
)

func TestServesOnAPort(t *testing.T) {
	t.Parallel()
	b := setup(t)
	port := httptest.NewServer(b.server)
	t.Cleanup(port.Close)
	client := sns.New(b.client.Options(), func(o *sns.Options) {
		o.BaseEndpoint, o.HTTPClient = aws.String(port.URL), port.Client()
	})
	topic := *must(client.CreateTopic(b.ctx, &sns.CreateTopicInput{Name: aws.String("orders")}))(t).TopicArn
	queue := b.queue("billing")
	must(client.Subscribe(b.ctx, &sns.SubscribeInput{TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &queue}))(t)
	must(client.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: aws.String("a<&>\r\n\"ü")}))(t)
	var e struct{ Message string }
	must(0, json.Unmarshal([]byte(b.queues.bodies(queue)[0]), &e))(t)
	if e.Message != "a<&>\r\n\"ü" {
		t.Errorf("message %q", e.Message)
	}
}

// post sends a request as it is and returns the status and the body.
func post(t *testing.T, s *snsserver.Server, contentType, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "http://sns.test.invalid/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestRawRequests(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded; charset=utf-8"
	b := setup(t)
	if status, body := post(t, b.server, form, "Action=CreateTopic&Version=2010-03-31&Name=orders"); status != 200 ||
		body != `<CreateTopicResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><CreateTopicResult><TopicArn>arn:aws:sns:us-east-1:000000000000:orders</TopicArn></CreateTopicResult><ResponseMetadata><RequestId>00000000-0000-4000-b000-000000000001</RequestId></ResponseMetadata></CreateTopicResponse>` {
		t.Errorf("%d %s", status, body)
	}
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		code                    string
	}{
		{"nothing", form, "", 400, "MissingAction"},
		{"no action", form, "Name=x", 400, "MissingAction"},
		{"an unknown action", form, "Action=Fly", 400, "InvalidAction"},
		{"an action that is not here", form, "Action=CreatePlatformApplication", 400, "UnsupportedOperation"},
		{"JSON", "application/json", `{"Action":"ListTopics"}`, 400, "MissingAction"},
		{"no content type", "", `Action=ListTopics`, 400, "MissingAction"},
		{"a bad escape", form, "Action=%zz", 400, "MalformedQueryString"},
		{"a bad escape in a name", form, "%=1", 400, "MalformedQueryString"},
		{"garbage", form, "\x00\xff&&&===", 400, "MissingAction"},
		{"a long name", form, strings.Repeat("a.", 1000) + "=1", 400, "MalformedQueryString"},
		{"binary that is no Base64", form, "Action=Publish&TopicArn=arn:aws:sns:us-east-1:000000000000:orders&Message=x&MessageAttributes.entry.1.Name=a&MessageAttributes.entry.1.Value.DataType=Binary&MessageAttributes.entry.1.Value.BinaryValue=*", 400, "MalformedQueryString"},
		{"an attribute without its type", form, "Action=Publish&TopicArn=arn:aws:sns:us-east-1:000000000000:orders&Message=x&MessageAttributes.entry.1.Name=a&MessageAttributes.entry.1.Value.StringValue=x", 400, "ValidationError"},
		{"an attribute twice", form, "Action=Publish&TopicArn=arn:aws:sns:us-east-1:000000000000:orders&Message=x&MessageAttributes.entry.1.Name=a&MessageAttributes.entry.1.Value.DataType=String&MessageAttributes.entry.1.Value.StringValue=x&MessageAttributes.entry.2.Name=a&MessageAttributes.entry.2.Value.DataType=String&MessageAttributes.entry.2.Value.StringValue=x", 400, "ParameterValueInvalid"},
	} {
		status, body := post(t, b.server, c.contentType, c.body)
		if status != c.status || !strings.Contains(body, "<Code>"+c.code+"</Code>") || !strings.Contains(body, "<Type>Sender</Type>") {
			t.Errorf("%s: %d %s\nwant %d %s", c.name, status, body, c.status, c.code)
		}
	}
	// What the SDK does not let through.
	for request, want := range map[string]string{
		"Action=AddPermission&TopicArn=#":                                                              "ValidationError: 1 validation error detected: Value null at 'label' failed to satisfy constraint: Member must not be null",
		"Action=AddPermission&TopicArn=#&Label=x":                                                      "ValidationError: 1 validation error detected: Value null at 'aWSAccountId' failed to satisfy constraint: Member must not be null",
		"Action=AddPermission&TopicArn=#&Label=x&AWSAccountId.member.1=1":                              "ValidationError: 1 validation error detected: Value null at 'actionName' failed to satisfy constraint: Member must not be null",
		"Action=AddPermission&TopicArn=#&Label=x&AWSAccountId.member.1=1&ActionName.member.1=Publish":  "InvalidParameter: Invalid parameter: AWSAccountId Reason: \"1\" is no account",
		"Action=Subscribe&TopicArn=#":                                                                  "ValidationError: 1 validation error detected: Value null at 'protocol' failed to satisfy constraint: Member must not be null",
		"Action=Subscribe&TopicArn=#&Protocol=sqs":                                                     "InvalidParameter: Invalid parameter: Endpoint Reason: no value for required parameter",
		"Action=Subscribe&TopicArn=#&Protocol=sqs&Endpoint=x&Attributes.entry.1.key=FilterPolicyScope": "InvalidParameter: Invalid parameter: SQS endpoint ARN",
		"Action=ConfirmSubscription&TopicArn=#":                                                        "ValidationError: 1 validation error detected: Value null at 'token' failed to satisfy constraint: Member must not be null",
		"Action=ConfirmSubscription&TopicArn=x":                                                        "InvalidParameter: Invalid parameter: Topic",
		"Action=CreateTopic&Name=x&DataProtectionPolicy=x":                                             "UnsupportedOperation: DataProtectionPolicy is not supported: this server does not look into messages.",
		"Action=CreateTopic&Name=x&Tags.member.1.Key=":                                                 "InvalidParameter: Invalid parameter: Tags Reason: a tag's key has 1 to 128 characters, not 0",
		"Action=CreateTopic&Name=x&Tags.member.1.Key=k":                                                "InvalidParameter: Invalid parameter: Tags Reason: a tag has a value of at most 256 characters",
		"Action=Publish&TopicArn=#&TargetArn=#&Message=x":                                              "InvalidParameter: Invalid parameter: TopicArn or TargetArn Reason: only one of them can be given",
		"Action=DeleteTopic&TopicArn=a:b:c:d:e:f":                                                      "InvalidParameter: Invalid parameter: TopicArn",
		"Action=SetSubscriptionAttributes&SubscriptionArn=#:x&AttributeName=RawMessageDelivery":        "NotFound: Subscription does not exist",
	} {
		_, body := post(t, b.server, form, strings.ReplaceAll(request, "#", "arn:aws:sns:us-east-1:000000000000:orders"))
		var reply struct {
			Code    string `xml:"Error>Code"`
			Message string `xml:"Error>Message"`
		}
		must(0, xml.Unmarshal([]byte(body), &reply))(t)
		if got := reply.Code + ": " + reply.Message; got != want {
			t.Errorf("%s: %s\nwant %s", request, got, want)
		}
	}
	if _, body := post(t, b.server, form, "Action=CreateTopic&Name=first&Name=second"); !strings.Contains(body, ":first<") {
		t.Errorf("a parameter twice: %s", body)
	}
	var many strings.Builder
	for range 6000 {
		many.WriteString("&")
		many.WriteString(strings.Repeat("x", many.Len()%500+1))
		many.WriteString("=")
	}
	if status, _ := post(t, b.server, form, many.String()); status != 400 {
		t.Errorf("thousands of parameters: %d", status)
	}
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/", nil))
	if w.Code != 400 {
		t.Errorf("PUT: %d", w.Code)
	}
}

// endless is a body that never ends.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

func TestLongRequestsAreCutOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := &endless{}
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", body))
	if w.Code != http.StatusRequestEntityTooLarge || body.read > 16<<20 {
		t.Errorf("%d after %d bytes", w.Code, body.read)
	}
	res := must((&http.Client{Transport: b.server.Transport()}).Post("http://sns.test.invalid", "x", io.LimitReader(&endless{}, 100<<20)))(t)
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("in process: %d", res.StatusCode)
	}
}

func TestSlowRequestsAreCutOff(t *testing.T) {
	t.Parallel()
	s := snsserver.New(snsserver.Config{BodyTimeout: 20 * time.Millisecond}, nil)
	port := httptest.NewServer(s)
	t.Cleanup(port.Close)
	conn := must(net.Dial("tcp", port.Listener.Addr().String()))(t)
	defer conn.Close()
	must(conn.Write([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nAction=List")))(t)
	res := must(http.ReadResponse(bufio.NewReader(conn), nil))(t)
	defer res.Body.Close()
	if body := string(must(io.ReadAll(res.Body))(t)); res.StatusCode != http.StatusRequestTimeout || !strings.Contains(body, "<Code>RequestTimeout</Code>") || !res.Close {
		t.Errorf("status %d, closing %v: %s", res.StatusCode, res.Close, body)
	}
}

func TestClientThatGoesAway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	port := httptest.NewServer(b.server)
	t.Cleanup(port.Close)
	conn := must(net.Dial("tcp", port.Listener.Addr().String()))(t)
	conn.Write([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nAction=List"))
	conn.(*net.TCPConn).CloseWrite()
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
		t.Error("half a request got an answer")
	}
	conn.Close()
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if _, err := b.client.ListTopics(ctx, &sns.ListTopicsInput{}); err == nil || b.server.Calls("") != 0 {
		t.Errorf("a cancelled call: %v, %d calls", err, b.server.Calls(""))
	}
}

func TestSpeaks(t *testing.T) {
	t.Parallel()
	const signed = "AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/%/aws4_request, SignedHeaders=host, Signature=x"
	for _, c := range []struct {
		name   string
		method string
		url    string
		header http.Header
		want   bool
	}{
		{"signed for SNS", "POST", "/", http.Header{"Authorization": {strings.Replace(signed, "%", "sns", 1)}}, true},
		{"signed for SQS", "POST", "/", http.Header{"Authorization": {strings.Replace(signed, "%", "sqs", 1)}, "Content-Type": {"application/x-www-form-urlencoded"}}, false},
		{"an unsigned form", "POST", "/", http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}, true},
		{"unsigned JSON", "POST", "/", http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "X-Amz-Target": {"AmazonSQS.ListQueues"}}, false},
		{"the certificate", "GET", "/SimpleNotificationService-686f6c6466617374.pem", nil, true},
		{"a SubscribeURL", "GET", "/?Action=ConfirmSubscription&Token=x", nil, true},
		{"another page", "GET", "/health", nil, false},
	} {
		r := httptest.NewRequest(c.method, c.url, nil)
		if c.header != nil {
			r.Header = c.header
		}
		if got := snsserver.Speaks(r); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSignature(t *testing.T) {
	t.Parallel()
	for version, hash := range map[string]crypto.Hash{"1": crypto.SHA1, "2": crypto.SHA256} {
		b := setup(t)
		topic, queue := b.topic("orders", "SignatureVersion", version), b.queue("billing")
		b.subscribe(topic, queue)
		b.publish(topic, "hello\nworld", func(in *sns.PublishInput) { in.Subject = aws.String("greeting") })
		b.publish(topic, "no subject")
		theirs := "arn:aws:sqs:us-east-1:111111111111:theirs"
		b.queues.allow(theirs, `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*"}}`)
		b.subscribe(topic, theirs)
		bodies := append(b.queues.bodies(queue), b.queues.bodies(theirs)...)
		if len(bodies) != 3 {
			t.Fatalf("%d messages", len(bodies))
		}
		for _, body := range bodies {
			var e map[string]string
			must(0, json.Unmarshal([]byte(body), &e))(t)
			// The recipe of AWS's page "Verifying the signatures of Amazon SNS messages".
			var text strings.Builder
			for _, key := range []string{"Message", "MessageId", "SubscribeURL", "Subject", "Timestamp", "Token", "TopicArn", "Type"} {
				if v, ok := e[key]; ok {
					text.WriteString(key + "\n" + v + "\n")
				}
			}
			sum1, sum256 := sha1.Sum([]byte(text.String())), sha256.Sum256([]byte(text.String()))
			digest := sum1[:]
			if version == "2" {
				digest = sum256[:]
			}
			status, certificate := visit(t, b.server, e["SigningCertURL"])
			block, _ := pem.Decode([]byte(certificate))
			if status != 200 || block == nil {
				t.Fatalf("certificate: %d %s", status, certificate)
			}
			parsed := must(x509.ParseCertificate(block.Bytes))(t)
			signed := must(base64.StdEncoding.DecodeString(e["Signature"]))(t)
			if err := rsa.VerifyPKCS1v15(parsed.PublicKey.(*rsa.PublicKey), hash, digest, signed); err != nil || e["SignatureVersion"] != version {
				t.Errorf("version %s of %s: %v", version, body, err)
			}
			if now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC); now.Before(parsed.NotBefore) || time.Now().After(parsed.NotAfter) {
				t.Error("the certificate is not valid in synctest bubbles, or now")
			}
		}
	}
}

func TestEndpointOfURLs(t *testing.T) {
	t.Parallel()
	b := setupWith(t, snsserver.Config{Endpoint: "http://127.0.0.1:4566/", NoSignature: true})
	topic, queue := b.topic("orders"), b.queue("billing")
	sub := b.subscribe(topic, queue)
	b.publish(topic, "x")
	var e map[string]any
	must(0, json.Unmarshal(bytes.TrimSpace([]byte(b.queues.bodies(queue)[0])), &e))(t)
	got := []any{e["SigningCertURL"], e["UnsubscribeURL"]}
	want := []any{"http://127.0.0.1:4566/SimpleNotificationService-686f6c6466617374.pem", "http://127.0.0.1:4566/?Action=Unsubscribe&SubscriptionArn=" + sub}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("URLs (-want +got):\n%s", diff)
	}
}

func BenchmarkSignature(b *testing.B) {
	q := newQueues()
	q.allow(queueARN("q"), `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*"}}`)
	for name, plain := range map[string]bool{"signed": false, "unsigned": true} {
		b.Run(name, func(b *testing.B) {
			s := snsserver.New(snsserver.Config{NoSignature: plain}, q)
			topic := must(s.Create("t", nil))(b)
			must(clientOf(s, "AKID").Subscribe(b.Context(), &sns.SubscribeInput{TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: aws.String(queueARN("q"))}))(b)
			for b.Loop() {
				must(s.Publish(topic, snsserver.Message{Body: "hello"}))(b)
			}
		})
	}
}
