package consumer_test

import (
	"bytes"
	"context"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// connections counts the goroutines that net/http has for connections made under a label.
func connections(t *testing.T, label string) (n int) {
	t.Helper()
	var dump bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&dump, 1); err != nil {
		t.Fatal(err)
	}
	for _, goroutines := range strings.Split(dump.String(), "\n\n") {
		if strings.Contains(goroutines, `"consumer":"`+label+`"`) && strings.Contains(goroutines, "net/http.(*persistConn)") {
			n++
		}
	}
	return n
}

func TestRunClosesItsConnections(t *testing.T) {
	t.Parallel()
	srv := sqstest.New(t)
	q := srv.Queue(t, "orders")
	q.SendN(t, 50)
	client := srv.SQS(sqstest.At(srv.Listen(t)))
	done := make(chan struct{}, 50)
	c, err := consumer.New(client, q.URL, nothing, consumer.Config{
		PollGrace: -1, Hooks: holdfast.Hooks{Settled: func(holdfast.SettledEvent) { done <- struct{}{} }},
	})
	if err != nil {
		t.Fatal(err)
	}
	pprof.Do(t.Context(), pprof.Labels("consumer", t.Name()), func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		go func() {
			for range 50 {
				<-done
			}
			if connections(t, t.Name()) == 0 {
				t.Error("no connection is seen while it runs: this shows nothing")
			}
			cancel()
		}()
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	// Goroutines end a little after their connection.
	for end := time.Now().Add(10 * time.Second); connections(t, t.Name()) > 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("connections are left after Run has returned")
		}
	}
}
