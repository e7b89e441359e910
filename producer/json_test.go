package producer_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

type order struct {
	ID    string `json:"id"`
	Cents int    `json:"cents"`
}

func TestJSON(t *testing.T) {
	t.Parallel()
	t.Run("encodes values and describes their messages", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo")
			orders := producer.JSON(to(t, srv, q, producer.Config{}), func(o order) producer.Message {
				m := producer.Message{Key: o.ID, GroupID: "g", Body: "replaced"}
				if o.Cents == 0 {
					m.ContentType = "application/vnd.shop+json"
				}
				return m
			})
			if err := orders.Send(t.Context(), order{"o-1", 250}); err != nil {
				t.Fatal(err)
			}
			if results, err := orders.SendBatch(t.Context(), []order{{"o-2", 0}}); err != nil || len(results) != 1 || results[0].MessageID == "" {
				t.Errorf("results %+v, %v", results, err)
			}
			if diff := cmp.Diff([]string{`{"id":"o-1","cents":250}`, `{"id":"o-2","cents":0}`}, bodies(q)); diff != "" {
				t.Errorf("bodies (-want +got):\n%s", diff)
			}
			for i, want := range []string{"application/json", "application/vnd.shop+json"} {
				if got := q.Messages()[i].Attributes["content-type"].Text; got != want {
					t.Errorf("content type is %q, want %q", got, want)
				}
			}
		})
	})
	t.Run("sends nothing where a value cannot be encoded", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			values := producer.JSON[any](to(t, srv, q, producer.Config{}), nil)
			var bad *producer.EncodeError
			if err := values.Send(t.Context(), func() {}); !errors.As(err, &bad) || bad.Type != "interface {}" {
				t.Errorf("error %v", err)
			}
			if results, err := values.SendBatch(t.Context(), []any{1, func() {}}); !errors.As(err, &bad) || results != nil {
				t.Errorf("results %+v, %v", results, err)
			}
			if err := values.Send(t.Context(), 1); err != nil || len(bodies(q)) != 1 {
				t.Errorf("%d messages, %v", len(bodies(q)), err)
			}
		})
	})
}
