package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

// The effects of handlers that are ready for it are neither late nor repeated.
func TestEffectsAreProtected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		if err := show(t.Context(), &out); err != nil {
			t.Error(err)
		}
		want := `A fenced update: a price is copied from a supplier into a table.
  A reads 29.00, and freezes while its UPDATE is on the way
  B takes the message over under a greater fence, reads 31.00, writes it
  A wakes, and its UPDATE arrives: price of tea: overtaken by another run
  the price is 31.00
An inbox: a payment of 29.00 is taken from an account.
  A commits, and dies before that is recorded
  B takes the message over, and finds the key in the inbox
  the handler ran 2 times; 29.00 were taken
A key passed on: a card is charged 29.00 by an API.
  A is answered, and dies before that is recorded
  B takes the message over, and asks under the same Idempotency-Key
  the API was asked 2 times; 29.00 were charged
`
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})
}

// The same stories do harm where a handler is not ready for it: they would show it if
// a protection did not work.
func TestEffectsWithoutProtectionAreLateOrRepeated(t *testing.T) {
	t.Parallel()
	t.Run("an update without the fence puts an older price back", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			o, err := tellOvertaken(t.Context(), func(db execer, supplier func(context.Context, string) (int64, error)) func(context.Context, Offer) error {
				return func(ctx context.Context, o Offer) error {
					cents, err := supplier(ctx, o.Article)
					if err != nil {
						return err
					}
					_, err = db.ExecContext(ctx, `UPDATE prices SET cents = ? WHERE article = ?`, cents, o.Article)
					return err
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if o.late != nil || o.cents != 2900 || !slices.Equal(o.read, []int64{2900, 3100}) {
				t.Errorf("%+v, want the price of the first run", o)
			}
		})
	})
	t.Run("a booking without the inbox is made twice", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c, err := tellInbox(t.Context(), func(db *sql.DB) func(context.Context, Payment) error {
				return func(ctx context.Context, p Payment) error {
					_, err := db.ExecContext(ctx, `UPDATE accounts SET cents = cents - ? WHERE id = ?`, p.Cents, p.Account)
					return err
				}
			})
			if want := (crashed{runs: 2, effects: 5800}); err != nil || c != want {
				t.Errorf("%+v, %v, want %+v", c, err, want)
			}
		})
	})
	t.Run("a charge without the key is made twice", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			c, err := tellDownstream(t.Context(), func(client *http.Client, url string) func(context.Context, Charge) error {
				return func(ctx context.Context, _ Charge) error {
					request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"Cents":2900}`))
					if err != nil {
						return err
					}
					_, err = client.Do(request)
					return err
				}
			})
			if want := (crashed{runs: 2, effects: 5800, asked: 2}); err != nil || c != want {
				t.Errorf("%+v, %v, want %+v", c, err, want)
			}
		})
	})
}

// A payment that takes nothing leaves no key behind: it is dead-lettered, and done when
// it is moved back and the account is there.
func TestAPaymentFromNoAccountIsNotRecorded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := openDB(ctx, inboxSchema)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store := idempotency.NewMemoryStore()
	handler := idempotency.New(store, idempotency.Config{Consumer: "payments"}).Wrap(holdfast.JSON(booking{db}.handle))
	m := &holdfast.Message{ID: "payment-17", Body: `{"Account":"c-7","Cents":2900}`}
	if err := handler.Handle(ctx, m); !errors.As(err, new(*holdfast.PermanentError)) {
		t.Errorf("without the account the handler returned %v, want a permanent error", err)
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO accounts (id, cents) VALUES ('c-7', 10000)`); err != nil {
		t.Fatal(err)
	}
	if err := handler.Handle(ctx, m); err != nil {
		t.Errorf("with the account the handler returned %v", err)
	}
	var cents int64
	if err := db.QueryRowContext(ctx, `SELECT cents FROM accounts WHERE id = 'c-7'`).Scan(&cents); err != nil || cents != 7100 {
		t.Errorf("%d cents are left, %v, want 7100", cents, err)
	}
}

// A handler says what it is, and not that it is done, where it can protect nothing.
func TestHandlersWithoutAClaimDoNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, err := openDB(ctx, pricesSchema, inboxSchema, `INSERT INTO prices (article, cents) VALUES ('tea', 2500)`,
		`INSERT INTO accounts (id, cents) VALUES ('c-7', 10000)`)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	supplier := func(context.Context, string) (int64, error) { return 2900, nil }
	if err := fenced(db, supplier)(ctx, Offer{Article: "tea"}); !errors.Is(err, errOvertaken) {
		t.Errorf("priceSync returned %v, want errOvertaken", err)
	}
	if err := inbox(db)(ctx, Payment{Account: "c-7", Cents: 1}); err == nil {
		t.Error("booking returned nil")
	}
	api := &chargeAPI{answers: make(map[string]int)}
	if err := downstream(&http.Client{Transport: inProcess{api}}, "http://cards.invalid/")(ctx, Charge{Cents: 1}); err == nil || api.asked != 0 {
		t.Errorf("charger returned %v after %d requests", err, api.asked)
	}
	var price, balance int64
	if err := db.QueryRowContext(ctx, `SELECT prices.cents, accounts.cents FROM prices, accounts`).Scan(&price, &balance); err != nil {
		t.Fatal(err)
	}
	if price != 2500 || balance != 10_000 {
		t.Errorf("the price is %d, the balance %d: something was done", price, balance)
	}
}
