package conformance

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Clients are clients of one backend, for the same account and region.
type Clients struct {
	SQS *sqs.Client
	SNS *sns.Client
}

// Backend is a server to hold against the cases.
type Backend struct {
	// Name goes into names of tests and the report.
	Name string
	// Case prepares one case and runs it: it makes the clients and hands them to run, in a
	// bubble of virtual time where the backend allows for one.
	Case func(t *testing.T, run func(t *testing.T, clients Clients))
	// Departures lists the cases that the backend does not meet.
	Departures []Departure
	// Tries is how often a case that fails is run, from the second time on while no
	// other case runs: for backends in real time, where a busy machine makes a second
	// of visibility pass before the next call. What then holds is said in the log.
	// Default: 1.
	Tries int
	// Alone names cases that are run by themselves, before the others: those that spoil
	// the backend for all queues while their own is there.
	Alone []string
}

// Departure is a case that a backend is known not to meet.
type Departure struct {
	Case string
	// Shows is a part of what the case says about it: it departs in this way and in no
	// other.
	Shows string
	// Reason says what the backend does and what AWS documents.
	Reason string
}

// Test runs cases against a backend in parallel subtests of t and reports what came of
// them when all have ended. Known departures pass, once they are seen; one that is not
// seen any more fails.
func Test(t *testing.T, b Backend, cases []Case, report func(*Result)) {
	t.Helper()
	known := map[string]Departure{}
	for _, d := range b.Departures {
		if _, twice := known[d.Case]; twice || d.Shows == "" || d.Reason == "" {
			t.Errorf("departure %q of %s: listed twice, or without what it shows and why", d.Case, b.Name)
		}
		known[d.Case] = d
	}
	result := &Result{Backend: b.Name, Cases: len(cases)}
	var mu sync.Mutex       // guards result
	var others sync.RWMutex // held for writing by a case that is to be alone
	for _, one := range cases {
		departure, departs := known[one.Name]
		delete(known, one.Name)
		t.Run(one.Name, func(t *testing.T) {
			if !slices.Contains(b.Alone, one.Name) {
				t.Parallel() // which waits until all that are alone have ended
			}
			try := func(lock sync.Locker) (wrong string) {
				lock.Lock()
				defer lock.Unlock()
				var problems []string
				b.Case(t, func(t *testing.T, clients Clients) {
					problems = (&Check{Clients: clients, tb: t}).run(one.Run)
				})
				return judge(problems, departure, departs)
			}
			wrong := try(others.RLocker())
			for n := 2; wrong != "" && n <= b.Tries; n++ {
				t.Logf("try %d, alone, after: %s", n, wrong)
				wrong = try(&others)
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case wrong != "":
				t.Errorf("%s\nAWS documents it in %s", wrong, one.Doc)
			case departs:
				result.Departed = append(result.Departed, departure)
			default:
				result.Held++
			}
		})
	}
	for name := range known {
		t.Errorf("departure %q of %s names no case", name, b.Name)
	}
	t.Cleanup(func() { report(result) })
}

// judge says what is wrong about a case's problems, given what is known; "" is fine.
func judge(problems []string, known Departure, departs bool) string {
	seen := strings.Join(problems, "\n")
	switch {
	case !departs:
		return seen
	case len(problems) == 0:
		return "holds, but is listed as a departure (" + known.Reason + "): take it off the list"
	case !strings.Contains(seen, known.Shows):
		return "departs in another way than listed: " + strconv.Quote(known.Shows) + " is not in\n" + seen
	}
	return ""
}
