package consumer_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The first code of the README is a whole program, and it is Example of this
// package: what is compiled here is what a reader copies.
func TestFirstCodeOfTheREADMECompiles(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(readme), "\n```go\n")
	code, _, closed := strings.Cut(rest, "\n```\n")
	if !ok || !closed {
		t.Fatal("README.md has no block of Go")
	}
	if line := strings.Count(before, "\n") + 2; line > 25 {
		t.Errorf("the first code begins at line %d, want it by line 25", line)
	}
	if lines := strings.Count(code, "\n") + 1; lines > 25 {
		t.Errorf("hello world has %d lines, want at most 25", lines)
	}
	if lines := strings.Count(string(readme), "\n"); lines > 200 {
		t.Errorf("README.md has %d lines, want at most 200", lines)
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
	for _, spec := range program.Imports {
		if !imported[spec.Path.Value] || spec.Name != nil {
			t.Errorf("it imports %s, which Example does not", spec.Path.Value)
		}
	}
	if diff := cmp.Diff(source(t, fset, body(example, "Example")), source(t, fset, body(program, "main"))); diff != "" {
		t.Errorf("main of the README is not Example (-Example +README):\n%s", diff)
	}
	if diff := cmp.Diff(source(t, fset, declared(example, "Order")), source(t, fset, declared(program, "Order"))); diff != "" {
		t.Errorf("Order of the README is not that of Example (-Example +README):\n%s", diff)
	}
	if want := 3; len(program.Decls) != want { // imports, Order, main
		t.Errorf("it has %d declarations, want %d: what else it declares is not compiled here", len(program.Decls), want)
	}
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

// declared returns the definition of a type.
func declared(file *ast.File, name string) ast.Node {
	var found ast.Node
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.TypeSpec); ok && s.Name.Name == name {
			found = s.Type
		}
		return found == nil
	})
	return found
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
