package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite", in pure Go
)

// openDB makes a database in memory. One connection: each would have its own.
func openDB(ctx context.Context, statements ...string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

// overtaken is what came of a worker that froze and was overtaken.
type overtaken struct {
	read  []int64 // what the supplier said, run by run
	late  error   // what the frozen handler returned in the end
	cents int64   // the price in the table
}

// tellOvertaken freezes worker A while its statement is on the way to the database.
// Worker B takes the message over, reads a newer price and writes it. Then A wakes.
func tellOvertaken(ctx context.Context, handler func(db execer, supplier func(context.Context, string) (int64, error)) func(context.Context, Offer) error) (o overtaken, err error) {
	db, err := openDB(ctx, pricesSchema, `INSERT INTO prices (article, cents) VALUES ('tea', 2500)`)
	if err != nil {
		return o, err
	}
	defer db.Close()
	s, err := newStage(ctx, "tea-on-monday", `{"Article":"tea"}`)
	if err != nil {
		return o, err
	}
	defer s.close()

	var mu sync.Mutex // guards o.read and prices
	prices := []int64{2900, 3100}
	supplier := func(context.Context, string) (int64, error) {
		mu.Lock()
		defer mu.Unlock()
		cents := prices[0]
		o.read, prices = append(o.read, cents), prices[1:]
		return cents, nil
	}
	a, b := s.worker(), s.worker()
	onItsWay := &slowWrites{db: db, sent: make(chan struct{}, 1), arrive: make(chan struct{})}
	if err := run(a, handler(onItsWay, supplier)); err != nil {
		return o, err
	}
	if _, err := wait(ctx, onItsWay.sent); err != nil {
		return o, err
	}
	a.cutOff()
	if err := run(b, handler(db, supplier)); err != nil {
		return o, err
	}
	if _, err := wait(ctx, b.deleted); err != nil {
		return o, err
	}
	a.restore()
	close(onItsWay.arrive)
	if o.late, err = wait(ctx, a.returned); err != nil {
		return o, err
	}
	return o, db.QueryRowContext(ctx, `SELECT cents FROM prices WHERE article = 'tea'`).Scan(&o.cents)
}

// slowWrites is a database on the other side of a network: a statement that was sent
// arrives, whatever became of its sender.
type slowWrites struct {
	db     *sql.DB
	sent   chan struct{} // has a value when one is on its way
	arrive chan struct{} // closed when it may arrive
}

func (w *slowWrites) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	select {
	case w.sent <- struct{}{}:
	default:
	}
	<-w.arrive
	return w.db.ExecContext(context.WithoutCancel(ctx), query, args...)
}

// crashed is what came of a worker that died between its effect and its record.
type crashed struct {
	runs    int   // of the handler, in both workers
	effects int64 // cents that were booked or charged
	asked   int   // requests of the API
}

// tellCrash has worker A die when its handler is done, before that is recorded, and
// worker B take the message over.
func tellCrash[T any](ctx context.Context, id, body string, handle func(context.Context, T) error) (c crashed, err error) {
	s, err := newStage(ctx, id, body)
	if err != nil {
		return c, err
	}
	defer s.close()
	a, b := s.worker(), s.worker()
	died := make(chan struct{}, 1)
	a.beforeRecord = sync.OnceFunc(func() { a.cutOff(); died <- struct{}{} })
	if err := run(a, handle); err != nil {
		return c, err
	}
	if _, err := wait(ctx, died); err != nil {
		return c, err
	}
	if err := run(b, handle); err != nil {
		return c, err
	}
	if _, err := wait(ctx, b.deleted); err != nil {
		return c, err
	}
	c.runs = len(a.returned) + len(b.returned)
	return c, nil
}

// tellInbox is tellCrash for payments from an account that has 100.00.
func tellInbox(ctx context.Context, handler func(*sql.DB) func(context.Context, Payment) error) (c crashed, err error) {
	const before = 10_000
	db, err := openDB(ctx, inboxSchema, `INSERT INTO accounts (id, cents) VALUES ('c-7', 10000)`)
	if err != nil {
		return c, err
	}
	defer db.Close()
	if c, err = tellCrash(ctx, "payment-17", `{"Account":"c-7","Cents":2900}`, handler(db)); err != nil {
		return c, err
	}
	var after int64
	err = db.QueryRowContext(ctx, `SELECT cents FROM accounts WHERE id = 'c-7'`).Scan(&after)
	c.effects = before - after
	return c, err
}

// tellDownstream is tellCrash for charges by an API.
func tellDownstream(ctx context.Context, handler func(*http.Client, string) func(context.Context, Charge) error) (c crashed, err error) {
	api := &chargeAPI{answers: make(map[string]int)}
	client := &http.Client{Transport: inProcess{api}}
	c, err = tellCrash(ctx, "order-17", `{"Card":"visa-4242","Cents":2900}`, handler(client, "http://cards.invalid/charges"))
	api.mu.Lock()
	defer api.mu.Unlock()
	c.asked, c.effects = api.asked, api.charged
	return c, err
}

// chargeAPI is the API: what comes under a key that it knows it answers as the first
// time, and does nothing. Real ones forget a key after a while, some after a day.
type chargeAPI struct {
	mu      sync.Mutex // guards all below
	answers map[string]int
	asked   int
	charged int64
}

func (a *chargeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	key := r.Header.Get("Idempotency-Key")
	if status, known := a.answers[key]; known && key != "" {
		w.WriteHeader(status)
		return
	}
	var c Charge
	status := http.StatusCreated
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil || c.Cents <= 0 {
		status = http.StatusBadRequest
	} else {
		a.charged += c.Cents
	}
	a.answers[key] = status
	w.WriteHeader(status)
}

// inProcess answers requests without a network.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w.Result(), nil
}
