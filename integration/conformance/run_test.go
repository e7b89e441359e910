package conformance

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/sqstest"
)

func TestCasesAreNamedAndSourced(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range All() {
		if seen[c.Name] || !strings.Contains(c.Name, "/") || c.Doc == "" || c.Run == nil {
			t.Errorf("case %q of %q: named twice, or incomplete", c.Name, c.Doc)
		}
		seen[c.Name] = true
	}
	for _, name := range LocalStackAlone() {
		if !seen[name] {
			t.Errorf("%q, to be run alone, is no case", name)
		}
	}
	if len(seen) < 550 {
		t.Errorf("%d cases", len(seen))
	}
}

// A run fails where a case does otherwise than listed, so what a run that passed
// printed follows from the lists.
func TestTheGuideShowsWhatARunPrints(t *testing.T) {
	t.Parallel()
	expected := func(backend string, departed []Departure) *Result {
		return &Result{Backend: backend, Cases: len(All()), Held: len(All()) - len(departed), Departed: departed}
	}
	guide, err := os.ReadFile("../../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	want, ok := splice(string(guide), Markdown([]*Result{
		expected("LocalStack", LocalStackDepartures()), expected(inProcess().Name, nil), expected("sqstest on a port", nil),
	}))
	if !ok {
		t.Fatal("docs/testing.md has no place for the table")
	}
	if diff := cmp.Diff(want, string(guide)); diff != "" {
		t.Errorf("HOLDFAST_CONFORMANCE_REPORT=docs/testing.md make integration brings it up to date (-want +got):\n%s", diff)
	}
}

func TestSplice(t *testing.T) {
	t.Parallel()
	const document = "before\n" + reportBegins + "old\n" + reportEnds + "after\n"
	if got, ok := splice(document, "new\n"); !ok || got != strings.Replace(document, "old", "new", 1) {
		t.Errorf("%v:\n%s", ok, got)
	}
	for _, without := range []string{"", "before", reportBegins, reportEnds + reportBegins} {
		if _, ok := splice(without, "new"); ok {
			t.Errorf("%q has a place", without)
		}
	}
}

//nolint:tparallel // what follows the suite needs its end
func TestACaseThatFailsIsTriedAgainAlone(t *testing.T) {
	t.Parallel()
	client := sqstest.New(t).SQS()
	var running, runs atomic.Int64
	var result *Result
	t.Run("suite", func(t *testing.T) {
		var cases []Case
		for i := range 20 {
			cases = append(cases, Case{Name: fmt.Sprintf("Case/%d", i), Doc: "here", Run: func(c *Check) {
				others := running.Add(1) - 1
				defer running.Add(-1)
				if i == 7 && runs.Add(1) < 3 {
					c.errorf("not yet")
				} else if i == 7 && others > 0 {
					c.errorf("%d others run", others)
				}
			}})
		}
		Test(t, Backend{Name: "b", Tries: 3, Case: func(t *testing.T, run func(*testing.T, Clients)) { run(t, Clients{SQS: client}) }}, cases, func(r *Result) { result = r })
	})
	if runs.Load() != 3 || result.Held != 20 {
		t.Errorf("%d runs, %d cases hold", runs.Load(), result.Held)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	known := Departure{Case: "x", Shows: "accepted", Reason: "it does not look"}
	for _, row := range []struct {
		name     string
		problems []string
		departs  bool
		want     string
	}{
		{"a case that holds is fine", nil, false, ""},
		{"a case that does not hold is wrong", []string{"a", "b"}, false, "a\nb"},
		{"a known departure is fine", []string{"accepted, want a refusal"}, true, ""},
		{"a departure that is no more is wrong", nil, true, "holds, but is listed as a departure (it does not look): take it off the list"},
		{"a departure of another kind is wrong", []string{"refused"}, true, "departs in another way than listed: \"accepted\" is not in\nrefused"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := judge(row.problems, known, row.departs); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

func TestACheckGathersWhatDoesNotHold(t *testing.T) {
	t.Parallel()
	client := sqstest.New(t).SQS()
	run := func(body func(c *Check)) []string { return (&Check{Clients: Clients{SQS: client}, tb: t}).run(body) }

	got := run(func(c *Check) {
		c.refused(nil, "QueueDoesNotExist")
		c.refused(&types.QueueNameExists{}, "QueueDoesNotExist")
		c.refused(&types.QueueDoesNotExist{}, "QueueDoesNotExist")
		c.refused(&smithy.GenericAPIError{Code: "InvalidParameterValue"}, "InvalidParameterValue")
		c.refused(&smithy.GenericAPIError{Code: "X"}, "")
		c.equal("n", 1, 1)
		c.refused(errors.New("connection reset"), "")
		c.errorf("not reached")
	})
	want := []string{"accepted, want QueueDoesNotExist", "refused with QueueNameExists (), want QueueDoesNotExist", "connection reset"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestACheckClearsUpAfterACaseThatGaveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the case waits
		client := sqstest.New(t).SQS()
		var url string
		got := (&Check{Clients: Clients{SQS: client}, tb: t}).run(func(c *Check) {
			url = c.queue()
			c.one(url)
			c.errorf("not reached")
		})
		if len(got) != 1 || got[0] != "received 0 messages, want 1" {
			t.Errorf("problems %q", got)
		}
		_, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url})
		var gone *types.QueueDoesNotExist
		if !errors.As(err, &gone) {
			t.Errorf("its queue: %v", err)
		}
	})
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	got := Markdown([]*Result{
		{Backend: "a", Cases: 2, Held: 2},
		{Backend: "b", Cases: 4, Held: 1, Departed: []Departure{{Case: "y", Reason: "why"}, {Case: "z", Reason: "because"}, {Case: "x", Reason: "because"}}},
	})
	want := `| backend | cases | hold | known departures |
|---|---|---|---|
| a | 2 | 2 | 0 |
| b | 4 | 1 | 3 |

Where b departs from AWS's documentation:

| what it does | cases |
|---|---|
| because | x<br>z |
| why | y |
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
