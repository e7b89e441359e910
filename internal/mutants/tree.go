package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// mutation is one rule broken.
type mutation struct {
	name  string // what the mutant does
	rule  string // what it breaks
	edits []edit
	test  suite // which must fail
}

// edit replaces text in a file.
type edit struct{ file, old, new string }

// suite is the tests to run.
type suite struct {
	pkg, run  string
	histories int // HOLDFAST_HISTORIES, where it is set
}

func (s suite) String() string { return fmt.Sprintf("go test -run '%s' %s", s.run, s.pkg) }

// applyAll tells which mutations do not fit the source any more.
func applyAll(source fs.FS, ms []mutation) error {
	var errs []error
	for _, m := range ms {
		for _, e := range m.edits {
			text, err := fs.ReadFile(source, e.file)
			if err == nil {
				_, err = e.apply(string(text))
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("mutant %q: %s: %w", m.name, e.file, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (e edit) apply(text string) (string, error) {
	if n := strings.Count(text, e.old); n != 1 || e.old == e.new {
		return "", fmt.Errorf("what it replaces stands there %d times, want once:\n%s", n, e.old)
	}
	return strings.Replace(text, e.old, e.new, 1), nil
}

// result is what became of a mutant.
type result struct {
	mutation
	dead bool
	by   string // the test that failed
	took time.Duration
}

func (r result) verdict() string {
	if r.dead {
		return "killed"
	}
	return "LIVES"
}

// tree is a copy of the source.
type tree struct{ dir string }

// copyTree copies the source without its history and what was built.
func copyTree(from string) (*tree, error) {
	dir, err := os.MkdirTemp("", "holdfast-mutants-")
	if err != nil {
		return nil, err
	}
	t := &tree{dir}
	err = filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin") {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(dir, name), 0o755) //nolint:gosec // a copy of source
		}
		if !d.Type().IsRegular() || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), text, 0o644) //nolint:gosec // a copy of source
	})
	if err != nil {
		t.remove()
		return nil, err
	}
	return t, nil
}

func (t *tree) remove() { _ = os.RemoveAll(t.dir) }

// try makes the mutant, runs its tests and takes the mutation back.
func (t *tree) try(ctx context.Context, m mutation, timeout time.Duration) (r result, err error) {
	for _, e := range m.edits {
		name := filepath.Join(t.dir, e.file)
		before, err := os.ReadFile(name)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, os.WriteFile(name, before, 0o644)) }() //nolint:gosec // a copy of source
		after, err := e.apply(string(before))
		if err != nil {
			return r, err
		}
		if err := os.WriteFile(name, []byte(after), 0o644); err != nil { //nolint:gosec // a copy of source
			return r, err
		}
	}
	began := time.Now()
	failed, log := t.test(ctx, m.test, timeout)
	if strings.Contains(log, "[build failed]") || strings.Contains(log, "[setup failed]") {
		return r, fmt.Errorf("mutant %q does not compile:\n%s", m.name, log)
	}
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	return result{mutation: m, dead: failed, by: killer(log), took: time.Since(began)}, nil
}

// test runs a suite in the copy. A suite that takes too long has failed: a mutant
// that hangs is seen.
func (t *tree) test(ctx context.Context, s suite, timeout time.Duration) (failed bool, log string) {
	ctx, cancel := context.WithTimeout(ctx, timeout+time.Minute) // go test stops before that
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-vet=off", "-ldflags=-s -w", "-timeout", timeout.String(), "-run", s.run, s.pkg) //nolint:gosec // our own list
	cmd.Dir = t.dir
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	if s.histories > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprintf("HOLDFAST_HISTORIES=%d", s.histories))
	}
	var buf bytes.Buffer
	cmd.Stdout, cmd.Stderr = &buf, &buf
	return cmd.Run() != nil, buf.String()
}

var (
	failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	invariant  = regexp.MustCompile(`(?m)violates\n\s+([^:\n]+):`)
)

// killer names what noticed the mutant: the innermost test that failed first, and
// the invariant where it was a history.
func killer(log string) string {
	by := "a timeout or a panic"
	for _, m := range failedTest.FindAllStringSubmatch(log, -1) {
		if by == "a timeout or a panic" || strings.HasPrefix(m[1], by+"/") {
			by = m[1]
		}
	}
	if m := invariant.FindStringSubmatch(log); m != nil {
		by += " by " + m[1]
	}
	return by
}
