package snsserver

import (
	"encoding/json"
	"testing"

	"github.com/holdfast-go/holdfast/internal/filterpolicy"
)

// fanout sends messages that it believes to pass filter policies, and waits for them
// where it believes them to. The server decides by a reading of its own.
func TestSamplesPassWhereTheyAreSaidTo(t *testing.T) {
	t.Parallel()
	policies := []string{
		`{}`,
		`{"a":["x"]}`, `{"a":["x","y"],"b":["z"]}`, `{"a":["X"]}`, `{"a":[1]}`, `{"a":[1.0,2]}`, `{"a":["1"]}`, `{"a":[true]}`, `{"a":[null]}`,
		`{"a":[{"prefix":"x"}]}`, `{"a":[{"suffix":"x"}]}`, `{"a":[{"equals-ignore-case":"X"}]}`, `{"a":[{"prefix":""}]}`,
		`{"a":[{"wildcard":"x*"}]}`, `{"a":[{"wildcard":"*x"}]}`, `{"a":[{"wildcard":"x*y*z"}]}`, `{"a":[{"wildcard":"xyz"}]}`, `{"a":[{"wildcard":"*y*"}]}`,
		`{"a":[{"exists":true}]}`, `{"a":[{"exists":false}]}`, `{"a":[{"exists":false},"x"],"b":["z"]}`,
		`{"a":[{"numeric":["=",1]}]}`, `{"a":[{"numeric":[">",1]}]}`, `{"a":[{"numeric":[">=",1,"<",2]}]}`, `{"a":[{"numeric":[">",0,"<=",1]}]}`, `{"a":[{"numeric":["<",1]}]}`,
		`{"a":[{"cidr":"10.1.0.0/16"}]}`, `{"a":[{"cidr":"::1/128"}]}`, `{"a":["10.1.2.3"]}`,
		`{"a":[{"anything-but":"x"}]}`, `{"a":[{"anything-but":["x","y"]}]}`, `{"a":[{"anything-but":[1,2]}]}`, `{"a":[{"anything-but":1}]}`,
		`{"a":[{"anything-but":{"prefix":"x"}}]}`, `{"a":[{"anything-but":{"suffix":["x","z"]}}]}`, `{"a":[{"anything-but":{"wildcard":"x*z"}}]}`, `{"a":[{"anything-but":{"equals-ignore-case":"X"}}]}`,
		`{"$or":[{"a":["x"]},{"b":["z"]}]}`, `{"$or":[{"b":["q"]},{"a":[{"exists":false}]}],"c":[{"exists":true}]}`,
		// What one choice of $or wants a rule beside it may rule out.
		`{"a":[{"prefix":"x"}],"$or":[{"a":["y"]},{"b":["z"]}]}`, `{"$or":[{"a":["xy"]},{"b":["z"]}],"a":[{"prefix":"x"}]}`, `{"a":["x","y"],"$or":[{"a":["q"]},{"a":["y"]}]}`,
	}
	nested := []string{`{"a":{"b":["x"]}}`, `{"a":{"b":[{"exists":false}],"c":[1]}}`, `{"a":{"$or":[{"b":["x"]},{"c":[2]}]}}`, `{"a":{"b":[{"anything-but":"x"}]}}`,
		// Only absence is asked for.
		`{"a":{"b":[{"exists":false}]}}`, `{"$or":[{"a":[{"exists":false}]},{"b":{"c":[{"exists":false}]}}]}`}
	passed, stopped := 0, 0
	compare := func(sampled string, sampledOnBody bool, policy string, onBody bool) {
		s, ok := filterpolicy.SampleOf(sampled, sampledOnBody)
		scope, m := scopeAttributes, []attribute{}
		if onBody {
			scope = scopeBody
		}
		f, err := parseFilter(policy, scope)
		if !ok || err != nil {
			t.Fatalf("%s: sampled %v; %s: %v", sampled, ok, policy, err)
		}
		// Without an attribute SNS holds no policy against a message; probes have something.
		m = append(m, attribute{name: "other", dataType: "String", text: "o"})
		for name, a := range s.Attributes {
			m = append(m, attribute{name: name, dataType: a.Type, text: a.Text})
		}
		of := attributeFields(m)
		if onBody {
			body := []byte("a probe of holdfast")
			if sampledOnBody {
				if body, err = json.Marshal(s.Body); err != nil {
					t.Fatal(err)
				}
			}
			of = bodyFields(string(body))
		}
		want := f == nil || f.match(of) == ""
		if got := s.Passes(policy, onBody); got != want {
			t.Errorf("%+v of %s (on body %v) passes %s (on body %v): %v, and the server says %v", s, sampled, sampledOnBody, policy, onBody, got, want)
		}
		if passed++; !want {
			passed, stopped = passed-1, stopped+1
		}
	}
	for _, sampled := range policies {
		for _, policy := range policies {
			compare(sampled, false, policy, false)
			compare(sampled, false, policy, true)
			compare(sampled, true, policy, false)
		}
	}
	for _, sampled := range append(nested, policies...) {
		for _, policy := range append(nested, policies...) {
			compare(sampled, true, policy, true)
		}
	}
	if passed < 500 || stopped < 500 {
		t.Errorf("%d pass and %d do not: too few of either to tell", passed, stopped)
	}
	for _, policy := range []string{"x", `["a"]`, `{"a":1}`, `{"a":[["x"]]}`, `{"a":[{"like":"x"}]}`, `{"a":[{"prefix":"x","suffix":"x"}]}`} {
		s := filterpolicy.Sample{Attributes: map[string]filterpolicy.Attribute{"a": {Type: "String", Text: "x"}}}
		if s.Passes(policy, false) {
			t.Errorf("%s lets something through", policy)
		}
	}
}
