package main

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// A mutation whose text is gone would prove nothing.
func TestEveryMutationApplies(t *testing.T) {
	t.Parallel()
	if err := applyAll(os.DirFS("../.."), mutations); err != nil {
		t.Error(err)
	}
	seen := map[string]bool{}
	for _, m := range mutations {
		if m.name == "" || m.rule == "" || len(m.edits) == 0 || m.test.pkg == "" || seen[m.name] {
			t.Errorf("mutant %q is incomplete, or there twice", m.name)
		}
		seen[m.name] = true
	}
	if len(mutations) < 20 {
		t.Errorf("there are %d mutants, want 20 at least", len(mutations))
	}
}

func TestMutationThatNoLongerAppliesIsAnError(t *testing.T) {
	t.Parallel()
	source := fstest.MapFS{"a.go": {Data: []byte("x := 1\ny := 1\n")}}
	for _, old := range []string{":= 1", "z := 1"} {
		m := mutation{name: "m", edits: []edit{{"a.go", old, ":= 2"}}}
		if err := applyAll(source, []mutation{m}); err == nil || !strings.Contains(err.Error(), "want once") {
			t.Errorf("replacing %q: %v", old, err)
		}
	}
	m := mutation{name: "m", edits: []edit{{"a.go", "x := 1", "x := 2"}}}
	if err := applyAll(source, []mutation{m}); err != nil {
		t.Error(err)
	}
}

func TestKillerIsNamed(t *testing.T) {
	t.Parallel()
	for log, want := range map[string]string{
		"--- FAIL: TestA (0.1s)\n    --- FAIL: TestA/b (0s)\n        --- FAIL: TestA/b/c (0s)\n    --- FAIL: TestA/d (0s)\n": "TestA/b/c",
		"--- FAIL: TestHistories (0.1s)\n    x.go:1: history 7 violates\n        \tI2: fence 1 was given after 1\n":          "TestHistories by I2",
		"panic: test timed out after 10m0s\n": "a timeout or a panic",
	} {
		if got := killer(log); got != want {
			t.Errorf("killer is %q, want %q", got, want)
		}
	}
}
