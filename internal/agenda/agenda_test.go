package agenda_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/internal/agenda"
)

// thing has its place in an agenda.
type thing struct {
	name  int
	entry agenda.Entry[*thing]
}

func newThing(name int) *thing {
	t := &thing{name: name}
	t.entry.Item = t
	return t
}

// names takes everything off, in order.
func names(a *agenda.Agenda[*thing]) []int {
	var s []int
	for e := a.First(); e != nil; e = a.First() {
		s = append(s, e.Item.name)
		a.Remove(e)
	}
	return s
}

func TestAgendaKeepsTheOrderOfTimes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 200 {
		var a agenda.Agenda[*thing]
		type dated struct {
			at   time.Time
			put  int // later puts come behind earlier ones of the same moment
			name int
		}
		var want []dated
		things := make([]*thing, 20)
		for i := range things {
			things[i] = newThing(i)
		}
		for put := range 100 {
			i := random.IntN(len(things))
			want = slices.DeleteFunc(want, func(d dated) bool { return d.name == i })
			if random.IntN(4) == 0 {
				a.Remove(&things[i].entry)
				continue
			}
			at := start.Add(time.Duration(random.IntN(15)) * time.Second)
			a.Put(&things[i].entry, at)
			if !things[i].entry.At().Equal(at) {
				t.Fatalf("due at %v, want %v", things[i].entry.At(), at)
			}
			want = append(want, dated{at, put, i})
		}
		slices.SortFunc(want, func(a, b dated) int {
			if c := a.at.Compare(b.at); c != 0 {
				return c
			}
			return a.put - b.put
		})
		var order []int
		for _, d := range want {
			order = append(order, d.name)
		}
		if diff := cmp.Diff(order, names(&a)); diff != "" {
			t.Fatalf("order (-want +got):\n%s", diff)
		}
		if a.First() != nil {
			t.Fatal("not empty at the end")
		}
	}
}

func TestAgendaTakesOffWhatIsNotOn(t *testing.T) {
	t.Parallel()
	var a agenda.Agenda[*thing]
	x, y := newThing(1), newThing(2)
	a.Remove(&x.entry)
	a.Put(&y.entry, time.Now())
	a.Remove(&x.entry)
	a.Remove(&y.entry)
	a.Remove(&y.entry)
	if a.First() != nil {
		t.Error("something is left")
	}
}
