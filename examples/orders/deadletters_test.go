package main

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

func TestDeadLettersAreReadToTheEndAndOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders-dlq")
		srv.Duplicate("", sqstest.Every(7))
		want := make(map[deadLetter]int)
		for i := range 35 {
			body := fmt.Sprintf("body %d", i)
			q.Send(t, body, sqstest.StringAttribute(consumer.CauseAttribute, `{"cause":"permanent"}`))
			want[deadLetter{body: body, cause: causePermanent}] = 1
		}
		dead, err := readDeadLetters(context.Background(), srv.SQS(), q.URL)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[deadLetter]int)
		for _, d := range dead {
			got[d]++
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(deadLetter{})); diff != "" {
			t.Errorf("dead letters (-want +got):\n%s", diff)
		}
	})
}

func TestDeadLetterIsReadFromItsAttribute(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		attribute string
		want      deadLetter
	}{
		"whole":       {`{"cause":"permanent","error":"no","attempt":2,"queue":"q"}`, deadLetter{body: "b", cause: "permanent", reason: "no", attempts: 2}},
		"missing":     {"", deadLetter{body: "b", cause: unknownCause}},
		"cut":         {`{"cause":"perm`, deadLetter{body: "b", cause: unknownCause}},
		"of no cause": {`{"error":"no"}`, deadLetter{body: "b", cause: unknownCause}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := newDeadLetter("b", tt.attribute); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
