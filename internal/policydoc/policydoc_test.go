package policydoc

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPutAndDropLeaveTheOthersAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	const theirs = `{ "Sid" : "theirs",  "Effect":"Allow" }`
	for name, tt := range map[string]struct{ before, after string }{
		"none":                 {"", `{"Version":"2012-10-17","Statement":[{"Sid":"ours"}]}`},
		"a list":               {`{"Statement": [ ` + theirs + ` , {"Sid":""}], "Id": 7}`, `{"Statement":[` + theirs + `,{"Sid":""},{"Sid":"ours"}],"Id":7}`},
		"one that stands free": {`{"Version":"2008-10-17","Statement":` + theirs + `}`, `{"Version":"2008-10-17","Statement":[` + theirs + `,{"Sid":"ours"}]}`},
		"ours, older":          {`{"Statement":[{"Sid":"ours","Effect":"Deny"},` + theirs + `]}`, `{"Statement":[{"Sid":"ours"},` + theirs + `]}`},
		"no statement":         {`{"Id":"x"}`, `{"Id":"x","Statement":[{"Sid":"ours"}]}`},
	} {
		doc, err := Read(tt.before)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		doc.Put("ours", `{"Sid":"ours"}`)
		if got := doc.Text(); got != tt.after || doc.Find("ours") != `{"Sid":"ours"}` {
			t.Errorf("%s: %s, want %s", name, got, tt.after)
		}
		doc.Drop("ours")
		if got := doc.Text(); strings.Contains(got, "ours") || strings.Contains(tt.before, theirs) != strings.Contains(got, theirs) {
			t.Errorf("%s: %s after the drop", name, got)
		}
	}
}

func TestWhatIsNoPolicyIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"x", "[]", "{", `{"Statement":[1]}`, `{"Statement":[],"Statement":[]}`, `{} {}`} {
		if _, err := Read(text); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":["x"]}`, `{ "b":"x", "a":"1"}`, true},
		{`{"a":["x","y"]}`, `{"a":["y","x"]}`, false},
		{`{"a":1}`, `{"a":1,"b":2}`, false},
		{"", `{"a":1}`, false},
		{"no JSON", "no JSON", true},
	} {
		if Same(tt.a, tt.b) != tt.want || Same(tt.b, tt.a) != tt.want {
			t.Errorf("Same(%s, %s) is %v", tt.a, tt.b, !tt.want)
		}
	}
}

// FuzzRead holds that what is read and written again is JSON of the same meaning,
// with every statement in it as it was written.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"", `{"Statement":[]}`, `{"Version":"2012-10-17","Statement":{"Sid":"a","Effect":"Allow"}}`, `{"Statement":[{"Sid":"a"},{"Sid":"a"}],"x":{"y":[1]}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := Read(text)
		if err != nil {
			return
		}
		before := append([]Statement(nil), doc.Statements()...)
		doc.Put("ours", `{"Sid":"ours"}`)
		out := doc.Text()
		if !json.Valid([]byte(out)) {
			t.Fatalf("%q is no JSON", out)
		}
		for _, s := range before {
			if s.Sid != "ours" && !strings.Contains(out, string(s.Raw)) {
				t.Errorf("%q lost %q", out, s.Raw)
			}
		}
		again, err := Read(out)
		if err != nil || again.Text() != out {
			t.Errorf("%q, read again %q: %v", out, again.Text(), err)
		}
	})
}
