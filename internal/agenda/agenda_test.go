package agenda_test

import (
	"fmt"
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
			at := january.Add(time.Duration(random.IntN(15)) * time.Second)
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

// january is when the tests begin.
var january = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// lease is how long after its extension a thing is due again.
const lease = 15 * time.Second

// fill puts n things on, in order, all within one lease.
func fill(a *agenda.Agenda[*thing], n int) (things []*thing) {
	for i := range n {
		things = append(things, newThing(i))
		a.Put(&things[i].entry, january.Add(time.Duration(i)*lease/time.Duration(n)))
	}
	return things
}

// extend moves things as a heartbeat does: those that are due first in batches of
// ten, of which 16 are under way and end in any order.
func extend(a *agenda.Agenda[*thing], moves int) {
	random := rand.New(rand.NewPCG(3, 4))
	type call struct {
		entries []*agenda.Entry[*thing]
		sent    time.Time
	}
	var calls []call
	now := january.Add(lease)
	for moved := 0; moved < moves; moved += 10 {
		for len(calls) < 16 {
			c := call{sent: now}
			for range 10 {
				e := a.First()
				a.Remove(e)
				c.entries = append(c.entries, e)
			}
			calls = append(calls, c)
			now = now.Add(10 * time.Microsecond)
		}
		i := random.IntN(len(calls))
		for _, e := range calls[i].entries {
			a.Put(e, calls[i].sent.Add(lease))
		}
		calls = slices.Delete(calls, i, i+1)
	}
}

func TestAgendaCostsLittleHoweverMuchIsOnIt(t *testing.T) {
	t.Parallel()
	const (
		held  = 100_000
		moves = 2000
		level = 17 // log2 of held
	)
	for _, c := range []struct {
		name string
		most int // comparisons per move
		do   func(a *agenda.Agenda[*thing], things []*thing)
	}{
		{"what is taken off before it is due and put at the end", 1, func(a *agenda.Agenda[*thing], things []*thing) {
			random := rand.New(rand.NewPCG(1, 2))
			for i := range moves {
				a.Put(&things[random.IntN(held)].entry, january.Add(2*lease+time.Duration(i)))
			}
		}},
		{"extensions that end out of order", 2 * level, func(a *agenda.Agenda[*thing], _ []*thing) {
			extend(a, moves)
		}},
		{"times that run backwards", 2 * level, func(a *agenda.Agenda[*thing], things []*thing) {
			for i := range moves {
				a.Put(&things[i].entry, january.Add(-time.Duration(i)))
			}
		}},
		{"one that is due long after all others", 2 * level, func(a *agenda.Agenda[*thing], things []*thing) {
			a.Put(&things[0].entry, january.Add(time.Hour))
			for i := range moves {
				a.Put(&things[1+i].entry, january.Add(lease+time.Duration(i)))
			}
		}},
		{"moves to any time", 3 * level, func(a *agenda.Agenda[*thing], things []*thing) {
			random := rand.New(rand.NewPCG(5, 6))
			for range moves {
				a.Put(&things[random.IntN(held)].entry, january.Add(time.Duration(random.Int64N(int64(lease)))))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var a agenda.Agenda[*thing]
			things := fill(&a, held)
			before := a.Compared()
			c.do(&a, things)
			if per := float64(a.Compared()-before) / moves; per > float64(c.most) {
				t.Errorf("%.1f comparisons per move, want at most %d", per, c.most)
			}
		})
	}
}

func TestAgendaTellsWhatIsDue(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	for range 100 {
		var a agenda.Agenda[*thing]
		var want []int
		now := january.Add(7 * time.Second)
		for i := range 50 {
			at := january.Add(time.Duration(random.IntN(15)) * time.Second)
			a.Put(&newThing(i).entry, at)
			if !at.After(now) {
				want = append(want, i)
			}
		}
		var got []int
		for _, x := range a.Due(now) {
			got = append(got, x.name)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("due (-want +got):\n%s", diff)
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

func BenchmarkAgenda(b *testing.B) {
	b.Run("put in order and taken off before due", func(b *testing.B) {
		b.ReportAllocs()
		var a agenda.Agenda[*thing]
		things := fill(&a, 1000)
		for i := 0; b.Loop(); i++ {
			a.Put(&things[i%len(things)].entry, january.Add(2*lease+time.Duration(i)))
		}
	})
	for _, held := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("extended out of order, %d held", held), func(b *testing.B) {
			b.ReportAllocs()
			var a agenda.Agenda[*thing]
			fill(&a, held)
			b.ResetTimer()
			extend(&a, b.N)
		})
	}
}
