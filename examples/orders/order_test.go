package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLinesAreReadAsTheyAre(t *testing.T) {
	t.Parallel()
	got := linesOf(t, fine, "", "not json", "  ", fine+"\r", `{"id":7}`)
	want := []line{
		{number: 1, body: fine, order: &Order{ID: "fine", Customer: "c", SKU: "s", Quantity: 1, Cents: 250}},
		{number: 3, body: "not json"},
		{number: 5, body: fine, order: &Order{ID: "fine", Customer: "c", SKU: "s", Quantity: 1, Cents: 250}},
		{number: 6, body: `{"id":7}`},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(line{})); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestBadInputIsNamed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ input, want string }{
		"nothing":           {"\n\n", "no orders in 2 lines"},
		"no id":             {`{"quantity":1}`, `line 1: id is "", want 1 to 100 bytes that SQS takes`},
		"null":              {"null", `line 1: id is "", want 1 to 100 bytes that SQS takes`},
		"an unreadable id":  {`{"id":"a\u0001","quantity":1}`, `line 1: id is "a\x01", want 1 to 100 bytes that SQS takes`},
		"no quantity":       {fine + "\n" + `{"id":"a"}`, "line 2: quantity is 0, want 1 to 10000"},
		"negative cents":    {`{"id":"a","quantity":1,"cents":-1}`, "line 1: cents is -1, want 0 to 100000000"},
		"unknown trouble":   {`{"id":"a","quantity":1,"trouble":"x"}`, `line 1: trouble is "x", want none or one of fails-twice, slow, refused, always-fails`},
		"control character": {"a\x01", "line 1: contains a character that SQS does not take"},
		"no character":      {"a\uFFFE", "line 1: contains a character that SQS does not take"},
		"not UTF-8":         {"a\xff", "line 1: contains a character that SQS does not take"},
		"one id, two orders": {fine + "\n" + strings.Replace(fine, "250", "251", 1),
			`line 2: order "fine" is another one than in line 1`},
		"a line too long": {fine + "\n" + strings.Repeat("x", maxBody+1), fmt.Sprintf("line 2: longer than %d bytes", maxBody)},
		"far too long":    {fine + "\n" + strings.Repeat("x", 2*maxBody), fmt.Sprintf("line 2: longer than %d bytes", maxBody)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines, err := readLines(strings.NewReader(tt.input))
			if err == nil || err.Error() != tt.want || lines != nil {
				t.Errorf("got %d lines and %v, want the error %s", len(lines), err, tt.want)
			}
		})
	}
}

func TestLongestLineIsRead(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"", "\n", "\r\n"} {
		lines, err := readLines(strings.NewReader(strings.Repeat("x", maxBody) + end))
		if err != nil || len(lines) != 1 || len(lines[0].body) != maxBody {
			t.Errorf("with end %q: %d lines and %v", end, len(lines), err)
		}
	}
}

func FuzzReadLines(f *testing.F) {
	f.Add([]byte(fine + "\n" + bad + "\n" + broken + "\n\n" + fine))
	f.Add([]byte(`{"id":"a\u0000","quantity":1}`))
	f.Add([]byte("null\r\n{}\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := readLines(bytes.NewReader(data))
		if err != nil {
			if lines != nil {
				t.Fatal("lines beside an error")
			}
			return
		}
		bodies := make(map[string]string)
		last := 0
		for _, l := range lines {
			if l.body == "" || len(l.body) > maxBody || !legible(l.body) {
				t.Fatalf("line %d: SQS would not take %q", l.number, l.body)
			}
			if l.number <= last {
				t.Fatalf("line %d after line %d", l.number, last)
			}
			last = l.number
			if (l.order == nil) != (refOf(l.body) == ref{raw: l.body}) {
				t.Fatalf("line %d: the ledger would not know %q again", l.number, l.body)
			}
			if l.order == nil {
				continue
			}
			if err := l.order.validate(); err != nil {
				t.Fatal(err)
			}
			if first, ok := bodies[l.order.ID]; ok && first != l.body {
				t.Fatalf("order %q has two bodies", l.order.ID)
			}
			bodies[l.order.ID] = l.body
		}
	})
}

func TestEmbeddedInputIsGenerated(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := generate(&b); err != nil {
		t.Fatal(err)
	}
	if b.String() != embedded {
		t.Error("orders.jsonl is not what the generator makes: run go generate ./examples/orders")
	}
}

func TestEmbeddedInputHasEveryTrouble(t *testing.T) {
	t.Parallel()
	lines, err := readInput("")
	if err != nil {
		t.Fatal(err)
	}
	orders := make(map[ref]int)
	got := make(map[string]int)
	for _, l := range lines {
		orders[refOf(l.body)]++
		switch {
		case orders[refOf(l.body)] == 2:
			got["sent twice"]++
		case l.order == nil:
			got["no order"]++
		case l.order.Trouble != none:
			got[string(l.order.Trouble)]++
		}
	}
	got["orders"] = len(orders)
	want := map[string]int{
		"orders": 500, "sent twice": 25, "no order": 1,
		"fails-twice": 20, "slow": 1, "refused": 3, "always-fails": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("troubles (-want +got):\n%s", diff)
	}
}
