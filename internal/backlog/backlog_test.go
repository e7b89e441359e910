package backlog_test

import (
	"math/rand/v2"
	"testing"

	"github.com/holdfast-go/holdfast/internal/backlog"
)

func TestQueueIsFirstInFirstOutAndPassesOverWhatHasLapsed(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	lapsed := map[int]bool{}
	q := backlog.Queue[int]{Valid: func(i int) bool { return !lapsed[i] }}
	var want []int // not lapsed, in order
	for i := range 20_000 {
		switch random.IntN(5) {
		case 0, 1:
			q.Push(i)
			want = append(want, i)
		case 2:
			if len(want) > 0 {
				k := random.IntN(len(want))
				lapsed[want[k]] = true
				want = append(want[:k:k], want[k+1:]...)
			}
		default:
			got, ok := q.Pop()
			if ok != (len(want) > 0) {
				t.Fatalf("Pop says %v with %d left", ok, len(want))
			}
			if !ok {
				if q.Len() != 0 {
					t.Fatalf("an empty queue has the length %d", q.Len())
				}
				continue
			}
			if got != want[0] {
				t.Fatalf("Pop gave %d, want %d", got, want[0])
			}
			want = want[1:]
		}
		if q.Len() < len(want) {
			t.Fatalf("length %d with %d left", q.Len(), len(want))
		}
	}
}
