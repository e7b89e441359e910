package fanout_test

import (
	"math"
	"testing"

	"github.com/holdfast-go/holdfast/fanout"
)

func TestFiltersAreWrittenAsSNSTakesThem(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		filter fanout.Filter
		want   string
	}{
		"nothing":       {fanout.Filter{}, ""},
		"empty JSON":    {fanout.FilterJSON(` { } `), ""},
		"JSON":          {fanout.FilterJSON(`{"a": [1]}`), `{"a": [1]}`},
		"texts":         {fanout.Where("a", fanout.Is("x", `"<&>"`)), `{"a":["x","\"<&>\""]}`},
		"numbers":       {fanout.Where("a", fanout.IsNumber(1, -2.5, 100000000)), `{"a":[1,-2.5,100000000]}`},
		"no number":     {fanout.Where("a", fanout.IsNumber(math.NaN())), `{"a":["NaN"]}`},
		"body values":   {fanout.Where("a", fanout.IsBool(true), fanout.IsNull()), `{"a":[true,null]}`},
		"several rules": {fanout.Where("a", fanout.Prefix("p"), fanout.Suffix("s"), fanout.EqualFold("e")), `{"a":[{"prefix":"p"},{"suffix":"s"},{"equals-ignore-case":"e"}]}`},
		"order of keys": {fanout.Where("b", fanout.Exists()).And("a", fanout.Missing()), `{"b":[{"exists":true}],"a":[{"exists":false}]}`},
		"not":           {fanout.Where("a", fanout.Not("x"), fanout.NotNumber(1), fanout.NotPrefix("p"), fanout.NotSuffix("s")), `{"a":[{"anything-but":["x"]},{"anything-but":[1]},{"anything-but":{"prefix":"p"}},{"anything-but":{"suffix":"s"}}]}`},
		"ranges":        {fanout.Where("a", fanout.Above(1), fanout.AtLeast(2), fanout.Below(3), fanout.AtMost(4), fanout.Between(5, 6.5)), `{"a":[{"numeric":[">",1]},{"numeric":[">=",2]},{"numeric":["<",3]},{"numeric":["<=",4]},{"numeric":[">=",5,"<=",6.5]}]}`},
		"patterns":      {fanout.Where("a", fanout.Wildcard("a*"), fanout.CIDR("10.0.0.0/8")), `{"a":[{"wildcard":"a*"},{"cidr":"10.0.0.0/8"}]}`},
		"choices":       {fanout.Where("a", fanout.Is("x")).AndAnyOf(fanout.Where("b", fanout.Is("y")), fanout.Where("c", fanout.Is("z"))), `{"a":["x"],"$or":[{"b":["y"]},{"c":["z"]}]}`},
		"nesting":       {fanout.Filter{}.In("a", fanout.Where("b", fanout.Is("c"))), `{"a":{"b":["c"]}}`},
	} {
		if got := tt.filter.JSON(); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestAFilterThatIsExtendedDoesNotChange(t *testing.T) {
	t.Parallel()
	base := fanout.Where("a", fanout.Is("x"))
	one, two := base.And("b", fanout.Is("1")), base.And("c", fanout.Is("2"))
	if base.JSON() != `{"a":["x"]}` || one.JSON() != `{"a":["x"],"b":["1"]}` || two.JSON() != `{"a":["x"],"c":["2"]}` {
		t.Errorf("%s, %s, %s", base.JSON(), one.JSON(), two.JSON())
	}
}
