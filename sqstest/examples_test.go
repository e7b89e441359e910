package sqstest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// TestEveryEntryPointHasAnExample wants every exported function and method of the
// package to be shown in an example.
func TestEveryEntryPointHasAnExample(t *testing.T) {
	t.Parallel()
	packages, err := parser.ParseDir(token.NewFileSet(), ".", nil, parser.SkipObjectResolution) //nolint:staticcheck // one folder, no build tags
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for name, file := range packages["sqstest_test"].Files {
		if !strings.HasPrefix(name, "example") {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				shown[s.Sel.Name] = true
			}
			return true
		})
	}
	entries := 0
	for name, file := range packages["sqstest"].Files {
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || !exported(f.Recv) {
				continue
			}
			if entries++; !shown[f.Name.Name] {
				t.Errorf("%s: no example shows %s", name, f.Name.Name)
			}
		}
	}
	if entries < 60 {
		t.Errorf("%d entry points: were the files read?", entries)
	}
}

// exported tells whether a method's type is exported; a function has none.
func exported(recv *ast.FieldList) bool {
	if recv == nil {
		return true
	}
	typ := recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	name, ok := typ.(*ast.Ident)
	return ok && name.IsExported()
}
