package sqsserver

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// golden is the files of a folder in the SDK's module: what the SDK's own tests hold its
// encoders and decoders against. Names are without the ending.
func golden(t *testing.T, folder, ending string) map[string][]byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/sqs").Output()
	if err != nil {
		t.Fatal(err)
	}
	folder = filepath.Join(strings.TrimSpace(string(out)), folder)
	paths, err := filepath.Glob(filepath.Join(folder, "*"+ending))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("the SDK's module has no %s", folder)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		if files[strings.TrimSuffix(filepath.Base(path), ending)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// goldenRequest reads a request of the SDK's: a line with the method and the path, one
// with the query, headers, an empty line, the body.
func goldenRequest(t *testing.T, file []byte) *http.Request {
	t.Helper()
	head, body, ok := bytes.Cut(file, []byte("\n\n{"))
	if !ok {
		t.Fatalf("no body in %q", file)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://sqs.test.invalid/", strings.NewReader("{"+string(body)))
	for line := range strings.Lines(string(head)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			r.Header.Set(name, value)
		}
	}
	return r
}

func TestReadsEveryGoldenRequest(t *testing.T) {
	t.Parallel()
	files := golden(t, "request_snapshot", ".request.snap")
	for action := range operations {
		if files[action] == nil {
			t.Errorf("no request of %s", action)
		}
	}
	for action, file := range files {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			r := goldenRequest(t, file)
			body, err := readBody(r.Body, r.ContentLength)
			if err != nil {
				t.Fatal(err)
			}
			in := incoming{target: r.Header.Get("X-Amz-Target"), contentType: r.Header.Get("Content-Type"), body: body}
			c := &call{ctx: t.Context()}
			got, err := decode(in, c)
			if err != nil {
				t.Fatal(err)
			}
			if c.action != action {
				t.Errorf("action %q", c.action)
			}
			// All that the request says stands in what was read.
			again, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			for _, lost := range lacking("", parsed(t, body), parsed(t, again)) {
				t.Error(lost)
			}
			// The server answers it, if only with a refusal of the made-up values.
			w := httptest.NewRecorder()
			New(Config{}).ServeHTTP(w, goldenRequest(t, file))
			for _, word := range []string{"UnknownOperation", "Serialization", "InternalFailure", "#ContentType"} {
				if strings.Contains(w.Body.String(), word) || w.Code >= 500 {
					t.Errorf("status %d, %s", w.Code, w.Body)
				}
			}
		})
	}
}

// attributesOfMessages is what no fast form has: it leaves them to encoding/json.
var attributesOfMessages = regexp.MustCompile(`"Message(System)?Attributes":\{"key0":\{[^}]*\}\},?`)

func TestReadsGoldenRequestsTheSameFastAndSlow(t *testing.T) {
	t.Parallel()
	fast := 0
	for action, file := range golden(t, "request_snapshot", ".request.snap") {
		begin := operations[action]
		if begin == nil {
			continue // told by the test above
		}
		r, ok := begin().(fastRequest)
		if !ok {
			continue
		}
		fast++
		body, err := readBody(goldenRequest(t, file).Body, -1)
		if err != nil {
			t.Fatal(err)
		}
		body = attributesOfMessages.ReplaceAll(body, nil)
		body = bytes.ReplaceAll(body, []byte(",}"), []byte("}"))
		if !r.readFast(&jsonReader{b: body}) {
			t.Errorf("%s is not read fast: %s", action, body)
			continue
		}
		slow := begin()
		if err := json.Unmarshal(body, slow); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(any(r), any(slow)) {
			t.Errorf("%s is read in two ways:\n%+v\n%+v", action, r, slow)
		}
	}
	if fast == 0 {
		t.Error("no request has a fast form")
	}
}

func parsed(t *testing.T, body []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

// lacking lists what got does not have of want; it may have more.
func lacking(path string, want, got any) []string {
	var all []string
	switch want := want.(type) {
	case map[string]any:
		members, _ := got.(map[string]any)
		for name, value := range want {
			all = append(all, lacking(path+"."+name, value, members[name])...)
		}
	case []any:
		elements, _ := got.([]any)
		if len(elements) != len(want) {
			return []string{path + ": another length"}
		}
		for i := range want {
			all = append(all, lacking(path+"[]", want[i], elements[i])...)
		}
	default:
		if diff := cmp.Diff(want, got); diff != "" {
			all = append(all, path+" (-sent +read):\n"+diff)
		}
	}
	return all
}
