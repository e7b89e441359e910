package sqsserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/internal/sqsserver"
)

const stranger = "111122223333"

func TestTags(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url, _ := b.queue("q")
	tag := func(tags map[string]string) error {
		_, err := b.client.TagQueue(b.Context(), &sqs.TagQueueInput{QueueUrl: &url, Tags: tags})
		return err
	}
	wantTags := func(want map[string]string) {
		t.Helper()
		out, err := b.client.ListQueueTags(b.Context(), &sqs.ListQueueTagsInput{QueueUrl: &url})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.Tags); diff != "" {
			t.Errorf("tags (-want +got):\n%s", diff)
		}
	}
	wantTags(nil)
	if err := tag(map[string]string{"team": "a", "empty": ""}); err != nil {
		t.Fatal(err)
	}
	if err := tag(map[string]string{"team": "b"}); err != nil {
		t.Fatal(err)
	}
	wantTags(map[string]string{"team": "b", "empty": ""})
	if _, err := b.client.UntagQueue(b.Context(), &sqs.UntagQueueInput{QueueUrl: &url, TagKeys: []string{"team", "none"}}); err != nil {
		t.Fatal(err)
	}
	wantTags(map[string]string{"empty": ""})

	many := map[string]string{}
	for i := range 50 {
		many[fmt.Sprint(i)] = ""
	}
	for name, tags := range map[string]map[string]string{
		"more than fifty":  many,
		"a key too long":   {strings.Repeat("k", 129): ""},
		"a value too long": {"k": strings.Repeat("v", 257)},
		"a key of AWS's":   {"aws:k": ""},
	} {
		if err := tag(tags); code(err) != "InvalidParameterValue" {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantTags(map[string]string{"empty": ""})
	_, err := b.client.CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: aws.String("tagged"), Tags: map[string]string{"aws:k": ""}})
	wantCode(t, err, "InvalidParameterValue")
}

func TestListDeadLetterSourceQueues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url, arn := b.queue("dlq")
	out, err := b.client.ListDeadLetterSourceQueues(b.Context(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &url})
	if err != nil || out.QueueUrls == nil || len(out.QueueUrls) != 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	b.queue("unrelated")
	var want, got []string
	for i := range 5 {
		source, _ := b.source(fmt.Sprint("s", i), arn)
		want = append(want, source)
	}
	pages := sqs.NewListDeadLetterSourceQueuesPaginator(b.client, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &url, MaxResults: aws.Int32(2)})
	n := 0
	for ; pages.HasMorePages(); n++ {
		page, err := pages.NextPage(b.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page.QueueUrls...)
	}
	if diff := cmp.Diff(want, got); diff != "" || n != 3 {
		t.Errorf("%d pages (-want +got):\n%s", n, diff)
	}
	_, err = b.client.ListDeadLetterSourceQueues(b.Context(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &url, MaxResults: aws.Int32(1001)})
	wantCode(t, err, "InvalidParameterValue")
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	add := func(b *bundle, url, label string, accounts []string, actions ...string) error {
		_, err := b.client.AddPermission(b.Context(), &sqs.AddPermissionInput{QueueUrl: &url, Label: &label, AWSAccountIds: accounts, Actions: append([]string{}, actions...)})
		return err
	}
	remove := func(b *bundle, url, label string) error {
		_, err := b.client.RemovePermission(b.Context(), &sqs.RemovePermissionInput{QueueUrl: &url, Label: &label})
		return err
	}
	send := func(ctx context.Context, c *sqs.Client, url string) error {
		_, err := c.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")})
		return err
	}

	t.Run("are written as statements of the policy, as AWS writes them", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		url, arn := b.queue("q")
		if err := add(b, url, "one", []string{stranger}, "SendMessage"); err != nil {
			t.Fatal(err)
		}
		if err := add(b, url, "two", []string{stranger, "444455556666"}, "ReceiveMessage", "DeleteMessage"); err != nil {
			t.Fatal(err)
		}
		var got any
		if err := json.Unmarshal([]byte(b.attribute(url, "Policy")), &got); err != nil {
			t.Fatal(err)
		}
		root := func(account string) string { return "arn:aws:iam::" + account + ":root" }
		want := map[string]any{
			"Version": "2008-10-17", "Id": arn + "/SQSDefaultPolicy",
			"Statement": []any{
				map[string]any{"Sid": "one", "Effect": "Allow", "Principal": map[string]any{"AWS": root(stranger)}, "Action": "SQS:SendMessage", "Resource": arn},
				map[string]any{
					"Sid": "two", "Effect": "Allow", "Principal": map[string]any{"AWS": []any{root(stranger), root("444455556666")}},
					"Action": []any{"SQS:ReceiveMessage", "SQS:DeleteMessage"}, "Resource": arn,
				},
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("policy (-want +got):\n%s", diff)
		}
		if document, exists := b.server.Policy(arn); !exists || document != b.attribute(url, "Policy") {
			t.Errorf("the policy for SNS is %q", document)
		}
		if _, exists := b.server.Policy(arn + "x"); exists {
			t.Error("a queue that does not exist has a policy")
		}
		wantCode(t, add(b, url, "one", []string{stranger}, "SendMessage"), "InvalidParameterValue")
		wantCode(t, remove(b, url, "three"), "InvalidParameterValue")
		for _, label := range []string{"one", "two"} {
			if err := remove(b, url, label); err != nil {
				t.Fatal(err)
			}
		}
		if p := b.attribute(url, "Policy"); p != "" {
			t.Errorf("the policy without statements is %s", p)
		}
	})
	t.Run("are kept beside what was in the policy before", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		url, _ := b.queue("q", "Policy", `{"Version":"2012-10-17","Statement":{"Sid":"mine","Effect":"Allow","Principal":"*","Action":"sqs:SendMessage"}}`)
		if err := add(b, url, "one", []string{stranger}, "*"); err != nil {
			t.Fatal(err)
		}
		if err := remove(b, url, "one"); err != nil {
			t.Fatal(err)
		}
		if p := b.attribute(url, "Policy"); !strings.Contains(p, "mine") || strings.Contains(p, "one") {
			t.Errorf("policy %s", p)
		}
	})
	t.Run("are refused with AWS's codes", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		url, _ := b.queue("q")
		accounts := []string{stranger}
		wantCode(t, add(b, url, "a b", accounts, "SendMessage"), "InvalidParameterValue")
		wantCode(t, add(b, url, "a", []string{"1"}, "SendMessage"), "InvalidParameterValue")
		wantCode(t, add(b, url, "a", accounts, "CreateQueue"), "InvalidParameterValue")
		wantCode(t, add(b, url, "a", accounts, "Frobnicate"), "InvalidParameterValue")
		wantCode(t, add(b, url, "a", accounts), "MissingParameter")
		wantCode(t, add(b, url, "a", []string{}, "SendMessage"), "MissingParameter")
		wantCode(t, add(b, url, "a", accounts, strings.Split("SendMessage,ReceiveMessage,DeleteMessage,ChangeMessageVisibility,GetQueueAttributes,GetQueueUrl,PurgeQueue,*", ",")...), "OverLimit")
	})
	t.Run("open a queue to another account, for what they name", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		url, _ := b.queue("q")
		other := clientOf(b.server, stranger, "us-east-1")
		wantCode(t, send(b.Context(), other, url), "AccessDenied")
		if err := add(b, url, "one", []string{stranger}, "SendMessage"); err != nil {
			t.Fatal(err)
		}
		if err := send(b.Context(), other, url); err != nil {
			t.Error(err)
		}
		_, err := other.PurgeQueue(b.Context(), &sqs.PurgeQueueInput{QueueUrl: &url})
		wantCode(t, err, "AccessDenied")
		wantCode(t, send(b.Context(), clientOf(b.server, "444455556666", "us-east-1"), url), "AccessDenied")
	})
	t.Run("never open what is the owner's alone", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		url, _ := b.queue("q", "Policy", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*"}}`)
		other := clientOf(b.server, stranger, "us-east-1")
		if err := send(b.Context(), other, url); err != nil {
			t.Error(err)
		}
		_, err := other.DeleteQueue(b.Context(), &sqs.DeleteQueueInput{QueueUrl: &url})
		wantCode(t, err, "AccessDenied")
	})
	t.Run("are overruled by a Deny, for the owner too", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		url, _ := b.queue("q", "Policy", `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:SendMessage","Condition":{"StringNotEquals":{"aws:PrincipalAccount":"`+stranger+`"}}},
			{"Effect":"Allow","Principal":{"AWS":"`+stranger+`"},"Action":"SQS:Send*"}]}`)
		wantCode(t, send(b.Context(), b.client, url), "AccessDenied")
		if err := send(b.Context(), clientOf(b.server, stranger, "us-east-1"), url); err != nil {
			t.Error(err)
		}
	})
	t.Run("that cannot be read are refused when they are set", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		url, _ := b.queue("q")
		for _, text := range []string{
			`{`, `{"Statement":1}`, `{"Statement":{"Effect":"Maybe","Principal":"*","Action":"*"}}`, `{"Statement":{"Effect":"Allow","Action":"*"}}`,
			`{"Statement":{"Effect":"Allow","Principal":"me","Action":"*"}}`, `{"Statement":{"Effect":"Allow","Principal":"*"}}`,
			`{"Statement":[],"Id":"` + strings.Repeat("x", 8<<10) + `"}`,
		} {
			_, err := b.client.SetQueueAttributes(b.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"Policy": text}})
			wantCode(t, err, "InvalidAttributeValue")
		}
	})
}

func TestBind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url, arn := b.queue("orders")
	b.queue("other")
	if err := b.server.Bind("WORKER", `{"Statement":[
		{"Effect":"Allow","Action":["sqs:ReceiveMessage","sqs:GetQueueUrl"],"Resource":"`+arn+`"},
		{"Effect":"Deny","Action":"sqs:GetQueueUrl","Resource":"*other"}]}`); err != nil {
		t.Fatal(err)
	}
	worker := clientOf(b.server, "WORKER", "us-east-1")
	receive := func(c *sqs.Client) error {
		_, err := c.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
		return err
	}
	if err := receive(worker); err != nil {
		t.Error(err)
	}
	if _, err := worker.GetQueueUrl(b.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("orders")}); err != nil {
		t.Error(err)
	}
	_, err := worker.DeleteMessageBatch(b.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("1"), ReceiptHandle: aws.String("x")},
	}})
	wantCode(t, err, "AccessDenied")
	if err == nil || !strings.Contains(err.Error(), "sqs:deletemessage on resource: "+arn) {
		t.Errorf("the error does not name action and queue: %v", err)
	}
	_, err = worker.GetQueueUrl(b.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("other")})
	wantCode(t, err, "AccessDenied")
	_, err = worker.CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: aws.String("new")})
	wantCode(t, err, "AccessDenied")
	if err := receive(b.client); err != nil {
		t.Errorf("another key: %v", err)
	}
	if err := b.server.Bind("WORKER", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := worker.CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: aws.String("new")}); err != nil {
		t.Errorf("a key that was freed: %v", err)
	}
	for _, text := range []string{`{`, `{"Statement":{"Effect":"Allow","Action":"*"}}`, `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`} {
		if err := b.server.Bind("K", text); err == nil || !strings.Contains(err.Error(), `"K"`) {
			t.Errorf("%s is bound: %v", text, err)
		}
	}
}

func TestClear(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url, _ := b.queue("q")
	if _, err := b.client.DeleteQueue(b.Context(), &sqs.DeleteQueueInput{QueueUrl: &url}); err != nil {
		t.Fatal(err)
	}
	b.queue("other")
	if err := b.server.Bind("AKIDTEST", `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`); err != nil {
		t.Fatal(err)
	}
	b.server.Clear()
	if n := len(b.server.Queues()); n != 0 {
		t.Errorf("%d queues are left", n)
	}
	b.queue("q") // neither the wait for its name nor the policy are left
}

func TestAPollMayTakeLongerThanABody(t *testing.T) {
	t.Parallel()
	s := sqsserver.New(sqsserver.Config{BodyTimeout: 500 * time.Millisecond})
	arn, err := s.Create("q", nil)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	client := clientOf(s, "AKIDTEST", "us-east-1")
	overPort := sqs.New(client.Options(), func(o *sqs.Options) { o.BaseEndpoint, o.HTTPClient = &srv.URL, srv.Client() })
	name := arn[strings.LastIndexByte(arn, ':')+1:]
	if _, err := overPort.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &name, WaitTimeSeconds: 1}); err != nil {
		t.Error(err)
	}
}

func TestQueuesAreToldApartByAccountAndRegion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	urls := map[string]bool{}
	for _, c := range []*sqs.Client{b.client, clientOf(b.server, stranger, "us-east-1"), clientOf(b.server, "AKIDTEST", "eu-west-1")} {
		if _, err := c.GetQueueUrl(b.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("q")}); code(err) != "AWS.SimpleQueueService.NonExistentQueue" {
			t.Errorf("a queue of elsewhere is seen: %v", err)
		}
		out, err := c.CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
		if err != nil {
			t.Fatal(err)
		}
		urls[*out.QueueUrl] = true
	}
	if len(urls) != 2 || len(b.server.Queues()) != 3 {
		t.Errorf("URLs %v, %d queues", urls, len(b.server.Queues()))
	}
}

func TestRequestsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	t.Run("by their content type", func(t *testing.T) {
		t.Parallel()
		for contentType, status := range map[string]int{
			"application/x-amz-json-1.0": 200, "application/json; charset=utf-8": 200, "": 200,
			"text/xml": 415, "application/x-www-form-urlencoded": 415, "\xff/;": 415,
		} {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("X-Amz-Target", "AmazonSQS.ListQueues")
			w := httptest.NewRecorder()
			sqsserver.New(sqsserver.Config{}).ServeHTTP(w, r)
			if w.Code != status || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%q: status %d, %s", contentType, w.Code, w.Body)
			}
		}
	})
	t.Run("when their body does not come", func(t *testing.T) {
		t.Parallel()
		srv := httptest.NewServer(sqsserver.New(sqsserver.Config{BodyTimeout: 20 * time.Millisecond}))
		defer srv.Close()
		if got := talk(t, srv, "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: AmazonSQS.ListQueues\r\nContent-Length: 10\r\n\r\n{"); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
			t.Errorf("reply %q", got)
		}
	})
	t.Run("when they say that 100 MiB are to come", func(t *testing.T) {
		t.Parallel()
		srv := httptest.NewServer(sqsserver.New(sqsserver.Config{}))
		defer srv.Close()
		if got := talk(t, srv, "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: AmazonSQS.ListQueues\r\nContent-Length: 104857600\r\n\r\n{"); !strings.HasPrefix(got, "HTTP/1.1 413 ") {
			t.Errorf("reply %q", got)
		}
	})
}

// talk writes bytes to a server and returns the first of its reply.
func talk(t *testing.T, srv *httptest.Server, say string) string {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(say)); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 256)
	n, err := conn.Read(reply)
	if err != nil {
		t.Fatal(err)
	}
	return string(reply[:n])
}
