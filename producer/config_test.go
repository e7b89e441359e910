package producer_test

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
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// bounds has a row for each field that is a number or a duration.
var bounds = []struct {
	field           string
	lowest, highest any
	bad             []any
	off             bool   // -1 switches it off
	bound           string // as the error tells it
	doc             string // as the comment tells it
}{
	{"Linger", time.Duration(1), time.Second, []any{time.Duration(-2), time.Second + 1}, true, "0s to 1s, or -1", "up to 1 s; a full one, or one of 1 MiB, goes at once. -1"},
	{"Concurrency", 1, 1000, []any{-1, 1001}, false, "1 to 1000", "1 to 1,000"},
	{"MaxPending", 1, 1_000_000, []any{-1, 1_000_001}, false, "1 to 1000000", "1 to 1,000,000"},
	{"MaxPendingBytes", int64(1 << 20), int64(math.MaxInt64), []any{int64(-1), int64(1<<20 - 1)}, false, "at least 1048576", "at least 1 MiB"},
	{"Timeout", time.Millisecond, 4 * time.Minute, []any{time.Millisecond - 1, 4*time.Minute + 1, time.Duration(-1)}, false, "1ms to 4m0s", "1 ms to 4 m"},
	{"MaxMessageBytes", 1024, 1 << 20, []any{-1, 1023, 1<<20 + 1}, false, "1024 to 1048576", "1 KiB to 1 MiB"},
	{"OffloadAbove", 1, 1 << 20, []any{-1, 1<<20 + 1}, false, "1 to 1048576", "1 to 1 MiB"},
}

// elsewhere is an Offloader.
type elsewhere struct{}

func (*elsewhere) Offload(context.Context, *holdfast.Message) error { return nil }

// with is the zero Config but for one field, and Offload where that needs it.
func with(t *testing.T, field string, value any) (cfg producer.Config) {
	t.Helper()
	f := reflect.ValueOf(&cfg).Elem().FieldByName(field)
	if !f.IsValid() {
		t.Fatalf("Config has no field %s", field)
	}
	f.Set(reflect.ValueOf(value).Convert(f.Type()))
	if field == "OffloadAbove" {
		cfg.Offload = &elsewhere{}
	}
	return cfg
}

type doer func(*http.Request) (*http.Response, error)

func (f doer) Do(r *http.Request) (*http.Response, error) { return f(r) }

// offline is a client that must not be used.
func offline(t *testing.T) *sqs.Client {
	return sqstest.New(t).SQS(func(o *sqs.Options) {
		o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
			t.Errorf("New called %s", r.Header.Get("X-Amz-Target"))
			return nil, errTest
		})
	})
}

// problems are the fields that New finds wrong, each with its error.
func problems(err error) map[string]string {
	found := make(map[string]string)
	var walk func(error)
	walk = func(err error) {
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range several.Unwrap() {
				walk(err)
			}
		} else if bad := (*producer.ConfigError)(nil); errors.As(err, &bad) {
			found[bad.Field] += bad.Error()
		}
	}
	walk(err)
	return found
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	t.Run("the zero Config is valid, and New does no I/O", zeroConfig)
	t.Run("each field takes its bounds and is named with value and bound beyond them", fieldBounds)
	t.Run("all problems are named at once", allAtOnce)
	t.Run("every field's comment ends with its default, which is the one it gets", defaultsAsDocumented)
	t.Run("every number and duration has a row of bounds, told by its comment", boundsAsDocumented)
	t.Run("targets are taken by name, URL and ARN and refused where they cannot be one", targets)
	t.Run("the client fits the target, and is of its region", clients)
}

func zeroConfig(t *testing.T) {
	t.Parallel()
	for _, queue := range []string{"orders", "orders.fifo", "https://sqs.us-east-1.amazonaws.com/1/orders", "arn:aws:sqs:us-east-1:1:orders"} {
		if _, err := producer.New(offline(t), queue, producer.Config{}); err != nil {
			t.Error(err)
		}
	}
}

func fieldBounds(t *testing.T) {
	t.Parallel()
	for _, b := range bounds {
		good := []any{b.lowest, b.highest}
		if b.off {
			good = append(good, -1)
		}
		for _, v := range good {
			if _, err := producer.New(offline(t), "orders", with(t, b.field, v)); err != nil {
				t.Errorf("%s %v is refused: %v", b.field, v, err)
			}
		}
		for _, v := range b.bad {
			cfg := with(t, b.field, v)
			p, err := producer.New(offline(t), "orders", cfg)
			want := map[string]string{b.field: fmt.Sprintf("producer: %s is %v; it must be %s", b.field, reflect.ValueOf(cfg).FieldByName(b.field), b.bound)}
			if diff := cmp.Diff(want, problems(err)); diff != "" || p != nil {
				t.Errorf("%s %v (-want +got):\n%s", b.field, v, diff)
			}
		}
	}
}

func allAtOnce(t *testing.T) {
	t.Parallel()
	cfg := producer.Config{Offload: (*elsewhere)(nil), Middleware: []producer.Middleware{nil, producer.MiddlewareFunc(nil)}}
	want := []string{"Middleware[0]", "Middleware[1]", "Offload", "target"}
	for _, b := range bounds {
		reflect.ValueOf(&cfg).Elem().FieldByName(b.field).Set(reflect.ValueOf(with(t, b.field, b.bad[0])).FieldByName(b.field))
		want = append(want, b.field)
	}
	_, err := producer.New(nil, "", cfg)
	var got []string
	for field := range problems(err) {
		got = append(got, field)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields named (-want +got):\n%s", diff)
	}
	if got := problems(err)["Offload"]; got != "producer: Offload is <nil>; it must be an Offloader, or not set" {
		t.Errorf("a nil Offloader: %q", got)
	}
	_, err = producer.New(offline(t), "orders", producer.Config{OffloadAbove: 5})
	if got := problems(err)["OffloadAbove"]; got != "producer: OffloadAbove is 5; it must be 0 where Offload is not set" {
		t.Errorf("OffloadAbove without Offload: %q", got)
	}
}

// comments are those of the fields of Config, each in one line.
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
	if want := reflect.TypeFor[producer.Config]().NumField(); len(found) != want {
		t.Fatalf("config.go documents %d fields, Config has %d", len(found), want)
	}
	return found
}

var documentedDefault = regexp.MustCompile(` Default: (.+)\.$`)

func defaultsAsDocumented(t *testing.T) {
	t.Parallel()
	full := reflect.ValueOf(producer.WithDefaults(producer.Config{}))
	for field, comment := range comments(t) {
		found := documentedDefault.FindStringSubmatch(comment)
		if found == nil {
			t.Errorf("the comment of %s does not end with its default: %q", field, comment)
			continue
		}
		v, text := full.FieldByName(field), found[1]
		var is bool
		switch {
		case text == "silent":
			log, _ := v.Interface().(*slog.Logger)
			is = log != nil && !log.Enabled(context.Background(), slog.LevelError)
		case text == "Handled":
			is = v.Pointer() == reflect.ValueOf(producer.Handled).Pointer()
		case strings.HasPrefix(text, "none") || strings.HasPrefix(text, "what the target"):
			is = v.IsZero()
		case v.Type() == reflect.TypeFor[time.Duration]():
			d, err := time.ParseDuration(text)
			is = err == nil && v.Int() == int64(d)
		default:
			number, unit, _ := strings.Cut(text, " ")
			n, err := strconv.ParseInt(number, 10, 64)
			if unit == "MiB" {
				n <<= 20
			}
			is = err == nil && v.Int() == n
		}
		if !is {
			t.Errorf("%s is %v, documented is %q", field, v, text)
		}
	}
}

func boundsAsDocumented(t *testing.T) {
	t.Parallel()
	all := comments(t)
	rows := make(map[string]string)
	for _, b := range bounds {
		rows[b.field] = b.doc
	}
	typ := reflect.TypeFor[producer.Config]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		switch f.Type.Kind() {
		case reflect.Int, reflect.Int64, reflect.Float64:
			doc, ok := rows[f.Name]
			if !ok || !strings.Contains(all[f.Name], doc) {
				t.Errorf("the comment of %s is %q, want %q in it", f.Name, all[f.Name], doc)
			}
		}
	}
}

func targets(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"":                                       "the name, URL or ARN of a queue",
		"a queue":                                "the name, URL or ARN of a queue",
		"arn:aws:sqs:us-east-1:1":                "an ARN of SQS",
		"https://sqs.us-east-1.amazonaws.com/?q": "a queue URL",
		"arn:aws:sns:us-east-1:1":                "the ARN of an SNS topic",
		"arn:aws:sns:us-east-1:1:a topic":        "the ARN of an SNS topic",
		"arn:aws:sns:us-east-1:1:topic:sub":      "the ARN of an SNS topic",
		"arn:aws:sns:us-east-1:1:.fifo":          "the ARN of an SNS topic",
		"arn:aws:sns:us-east-1:1:" + strings.Repeat("t", 257): "the ARN of an SNS topic",
	} {
		_, err := producer.New(offline(t), target, producer.Config{})
		if got := problems(err)["target"]; !strings.HasPrefix(got, fmt.Sprintf("producer: target is %q; it must be %s", target, want)) {
			t.Errorf("%q gives %q, want %q", target, got, want)
		}
	}
	topics := sns.New(sns.Options{Region: "us-east-1"})
	for _, target := range []string{"arn:aws:sns:us-east-1:1:orders", "arn:aws-cn:sns:us-east-1:1:orders.fifo", "arn:aws:sns:us-east-1:1:" + strings.Repeat("t", 256)} {
		if _, err := producer.New(topics, target, producer.Config{}); err != nil {
			t.Error(err)
		}
	}
}

func clients(t *testing.T) {
	t.Parallel()
	const topic = "arn:aws:sns:us-east-1:1:orders"
	topics := sns.New(sns.Options{Region: "us-east-1"})
	for _, c := range []struct {
		client       any
		target, want string
	}{
		{topics, "orders", "client is a *sns.Client; it must be an SQSAPI, such as *sqs.Client, to send to a queue"},
		{offline(t), topic, "client is a *sqs.Client; it must be an SNSAPI, such as *sns.Client, to publish to a topic"},
		{nil, topic, "client is nil; it must be an SNSAPI"},
		{(*sqs.Client)(nil), "orders", "client is nil; it must be an SQSAPI"},
		{offline(t), "arn:aws:sqs:eu-west-1:1:orders", "it must be in the client's region us-east-1, not in eu-west-1"},
		{offline(t), "https://sqs.eu-west-1.amazonaws.com/1/orders", "it must be in the client's region us-east-1, not in eu-west-1"},
		{topics, "arn:aws:sns:eu-west-1:1:orders", "it must be in the client's region us-east-1, not in eu-west-1"},
	} {
		if _, err := producer.New(c.client, c.target, producer.Config{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%T to %s gives %v, want %q", c.client, c.target, err, c.want)
		}
	}
}

func FuzzTargets(f *testing.F) {
	for _, seed := range []string{"", "orders", "orders.fifo", "arn:aws:sqs:us-east-1:1:orders", "arn:aws:sns:us-east-1:1:orders.fifo", "arn:aws:sns:::x", "http://localhost:4566/0/orders"} {
		f.Add(seed)
	}
	topics, queues := sns.New(sns.Options{}), sqs.New(sqs.Options{})
	f.Fuzz(func(t *testing.T, target string) {
		_, err := producer.New(queues, target, producer.Config{})
		if err != nil {
			_, err = producer.New(topics, target, producer.Config{})
		}
		name := target[strings.LastIndexAny(target, ":/")+1:]
		if err == nil && (name == "" || len(name) > 256 || strings.ContainsAny(name, " \n\x00")) {
			t.Errorf("%q is taken", target)
		}
	})
}
