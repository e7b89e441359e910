package conformance

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/sns"
)

// attributes adds n message attributes.
func attributes(n int) []func(*sns.PublishInput) {
	var all []func(*sns.PublishInput)
	for i := range n {
		all = append(all, having(fmt.Sprint("a", i), "String", "v"))
	}
	return all
}

// filterCases publishes one message to a topic with two subscriptions, of which one has
// a filter policy and the other none, and looks which queues have it.
func filterCases() []Case {
	var cases []Case
	add := func(name, scope, policy, body string, passes bool, publish ...func(*sns.PublishInput)) {
		word := "keeps back"
		if passes {
			word = "lets pass"
		}
		cases = append(cases, Case{"Filter/" + word + " " + name, "Amazon SNS subscription filter policies, " + scope, func(c *Check) {
			topic, filtered, control := c.topic(), c.queue(), c.queue()
			c.subscribe(topic, filtered, "FilterPolicyScope", scope, "FilterPolicy", policy)
			c.subscribe(topic, control)
			c.publish(topic, body, publish...)
			c.one(control)
			if passes {
				c.one(filtered)
			} else {
				c.stays(filtered)
			}
		}})
	}
	for _, row := range []struct {
		name, policy string
		passes       bool
		kind, value  string
	}{
		{"a text that is in the list", `{"a":["x","y"]}`, true, "String", "y"},
		{"a text that is not in the list", `{"a":["x","y"]}`, false, "String", "z"},
		{"a text of other case", `{"a":["x"]}`, false, "String", "X"},
		{"a number that is in the list", `{"a":[3]}`, true, "Number", "3"},
		{"a text where the policy has a number", `{"a":[3]}`, false, "String", "3"},
		{"an element of an array", `{"a":["x"]}`, true, "String.Array", `["w","x"]`},
		{"an array without the element", `{"a":["x"]}`, false, "String.Array", `["w"]`},
		{"true in an array", `{"a":[true]}`, true, "String.Array", `[true]`},
		{"a prefix", `{"a":[{"prefix":"or"}]}`, true, "String", "order"},
		{"no prefix", `{"a":[{"prefix":"or"}]}`, false, "String", "border"},
		{"a suffix", `{"a":[{"suffix":".png"}]}`, true, "String", "x.png"},
		{"no suffix", `{"a":[{"suffix":".png"}]}`, false, "String", "x.png.gz"},
		{"equals-ignore-case", `{"a":[{"equals-ignore-case":"Order"}]}`, true, "String", "oRDER"},
		{"what is not equal when case is ignored", `{"a":[{"equals-ignore-case":"Order"}]}`, false, "String", "orders"},
		{"a wildcard", `{"a":[{"wildcard":"o*-*r"}]}`, true, "String", "old-order"},
		{"what does not fit a wildcard", `{"a":[{"wildcard":"o*-*r"}]}`, false, "String", "old-orders"},
		{"anything but the text", `{"a":[{"anything-but":"x"}]}`, true, "String", "y"},
		{"the text of anything-but", `{"a":[{"anything-but":"x"}]}`, false, "String", "x"},
		{"a text of an anything-but list", `{"a":[{"anything-but":["x","y"]}]}`, false, "String", "y"},
		{"a number of an anything-but list", `{"a":[{"anything-but":[1,2]}]}`, false, "Number", "2"},
		{"a number that is not in an anything-but list", `{"a":[{"anything-but":[1,2]}]}`, true, "Number", "3"},
		{"the prefix of anything-but", `{"a":[{"anything-but":{"prefix":"or"}}]}`, false, "String", "order"},
		{"anything but the prefix", `{"a":[{"anything-but":{"prefix":"or"}}]}`, true, "String", "border"},
		{"the suffix of anything-but", `{"a":[{"anything-but":{"suffix":"er"}}]}`, false, "String", "order"},
		{"the wildcard of anything-but", `{"a":[{"anything-but":{"wildcard":"o*r"}}]}`, false, "String", "order"},
		{"a number that is equal", `{"a":[{"numeric":["=",1.5]}]}`, true, "Number", "1.50"},
		{"the lower end of a range", `{"a":[{"numeric":[">=",1,"<",2]}]}`, true, "Number", "1"},
		{"the upper end of an open range", `{"a":[{"numeric":[">=",1,"<",2]}]}`, false, "Number", "2"},
		{"a number that is too small", `{"a":[{"numeric":[">",-3]}]}`, false, "Number", "-3"},
		{"a number among other rules", `{"a":["x",{"numeric":["<=",5]}]}`, true, "Number", "5"},
		{"an address of the cidr", `{"a":[{"cidr":"10.0.0.0/24"}]}`, true, "String", "10.0.0.255"},
		{"an address outside the cidr", `{"a":[{"cidr":"10.0.0.0/24"}]}`, false, "String", "10.0.1.0"},
		{"an attribute that exists", `{"a":[{"exists":true}]}`, true, "String", "x"},
		{"an attribute that must not exist", `{"a":[{"exists":false}]}`, false, "String", "x"},
		{"a binary", `{"a":["x"]}`, false, "Binary", "x"},
		{"one alternative of $or", `{"$or":[{"a":["x"]},{"b":["y"]}]}`, true, "String", "x"},
		{"none of the alternatives of $or", `{"$or":[{"a":["x"]},{"b":["y"]}]}`, false, "String", "y"},
	} {
		add(row.name, "MessageAttributes", row.policy, "body", row.passes, having("a", row.kind, row.value))
	}
	add("a message without attributes", "MessageAttributes", `{"a":["x"]}`, `{"a":"x"}`, false)
	add("a message without an attribute that must exist", "MessageAttributes", `{"a":[{"exists":true}]}`, "body", false)
	add("a message of other attributes without an attribute that must not exist", "MessageAttributes", `{"a":[{"exists":false}]}`, "body", true, having("b", "String", "x"))
	add("a message that has all of the keys", "MessageAttributes", `{"a":["x"],"b":["y"]}`, "body", true, having("a", "String", "x"), having("b", "String", "y"), having("c", "String", "z"))
	add("a message that has one of the keys", "MessageAttributes", `{"a":["x"],"b":["y"]}`, "body", false, having("a", "String", "x"))
	for _, row := range []struct {
		name, policy, body string
		passes             bool
	}{
		{"a body by a key", `{"a":["x"]}`, `{"a":"x","b":1}`, true},
		{"a body of another value", `{"a":["x"]}`, `{"a":"y"}`, false},
		{"a body by a nested key", `{"a":{"b":[{"prefix":"x"}]}}`, `{"a":{"b":"xy"}}`, true},
		{"a body whose key is elsewhere", `{"a":{"b":["x"]}}`, `{"b":"x"}`, false},
		{"a body by an element of a list", `{"a":["x"]}`, `{"a":["w","x"]}`, true},
		{"a body by an object in a list", `{"a":{"b":["x"]}}`, `{"a":[{"b":"w"},{"b":"x"}]}`, true},
		{"a body by a number", `{"a":[{"numeric":[">",1]}]}`, `{"a":1.5}`, true},
		{"a body by null", `{"a":[null]}`, `{"a":null}`, true},
		{"a body by true", `{"a":[true]}`, `{"a":true}`, true},
		{"a body by a key that must not exist", `{"a":[{"exists":false}]}`, `{"b":1}`, true},
		{"a body that is not JSON", `{"a":["x"]}`, `a is x`, false},
		{"a body whose attributes would fit", `{"a":["x"]}`, `{}`, false},
	} {
		add(row.name, "MessageBody", row.policy, row.body, row.passes, having("a", "String", "x"))
	}
	return cases
}
