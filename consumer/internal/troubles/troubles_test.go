package troubles_test

import (
	"errors"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/consumer/internal/troubles"
)

var errTest = errors.New("test failure")

// setup returns a ledger with one name of each kind.
func setup() *troubles.Ledger {
	return troubles.New("new", map[string]troubles.Kind{
		"fading":   {Fade: time.Minute},
		"bearable": {Bearable: true},
	})
}

// names returns what stands.
func names(l *troubles.Ledger) (list []string) {
	for _, p := range l.Report().Problems {
		list = append(list, p.Name)
	}
	return list
}

func TestLedger(t *testing.T) {
	t.Parallel()
	in := func(name string, f func(t *testing.T, l *troubles.Ledger)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { f(t, setup()) })
		})
	}
	in("an empty one is live and able, in the state entered last", func(t *testing.T, l *troubles.Ledger) {
		if r := l.Report(); r.State != "new" || !r.Live || !r.Able || len(r.Problems) != 0 {
			t.Errorf("report %+v", r)
		}
		l.Enter("running")
		if r := l.Report(); r.State != "running" {
			t.Errorf("report %+v", r)
		}
	})
	in("a problem that is told again keeps its beginning and tells its latest error", func(t *testing.T, l *troubles.Ledger) {
		began := time.Now()
		l.Set("receive", errors.New("first"))
		time.Sleep(time.Hour)
		l.Set("receive", errTest)
		want := troubles.Problem{Name: "receive", Since: began, Err: errTest}
		if r := l.Report(); len(r.Problems) != 1 || r.Problems[0] != want || !r.Live || r.Able {
			t.Errorf("report %+v", r)
		}
		l.Clear("receive")
		if r := l.Report(); len(r.Problems) != 0 || !r.Able {
			t.Errorf("report %+v", r)
		}
	})
	in("problems are listed the oldest first, those of one time by name", func(t *testing.T, l *troubles.Ledger) {
		l.Set("c", errTest)
		time.Sleep(time.Nanosecond)
		l.Set("b", errTest)
		l.Set("a", errTest)
		if diff := cmp.Diff([]string{"c", "a", "b"}, names(l)); diff != "" {
			t.Errorf("problems (-want +got):\n%s", diff)
		}
	})
	in("one that fades is over when nobody told of it again for so long", func(t *testing.T, l *troubles.Ledger) {
		l.Set("fading", errTest)
		l.Set("lasting", errTest)
		time.Sleep(time.Minute)
		l.Set("fading", errTest)
		time.Sleep(time.Minute)
		if got := names(l); len(got) != 2 {
			t.Errorf("%v stand", got)
		}
		time.Sleep(time.Nanosecond)
		if got := names(l); len(got) != 1 {
			t.Errorf("%v stand", got)
		}
		l.Set("fading", errTest)
		if since := l.Report().Problems[1].Since; !since.Equal(time.Now()) {
			t.Errorf("since %v: it began anew", since)
		}
	})
	in("a bearable one leaves it able, unless it is deadly", func(t *testing.T, l *troubles.Ledger) {
		l.Set("bearable", errTest)
		if r := l.Report(); !r.Able || !r.Live {
			t.Errorf("report %+v", r)
		}
		l.Die("bearable", errTest)
		if r := l.Report(); r.Able || r.Live {
			t.Errorf("report %+v", r)
		}
		l.Set("bearable", errTest)
		if r := l.Report(); !r.Able || !r.Live {
			t.Errorf("report %+v", r)
		}
	})
	in("a row of failures is a problem from a given number on", func(t *testing.T, l *troubles.Ledger) {
		for want := 1; want <= 3; want++ {
			if n := l.Failed("receive", 3, errTest); n != want {
				t.Errorf("failure %d is counted as %d", want, n)
			}
			if stands := len(names(l)) == 1; stands != (want == 3) {
				t.Errorf("after %d failures %v stand", want, names(l))
			}
		}
		if !l.Worked("receive") || len(names(l)) != 0 || l.Worked("receive") {
			t.Errorf("after a success %v stand", names(l))
		}
		if n := l.Failed("receive", 3, errTest); n != 1 || len(names(l)) != 0 || l.Worked("receive") {
			t.Errorf("the first failure after a success is counted as %d", n)
		}
	})
	in("a failure that is noted after the success that followed it ends with the next one", func(t *testing.T, l *troubles.Ledger) {
		l.Failed("receive", 1, errTest)
		l.Worked("receive")
		l.Failed("receive", 1, errTest)
		if !l.Worked("receive") || len(names(l)) != 0 {
			t.Errorf("%v stand", names(l))
		}
	})
	t.Run("with many at once, the last success leaves nothing", func(t *testing.T) {
		t.Parallel()
		l := setup()
		for range 200 {
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() { l.Failed("receive", 1, errTest) })
				wg.Go(func() { l.Worked("receive") })
			}
			wg.Wait()
			if l.Worked("receive"); len(names(l)) != 0 {
				t.Fatalf("%v stand", names(l))
			}
		}
	})
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		well bool
		code int
	}{{"200 where all is well", true, 200}, {"503 where it is not", false, 503}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			since := time.Unix(0, 0).UTC()
			r := troubles.Report{State: "running", Live: true, Problems: []troubles.Problem{{Name: "gate", Since: since, Err: errTest}}}
			w := httptest.NewRecorder()
			r.Answer(w, false, c.well)
			want := `{"live":true,"ready":false,"state":"running","problems":[{"name":"gate","since":"1970-01-01T00:00:00Z","error":"test failure"}]}` + "\n"
			if w.Code != c.code || w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%d %s %s", w.Code, w.Header(), w.Body)
			}
		})
	}
}
