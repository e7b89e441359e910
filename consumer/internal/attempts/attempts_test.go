package attempts_test

import (
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/consumer/internal/attempts"
)

func TestLost(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_000_000, 0)
	setup := func(asked ...int) (*attempts.Lost, []attempts.Attempt) {
		l := &attempts.Lost{Visibility: 30 * time.Second}
		var list []attempts.Attempt
		for _, n := range asked {
			a := attempts.New(start, n)
			list = append(list, a)
			l.Put(start.Add(time.Second), a)
		}
		return l, list
	}
	t.Run("the oldest that there is room for is handed out, once", func(t *testing.T) {
		t.Parallel()
		l, list := setup(10, 3, 2)
		now := start.Add(2 * time.Second)
		for _, want := range []int{1, 2, 0} {
			room := 5
			if want == 0 {
				room = 10
			}
			if a, ok := l.Take(now, room); !ok || a.ID != list[want].ID || a.Asked != list[want].Asked {
				t.Errorf("took %+v, want %+v", a, list[want])
			}
		}
		if a, ok := l.Take(now, 10); ok || l.Len(now) != 0 {
			t.Errorf("took %+v", a)
		}
	})
	t.Run("one is kept until a visibility after its last failure", func(t *testing.T) {
		t.Parallel()
		l, _ := setup(10)
		if n := l.Len(start.Add(31*time.Second - 1)); n != 1 {
			t.Errorf("%d are kept", n)
		}
		if n := l.Len(start.Add(31 * time.Second)); n != 0 {
			t.Errorf("%d are kept", n)
		}
	})
	t.Run("and for five minutes at most, however often it is repeated", func(t *testing.T) {
		t.Parallel()
		l, _ := setup(10)
		now := start
		for range 30 {
			now = now.Add(10 * time.Second)
			a, ok := l.Take(now, 10)
			if ok != (now.Sub(start) < 5*time.Minute) {
				t.Fatalf("after %v there is one: %v", now.Sub(start), ok)
			}
			l.Put(now, a)
		}
	})
	t.Run("a thousand are kept", func(t *testing.T) {
		t.Parallel()
		l, list := setup(make([]int, 1001)...)
		if a, _ := l.Take(start, 10); l.Len(start) != 999 || a.ID != list[1].ID {
			t.Errorf("%d are kept", l.Len(start))
		}
	})
	t.Run("no two have the same id", func(t *testing.T) {
		t.Parallel()
		if a, b := attempts.New(start, 1), attempts.New(start, 1); a.ID == b.ID {
			t.Error("the same")
		}
	})
}
