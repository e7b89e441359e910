// Command effects shows how a handler keeps its effect from being repeated, or from
// being late, where the middleware alone cannot: a crash between an effect and its
// record repeats the effect, and a process that froze writes when another has taken
// over. It stages both, each in front of a handler that is ready for it, and prints
// what came of it.
//
// fenced.go, inbox.go and downstream.go are the handlers, as you would write them. The
// rest plays the trick on them: stories.go (what happens), stage.go (queue, store, and
// workers that can be cut off from them).
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	if err := show(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "effects:", err)
		os.Exit(1)
	}
}

// fenced, inbox and downstream make the handlers.
func fenced(db execer, supplier func(context.Context, string) (int64, error)) func(context.Context, Offer) error {
	return priceSync{db, supplier}.handle
}

func inbox(db *sql.DB) func(context.Context, Payment) error { return booking{db}.handle }

func downstream(client *http.Client, url string) func(context.Context, Charge) error {
	return charger{client, url}.handle
}

// show tells the three stories.
func show(ctx context.Context, out io.Writer) error {
	o, err := tellOvertaken(ctx, fenced)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "A fenced update: a price is copied from a supplier into a table.")
	fmt.Fprintf(out, "  A reads %s, and freezes while its UPDATE is on the way\n", money(o.read[0]))
	fmt.Fprintf(out, "  B takes the message over under a greater fence, reads %s, writes it\n", money(o.read[1]))
	fmt.Fprintf(out, "  A wakes, and its UPDATE arrives: %v\n", o.late)
	fmt.Fprintf(out, "  the price is %s\n", money(o.cents))

	c, err := tellInbox(ctx, inbox)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "An inbox: a payment of 29.00 is taken from an account.")
	fmt.Fprintln(out, "  A commits, and dies before that is recorded")
	fmt.Fprintln(out, "  B takes the message over, and finds the key in the inbox")
	fmt.Fprintf(out, "  the handler ran %d times; %s were taken\n", c.runs, money(c.effects))

	d, err := tellDownstream(ctx, downstream)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "A key passed on: a card is charged 29.00 by an API.")
	fmt.Fprintln(out, "  A is answered, and dies before that is recorded")
	fmt.Fprintln(out, "  B takes the message over, and asks under the same Idempotency-Key")
	fmt.Fprintf(out, "  the API was asked %d times; %s were charged\n", d.asked, money(d.effects))

	if o.cents != o.read[1] || !errors.Is(o.late, errOvertaken) || c.effects != 2900 || d.effects != 2900 {
		return errors.New("an effect was late, or repeated")
	}
	return nil
}

func money(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }
