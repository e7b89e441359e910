package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"math"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// fieldBounds is one bounded field of Config.
type fieldBounds struct {
	field           string
	lowest, highest any // highest is nil where there is no upper bound
	below, above    any
	alsoBad         []any
	off             bool   // -1 switches it off
	bound           string // as the error tells it
	doc             string // as the comment tells it
}

// bounds has a row for each field that is a number or a duration.
var bounds = []fieldBounds{
	{field: "Concurrency", lowest: 1, highest: 10_000, below: -1, above: 10_001, bound: "1 to 10000", doc: "1 to 10,000"},
	{field: "Prefetch", lowest: 1, highest: 100_000, below: -1, above: 100_001, bound: "1 to 100000", doc: "1 to 100,000"},
	{field: "MaxParked", lowest: 1, highest: 100_000, below: -2, above: 100_001, off: true, bound: "1 to 100000, or -1", doc: "1 to 100,000; -1"},
	{field: "HeldBytes", lowest: int64(1 << 20), highest: int64(math.MaxInt64), below: int64(1<<20 - 1), bound: "at least 1048576", doc: "at least 1 MiB"},
	{field: "Visibility", lowest: 2 * time.Second, highest: 12 * time.Hour, below: time.Second, above: 12*time.Hour + time.Second,
		bound: "2s to 12h0m0s", doc: "in whole seconds, 2 s to 12 h"},
	{field: "Wait", lowest: time.Second, highest: 20 * time.Second, below: -time.Second, above: 21 * time.Second,
		bound: "1s to 20s", doc: "in whole seconds, 1 s to 20 s"},
	{field: "HandlerTimeout", lowest: time.Millisecond, highest: time.Duration(math.MaxInt64), below: time.Millisecond - 1, alsoBad: []any{time.Duration(-2)}, off: true,
		bound: "at least 1ms, or -1", doc: "At least 1 ms; -1"},
	{field: "StopTimeout", lowest: time.Second, highest: time.Hour, below: time.Second - 1, above: time.Hour + 1, bound: "1s to 1h0m0s", doc: "1 s to 1 h"},
	{field: "PollGrace", lowest: time.Duration(1), highest: 25 * time.Second, below: time.Duration(-2), above: 25*time.Second + 1, off: true,
		bound: "0s to 25s, or -1", doc: "at most StopTimeout"},
	{field: "DeleteLinger", lowest: time.Duration(1), highest: time.Second, below: time.Duration(-2), above: time.Second + 1, off: true,
		bound: "0s to 1s, or -1", doc: "up to 1 s; -1"},
	{field: "BackoffBase", lowest: time.Millisecond, highest: 12 * time.Hour, below: time.Millisecond - 1, above: 12*time.Hour + 1,
		bound: "1ms to 12h0m0s", doc: "1 ms to 12 h"},
	{field: "BackoffMax", lowest: 2 * time.Second, highest: 12 * time.Hour, below: 2*time.Second - 1, above: 12*time.Hour + 1,
		bound: "2s to 12h0m0s", doc: "at least BackoffBase and at most 12 h"},
	{field: "DecodeAttempts", lowest: 1, highest: 1000, below: -1, above: 1001, bound: "1 to 1000", doc: "1 to 1000"},
	{field: "MaxAge", lowest: time.Second, highest: time.Duration(math.MaxInt64), below: time.Second - 1, alsoBad: []any{time.Duration(-1)},
		bound: "at least 1s", doc: "At least 1 s"},
	{field: "DeadLetterShare", lowest: math.SmallestNonzeroFloat64, highest: 1 - 1e-16, below: -0.1, above: 1.0, alsoBad: []any{math.NaN(), math.Inf(1), -2.0}, off: true,
		bound: "above 0 and below 1, or -1", doc: "Above 0 and below 1; -1"},
}

// with returns the zero Config but for one field.
func with(t *testing.T, field string, value any) (cfg consumer.Config) {
	t.Helper()
	f := reflect.ValueOf(&cfg).Elem().FieldByName(field)
	if !f.IsValid() {
		t.Fatalf("Config has no field %s", field)
	}
	v := reflect.ValueOf(value)
	if !v.CanConvert(f.Type()) {
		t.Fatalf("%s cannot be %v", field, value)
	}
	f.Set(v.Convert(f.Type()))
	return cfg
}

// offline is a client that must not be used.
func offline(t *testing.T) *sqs.Client {
	return sqstest.New(t).SQS(func(o *sqs.Options) {
		o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
			t.Errorf("New called %s", r.Header.Get("X-Amz-Target"))
			return nil, errTest
		})
	})
}

type doer func(*http.Request) (*http.Response, error)

func (f doer) Do(r *http.Request) (*http.Response, error) { return f(r) }

// problems returns the fields that New finds wrong, each with its error.
func problems(err error) map[string]string {
	found := make(map[string]string)
	var walk func(error)
	walk = func(err error) {
		var bad *consumer.ConfigError
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range several.Unwrap() {
				walk(err)
			}
		} else if errors.As(err, &bad) {
			found[bad.Field] += bad.Error()
		}
	}
	walk(err)
	return found
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	t.Run("the zero Config is valid", func(t *testing.T) {
		t.Parallel()
		if _, err := consumer.New(offline(t), "orders", nothing, consumer.Config{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("each field takes what is just within its bounds", fieldsWithinBounds)
	t.Run("each field out of bounds is named with value and bound", fieldsOutOfBounds)
	t.Run("all fields out of bounds are named at once, beside client, handler and queue", allAtOnce)
	t.Run("durations that SQS takes in seconds are whole seconds", wholeSeconds)
	t.Run("bounds that depend on another field go by its value", crossField)
	t.Run("every field's comment ends with its default, which is the one it gets", defaultsAsDocumented)
	t.Run("every number and duration has a row of bounds, told by its comment", boundsAsDocumented)
	t.Run("queues are taken by name, URL and ARN and refused where they cannot be one", queueNames)
	t.Run("a queue of another region than the client's is refused, by ARN and by URL", wrongRegion)
	t.Run("a nil client, handler or middleware is refused, also inside an interface", nilArguments)
	t.Run("topics that are no ARN of SNS are refused, each by its place", badTopics)
	t.Run("what a middleware's Validate says is joined to the rest", middlewareValidate)
	t.Run("Run a second time says so, while it runs and afterwards", runTwice)
	t.Run("New does no I/O", func(t *testing.T) {
		t.Parallel()
		for _, queue := range []string{"orders", "orders.fifo", "https://sqs.us-east-1.amazonaws.com/1/orders", "arn:aws:sqs:us-east-1:1:orders"} {
			cfg := consumer.Config{Middleware: []holdfast.Middleware{&checked{}}, Settle: offline(t), Topics: []string{"arn:aws:sns:us-east-1:1:t"}}
			if _, err := consumer.New(offline(t), queue, nothing, cfg); err != nil {
				t.Error(err)
			}
		}
	})
}

func fieldsWithinBounds(t *testing.T) {
	t.Parallel()
	for _, b := range bounds {
		values := []any{b.lowest, b.highest}
		if b.off {
			values = append(values, -1)
		}
		for _, v := range values {
			if _, err := consumer.New(offline(t), "orders", nothing, with(t, b.field, v)); err != nil {
				t.Errorf("%s %v is refused: %v", b.field, v, err)
			}
		}
	}
}

func fieldsOutOfBounds(t *testing.T) {
	t.Parallel()
	for _, b := range bounds {
		values := append([]any{b.below}, b.alsoBad...)
		if b.above != nil {
			values = append(values, b.above)
		}
		for _, v := range values {
			cfg := with(t, b.field, v)
			c, err := consumer.New(offline(t), "orders", nothing, cfg)
			got := problems(err)
			want := fmt.Sprintf("consumer: %s is %v; it must be %s", b.field, reflect.ValueOf(cfg).FieldByName(b.field), b.bound)
			if c != nil || len(got) == 0 || !strings.HasPrefix(got[b.field], want) {
				t.Errorf("%s %v gives %v, want %q", b.field, v, got, want)
			}
			delete(got, b.field)
			// A bound may depend on a field that is wrong; nothing else may.
			delete(got, "BackoffMax")
			delete(got, "PollGrace")
			if len(got) > 0 {
				t.Errorf("%s %v finds fault with %v too", b.field, v, got)
			}
		}
	}
}

func allAtOnce(t *testing.T) {
	t.Parallel()
	var cfg consumer.Config
	want := []string{"client", "handler", "queue", "Topics[0]", "Middleware[0]", "Settle"}
	for _, b := range bounds {
		bad := b.below
		if b.field == "BackoffMax" { // what is below depends on BackoffBase
			bad = b.above
		}
		reflect.ValueOf(&cfg).Elem().FieldByName(b.field).Set(reflect.ValueOf(with(t, b.field, bad)).FieldByName(b.field))
		want = append(want, b.field)
	}
	cfg.Topics, cfg.Middleware, cfg.Settle = []string{"x"}, []holdfast.Middleware{nil}, (*sqs.Client)(nil)
	_, err := consumer.New(nil, "", nil, cfg)
	var got []string
	for field := range problems(err) {
		got = append(got, field)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields named (-want +got):\n%s", diff)
	}
}

func wholeSeconds(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"Visibility", "Wait"} {
		_, err := consumer.New(offline(t), "orders", nothing, with(t, field, 2500*time.Millisecond))
		if got, want := problems(err)[field], "consumer: "+field+" is 2.5s; it must be whole seconds"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func crossField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cfg  consumer.Config
		want string
		fifo bool
	}{
		{name: "PollGrace up to StopTimeout", cfg: consumer.Config{StopTimeout: time.Minute, PollGrace: time.Minute}},
		{name: "PollGrace above StopTimeout", cfg: consumer.Config{StopTimeout: 3 * time.Second, PollGrace: 4 * time.Second}, want: "PollGrace is 4s; it must be 0s to 3s, or -1"},
		{name: "BackoffMax as BackoffBase", cfg: consumer.Config{BackoffBase: time.Hour, BackoffMax: time.Hour}},
		{name: "BackoffMax below BackoffBase", cfg: consumer.Config{BackoffBase: time.Hour, BackoffMax: time.Minute}, want: "BackoffMax is 1m0s; it must be 1h0m0s to 12h0m0s"},
		{name: "Concurrency, Prefetch and MaxParked of 120,000 together", cfg: consumer.Config{Concurrency: 10_000, Prefetch: 10_000, MaxParked: 100_000}},
		{name: "one more of them", cfg: consumer.Config{Concurrency: 10_000, Prefetch: 10_001, MaxParked: 100_000}, want: "Concurrency + Prefetch + MaxParked is 120001; it must be at most 120000, "},
		{name: "10 x Concurrency and MaxParked of 120,000 on a FIFO queue", cfg: consumer.Config{Concurrency: 10_000, Prefetch: 10, MaxParked: 20_000}, fifo: true},
		{name: "one more of them", cfg: consumer.Config{Concurrency: 10_000, Prefetch: 10, MaxParked: 20_001}, fifo: true, want: "10 x Concurrency + MaxParked of a FIFO queue is 120001; it must be at most 120000, about what SQS lets be in flight: Concurrency is 10000, Prefetch 10, MaxParked 20001"},
		{name: "a Prefetch beyond 10 x Concurrency on a FIFO queue", cfg: consumer.Config{Concurrency: 10, Prefetch: 100_000, MaxParked: 19_991}, fifo: true, want: "Concurrency + Prefetch + MaxParked is 120001; it must be at most 120000"},
		{name: "10 x Concurrency without parking", cfg: consumer.Config{Concurrency: 10_000, Prefetch: 100_000, MaxParked: -1}, fifo: true},
		{name: "as many without parking", cfg: consumer.Config{Concurrency: 10_000, Prefetch: 100_000, MaxParked: -1}},
		{name: "a StopTimeout below the default of PollGrace", cfg: consumer.Config{StopTimeout: time.Second}},
		{name: "a BackoffBase above the default of BackoffMax", cfg: consumer.Config{BackoffBase: time.Hour}},
	} {
		queues := []string{"orders"}
		if c.fifo {
			queues = []string{"orders.fifo", "https://sqs.us-east-1.amazonaws.com/123456789012/orders.fifo", "arn:aws:sqs:us-east-1:123456789012:orders.fifo"}
		}
		for _, queue := range queues {
			_, err := consumer.New(offline(t), queue, nothing, c.cfg)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%s of %s is refused: %v", c.name, queue, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%s of %s gives %v, want %q", c.name, queue, err, c.want)
			}
		}
	}
}

// together are the fields that one bound holds together.
var together = []string{"Concurrency", "Prefetch", "MaxParked"}

// comments returns the comment of each exported field of Config, in one line.
func comments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	ast.Inspect(file, func(n ast.Node) bool {
		typ, ok := n.(*ast.TypeSpec)
		if !ok || typ.Name.Name != "Config" {
			return true
		}
		for _, field := range typ.Type.(*ast.StructType).Fields.List {
			for _, name := range field.Names {
				found[name.Name] = strings.Join(strings.Fields(field.Doc.Text()), " ")
			}
		}
		return false
	})
	if want := reflect.TypeFor[consumer.Config]().NumField(); len(found) != want {
		t.Fatalf("config.go documents %d fields, Config has %d", len(found), want)
	}
	return found
}

var documentedDefault = regexp.MustCompile(` Default: (.+)\.$`)

func defaultsAsDocumented(t *testing.T) {
	t.Parallel()
	for field, comment := range comments(t) {
		found := documentedDefault.FindStringSubmatch(comment)
		if found == nil {
			t.Errorf("the comment of %s does not end with its default: %q", field, comment)
			continue
		}
		for _, cfg := range []consumer.Config{
			{}, {Concurrency: 1}, {Concurrency: 300}, {StopTimeout: time.Second}, {BackoffBase: time.Hour},
		} {
			if !reflect.ValueOf(cfg).FieldByName(field).IsZero() {
				continue
			}
			full := reflect.ValueOf(consumer.WithDefaults(cfg))
			got := full.FieldByName(field)
			if !isDefault(t, got, found[1], full) {
				t.Errorf("%s of %+v is %v, documented is %q", field, cfg, got, found[1])
			}
		}
	}
}

var (
	multiple = regexp.MustCompile(`^(\d+) x (\w+), at least (\d+)$`)
	limited  = regexp.MustCompile(`^(\w+), at (least|most) (\w+)$`)
	sized    = regexp.MustCompile(`^(\d+) MiB$`)
)

// isDefault tells whether v is what text documents, given all other fields.
func isDefault(t *testing.T, v reflect.Value, text string, cfg reflect.Value) bool {
	t.Helper()
	switch text {
	case "none", "none, no message is too old", "every SNS envelope is unwrapped", "sqs.New(client.Options()) for a *sqs.Client, else client":
		return v.IsZero()
	case "silent":
		log, ok := v.Interface().(*slog.Logger)
		return ok && log != nil && !log.Enabled(context.Background(), slog.LevelError)
	}
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatalf("default %q: %v", text, err)
		}
		return n
	}
	duration := func(s string) int64 {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("default %q: %v", text, err)
		}
		return int64(d)
	}
	if v.Kind() == reflect.Float64 {
		f, err := strconv.ParseFloat(text, 64)
		return err == nil && v.Float() == f
	}
	if m := multiple.FindStringSubmatch(text); m != nil {
		return v.Int() == max(number(m[1])*cfg.FieldByName(m[2]).Int(), number(m[3]))
	}
	if m := sized.FindStringSubmatch(text); m != nil {
		return v.Int() == number(m[1])<<20
	}
	if m := limited.FindStringSubmatch(text); m != nil {
		other := cfg.FieldByName(m[3]).Int()
		if m[2] == "least" {
			return v.Int() == max(duration(m[1]), other)
		}
		return v.Int() == min(duration(m[1]), other)
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return v.Int() == duration(text)
	}
	return v.Int() == number(text)
}

func boundsAsDocumented(t *testing.T) {
	t.Parallel()
	docs := comments(t)
	rows := make(map[string]fieldBounds)
	for _, b := range bounds {
		rows[b.field] = b
	}
	typ := reflect.TypeFor[consumer.Config]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		if k := f.Type.Kind(); k != reflect.Int && k != reflect.Int64 && k != reflect.Float64 {
			continue
		}
		b, ok := rows[f.Name]
		if !ok || b.lowest == nil || b.below == nil || (b.above == nil) != unbounded(b.highest) {
			t.Errorf("%s has no row with both of its bounds", f.Name)
			continue
		}
		delete(rows, f.Name)
		if !strings.Contains(docs[f.Name], b.doc) {
			t.Errorf("the comment of %s lacks its bounds %q: %q", f.Name, b.doc, docs[f.Name])
		}
		if b.off != strings.Contains(docs[f.Name], "; -1 ") {
			t.Errorf("the comment of %s tells wrongly of -1: %q", f.Name, docs[f.Name])
		}
	}
	for _, field := range together {
		if !strings.Contains(docs[field], "120,000 together") {
			t.Errorf("the comment of %s lacks what bounds it together with others: %q", field, docs[field])
		}
	}
	for name := range rows {
		t.Errorf("there is a row for %s, which has no bounds", name)
	}
}

func unbounded(highest any) bool {
	v := reflect.ValueOf(highest)
	return v.CanInt() && v.Int() == math.MaxInt64
}

func queueNames(t *testing.T) {
	t.Parallel()
	for queue, want := range map[string]string{
		"orders": "", "orders.fifo": "", strings.Repeat("q", 80): "",
		"arn:aws:sqs:us-east-1:000000000000:orders":               "",
		"https://sqs.us-east-1.amazonaws.com/000000000000/orders": "",
		"http://127.0.0.1:4566/000000000000/orders":               "",
		"":                                    "1 to 80 letters",
		"orders/dlq":                          "1 to 80 letters",
		strings.Repeat("q", 81):               "1 to 80 letters",
		"arn:aws:sns:us-east-1:1:orders":      "an ARN of SQS",
		"https://":                            "a queue URL",
		"ftp://127.0.0.1/000000000000/orders": "a queue URL",
	} {
		_, err := consumer.New(offline(t), queue, nothing, consumer.Config{})
		got := problems(err)["queue"]
		if want == "" && err != nil {
			t.Errorf("queue %q is refused: %v", queue, err)
		}
		if want != "" && (!strings.Contains(got, want) || !strings.Contains(got, strconv.Quote(queue))) {
			t.Errorf("queue %q gives %q, want one that names it and %q", queue, got, want)
		}
	}
}

func wrongRegion(t *testing.T) {
	t.Parallel()
	for _, queue := range []string{"arn:aws:sqs:eu-west-1:000000000000:orders", "https://sqs.eu-west-1.amazonaws.com/000000000000/orders"} {
		_, err := consumer.New(offline(t), queue, nothing, consumer.Config{})
		got := problems(err)["queue"]
		for _, want := range []string{strconv.Quote(queue), "us-east-1", "eu-west-1"} {
			if !strings.Contains(got, want) {
				t.Errorf("queue %q gives %q, want one with %q", queue, got, want)
			}
		}
	}
}

func nilArguments(t *testing.T) {
	t.Parallel()
	for name, makeOne := range map[string]func() error{
		"client": func() error {
			_, err := consumer.New((*sqs.Client)(nil), "orders", nothing, consumer.Config{})
			return err
		},
		"handler": func() error {
			_, err := consumer.New(offline(t), "orders", holdfast.HandlerFunc(nil), consumer.Config{})
			return err
		},
		"Settle": func() error {
			_, err := consumer.New(offline(t), "orders", nothing, consumer.Config{Settle: (*sqs.Client)(nil)})
			return err
		},
		"Middleware[1]": func() error {
			mw := []holdfast.Middleware{&checked{}, holdfast.MiddlewareFunc(nil)}
			_, err := consumer.New(offline(t), "orders", nothing, consumer.Config{Middleware: mw})
			return err
		},
		"Middleware[0]": func() error {
			_, err := consumer.New(offline(t), "orders", nothing, consumer.Config{Middleware: []holdfast.Middleware{(*checked)(nil)}})
			return err
		},
	} {
		if got := problems(makeOne()); len(got) != 1 || !strings.Contains(got[name], "<nil>") {
			t.Errorf("a nil %s gives %v, want it named", name, got)
		}
	}
}

func badTopics(t *testing.T) {
	t.Parallel()
	_, err := consumer.New(offline(t), "orders", nothing, consumer.Config{Topics: []string{
		"arn:aws:sns:us-east-1:1:good", "good", "arn:aws:sqs:us-east-1:1:queue", "arn:aws:sns:us-east-1:1:", "arn:aws:sns:us-east-1:1:t:subscription",
	}})
	got := problems(err)
	for i, topic := range []string{1: "good", 2: "arn:aws:sqs:us-east-1:1:queue", 3: "arn:aws:sns:us-east-1:1:", 4: "arn:aws:sns:us-east-1:1:t:subscription"} {
		if text := got[fmt.Sprintf("Topics[%d]", i)]; i > 0 && !strings.Contains(text, "is "+topic+"; it must be the ARN of an SNS topic") {
			t.Errorf("topic %q gives %q", topic, text)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d topics refused, want 4: %v", len(got), got)
	}
}

// checked is a middleware that validates itself.
type checked struct{ err error }

func (c *checked) Wrap(next holdfast.Handler) holdfast.Handler { return next }
func (c *checked) Validate() error                             { return c.err }

func middlewareValidate(t *testing.T) {
	t.Parallel()
	first, second := errors.New("first is wrong"), errors.New("second is wrong")
	_, err := consumer.New(offline(t), "orders", nothing, consumer.Config{
		Concurrency: -1, Middleware: []holdfast.Middleware{&checked{first}, &checked{}, &checked{second}},
	})
	if !errors.Is(err, first) || !errors.Is(err, second) || problems(err)["Concurrency"] == "" {
		t.Errorf("New gives %v, want both middleware and Concurrency", err)
	}
	if !strings.Contains(err.Error(), "Middleware[2]: second is wrong") {
		t.Errorf("New gives %v, want the middleware told by its place", err)
	}
}

func runTwice(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		r := start(t, srv, srv.Queue(t, "orders"), nothing, consumer.Config{})
		synctest.Wait()
		if err := r.Run(context.Background()); !errors.Is(err, consumer.ErrRunTwice) {
			t.Errorf("Run while it runs returns %v, want ErrRunTwice", err)
		}
		if err := r.stop(); err != nil {
			t.Errorf("the first Run returns %v", err)
		}
		if err := r.Run(context.Background()); !errors.Is(err, consumer.ErrRunTwice) {
			t.Errorf("Run afterwards returns %v, want ErrRunTwice", err)
		}
		if h := r.Health(); h.State != "stopped" || !h.Live {
			t.Errorf("health is %+v, want it as the first Run left it", h)
		}
	})
}
