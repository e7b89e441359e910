package inflight_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/consumer/internal/inflight"
)

func TestWatch(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_000_000, 0)
	visible, inFlight, failure, looks := 0, 0, error(nil), 0
	told := "nothing"
	w := inflight.New(start, func(context.Context) (int, int, error) {
		looks++
		return visible, inFlight, failure
	}, func(err error) {
		if told = "over"; err != nil {
			told = "at the limit"
		}
	})
	for _, c := range []struct {
		name              string
		after             time.Duration
		got               int
		visible, inFlight int
		failure           error
		looks             int
		told              string
	}{
		{"an empty receive soon after the start", time.Minute, 0, 7, 119_990, nil, 0, "nothing"},
		{"one that brought something", 5 * time.Minute, 1, 7, 119_990, nil, 0, "nothing"},
		{"a look that fails", 5 * time.Minute, 0, 7, 119_990, errors.New("test"), 1, "nothing"},
		{"nothing visible", 10 * time.Minute, 0, 0, 119_990, nil, 2, "over"},
		{"soon again", 11 * time.Minute, 0, 7, 119_990, nil, 2, "over"},
		{"at the limit", 15 * time.Minute, 0, 7, 119_990, nil, 3, "at the limit"},
		{"at once again, still there", 16 * time.Minute, 0, 7, 100_000, nil, 4, "at the limit"},
		{"few in flight", 17 * time.Minute, 0, 7, 99_999, nil, 5, "over"},
		{"at the limit again", 22 * time.Minute, 0, 7, 119_990, nil, 6, "at the limit"},
		{"a message comes", 23 * time.Minute, 1, 7, 119_990, nil, 6, "over"},
	} {
		visible, inFlight, failure = c.visible, c.inFlight, c.failure
		w.Received(t.Context(), c.got, start.Add(c.after))
		if looks != c.looks || told != c.told {
			t.Errorf("%s: looked %d times, told %s; want %d, %s", c.name, looks, told, c.looks, c.told)
		}
	}
}
