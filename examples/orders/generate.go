package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
)

// The orders of the input in this folder: every so many have trouble.
const (
	generatedOrders = 500
	notJSON         = 137 // the order that is cut off in the middle
	slowOrder       = 42
	hopelessOrder   = 250
)

// generate writes the input that is in this folder. It is the same each time.
func generate(w io.Writer) error {
	random := rand.New(rand.NewPCG(2026, 11))
	articles := []struct {
		sku   string
		cents int64
	}{
		{"tea-sencha-100", 1290}, {"tea-assam-250", 1450}, {"pot-iron-1l", 5900},
		{"cup-glass-2", 1795}, {"filter-paper-100", 420}, {"tin-square-500", 890},
	}
	var repeats []string
	for n := 1; n <= generatedOrders; n++ {
		a := articles[random.IntN(len(articles))]
		quantity := 1 + random.IntN(4)
		o := Order{
			ID: fmt.Sprintf("o-%04d", n), Customer: fmt.Sprintf("c-%03d", 1+random.IntN(180)),
			SKU: a.sku, Quantity: quantity, Cents: int64(quantity) * a.cents,
		}
		switch {
		case n == slowOrder:
			o.Trouble = slow
		case n == hopelessOrder:
			o.Trouble = alwaysFails
		case n%150 == 70:
			o.Trouble, o.SKU = refused, "tea-unicorn-50"
		case n%25 == 10:
			o.Trouble = failsTwice
		}
		text, err := json.Marshal(o)
		if err != nil {
			return err
		}
		body := string(text)
		if n == notJSON {
			body = body[:len(body)/2]
		}
		if _, err := fmt.Fprintln(w, body); err != nil {
			return err
		}
		// A producer that did not hear the reply sends again: some at once, so that
		// both are in work together, some later, when the first is done.
		if n%20 == 5 {
			repeats = append(repeats, body)
		}
		if len(repeats) > 0 && (n%40 == 5 || n%100 == 0) {
			for _, r := range repeats {
				if _, err := fmt.Fprintln(w, r); err != nil {
					return err
				}
			}
			repeats = nil
		}
	}
	return nil
}
