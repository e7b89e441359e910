package queueref_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/internal/queueref"
)

func TestParseReadsNamesURLsAndARNs(t *testing.T) {
	t.Parallel()
	const url = "https://sqs.eu-west-1.amazonaws.com/123456789012/"
	const arn = "arn:aws:sqs:eu-west-1:123456789012:"
	for in, want := range map[string]holdfast.Queue{
		"orders":                   {Name: "orders"},
		"orders.fifo":              {Name: "orders.fifo", FIFO: true},
		"Or_d-3":                   {Name: "Or_d-3"},
		strings.Repeat("q", 80):    {Name: strings.Repeat("q", 80)},
		url + "orders":             {Name: "orders", URL: url + "orders"},
		url + "orders.fifo":        {Name: "orders.fifo", URL: url + "orders.fifo", FIFO: true},
		"http://127.0.0.1:9/0/q":   {Name: "q", URL: "http://127.0.0.1:9/0/q"},
		arn + "orders":             {Name: "orders", ARN: arn + "orders"},
		arn + "orders.fifo":        {Name: "orders.fifo", ARN: arn + "orders.fifo", FIFO: true},
		"arn:aws-cn:sqs:cn-1:1:qq": {Name: "qq", ARN: "arn:aws-cn:sqs:cn-1:1:qq"},
	} {
		got, err := queueref.Parse(in)
		if err != nil {
			t.Errorf("Parse(%q): %v", in, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Parse(%q) (-want +got):\n%s", in, diff)
		}
	}
}

func TestParseSaysWhatItExpected(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                "1 to 80 letters",
		"orders/dlq":                      "1 to 80 letters",
		"orders.txt":                      "1 to 80 letters",
		".fifo":                           "1 to 80 letters",
		"ordrés":                          "1 to 80 letters",
		strings.Repeat("q", 81):           "1 to 80 letters",
		strings.Repeat("q", 76) + ".fifo": "1 to 80 letters",
		"arn:aws:sns:eu-west-1:1:orders":  "an ARN of SQS",
		"arn:aws:sqs:eu-west-1:orders":    "an ARN of SQS",
		"arn:aws:sqs::1:orders":           "an ARN of SQS",
		"arn:aws:sqs:eu-west-1::orders":   "an ARN of SQS",
		"arn:aws:sqs:eu-west-1:1:":        "1 to 80 letters",
		"ftp://host/1/orders":             "a queue URL",
		"https:///1/orders":               "a queue URL",
		"https://host/1/orders?x=1":       "a queue URL",
		"https://ho st/1/orders":          "a queue URL",
		"https://host/1/":                 "1 to 80 letters",
		"https://host":                    "a queue URL",
		"https://host/1/orders#":          "a queue URL",
		"https://host/1/orders?":          "a queue URL",
		"https://host/1/%6frders":         "1 to 80 letters",
	} {
		_, err := queueref.Parse(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) gives %v, want an error with %q", in, err, want)
		}
	}
}

func TestRegionIsToldByARNsAndURLsOfAWS(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"orders": "",
		"arn:aws:sqs:eu-west-1:123456789012:orders":                           "eu-west-1",
		"https://sqs.eu-west-1.amazonaws.com/123456789012/orders":             "eu-west-1",
		"https://sqs.cn-north-1.amazonaws.com.cn/123456789012/orders":         "cn-north-1",
		"https://sqs.us-iso-east-1.c2s.ic.gov/123456789012/orders":            "us-iso-east-1",
		"https://sqs.eusc-de-east-1.amazonaws.eu/123456789012/orders":         "eusc-de-east-1",
		"https://cn-north-1.queue.amazonaws.com.cn/123456789012/orders":       "cn-north-1",
		"https://sqs.us-iso-east-1.amazonaws.com/123456789012/orders":         "",
		"https://eu-west-1.queue.amazonaws.com/123456789012/orders":           "eu-west-1",
		"http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/q": "us-east-1",
		"http://127.0.0.1:4566/000000000000/orders":                           "",
		"https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/123456789012/orders": "",
		"https://sqs.internal.example.com/123456789012/orders":                "",
	} {
		q, err := queueref.Parse(in)
		if err != nil {
			t.Fatalf("Parse(%q): %v", in, err)
		}
		if got := queueref.Region(q); got != want {
			t.Errorf("region of %q is %q, want %q", in, got, want)
		}
	}
	if got := queueref.ARN(holdfast.Queue{Name: "orders"}, "us-iso-east-1"); got != "arn:aws-iso:sqs:us-iso-east-1:*:orders" {
		t.Errorf("the ARN in another partition is %s", got)
	}
	if got := queueref.Region(holdfast.Queue{ARN: "nonsense"}); got != "" {
		t.Errorf("region of an ARN that is none is %q, want none", got)
	}
}

func TestARNIsGuessedFromWhatIsKnown(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"orders": "arn:aws:sqs:eu-west-1:*:orders",
		"https://sqs.eu-west-1.amazonaws.com/123456789012/orders": "arn:aws:sqs:eu-west-1:123456789012:orders",
		"arn:aws:sqs:us-east-2:1:orders":                          "arn:aws:sqs:us-east-2:1:orders",
	} {
		q, err := queueref.Parse(in)
		if err != nil {
			t.Fatalf("Parse(%q): %v", in, err)
		}
		if got := queueref.ARN(q, "eu-west-1"); got != want {
			t.Errorf("ARN of %q is %q, want %q", in, got, want)
		}
	}
}

func TestSiblingIsTheNextQueueInTheAccount(t *testing.T) {
	t.Parallel()
	got := queueref.Sibling("https://sqs.eu-west-1.amazonaws.com/123456789012/orders", "arn:aws:sqs:eu-west-1:123456789012:orders-dlq")
	if want := "https://sqs.eu-west-1.amazonaws.com/123456789012/orders-dlq"; got != want {
		t.Errorf("sibling %q, want %q", got, want)
	}
}

func TestReadAttributesTakesOverWhatSQSTells(t *testing.T) {
	t.Parallel()
	const dlq = "arn:aws:sqs:eu-west-1:1:dlq"
	full := map[string]string{
		"QueueArn": "arn:aws:sqs:eu-west-1:1:orders", "FifoQueue": "true", "MessageRetentionPeriod": "345600",
		"RedrivePolicy": `{"deadLetterTargetArn":"` + dlq + `","maxReceiveCount":5}`,
	}
	for name, c := range map[string]struct {
		in   map[string]string
		want holdfast.Queue
	}{
		"all of them": {full, holdfast.Queue{
			ARN: "arn:aws:sqs:eu-west-1:1:orders", FIFO: true, Retention: 96 * time.Hour, DeadLetterARN: dlq, MaxReceiveCount: 5, Attributes: full,
		}},
		"none": {nil, holdfast.Queue{}},
		"a count in quotes, as the console writes it": {
			map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + dlq + `","maxReceiveCount":"7"}`},
			holdfast.Queue{DeadLetterARN: dlq, MaxReceiveCount: 7},
		},
		"no count, which means ten": {
			map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + dlq + `"}`},
			holdfast.Queue{DeadLetterARN: dlq, MaxReceiveCount: 10},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.want.Attributes = c.in
			var got holdfast.Queue
			if err := queueref.ReadAttributes(&got, c.in); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("queue (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadAttributesNamesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for attribute, values := range map[string][]string{
		"MessageRetentionPeriod": {"four days", "-1", "9223372036854775807"},
		"RedrivePolicy":          {"{", `{"maxReceiveCount":3}`, `{"deadLetterTargetArn":"a","maxReceiveCount":"x"}`},
	} {
		for _, v := range values {
			err := queueref.ReadAttributes(new(holdfast.Queue), map[string]string{attribute: v})
			if err == nil || !strings.Contains(err.Error(), attribute) || !strings.Contains(err.Error(), strings.Trim(v, "{}")[:min(4, len(strings.Trim(v, "{}")))]) {
				t.Errorf("%s %q gives %v, want an error that names both", attribute, v, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"orders", "orders.fifo", "arn:aws:sqs:eu-west-1:1:orders", "https://sqs.eu-west-1.amazonaws.com/1/orders", "arn:::::", "http://[::1]/q", "://", "a://%zz",
		"http://0/0#", "http://0/0?", "http://0/%30", "http://0/0#/1", "http://0/0?/1", "http://0",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := queueref.Parse(s)
		if err != nil {
			return
		}
		if q.Name == "" || len(q.Name) > 80 || !strings.HasSuffix(s, q.Name) {
			t.Errorf("Parse(%q) names the queue %q", s, q.Name)
		}
		if q.FIFO != strings.HasSuffix(q.Name, ".fifo") {
			t.Errorf("Parse(%q) takes FIFO for %v", s, q.FIFO)
		}
		queueref.Region(q)
		queueref.ARN(q, "eu-west-1")
		if q.URL != "" && queueref.Sibling(q.URL, "arn:aws:sqs:eu-west-1:1:"+q.Name) != q.URL {
			t.Errorf("Parse(%q): the queue is not its own sibling", s)
		}
	})
}

func FuzzReadAttributes(f *testing.F) {
	f.Add("arn:aws:sqs:eu-west-1:1:orders", "60", `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:1:dlq","maxReceiveCount":"3"}`)
	f.Add("x", "-1", `{"maxReceiveCount":null}`)
	f.Add("x", "9223372036854775807", "") // more seconds than a Duration holds
	f.Fuzz(func(t *testing.T, arn, retention, policy string) {
		q := holdfast.Queue{Name: "orders", URL: "https://h/1/orders"}
		err := queueref.ReadAttributes(&q, map[string]string{"QueueArn": arn, "MessageRetentionPeriod": retention, "RedrivePolicy": policy})
		if err == nil && policy != "" && q.DeadLetterARN == "" {
			t.Errorf("policy %q is taken without its queue", policy)
		}
		if n := int64(q.Retention / time.Second); q.Retention != 0 && strings.TrimLeft(retention, "+0") != strconv.FormatInt(n, 10) || n < 0 {
			t.Errorf("a retention of %q is taken for %v", retention, q.Retention)
		}
		queueref.Region(q)
		queueref.Sibling(q.URL, q.DeadLetterARN)
	})
}
