package holdfast_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
)

type order struct {
	ID    string  `json:"id"`
	Cents int32   `json:"cents"`
	Items []order `json:"items"`
}

func TestJSONDecodesTheBody(t *testing.T) {
	t.Parallel()
	because := errors.New("because")
	var got order
	h := holdfast.JSON(func(_ context.Context, o order) error {
		got = o
		return because
	})
	m := &holdfast.Message{Body: ` {"id":"o-1","cents":250,"unknown":true,"items":[{"id":"a"}]} `}
	if err := h.Handle(t.Context(), m); !errors.Is(err, because) {
		t.Errorf("error = %v, want the function's own", err)
	}
	want := order{ID: "o-1", Cents: 250, Items: []order{{ID: "a"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

func TestJSONTellsWhatItCannotDecode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ body, says string }{
		"an empty body":                        {"", "empty or null"},
		"a body of spaces":                     {"  ", "empty or null"},
		"null":                                 {" null\n", "empty or null"},
		"no JSON":                              {"hello", "invalid character"},
		"JSON cut short":                       {`{"id":"o`, "unexpected end"},
		"something behind the first value":     {`{"id":"o"}{"id":"p"}`, "after top-level value"},
		"another type":                         {`[1]`, "cannot unmarshal array"},
		"another type of a field":              {`{"cents":"many"}`, "cannot unmarshal string"},
		"a number out of the field's bounds":   {`{"cents":4000000000}`, "cannot unmarshal number"},
		"a fraction where there cannot be one": {`{"cents":1.5}`, "cannot unmarshal number"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := holdfast.JSON(func(context.Context, order) error {
				t.Error("the function was called")
				return nil
			})
			err := h.Handle(t.Context(), &holdfast.Message{Body: tt.body})
			var decode *holdfast.DecodeError
			if !errors.As(err, &decode) {
				t.Fatalf("error = %v, want a *DecodeError", err)
			}
			if decode.Type != "holdfast_test.order" || !strings.Contains(err.Error(), decode.Type) {
				t.Errorf("error = %v of type %q, want it to name holdfast_test.order", err, decode.Type)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error = %v, want one that says %q", err, tt.says)
			}
			if !errors.Is(err, decode.Err) {
				t.Error("the decoder's error is not unwrapped")
			}
		})
	}
}

func TestJSONReachesTheMessage(t *testing.T) {
	t.Parallel()
	m := &holdfast.Message{ID: "m", Body: "7"}
	h := holdfast.JSON(func(ctx context.Context, n int) error {
		got, ok := holdfast.MessageFrom(ctx)
		if !ok || got != m || n != 7 {
			t.Errorf("message = %v, %v; number = %d", got, ok, n)
		}
		return nil
	})
	if err := h.Handle(holdfast.NewContext(t.Context(), m, nil), m); err != nil {
		t.Error(err)
	}
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{"", " ", "null", "{}", `{"id":"o-1","cents":250}`, `{"cents":1e999}`, `{"items":[{"items":[{}]}]}`, "[", "{}{}", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		calls := 0
		var got order
		h := holdfast.JSON(func(_ context.Context, o order) error {
			calls++
			got = o
			return nil
		})
		err := h.Handle(t.Context(), &holdfast.Message{Body: body})
		var want order
		bad := json.Unmarshal([]byte(body), &want)
		if strings.TrimSpace(body) == "null" {
			bad = errors.New("null is no order")
		}
		var decode *holdfast.DecodeError
		switch {
		case bad == nil && (err != nil || calls != 1):
			t.Fatalf("error = %v after %d calls for a body that can be decoded", err, calls)
		case bad == nil:
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("decoded (-want +got):\n%s", diff)
			}
		case calls != 0 || !errors.As(err, &decode):
			t.Fatalf("error = %v after %d calls for a body that cannot be decoded: %v", err, calls, bad)
		}
	})
}
