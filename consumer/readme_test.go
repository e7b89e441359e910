package consumer_test

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The first code of the README is a whole program, and it is Example of this
// package: what is compiled here is what a reader copies.
func TestFirstCodeOfTheREADMECompiles(t *testing.T) {
	t.Parallel()
	readme := readREADME(t)
	before, _, _ := strings.Cut(readme, "\n```go\n")
	if line := strings.Count(before, "\n") + 2; line > 25 {
		t.Errorf("the first code begins at line %d, want it by line 25", line)
	}
	hello := block(t, readme, "go")
	if lines := strings.Count(hello, "\n"); lines > 25 {
		t.Errorf("hello world has %d lines, want at most 25", lines)
	}
	if lines := strings.Count(readme, "\n"); lines > 200 {
		t.Errorf("README.md has %d lines, want at most 200", lines)
	}
	compiles(t, hello, "Example")
}

// What makes the effect of hello world happen once is a change of that program, and
// what comes of it is a whole program, too: Example_idempotency.
func TestIdempotencyIsFiveLinesMore(t *testing.T) {
	t.Parallel()
	readme := readREADME(t)
	hello := block(t, readme, "go")
	once := patched(t, hello, block(t, readme, "diff"))
	if more := strings.Count(once, "\n") - strings.Count(hello, "\n"); more > 5 {
		t.Errorf("idempotency takes %d lines more, want at most 5:\n%s", more, once)
	}
	compiles(t, once, "Example_idempotency")
}

func readREADME(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(readme)
}

// block returns the first code block of a language.
func block(t *testing.T, readme, language string) string {
	t.Helper()
	_, rest, ok := strings.Cut(readme, "\n```"+language+"\n")
	code, _, closed := strings.Cut(rest, "\n```\n")
	if !ok || !closed {
		t.Fatalf("README.md has no block of %s", language)
	}
	return code + "\n"
}

// patched changes a program by the lines of a diff, which begin with a blank where
// they are to be found, with - where also to be left out, and with + where added. @@
// stands for what lies between.
func patched(t *testing.T, program, diff string) string {
	t.Helper()
	var out strings.Builder
	rest := program
	for line := range strings.Lines(diff) {
		text := line[1:]
		switch line[0] {
		case '@':
			continue
		case '+':
			out.WriteString(text)
			continue
		case ' ', '-':
		default:
			t.Fatalf("a line of the diff begins with neither of ' -+@': %s", line)
		}
		before, after, found := strings.Cut("\n"+rest, "\n"+text)
		if !found {
			t.Fatalf("the program has not, at its place, the line %s", line)
		}
		if before != "" {
			out.WriteString(before[1:] + "\n")
		}
		if line[0] == ' ' {
			out.WriteString(text)
		}
		rest = after
	}
	return out.String() + rest
}

// compiles wants code to be a program as gofmt writes it whose main is an example of
// this package, which the compiler has seen.
func compiles(t *testing.T, code, exampleName string) {
	t.Helper()
	formatted, err := format.Source([]byte(code))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, code)
	}
	if diff := cmp.Diff(string(formatted), code); diff != "" {
		t.Errorf("it is not formatted (-gofmt +README):\n%s", diff)
	}
	fset := token.NewFileSet()
	program, err := parser.ParseFile(fset, "README.md", code, 0)
	if err != nil {
		t.Fatal(err)
	}
	example, err := parser.ParseFile(fset, "example_test.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := program.Name.Name; got != "main" {
		t.Errorf("it is package %s, want a program", got)
	}
	imported := make(map[string]bool)
	for _, spec := range example.Imports {
		imported[spec.Path.Value] = true
	}
	packages := make(map[string]bool) // by their names
	for _, spec := range program.Imports {
		if !imported[spec.Path.Value] || spec.Name != nil {
			t.Errorf("it imports %s, which %s does not", spec.Path.Value, exampleName)
		}
		name := path.Base(strings.TrimSuffix(strings.Trim(spec.Path.Value, `"`), "/v9"))
		packages[strings.TrimPrefix(name, "go-")] = true
	}
	if diff := cmp.Diff(packages, qualifiers(program)); diff != "" {
		t.Errorf("it does not use what it imports (-imports +uses):\n%s", diff)
	}
	if diff := cmp.Diff(source(t, fset, body(example, exampleName)), source(t, fset, body(program, "main"))); diff != "" {
		t.Errorf("main of the README is not %s (-example +README):\n%s", exampleName, diff)
	}
	if want := 2; len(program.Decls) != want { // imports, main
		t.Errorf("it has %d declarations, want %d: what else it declares is not compiled here", len(program.Decls), want)
	}
}

// qualifiers are the names before a dot that a file does not declare: packages.
func qualifiers(file *ast.File) map[string]bool {
	free := make(map[*ast.Ident]bool)
	for _, ident := range file.Unresolved {
		free[ident] = true
	}
	names := make(map[string]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && free[x] {
				names[x.Name] = true
			}
		}
		return true
	})
	return names
}

// body returns the body of a function.
func body(file *ast.File, name string) ast.Node {
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == name {
			return f.Body
		}
	}
	return nil
}

func source(t *testing.T, fset *token.FileSet, n ast.Node) string {
	t.Helper()
	if n == nil {
		t.Fatal("there is no such declaration")
	}
	var b bytes.Buffer
	if err := printer.Fprint(&b, fset, n); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
