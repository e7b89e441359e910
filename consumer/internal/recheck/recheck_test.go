package recheck_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/consumer/internal/recheck"
)

func TestWatch(t *testing.T) {
	t.Parallel()
	in := func(name string, f func(t *testing.T, w *recheck.Watch, looks *[]time.Time)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := recheck.New(5*time.Minute, 30*time.Second)
				var looks []time.Time
				go w.Run(t.Context(), func(context.Context) { looks = append(looks, time.Now()) })
				synctest.Wait()
				f(t, w, &looks)
			})
		})
	}
	in("it looks every five minutes or a little more often", func(t *testing.T, _ *recheck.Watch, looks *[]time.Time) {
		last := time.Now()
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, at := range *looks {
			if d := at.Sub(last); d > 5*time.Minute || d < 270*time.Second {
				t.Errorf("a look after %v", d)
			}
			last = at
		}
		if n := len(*looks); n < 12 {
			t.Errorf("%d looks in an hour", n)
		}
	})
	in("in doubt it looks at once, and not again for half a minute", func(t *testing.T, w *recheck.Watch, looks *[]time.Time) {
		began := time.Now()
		for range 50 {
			w.Doubt()
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if n := len(*looks); n != 2 || !(*looks)[0].Equal(began) || (*looks)[1].Sub(began) != 30*time.Second {
			t.Errorf("looks %v after %v", *looks, began)
		}
	})
}
