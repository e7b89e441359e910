package holdfast_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// The bounds that keep the code readable in one sitting.
const (
	maxFileLines     = 600
	maxPackageFiles  = 15
	maxConsumerLines = 3500
)

// sleepCall is written so that this file does not contain it.
const sleepCall = "time." + "Sleep("

func TestSourceIsLaidOutForReaders(t *testing.T) {
	t.Parallel()
	for _, problem := range checkLayout(t, os.DirFS(".")) {
		t.Error(problem)
	}
}

func TestLayoutIsEnforced(t *testing.T) {
	t.Parallel()
	lines := func(n int) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("package p\n" + strings.Repeat("\n", n-1))}
	}
	tree := fstest.MapFS{
		"long.go":          lines(maxFileLines + 1),
		"long_test.go":     lines(2 * maxFileLines),
		"just.go":          lines(maxFileLines),
		"nested/go.mod":    {},
		"sleepy/s_test.go": {Data: []byte("package p\nimport \"time\"\nfunc f() { " + sleepCall + "1) }\n")},
		"bubble_test.go":   {Data: []byte("package p\nimport \"testing/synctest\"\nfunc f() { " + sleepCall + "1) }\n")},
		"integration/i.go": lines(1),
		"integration/i_test.go": {
			Data: []byte("package p\nimport \"time\"\nfunc f() { " + sleepCall + "1) }\n"),
		},
	}
	for i := range maxPackageFiles {
		tree[fmt.Sprintf("full/f%02d.go", i)] = lines(1)
		tree[fmt.Sprintf("overfull/f%02d.go", i)] = lines(1)
		tree[fmt.Sprintf("internal/sqsserver/f%02d.go", i)] = lines(1)
	}
	tree["full/f_test.go"] = lines(1)
	tree["overfull/more.go"] = lines(1)
	tree["internal/sqsserver/more.go"] = lines(1)
	for i := range 7 {
		tree[fmt.Sprintf("consumer/f%d.go", i)] = lines(501)
	}
	want := []string{
		"consumer has 3507 lines in files that are no tests, want at most 3500",
		"long.go has 601 lines, want at most 600: does it have more than one job?",
		"nested/go.mod: there is one module only",
		"overfull has 16 source files, want at most 15",
		"sleepy/s_test.go sleeps and its package does not import testing/synctest: wait for what you wait for",
	}
	if diff := cmp.Diff(want, checkLayout(t, tree)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func checkLayout(t *testing.T, tree fs.FS) []string {
	t.Helper()
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }

	files := map[string]int{} // by package
	consumer := 0
	var sleepers []string
	bubbles := map[string]bool{} // packages whose tests run in virtual time
	for _, file := range goFiles(t, tree) {
		src, err := fs.ReadFile(tree, file)
		if err != nil {
			t.Fatal(err)
		}
		pkg := path.Dir(file)
		if strings.HasSuffix(file, "_test.go") {
			// Suites against real servers have no bubble to sleep in.
			if bytes.Contains(src, []byte(sleepCall)) && pkg != "integration" && !strings.HasPrefix(pkg, "integration/") {
				sleepers = append(sleepers, file)
			}
			// A helper that makes the bubble may stand in another file.
			if slices.Contains(importsOf(t, tree, file), "testing/synctest") {
				bubbles[pkg] = true
			}
			continue
		}
		lines := bytes.Count(src, []byte("\n"))
		if lines > maxFileLines {
			problem("%s has %d lines, want at most %d: does it have more than one job?", file, lines, maxFileLines)
		}
		files[pkg]++
		if pkg == "consumer" {
			consumer += lines
		}
	}
	for pkg, n := range files {
		// The servers, and the suite of cases for them, have one file per operation or
		// family of operations.
		perFamily := strings.HasPrefix(pkg, "internal/") && strings.HasSuffix(pkg, "server") || pkg == "integration/conformance"
		if n > maxPackageFiles && !perFamily {
			problem("%s has %d source files, want at most %d", pkg, n, maxPackageFiles)
		}
	}
	for _, file := range sleepers {
		if !bubbles[path.Dir(file)] {
			problem("%s sleeps and its package does not import testing/synctest: wait for what you wait for", file)
		}
	}
	if consumer > maxConsumerLines {
		problem("consumer has %d lines in files that are no tests, want at most %d", consumer, maxConsumerLines)
	}
	modules, err := fs.Glob(tree, "*/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range modules {
		problem("%s: there is one module only", m)
	}
	slices.Sort(problems)
	return problems
}
