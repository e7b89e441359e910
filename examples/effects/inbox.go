package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

// inboxSchema holds the keys of the work that is done. Delete rows once no copy of
// their message can come any more: idempotency.Config.DoneTTL says after how long.
const inboxSchema = `CREATE TABLE inbox (
	key     TEXT PRIMARY KEY,
	done_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE accounts (
	id    TEXT PRIMARY KEY,
	cents BIGINT NOT NULL
)`

// Payment is to be taken from an account.
type Payment struct {
	Account string
	Cents   int64
}

// booking takes payments from accounts. It must not be repeated, so that it writes
// the key of its work into the inbox in the transaction of the effect: either both
// are there or neither is, wherever the process dies.
type booking struct{ db *sql.DB }

func (h booking) handle(ctx context.Context, p Payment) error {
	claim, ok := idempotency.FromContext(ctx)
	if !ok {
		return errors.New("booking needs the middleware of package idempotency")
	}
	tx, err := h.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit

	// This is PostgreSQL's dialect (there VALUES ($1)), and SQLite's. PostgreSQL has a
	// second run wait here until the transaction of the first has ended.
	inserted, err := tx.ExecContext(ctx, `INSERT INTO inbox (key) VALUES (?) ON CONFLICT DO NOTHING`, claim.Key)
	if err != nil {
		return err
	}
	if rows, err := inserted.RowsAffected(); err != nil || rows == 0 {
		return err // nil: an earlier run has committed, and there is nothing left to do
	}
	updated, err := tx.ExecContext(ctx, `UPDATE accounts SET cents = cents - ? WHERE id = ?`, p.Cents, p.Account)
	if err != nil {
		return err
	}
	rows, err := updated.RowsAffected()
	if err != nil {
		return err
	}
	if rows == 0 {
		// Before the commit: the key of what had no effect must not be in the inbox.
		return holdfast.Permanent(fmt.Errorf("no account %q", p.Account))
	}
	return tx.Commit()
}
