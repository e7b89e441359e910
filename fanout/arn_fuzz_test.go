package fanout

import (
	"strings"
	"testing"
)

// FuzzParseARN holds that what is taken for an ARN is written back as it was, has every
// part, and that its name stands for it: a call is sent to the region and account that it
// says, so none may be read out of the wrong place.
func FuzzParseARN(f *testing.F) {
	for _, seed := range []string{
		"arn:aws:sqs:us-east-1:000000000000:orders", "arn:aws-cn:sns:cn-north-1:000000000000:orders.fifo",
		"arn:aws:sns:us-east-1:000000000000:orders:6b0e71bd-7e97-4d97-80ce-4a0994e55286", "arn:aws:s3:::bucket", "orders",
		"ARN:aws:sqs:us-east-1:000000000000:orders", "arn:aws:sqs:us-east-1:000000000000:", "arn:::::", "", ":",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, ok := parseARN(text)
		if !ok {
			if a != (arn{}) || nameOf(text) != text {
				t.Errorf("%q is none, and %+v is taken from it", text, a)
			}
			return
		}
		if a.String() != text {
			t.Errorf("%q is written back as %q", text, a)
		}
		for _, part := range []string{a.partition, a.service, a.region, a.account, a.name} {
			if part == "" || strings.Contains(part, ":") {
				t.Errorf("%q has the part %q", text, part)
			}
		}
		if nameOf(text) != a.name {
			t.Errorf("%q is named %q", text, nameOf(text))
		}
	})
}

// FuzzPruned holds that what an entry of Config.Prune deletes can be told from its text:
// the entry is the ARN, or the ARN and what is behind it, and nothing but queues, topics,
// their subscriptions and statements is deleted.
func FuzzPruned(f *testing.F) {
	for _, seed := range []string{
		"arn:aws:sqs:us-east-1:000000000000:old", "arn:aws:sns:us-east-1:000000000000:old",
		"arn:aws:sns:us-east-1:000000000000:old:6b0e71bd-7e97-4d97-80ce-4a0994e55286",
		"arn:aws:sqs:us-east-1:000000000000:old#HoldfastFromorders", "arn:aws:sqs:us-east-1:000000000000:old#of#others:x",
		"arn:aws:sns:us-east-1:000000000000:old#sid", "arn:aws:sns:us-east-1:000000000000:old:id#sid",
		"arn:aws:sqs:us-east-1:000000000000:old#", "arn:aws:sns:us-east-1:000000000000:old:", "arn:aws:kms:us-east-1:000000000000:key/x", "old", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		a, kind := pruned(entry)
		behind, ofIt := strings.CutPrefix(entry, a.String())
		ok := false
		switch kind {
		case pruneNothing:
			ok = a == arn{}
			if b, isARN := parseARN(entry); isARN && !strings.Contains(entry, "#") && (b.service == "sqs" || b.service == "sns") {
				t.Errorf("%q is of %s and nothing is deleted", entry, b.service)
			}
		case pruneTopic:
			ok = ofIt && behind == "" && a.service == "sns"
		case pruneQueue:
			ok = ofIt && behind == "" && a.service == "sqs"
		case pruneSubscription:
			ok = ofIt && len(behind) > 1 && behind[0] == ':' && !strings.ContainsAny(behind[1:], ":#") && a.service == "sns"
		case pruneStatement:
			ok = ofIt && len(behind) > 1 && behind[0] == '#' && a.service == "sqs"
		}
		if !ok || strings.Contains(a.name, "#") {
			t.Errorf("%q is %+v of kind %d", entry, a, kind)
		}
	})
}
