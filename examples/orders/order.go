package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Order is the message that the worker is for.
type Order struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
	Cents    int64  `json:"cents"`
	// Trouble is what goes wrong with it in the shop; see shop.go.
	Trouble trouble `json:"trouble,omitempty"`
}

// trouble is what goes wrong in the handling of an order.
type trouble string

const (
	none        trouble = ""
	failsTwice  trouble = "fails-twice"  // the card service is down twice, then answers
	slow        trouble = "slow"         // takes longer than the visibility timeout
	refused     trouble = "refused"      // the article does not exist: no retry helps
	alwaysFails trouble = "always-fails" // the card service never answers
)

// The bounds of an order. A body of SQS has at most 1 MiB together with its
// attributes; 1 KiB is kept for the one that carries the id.
const (
	maxBody     = 1<<20 - 1<<10
	maxID       = 100
	maxQuantity = 10_000
	maxCents    = 100_000_000
)

// line is one line of the input, which is sent as it is.
type line struct {
	number int
	body   string
	// order is nil where the body is no order: such a line is sent all the same.
	order *Order
}

// ref names what a body is about: the order's id or, where it is no order, the
// body itself. It is how the ledger knows a message again in the dead-letter queue.
type ref struct{ id, raw string }

func refOf(body string) ref {
	if o := decode(body); o != nil {
		return ref{id: o.ID}
	}
	return ref{raw: body}
}

// decode reads an order as the worker does; nil where it cannot.
func decode(body string) *Order {
	var o Order
	if json.Unmarshal([]byte(body), &o) != nil {
		return nil
	}
	return &o
}

// readLines reads orders as JSON lines. Blank lines are skipped, and a line that
// is no order is kept for the worker to stumble over. An order out of bounds, a
// line that SQS would not take, and two different orders of one id are errors that
// name the line.
func readLines(r io.Reader) ([]line, error) {
	var lines []line
	first := make(map[string]line) // by order id
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxBody+2)
	number := 0
	for scanner.Scan() {
		number++
		if len(bytes.TrimSpace(scanner.Bytes())) == 0 {
			continue
		}
		l := line{number: number, body: scanner.Text()}
		if len(l.body) > maxBody {
			return nil, tooLong(number)
		}
		if !legible(l.body) {
			return nil, fmt.Errorf("line %d: contains a character that SQS does not take", number)
		}
		if l.order = decode(l.body); l.order != nil {
			if err := l.order.validate(); err != nil {
				return nil, fmt.Errorf("line %d: %w", number, err)
			}
			if twin, ok := first[l.order.ID]; !ok {
				first[l.order.ID] = l
			} else if twin.body != l.body {
				return nil, fmt.Errorf("line %d: order %q is another one than in line %d", number, l.order.ID, twin.number)
			}
		}
		lines = append(lines, l)
	}
	switch err := scanner.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, tooLong(number + 1)
	case err != nil:
		return nil, fmt.Errorf("line %d: %w", number+1, err)
	case len(lines) == 0:
		return nil, fmt.Errorf("no orders in %d lines", number)
	}
	return lines, nil
}

func tooLong(number int) error {
	return fmt.Errorf("line %d: longer than %d bytes", number, maxBody)
}

func (o *Order) validate() error {
	switch {
	case o.ID == "" || len(o.ID) > maxID || !legible(o.ID):
		return fmt.Errorf("id is %.120q, want 1 to %d bytes that SQS takes", o.ID, maxID)
	case o.Quantity < 1 || o.Quantity > maxQuantity:
		return fmt.Errorf("quantity is %d, want 1 to %d", o.Quantity, maxQuantity)
	case o.Cents < 0 || o.Cents > maxCents:
		return fmt.Errorf("cents is %d, want 0 to %d", o.Cents, maxCents)
	}
	switch o.Trouble {
	case none, failsTwice, slow, refused, alwaysFails:
		return nil
	}
	return fmt.Errorf("trouble is %.40q, want none or one of %s, %s, %s, %s", string(o.Trouble), failsTwice, slow, refused, alwaysFails)
}

// legible tells whether SQS takes s: the characters of XML 1.0 [SendMessage].
func legible(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	})
}
