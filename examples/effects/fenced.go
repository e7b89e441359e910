package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/holdfast-go/holdfast/idempotency"
)

// pricesSchema keeps beside each price the fence of the claim that wrote it.
const pricesSchema = `CREATE TABLE prices (
	article TEXT PRIMARY KEY,
	cents   BIGINT NOT NULL,
	fence   BIGINT NOT NULL DEFAULT 0
)`

// Offer asks for the price of an article to be brought up to date.
type Offer struct{ Article string }

// errOvertaken says that a run with a greater fence has written before.
var errOvertaken = errors.New("overtaken by another run")

// priceSync copies prices from a supplier into a table. It may be repeated, since it
// sets and does not add; but it must not be late. A run that was overtaken would put
// an older price back, and the fence keeps it from that.
//
// A greater fence is promised per key, that is among the runs of one message, and a row
// is written by every message about its article. Across keys the later claim has the
// greater fence only while one Redis clock gives them all. On a Redis Cluster two keys
// take theirs from two masters, and as far as these differ a later message is refused
// until a retry is past that, or an older one wins: keep the clocks together by NTP, or
// order messages by a version of their own, and leave the fence to the runs of one:
// AND (version < $v OR version = $v AND fence < $f).
type priceSync struct {
	db       execer
	supplier func(ctx context.Context, article string) (cents int64, err error)
}

// execer is what *sql.DB, *sql.Tx and *sql.Conn have.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func (h priceSync) handle(ctx context.Context, o Offer) error {
	claim, _ := idempotency.FromContext(ctx) // without a claim the fence is 0, and refused
	cents, err := h.supplier(ctx, o.Article)
	if err != nil {
		return err
	}
	// PostgreSQL: SET cents = $1, fence = $2 WHERE article = $3 AND fence < $2
	result, err := h.db.ExecContext(ctx, `UPDATE prices SET cents = ?, fence = ? WHERE article = ? AND fence < ?`,
		cents, claim.Fence, o.Article, claim.Fence)
	if err != nil {
		return err
	}
	if rows, err := result.RowsAffected(); err != nil || rows == 1 {
		return err
	}
	// Never nil: that would record as done what was not written. Nothing is lost by an
	// error. A run that was overtaken settles nothing whatever it returns, and where the
	// row was written for another key meanwhile, a retry has a greater fence.
	return fmt.Errorf("price of %s: %w", o.Article, errOvertaken)
}
