package snsserver_test

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/google/go-cmp/cmp"
)

// golden is the requests that the SDK's own tests hold its encoder against, by action:
// the parameters of each.
func golden(t *testing.T) map[string]url.Values {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/sns").Output()
	if err != nil {
		t.Fatal(err)
	}
	const ending = ".request.snap"
	folder := filepath.Join(strings.TrimSpace(string(out)), "request_snapshot")
	paths, err := filepath.Glob(filepath.Join(folder, "*"+ending))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("the SDK's module has no %s", folder)
	}
	requests := map[string]url.Values{}
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		body := file[bytes.LastIndexByte(file, '\n')+1:]
		form, err := url.ParseQuery(string(body))
		if err != nil {
			t.Fatal(err)
		}
		requests[strings.TrimSuffix(filepath.Base(path), ending)] = form
	}
	return requests
}

const formType = "application/x-www-form-urlencoded; charset=utf-8"

// errorCode is the code of a reply that is an error, "" of another.
func errorCode(t *testing.T, body string) string {
	t.Helper()
	var reply struct{ Error struct{ Code string } }
	if err := xml.Unmarshal([]byte(body), &reply); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return reply.Error.Code
}

func TestKnowsEveryGoldenRequest(t *testing.T) {
	t.Parallel()
	for action, form := range golden(t) {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			status, body := post(t, setup(t).server, formType, form.Encode())
			switch code := errorCode(t, body); code {
			case "InvalidAction", "MissingAction", "MalformedQueryString", "InternalFailure", "InternalError":
				t.Errorf("status %d, %s", status, body)
			case "": // tags and lists take what is made up
				if status != http.StatusOK {
					t.Errorf("status %d, %s", status, body)
				}
			}
		})
	}
}

// TestServesGoldenRequests puts what exists in the place of made-up values, and looks
// what comes of the requests.
func TestServesGoldenRequests(t *testing.T) {
	t.Parallel()
	requests := golden(t)
	b := setup(t)
	queue := b.queue("golden.fifo")
	topic := "arn:aws:sns:" + region + ":" + account + ":golden.fifo"
	// serve sends the request of an action with other values; an empty value takes the
	// parameter away.
	serve := func(action string, change map[string]string) string {
		t.Helper()
		form := requests[action]
		if form.Has("TopicArn") {
			form.Set("TopicArn", topic)
		}
		for name, value := range change {
			if form.Get(name) == "" {
				t.Errorf("the golden %s has no %s", action, name)
			}
			form.Set(name, value)
		}
		for name, value := range form {
			if value[0] == "" {
				form.Del(name)
			}
		}
		status, body := post(t, b.server, formType, form.Encode())
		var reply struct{ XMLName xml.Name }
		if err := xml.Unmarshal([]byte(body), &reply); err != nil || status != http.StatusOK || reply.XMLName.Local != action+"Response" {
			t.Fatalf("%s: status %d, %s", action, status, body)
		}
		delete(requests, action)
		return body
	}
	attribute := func(prefix, name string) map[string]string {
		return map[string]string{prefix + ".Name": name, prefix + ".Value.DataType": "String", prefix + ".Value.BinaryValue": "", prefix + ".Value.StringValue": "of " + name}
	}

	form := requests["CreateTopic"]
	form.Set("Attributes.entry.2.key", "FifoTopic")
	form.Set("Attributes.entry.2.value", "true")
	serve("CreateTopic", map[string]string{
		"Name": "golden.fifo", "DataProtectionPolicy": "", "Attributes.entry.1.key": "DisplayName", "Attributes.entry.1.value": "Golden",
		"Tags.member.1.Key": "a", "Tags.member.2.Key": "b",
	})
	serve("TagResource", map[string]string{"ResourceArn": topic, "Tags.member.1.Key": "c", "Tags.member.2.Key": "d"})
	serve("UntagResource", map[string]string{"ResourceArn": topic, "TagKeys.member.1": "a", "TagKeys.member.2": "c"})
	tags := serve("ListTagsForResource", map[string]string{"ResourceArn": topic})
	for key, there := range map[string]bool{"a": false, "b": true, "c": false, "d": true} {
		if strings.Contains(tags, "<Key>"+key+"</Key>") != there {
			t.Errorf("tag %s in %s, want %v", key, tags, there)
		}
	}
	if got := serve("GetTopicAttributes", nil); !strings.Contains(got, "<value>Golden</value>") {
		t.Errorf("DisplayName is not in %s", got)
	}
	serve("AddPermission", map[string]string{"AWSAccountId.member.1": "111122223333", "AWSAccountId.member.2": "111122224444", "ActionName.member.1": "Publish", "ActionName.member.2": "Subscribe"})
	policy := b.topicPolicy(topic)
	for _, word := range []string{"__Label__", "111122223333", "111122224444", "Publish", "Subscribe"} {
		if !strings.Contains(policy, word) {
			t.Errorf("%s is not in the policy %s", word, policy)
		}
	}
	serve("RemovePermission", nil)
	if strings.Contains(b.topicPolicy(topic), "__Label__") {
		t.Errorf("the permission is still there")
	}
	serve("SetTopicAttributes", map[string]string{"AttributeName": "ContentBasedDeduplication", "AttributeValue": "true"})

	subscribed := serve("Subscribe", map[string]string{"Protocol": "sqs", "Endpoint": queue, "Attributes.entry.1.key": "RawMessageDelivery", "Attributes.entry.1.value": "false"})
	_, rest, _ := strings.Cut(subscribed, "<SubscriptionArn>")
	subscription, _, _ := strings.Cut(rest, "<")
	serve("SetSubscriptionAttributes", map[string]string{"SubscriptionArn": subscription, "AttributeName": "RawMessageDelivery", "AttributeValue": "true"})
	if got := serve("GetSubscriptionAttributes", map[string]string{"SubscriptionArn": subscription}); !strings.Contains(got, "<key>RawMessageDelivery</key><value>true</value>") {
		t.Errorf("RawMessageDelivery is not in %s", got)
	}
	for action, want := range map[string]string{"ListTopics": topic, "ListSubscriptions": subscription, "ListSubscriptionsByTopic": subscription} {
		if got := serve(action, map[string]string{"NextToken": ""}); !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}

	publish := attribute("MessageAttributes.entry.1", "one")
	publish["Message"], publish["MessageStructure"] = `{"default":"x","sqs":"1"}`, "json"
	publish["PhoneNumber"], publish["TargetArn"], publish["MessageDeduplicationId"], publish["MessageGroupId"] = "", "", "d1", "g1"
	serve("Publish", publish)
	batch := map[string]string{}
	for _, n := range []string{"2", "3"} {
		entry := "PublishBatchRequestEntries.member." + string(n[0]-1)
		for name, value := range attribute(entry+".MessageAttributes.entry.1", "one") {
			batch[name] = value
		}
		batch[entry+".Id"], batch[entry+".Message"], batch[entry+".MessageStructure"] = n, `{"default":"`+n+`"}`, "json"
		batch[entry+".MessageDeduplicationId"], batch[entry+".MessageGroupId"] = "d"+n, "g"+n
	}
	if got := serve("PublishBatch", batch); strings.Count(got, "<MessageId>") != 2 {
		t.Errorf("results %s", got)
	}
	var got []string
	for _, m := range b.queues.got(queue) {
		got = append(got, strings.Join([]string{m.Body, m.Group, m.Dedup, m.Attributes["one"].Text}, ", "))
	}
	if diff := cmp.Diff([]string{"1, g1, d1, of one", "2, g2, d2, of one", "3, g3, d3, of one"}, got); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
	serve("Unsubscribe", map[string]string{"SubscriptionArn": subscription})
	serve("DeleteTopic", nil)
	// A token that is good comes only with a queue of another account.
	delete(requests, "ConfirmSubscription")
	for action, form := range requests {
		_, body := post(t, b.server, formType, form.Encode())
		if !strings.Contains(body, "is not supported") {
			t.Errorf("%s was not served: %s", action, body)
		}
	}
}

func (b *bundle) topicPolicy(topic string) string {
	b.Helper()
	out, err := b.client.GetTopicAttributes(b.ctx, &sns.GetTopicAttributesInput{TopicArn: aws.String(topic)})
	if err != nil {
		b.Fatal(err)
	}
	return out.Attributes["Policy"]
}
