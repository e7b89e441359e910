package main

import (
	"bytes"
	"strings"
	"testing"

	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
)

func snsAttribute(name, value string) map[string]snstypes.MessageAttributeValue {
	text := "String"
	return map[string]snstypes.MessageAttributeValue{name: {DataType: &text, StringValue: &value}}
}

func TestAFileThatCannotBeLoadedIsToldByFieldAndValue(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`{"queues":[{"name":"q"}]`:    {"seed.json", "line 1"},
		"{\n\"queue\":[]}":            {"line 2", `"queue"`},
		`{"queues":[{"name":1}]}`:     {"name", "number"},
		`{} {}`:                       {"after the end"},
		`{"queues":[{"name":"a b"}]}`: {`queues[0] "a b"`},
		`{"queues":[{"name":"q","attributes":{"VisibilityTimeout":"x"}}]}`:                                                        {`queues[0].attributes.VisibilityTimeout "x"`},
		`{"queues":[{"name":"q","attributes":{"VisibilityTimeout":null}}]}`:                                                       {"attributes.VisibilityTimeout is null"},
		`{"queues":[{"name":"q","attributes":{"RedrivePolicy":{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:x"}}}]}`: {`queues[0].attributes.RedrivePolicy`, "does not exist"},
		`{"topics":[{"name":"a b"}]}`:                               {`topics[0] "a b"`},
		`{"topics":[{"name":"t","subscriptions":[{"queue":"q"}]}]}`: {`topics[0].subscriptions[0] "q"`, "no such queue"},
		`{"queues":[{"name":"q"}],"topics":[{"name":"t","subscriptions":[{"queue":"q","attributes":{"FilterPolicy":{"a":[{"frob":1}]}}}]}]}`: {`subscriptions[0].attributes.FilterPolicy`, "frob"},
		`{"policies":{"K":{"Statement":{}}}}`:                   {"policies.K", "Effect"},
		`{"queues":[{"name":"a b"}],"topics":[{"name":"c d"}]}`: {`"a b"`, `"c d"`},
	} {
		var stdout, stderr bytes.Buffer
		err := run(t.Context(), []string{"local", "--addr", "127.0.0.1:0", "--load", write(t, text)}, &stdout, &stderr)
		if err == nil {
			t.Errorf("%s is loaded", text)
			continue
		}
		for _, part := range want {
			if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(part)) {
				t.Errorf("%s: the error does not say %s:\n%v", text, part, err)
			}
		}
		if stdout.Len() > 0 {
			t.Errorf("%s: it says %s", text, &stdout)
		}
	}
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"local", "--load", "/nowhere/at/all"}, &stdout, &stderr); err == nil || !strings.Contains(err.Error(), "/nowhere/at/all") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func FuzzSeed(f *testing.F) {
	f.Add([]byte(`{"queues":[{"name":"q","attributes":{"VisibilityTimeout":1,"a":"b"}}],"topics":[{"name":"t","subscriptions":[{"queue":"q"}]}]}`))
	f.Add([]byte(`{"policies":{"K":{"Statement":[]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSeed(data)
		if (s == nil) == (err == nil) {
			t.Fatalf("%+v and %v", s, err)
		}
		if s != nil {
			_ = newBackend("000000000000", "us-east-1", "http://127.0.0.1").plant(t.Context(), s) // whatever it says: no panic
		}
	})
}
