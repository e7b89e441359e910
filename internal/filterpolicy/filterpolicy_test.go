package filterpolicy

import (
	"testing"
)

func TestSame(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"", "{}", true},
		{`{"a":[1],"b":["x"]}`, `{ "b":["x"], "a":[1] }`, true},
		{`{"a":[1]}`, `{"a":["1"]}`, false},
		{`{"a":[1.0]}`, `{"a":[1]}`, true},
		{`{"a":[{"numeric":["=",-0.5e3]}]}`, `{"a":[{"numeric":["=",-500]}]}`, true},
		{`{"a":[1.00001]}`, `{"a":[1]}`, false},
		{`{"a":[999999999.99999]}`, `{"a":[999999999.99998]}`, false},
		{`{"a":["1.0"]}`, `{"a":["1"]}`, false},
		{`{"a":[1e999]}`, `{"a":[2e999]}`, false},
		{`{"a":[1e999]}`, `{"a":[1e999]}`, true},
		{`{"a":[0]}`, `{"a":[null]}`, false},
		{`{"a":["x","y"]}`, `{"a":["y","x"]}`, false},
		{`{"a":["x"]}`, `{"b":["x"]}`, false},
		{`{"a":["x"]}`, "", false},
	} {
		if Same(tt.a, tt.b) != tt.want || Same(tt.b, tt.a) != tt.want {
			t.Errorf("Same(%s, %s) is %v", tt.a, tt.b, !tt.want)
		}
	}
}

func TestNoMessageFitsWhatCannotBeMet(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{`{"a":[]}`, `{"a":[["b"]]}`, `{"a":[{"like":"b"}]}`, `{"a":1}`, "x", `{"a":[{"numeric":["=","1"]}]}`} {
		if s, ok := SampleOf(policy, false); ok {
			t.Errorf("%s: %v", policy, s)
		}
	}
}

// FuzzCheck holds that any text is read without a panic, and that a policy without
// problems is one that samples are looked for in.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"a":["x",1,true,null]}`, `{"a":{"b":[{"prefix":"x"}]}}`, `{"$or":[{"a":[1]},{"b":[{"exists":false}]}]}`, `{"a":[{"numeric":[">",1,"<=",2]},{"anything-but":{"suffix":["x"]}},{"cidr":"::1/8"},{"wildcard":"*a"}]}`} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, policy string, onBody bool) {
		problems := Check(policy, onBody, nil)
		if s, ok := SampleOf(policy, onBody); ok {
			s.Passes(policy, onBody)
		}
		if !Same(policy, policy) {
			t.Errorf("%q is not the same as itself", policy)
		}
		if len(problems) == 0 && policy != "" {
			if _, err := readNode(policy); err != nil {
				t.Errorf("%q has no problems and is no JSON: %v", policy, err)
			}
		}
	})
}
