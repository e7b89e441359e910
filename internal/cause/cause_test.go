package cause_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/internal/cause"
)

func TestCauseIsReadBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	want := cause.Cause{
		Cause: "permanent", Error: "card <declined> & \"closed\"\n\tžluťoučký 🐎", Attempt: 3,
		Queue: "arn:aws:sqs:eu-west-1:123456789012:orders", Message: "8f0c9d0e",
		At: time.Date(2026, 11, 23, 17, 0, 0, 5, time.UTC),
	}
	got, err := cause.Decode(want.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cause (-want +got):\n%s", diff)
	}
}

func TestEncodeKeepsToItsBound(t *testing.T) {
	t.Parallel()
	queue := "arn:aws:sqs:eu-west-1:123456789012:" + strings.Repeat("q", 80)
	for name, c := range map[string]cause.Cause{
		"with a long error":                    {Cause: "exhausted", Error: strings.Repeat("x", 1<<20), Queue: queue},
		"with an error of escapes":             {Cause: "exhausted", Error: strings.Repeat("<&>\"\n\u2028", 1000), Queue: queue},
		"with an error of wide characters":     {Cause: "exhausted", Error: strings.Repeat("🐎", 1000), Queue: queue},
		"with an error that is not UTF-8":      {Cause: "exhausted", Error: strings.Repeat("\xff\xfe\x80", 1000), Queue: queue},
		"with a queue that cannot be":          {Cause: "exhausted", Error: "x", Queue: strings.Repeat("\"", 5000)},
		"with a message id that cannot be":     {Message: strings.Repeat("<", 5000)},
		"with a cause that cannot be":          {Cause: strings.Repeat("\n", 5000)},
		"with all of them long":                {Cause: strings.Repeat("<", 5000), Message: strings.Repeat("<", 5000), Queue: strings.Repeat("<", 5000), Error: strings.Repeat("<", 5000)},
		"at a time that JSON cannot tell":      {At: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"at a time before the common era":      {At: time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)},
		"with characters that XML has not":     {Error: "a\x00b\x0bc\x1fd\ufffee\uffff"},
		"with nothing":                         {},
		"with an error that just does not fit": {Cause: "exhausted", Error: strings.Repeat("y", cause.Max-100), Queue: queue},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, c.Encode())
		})
	}
}

func TestEncodeUsesItsBound(t *testing.T) {
	t.Parallel()
	// What is cut is cut because it does not fit: a long plain error fills the
	// attribute up to a few bytes.
	got := cause.Cause{Cause: "exhausted", Error: strings.Repeat("x", 5000)}.Encode()
	if len(got) < cause.Max-6 {
		t.Errorf("%d bytes, want nearly %d", len(got), cause.Max)
	}
	c, err := cause.Decode(got)
	if err != nil || c.Cause != "exhausted" || !strings.HasPrefix(c.Error, "xxx") {
		t.Errorf("cause %+v, error %v; want the beginning of the error and all else whole", c, err)
	}
}

func TestEncodeDropsOnlyWhatSQSRefuses(t *testing.T) {
	t.Parallel()
	c, err := cause.Decode(cause.Cause{Error: "a\x00b\tc\nd\x1be\ufffff\x7fg"}.Encode())
	if want := "ab\tc\nde" + "f\x7fg"; err != nil || c.Error != want {
		t.Errorf("error %q (%v), want %q", c.Error, err, want)
	}
}

func TestDecodeRefusesWhatIsNoCause(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "{", `"x"`, `{"attempt":"three"}`} {
		if _, err := cause.Decode(s); err == nil {
			t.Errorf("Decode(%q) is without error", s)
		}
	}
}

// check tells whether s may be the value of a message attribute.
func check(t *testing.T, s string) {
	t.Helper()
	if len(s) > cause.Max {
		t.Errorf("%d bytes, want at most %d", len(s), cause.Max)
	}
	if !utf8.ValidString(s) || !json.Valid([]byte(s)) {
		t.Errorf("not JSON in UTF-8: %q", s)
	}
	for _, r := range s {
		xml := r == '\t' || r == '\n' || r == '\r' || (r >= 0x20 && r <= 0xD7FF) || (r >= 0xE000 && r <= 0xFFFD) || (r >= 0x10000 && r <= 0x10FFFF)
		if !xml {
			t.Errorf("character %U is not one of XML: SQS refuses it", r)
		}
	}
	if _, err := cause.Decode(s); err != nil {
		t.Errorf("Decode: %v", err)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("exhausted", "boom", "arn:aws:sqs:eu-west-1:123456789012:orders", "id", 3, int64(0))
	f.Add("", strings.Repeat("\x00\xff<", 400), strings.Repeat("\"", 1100), "\ufffe", -1, int64(1)<<62)
	f.Fuzz(func(t *testing.T, name, text, queue, message string, attempt int, at int64) {
		check(t, cause.Cause{Cause: name, Error: text, Queue: queue, Message: message, Attempt: attempt, At: time.Unix(at, 0)}.Encode())
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(cause.Cause{Cause: "permanent", Error: "x"}.Encode())
	f.Add(`{"at":"10000-01-01T00:00:00Z"}`)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := cause.Decode(s)
		if err != nil {
			return
		}
		check(t, c.Encode())
	})
}
