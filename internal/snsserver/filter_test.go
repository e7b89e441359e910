package snsserver_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/holdfast-go/holdfast/internal/snsserver"
)

// The examples of AWS's pages "String value matching", "Numeric value matching",
// "Key matching" and "AND/OR logic", and what follows from their text. An
// attribute is written as type=value; a body is a JSON object.
var filterCases = []struct {
	policy string
	passes []string
	fails  []string
}{
	{ // exact
		`{"customer_interests": ["rugby", "tennis"]}`,
		[]string{`customer_interests:String=rugby`, `customer_interests:String=tennis`, `customer_interests:String.Array=["rugby", "tennis"]`, `customer_interests:String.Array=["golf", "tennis"]`, `{"customer_interests": "rugby"}`, `{"customer_interests": ["golf", "rugby"]}`},
		[]string{`customer_interests:String=baseball`, `customer_interests:String.Array=["baseball"]`, `customer_interests:String=Rugby`, `other:String=rugby`, `{"customer_interests": "baseball"}`, `{}`, `rugby`, `["rugby"]`},
	},
	{ // numbers, booleans and null are themselves and no strings
		`{"k": [5, true, null]}`,
		[]string{`k:Number=5`, `k:Number=5.0`, `k:Number=5e0`, `k:String.Array=[true]`, `k:String.Array=[null]`, `k:String.Array=[5]`, `{"k": 5}`, `{"k": true}`, `{"k": null}`},
		[]string{`k:String=5`, `k:String=true`, `k:String=null`, `k:Number=6`, `k:String.Array=[false]`, `{"k": "5"}`, `{"k": false}`, `{"j": null}`, `j:String=x`},
	},
	{ // types with a label are their type
		`{"k": ["x", 1]}`,
		[]string{`k:String.email=x`, `k:Number.int=1`},
		[]string{`k:Binary=x`},
	},
	{ // a String.Array that is none is a string
		`{"k": ["[x"]}`,
		[]string{`k:String.Array=[x`},
		[]string{`k:String.Array=["[x", `},
	},
	{ // anything-but, a list of strings: none of an array's items may be listed
		`{"customer_interests": [{"anything-but": ["rugby", "tennis"]}]}`,
		[]string{`customer_interests:String=baseball`, `customer_interests:String=football`, `customer_interests:String.Array=["baseball"]`, `{"customer_interests": "baseball"}`, `customer_interests:Number=1`},
		[]string{`customer_interests:String=rugby`, `customer_interests:String.Array=["rugby", "baseball"]`, `customer_interests:String.Array=["tennis"]`, `{"customer_interests": ["rugby"]}`, `other:String=rugby`, `{"other": 1}`, `customer_interests:String.Array=[]`},
	},
	{
		`{"event": [{"anything-but": "order_cancelled"}]}`,
		[]string{`event:String=order_placed`},
		[]string{`event:String=order_cancelled`},
	},
	{ // anything-but and exists
		`{"customer_interests": [{"anything-but": ["rugby"]}, {"exists": false}]}`,
		[]string{`customer_interests:String=baseball`, `other:String=x`},
		[]string{`customer_interests:String=rugby`},
	},
	{
		`{"event": [{"anything-but": {"prefix": "order-"}}]}`,
		[]string{`event:String=data-entry`, `event:String=order_number`, `{"event": "data-entry"}`},
		[]string{`event:String=order-cancelled`, `{"event": "order-cancelled"}`, `other:String=x`},
	},
	{
		`{"event": [{"anything-but": {"suffix": ["-test", "-dev"]}}]}`,
		[]string{`event:String=order`},
		[]string{`event:String=order-test`, `event:String=order-dev`},
	},
	{
		`{"event": [{"anything-but": {"wildcard": "*/lib/*"}}]}`,
		[]string{`event:String=a/src/b`},
		[]string{`event:String=a/lib/b`},
	},
	{
		`{"event": [{"anything-but": {"equals-ignore-case": ["initializing", "shutting-down"]}}]}`,
		[]string{`event:String=up`},
		[]string{`event:String=Initializing`},
	},
	{ // anything-but, a list of numbers: an item that is not listed is enough
		`{"price": [{"anything-but": [100, 500]}]}`,
		[]string{`price:Number=101`, `price:Number=100.1`, `price:String.Array=[100, 50]`, `{"price": 101}`, `{"price": [100, 50]}`},
		[]string{`price:Number=100`, `{"price": 100}`, `price:String.Array=[100, 500]`},
	},
	{
		`{"customer_interests": [{"equals-ignore-case": "tennis"}]}`,
		[]string{`customer_interests:String=TENNIS`, `customer_interests:String=Tennis`, `{"customer_interests": "TENNIS"}`},
		[]string{`customer_interests:String=rugby`, `{"customer_interests": "rugby"}`},
	},
	{
		`{"source_ip": [{"cidr": "10.0.0.0/24"}]}`,
		[]string{`source_ip:String=10.0.0.0`, `source_ip:String=10.0.0.255`, `{"source_ip": "10.0.0.0"}`},
		[]string{`source_ip:String=10.1.1.0`, `source_ip:String=ten`, `{"source_ip": "10.1.1.0"}`},
	},
	{
		`{"source_ip": [{"cidr": "2001:db8::/32"}]}`,
		[]string{`source_ip:String=2001:db8::1`},
		[]string{`source_ip:String=2001:db9::1`, `source_ip:String=10.0.0.1`},
	},
	{
		`{"customer_interests": [{"prefix": "bas"}]}`,
		[]string{`customer_interests:String=baseball`, `customer_interests:String=basketball`, `{"customer_interests": "baseball"}`},
		[]string{`customer_interests:String=rugby`, `{"customer_interests": "rugby"}`, `customer_interests:Number=1`},
	},
	{
		`{"customer_interests": [{"suffix": "ball"}]}`,
		[]string{`customer_interests:String=baseball`, `{"customer_interests": "basketball"}`},
		[]string{`customer_interests:String=rugby`},
	},
	{
		`{"path": [{"wildcard": "src/*/lib/*.go"}]}`,
		[]string{`path:String=src/a/lib/x.go`, `path:String=src//lib/.go`, `path:String=src/a/lib/b/lib/x.go`},
		[]string{`path:String=src/a/x.go`, `path:String=src/lib/x.go`, `path:String=src/a/lib/x.god`},
	},
	{
		`{"a": [{"wildcard": "ab*ba"}], "b": [{"wildcard": "*"}]}`,
		[]string{`a:String=abba b:String=z`, `a:String=abxba b:String=y`},
		[]string{`a:String=aba b:String=x`},
	},
	{
		`{"price_usd": [{"numeric": ["=", 301.5]}]}`,
		[]string{`price_usd:Number=301.5`, `price_usd:Number=3.015e2`, `{"price_usd": 301.5}`, `{"price_usd": 3.015e2}`, `price_usd:Number=301.500001`},
		[]string{`price_usd:Number=301.50001`, `price_usd:String=301.5`, `{"price_usd": "301.5"}`},
	},
	{
		`{"price_usd": [{"numeric": ["<", 0]}]}`,
		[]string{`price_usd:Number=-0.00001`, `{"price_usd": -1}`},
		[]string{`price_usd:Number=0`, `{"price_usd": 1}`, `price_usd:Number=-1000000001`},
	},
	{
		`{"price_usd": [{"numeric": [">", 0, "<=", 150]}]}`,
		[]string{`price_usd:Number=0.00001`, `price_usd:Number=150`, `{"price_usd": 150}`},
		[]string{`price_usd:Number=0`, `price_usd:Number=150.00001`, `price_usd:Number=-5`},
	},
	{
		`{"price_usd": [{"numeric": [">=", -1, "<", 1]}, {"numeric": ["<=", -1000000000]}]}`,
		[]string{`price_usd:Number=-1`, `price_usd:Number=0.99999`, `price_usd:Number=-1e9`},
		[]string{`price_usd:Number=1`, `price_usd:Number=-1.00001`},
	},
	{
		`{"store": [{"exists": true}]}`,
		[]string{`store:String=fans`, `store:String.Array=["baseball"]`, `store:Number=0`, `{"store": "fans"}`, `{"store": false}`},
		[]string{`customer_interests:String=x`, `store:Binary=x`, `{"customer_interests": ["baseball"]}`, `{"store": null}`, `{"store": ""}`, `{"store": []}`, `{"store": {"name": "fans"}}`},
	},
	{ // "only matches if at least one attribute is present"
		`{"store": [{"exists": false}]}`,
		[]string{`customer_interests:String=x`, `{"customer_interests": ["baseball"]}`},
		[]string{`store:String=fans`, `{"store": "fans"}`, ``, `{}`},
	},
	{ // AND
		`{"customer_interests": ["rugby"], "price_usd": [{"numeric": [">", 100]}]}`,
		[]string{`customer_interests:String=rugby price_usd:Number=101`, `{"customer_interests": "rugby", "price_usd": 101, "more": {}}`},
		[]string{`customer_interests:String=rugby price_usd:Number=100`, `price_usd:Number=101`, `customer_interests:String=golf price_usd:Number=101`},
	},
	{ // $or
		`{"source": ["aws.cloudwatch"], "$or": [{"metricName": ["CPUUtilization"]}, {"namespace": ["AWS/EC2"]}]}`,
		[]string{`source:String=aws.cloudwatch metricName:String=CPUUtilization`, `source:String=aws.cloudwatch namespace:String=AWS/EC2`, `{"source": "aws.cloudwatch", "metricName": "CPUUtilization"}`},
		[]string{`source:String=aws.cloudwatch`, `namespace:String=AWS/EC2`, `source:String=aws.cloudwatch namespace:String=AWS/ES`},
	},
	{
		`{"source": ["aws.cloudwatch"], "$or": [{"metricName": ["CPUUtilization", "ReadLatency"]}, {"metricType": ["MetricType"], "$or": [{"metricId": [1234]}, {"spaceId": [1000]}]}]}`,
		[]string{`source:String=aws.cloudwatch metricName:String=ReadLatency`, `source:String=aws.cloudwatch metricType:String=MetricType spaceId:Number=1000`},
		[]string{`source:String=aws.cloudwatch metricType:String=MetricType`, `source:String=aws.cloudwatch metricType:String=MetricType spaceId:Number=1001`},
	},
	{ // an $or of one choice is a key of that name
		`{"$or": ["x"]}`,
		[]string{`{"$or": "x"}`},
		[]string{`a:String=x`},
	},
}

// The body's objects nest; attributes do not.
var bodyFilterCases = []struct {
	policy string
	passes []string
	fails  []string
}{
	{
		`{"order": {"item": {"kind": ["book", {"prefix": "cd-"}]}, "paid": [true]}}`,
		[]string{`{"order": {"item": {"kind": "book"}, "paid": true}}`, `{"order": {"item": {"kind": "cd-1"}, "paid": true}}`},
		[]string{`{"order": {"item": {"kind": "book"}, "paid": false}}`, `{"order": {"item": "book", "paid": true}}`, `{"item": {"kind": "book"}, "paid": true}`},
	},
	{ // an array of objects: the values of all of them
		`{"records": {"name": ["b"]}}`,
		[]string{`{"records": [{"name": "a"}, {"name": "b"}]}`, `{"records": [[{"name": "b"}]]}`},
		[]string{`{"records": [{"name": "a"}]}`, `{"records": []}`},
	},
	{ // a dot in a key is as good as nesting
		`{"a.b": [1]}`,
		[]string{`{"a": {"b": 1}}`, `{"a.b": 1}`},
		[]string{`{"a": {"c": 1}}`},
	},
	{
		`{"a": {"$or": [{"b": [1]}, {"c": {"d": [2]}}]}}`,
		[]string{`{"a": {"b": 1}}`, `{"a": {"c": {"d": 2}}}`},
		[]string{`{"b": 1}`, `{"a": {"c": 2}}`},
	},
	{ // quotes are written plainly for bodies
		`{"a": ["say \"hi\""]}`,
		[]string{`{"a": "say \"hi\""}`},
		[]string{`{"a": "say \\\"hi\\\""}`},
	},
}

func TestFilterPolicyOperators(t *testing.T) {
	t.Parallel()
	b := setupWith(t, unsigned)
	for _, c := range filterCases {
		for want, messages := range map[snsserver.Status][]string{snsserver.Delivered: c.passes, snsserver.Filtered: c.fails} {
			for _, m := range messages {
				if got := b.filtered(c.policy, m); got.Status != want {
					t.Errorf("policy %s, message %q: %v, want %s", c.policy, m, got.String(), want)
				}
			}
		}
	}
	for _, c := range bodyFilterCases {
		for want, messages := range map[snsserver.Status][]string{snsserver.Delivered: c.passes, snsserver.Filtered: c.fails} {
			for _, m := range messages {
				if got := b.filtered(c.policy, m); got.Status != want {
					t.Errorf("policy %s, message %s: %v, want %s", c.policy, m, got.String(), want)
				}
			}
		}
	}
}

// filtered publishes a message to a subscription with that policy: a body if it
// looks like one, else attributes.
func (b *bundle) filtered(policy, m string) snsserver.Delivery {
	b.Helper()
	topic, queue := b.topic(fmt.Sprint("t", b.server.Calls("CreateTopic"))), b.queue("q")
	scope := "MessageAttributes"
	out := snsserver.Message{Body: "x", Attributes: map[string]snsserver.Attribute{}}
	if !strings.Contains(m, "=") && m != "" {
		scope, out.Body = "MessageBody", m
	}
	b.subscribe(topic, queue, "FilterPolicyScope", scope, "FilterPolicy", policy)
	if scope == "MessageAttributes" {
		for name, a := range attributesOf(m) {
			out.Attributes[name] = a
		}
	}
	id, err := b.server.Publish(topic, out)
	if err != nil {
		b.Fatalf("publishing %q: %v", m, err)
	}
	d := b.server.Deliveries(topic)
	if len(d) != 1 || d[0].MessageID != id {
		b.Fatalf("deliveries %+v", d)
	}
	return d[0]
}

// attributesOf reads name:type=value, several with spaces before their names.
func attributesOf(s string) map[string]snsserver.Attribute {
	all := map[string]snsserver.Attribute{}
	for s != "" {
		name, rest, _ := strings.Cut(s, ":")
		kind, rest, _ := strings.Cut(rest, "=")
		value := rest
		s = ""
		if i := strings.Index(rest, " "); i >= 0 && strings.Contains(rest[i:], ":") && strings.Contains(rest[i:], "=") {
			value, s = rest[:i], rest[i+1:]
		}
		a := snsserver.Attribute{Type: kind, Text: value}
		if kind == "Binary" {
			a = snsserver.Attribute{Type: kind, Binary: []byte(value)}
		}
		all[name] = a
	}
	return all
}

func TestFilterOfAttributesWantsDoubleEscapes(t *testing.T) {
	t.Parallel()
	b := setupWith(t, unsigned)
	for policy, want := range map[string]snsserver.Status{
		`{"list": ["say \\\"hi\\\" \\\\o/"]}`: snsserver.Delivered,
		`{"a": ["say \\\"hi\\\" \\\\o/"]}`:    snsserver.Delivered,
		`{"a": ["say \"hi\" \\o/"]}`:          snsserver.Filtered,
	} {
		topic, queue := b.topic("t"), b.queue(fmt.Sprint("q", b.server.Calls("Subscribe")))
		b.subscribe(topic, queue, "FilterPolicy", policy)
		id := must(b.server.Publish(topic, snsserver.Message{Body: "x", Attributes: map[string]snsserver.Attribute{
			"a": {Type: "String", Text: `say "hi" \o/`}, "list": {Type: "String.Array", Text: `["say \"hi\" \\o/"]`},
		}}))(t)
		if got := b.server.Why(id, queue); !strings.HasPrefix(got, string(want)) {
			t.Errorf("policy %s: %s, want %s", policy, got, want)
		}
	}
}

func TestFilterTellsWhatDidNotMatch(t *testing.T) {
	t.Parallel()
	b := setupWith(t, unsigned)
	for _, c := range []struct{ policy, message, want string }{
		{`{"a": ["x", "y"]}`, `a:String=z`, `filtered: the filter policy (MessageAttributes): "a" is "z" and fits none of 2 values`},
		{`{"a": ["x"]}`, `b:String=x`, `filtered: the filter policy (MessageAttributes): "a" is missing`},
		{`{"a": ["x"]}`, ``, `filtered: the filter policy (MessageAttributes): the message has nothing that the policy could match`},
		{`{"a": {"b": [1]}}`, `{"a": {"b": [2, true]}}`, `filtered: the filter policy (MessageBody): "a.b" is [2 true] and fits none of 1 values`},
		{`{"a": ["x"]}`, `no JSON`, `filtered: the filter policy (MessageBody): the body is no JSON object`},
		{`{"$or": [{"a": [1]}, {"b": [2]}]}`, `a:Number=3`, `filtered: the filter policy (MessageAttributes): no choice of $or holds: "a" is 3 and fits none of 1 values; "b" is missing`},
	} {
		d := b.filtered(c.policy, c.message)
		if got := d.String(); got != c.want {
			t.Errorf("policy %s, message %q:\n got %s\nwant %s", c.policy, c.message, got, c.want)
		}
	}
}

func TestFilterPolicyRefused(t *testing.T) {
	t.Parallel()
	place := func(policy string, column int) string {
		return fmt.Sprintf("\n at [Source: (String)\"%s\"; line: 1, column: %d]", policy, column)
	}
	b := setupWith(t, unsigned)
	for _, c := range []struct {
		policy string
		text   string
		column int // 0: the text has no place
	}{
		// What AWS answers to these, place included, is on record.
		{`{"key":[["value"]]}`, "Match value must be String, number, true, false, or null", 10},
		{`{"key":[{"wrong-operator":true}]}`, "Unrecognized match type wrong-operator", 31},
		{`{"key":[{"suffix":"value","prefix":"value2"}]}`, "Only one key allowed in match expression", 37},
		{`{"key":[{"suffix":100}]}`, "suffix match pattern must be a string", 22},
		{`{"key":[{"suffix":null}]}`, "suffix match pattern must be a string", 23},
		{`{"key":[{"suffix":[]}]}`, "suffix match pattern must be a string", 20},
		{`{"key":[{"suffix":["test","test2"]}]}`, "suffix match pattern must be a string", 20},
		{`{"key":{"suffix":"value"}}`, `"suffix" must be an object or an array`, 19},
		{`{"key":{"suffix":"value","prefix":"value"}}`, `"suffix" must be an object or an array`, 19},
		{`{"key":{"not-an-operator":"value"}}`, `"not-an-operator" must be an object or an array`, 28},
		{`{"key_a":"value_one"}`, `"key_a" must be an object or an array`, 11},
		{`{"key":[{"numeric":[]}]}`, "Invalid member in numeric match: ]", 22},
		{`{"key":[{"numeric":["operator"]}]}`, "Unrecognized numeric range operator: operator", 32},
		{`{"key":[{"numeric":[1,"<="]}]}`, "Invalid member in numeric match: 1", 22},
		{`{"key":[{"numeric":["=","000"]}]}`, "Value of equals must be numeric", 26},
		{`{"key":[{"numeric":[">="]}]}`, "Value of >= must be numeric", 26},
		{`{"key":[{"numeric":["<",100,">",10]}]}`, "Too many elements in numeric expression", 30},
		{`{"key":[{"numeric":[">=",1,">",2]}]}`, "Bad numeric range operator: >", 31},
		{`{"key":[{"numeric":[">",3,"<",1]}]}`, "Bottom must be less than top", 33},
		{`{"key":[{"numeric":[">",20,"<="]}]}`, "Value of <= must be numeric", 33},
		{`{"key":[{"numeric":[">",20,30]}]}`, "Bad value in numeric range: 30", 30},
		{`{"key":[{"numeric":[">",20,"test"]}]}`, "Bad numeric range operator: test", 34},
		{`{"key":[{"numeric":[">","20","<","30"]}]}`, "Value of > must be numeric", 26},
		{`{"key":[{"numeric":[">",20,"<","30"]}]}`, "Value of < must be numeric", 33},
		{`{"key":[{"numeric":[">",20,"<",30,"<",50]}]}`, "Too many terms in numeric range expression", 36},
		{`{"key":[{"exists":null}]}`, "exists match pattern must be either true or false.", 23},
		{`{"key":[{"exists":"no"}]}`, "exists match pattern must be either true or false.", 20},
		// These follow from them.
		{`{"key":[]}`, "Empty arrays are not allowed", 10},
		{`{"key":[{"anything-but":[]}]}`, "Empty arrays are not allowed", 27},
		{`{"key":[{"anything-but":{"numeric":["=",1]}}]}`, "Unsupported anything-but pattern: numeric", 37},
		{`{"key":[{"cidr":"10.0.0.0"}]}`, "Malformed CIDR, one '/' required", 27},
		{`{"key":[{"cidr":"10.0.0.0/x"}]}`, "Malformed CIDR, mask bits must be an integer", 29},
		{`{"key":[{"cidr":"bad/8"}]}`, "Nonstandard IP address: bad", 24},
		{`{"key":[{"cidr":1}]}`, "prefix match pattern must be a string", 18},
		{`{"key":[{"wildcard":"a**"}]}`, "Consecutive wildcard characters at pos 1", 26},
		{`{"key":[1000000001]}`, "Value must be between -1.0E9 and 1.0E9, inclusive", 19},
		{`{"$or":[{"numeric":123},{"prefix":"abc"}]}`, "Value of numeric must be an array.", 23},
		{`{"$or":[{"a":[1]}]}`, "Unrecognized match type a", 15},
		{`{"key":{}}`, "Empty objects are not allowed", 10},
		{`{"key":[{}]}`, "Empty objects are not allowed", 11},
		{`{"key":[{"wildcard":1}]}`, "wildcard match pattern must be a string", 22},
		{`{"key":[{"anything-but":[null]}]}`, "Inside anything but list, start|null|boolean is not supported.", 30},
		{`{"key":[{"anything-but":{}}]}`, "Only one key allowed in match expression", 27},
		{`{"key":`, "failed to parse JSON.", 0},
		{`["key"]`, "failed to parse JSON.", 0},
		{`{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1],"f":[1]}`, "Filter policy can not have more than 5 keys", 0},
		{`{"a":[` + many(151) + `]}`, "Filter policy is too complex", 0},
		{`{"a":[` + many(16) + `],"b":[` + many(10) + `]}`, "Filter policy is too complex", 0},
		{`{"z":[` + many(2) + `],"$or":[{"a":[` + many(50) + `]},{"b":[` + many(26) + `]}]}`, "Filter policy is too complex", 0},
		{strings.Repeat(" ", 256<<10) + `{"a":[1]}`, "Filter policy is too large: 262153 bytes, the limit is 262144", 0},
	} {
		text := "FilterPolicy: " + c.text
		if c.column > 0 {
			text += place(c.policy, c.column)
		}
		topic, queue := b.topic("t"), b.queue("q")
		_, err := b.client.Subscribe(b.ctx, &sns.SubscribeInput{
			TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &queue, Attributes: map[string]string{"FilterPolicy": c.policy},
		})
		if got, want := told(err), "InvalidParameter: Invalid parameter: Attributes Reason: "+text; got != want {
			t.Errorf("policy %.100s:\n got %s\nwant %s", c.policy, got, want)
		}
	}
}

func TestFilterPolicyRefusedFarInside(t *testing.T) {
	t.Parallel()
	b := setupWith(t, unsigned)
	topic, queue := b.topic("t"), b.queue("q")
	policy := "{\n  \"é\": [" + many(200) + "],\n  \"b\": 1}"
	_, err := b.client.Subscribe(b.ctx, &sns.SubscribeInput{
		TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &queue, Attributes: map[string]string{"FilterPolicy": policy},
	})
	want := "InvalidParameter: Invalid parameter: Attributes Reason: FilterPolicy: \"b\" must be an object or an array\n at [Source: (String)\"" +
		policy[:500] + fmt.Sprintf("\"[truncated %d chars]; line: 3, column: 9]", len(policy)-500)
	if got := told(err); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func many(n int) string { return strings.TrimSuffix(strings.Repeat(`"x",`, n), ",") }

func TestFilterPolicyLimitsLetPass(t *testing.T) {
	t.Parallel()
	b := setupWith(t, unsigned)
	topic := b.topic("t")
	for i, c := range []struct{ policy, scope string }{
		{`{"a":[` + many(150) + `]}`, "MessageAttributes"},
		{`{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1]}`, "MessageAttributes"},
		// AWS's example: 3 x 4 x 2 x 3 = 72
		{`{"key_a":{"key_b":{"key_c":["one","two","three","four"]}},"key_d":{"key_e":["one","two","three"]}}`, "MessageBody"},
		{`{"z":[` + many(2) + `],"$or":[{"a":[` + many(50) + `]},{"b":[` + many(25) + `]}]}`, "MessageAttributes"},
	} {
		b.subscribe(topic, b.queue(fmt.Sprint("q", i)), "FilterPolicyScope", c.scope, "FilterPolicy", c.policy)
	}
}

func TestFilterPolicyLifeCycle(t *testing.T) {
	t.Parallel()
	b := setupWith(t, unsigned)
	topic, queue := b.topic("t"), b.queue("q")
	sub := b.subscribe(topic, queue)
	set := func(name, value string) error {
		_, err := b.client.SetSubscriptionAttributes(b.ctx, &sns.SetSubscriptionAttributesInput{SubscriptionArn: &sub, AttributeName: &name, AttributeValue: &value})
		return err
	}
	attribute := func(name string) string {
		return must(b.client.GetSubscriptionAttributes(b.ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &sub}))(t).Attributes[name]
	}
	const nested = `{"a":{"b":["x"]}}`
	if got, want := told(set("FilterPolicy", nested)), "InvalidParameter: Invalid parameter: Filter policy scope MessageAttributes does not support nested filter policy"; got != want {
		t.Errorf("nested: %s, want %s", got, want)
	}
	if got, want := told(set("FilterPolicyScope", "Else")), "InvalidParameter: Invalid parameter: FilterPolicyScope: Invalid value [Else]. Please use either MessageBody or MessageAttributes"; got != want {
		t.Errorf("scope: %s, want %s", got, want)
	}
	must(0, set("FilterPolicyScope", "MessageBody"))(t)
	if got := attribute("FilterPolicyScope"); got != "" {
		t.Errorf("the scope %q shows without a policy", got)
	}
	must(0, set("FilterPolicy", nested))(t)
	if got := attribute("FilterPolicyScope"); got != "MessageBody" || attribute("FilterPolicy") != nested {
		t.Errorf("scope %q, policy %q", got, attribute("FilterPolicy"))
	}
	if err := set("FilterPolicyScope", "MessageAttributes"); err == nil {
		t.Error("a nested policy has become one of attributes")
	}
	b.publish(topic, "filtered")
	must(0, set("FilterPolicy", ""))(t)
	b.publish(topic, "passes")
	must(0, set("FilterPolicy", `{"a":["x"]}`))(t)
	b.publish(topic, `{"a":"x"}`)
	must(0, set("FilterPolicyScope", "MessageAttributes"))(t)
	b.publish(topic, `{"a":"x"}`)
	must(0, set("FilterPolicy", ""))(t)
	if n := len(b.queues.got(queue)); n != 2 || attribute("FilterPolicy") != "" {
		t.Errorf("%d messages, want 2; policy %q, want none", n, attribute("FilterPolicy"))
	}
}

func TestFilterPolicyNestingMakesItComplex(t *testing.T) {
	t.Parallel()
	b := setupWith(t, unsigned)
	topic, queue := b.topic("t"), b.queue("q")
	// AWS's example: 3 x 4 x 2 x 3 x 1 x 3 = 216
	_, err := b.client.Subscribe(b.ctx, &sns.SubscribeInput{TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &queue, Attributes: map[string]string{
		"FilterPolicyScope": "MessageBody",
		"FilterPolicy":      `{"key_a":{"key_b":{"key_c":["one","two","three","four"]}},"key_d":{"key_e":["one","two","three"]},"key_f":["one","two","three"]}`,
	}})
	if got, want := told(err), "InvalidParameter: Invalid parameter: Attributes Reason: FilterPolicy: Filter policy is too complex"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestFilterPoliciesPerTopic(t *testing.T) {
	t.Parallel()
	b := setupWith(t, unsigned)
	topic := b.topic("t")
	for i := range 200 {
		b.subscribe(topic, b.queue(fmt.Sprint("q", i)), "FilterPolicy", `{"a":["x"]}`)
	}
	queue := b.queue("last")
	_, err := b.client.Subscribe(b.ctx, &sns.SubscribeInput{
		TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &queue, Attributes: map[string]string{"FilterPolicy": `{"a":["x"]}`},
	})
	if got := told(err); !strings.HasPrefix(got, "FilterPolicyLimitExceeded") {
		t.Errorf("the 201st policy: %s", got)
	}
	b.subscribe(topic, queue)
}

func BenchmarkFilter(b *testing.B) {
	q := newQueues()
	s := snsserver.New(snsserver.Config{NoSignature: true, LogLimit: -1}, q)
	topic := must(s.Create("t", nil))(b)
	client := clientOf(s, "AKID")
	for i := range 100 {
		queue := queueARN(fmt.Sprint("q", i))
		must(client.Subscribe(b.Context(), &sns.SubscribeInput{
			TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &queue,
			Attributes: map[string]string{"FilterPolicy": `{"store":["a","b"],"price":[{"numeric":[">",10]}],"event":[{"anything-but":["x"]}]}`},
		}))(b)
	}
	m := snsserver.Message{Body: "x", Attributes: map[string]snsserver.Attribute{
		"event": {Type: "String", Text: "y"}, "price": {Type: "Number", Text: "12"}, "store": {Type: "String", Text: "c"},
	}}
	b.ReportAllocs()
	for b.Loop() {
		must(s.Publish(topic, m))(b)
	}
}
