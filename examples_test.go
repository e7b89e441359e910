package holdfast_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"strings"
	"testing"
)

// withMethods are the types whose methods users call. What the runtime calls of them
// needs no Example.
var (
	withMethods = map[string]bool{"producer.Producer": true, "claimcheck.Store": true}
	notByUsers  = map[string]bool{"claimcheck.Store.Settled": true}
)

// TestFunctionsHaveExamples looks for a runnable Example of each exported function, and
// each method of withMethods, where go doc shows it: ExampleName, ExampleName_suffix or
// ExampleType_Method.
func TestFunctionsHaveExamples(t *testing.T) {
	t.Parallel()
	exported, examples := map[string]bool{}, map[string]bool{}
	for _, file := range goFiles(t, os.DirFS(".")) {
		pkg := path.Dir(file)
		if pkg != "fanout" && pkg != "producer" && pkg != "claimcheck" {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			switch {
			case !ok:
			case f.Recv != nil:
				if name := receiver(f); f.Name.IsExported() && withMethods[pkg+"."+name] && !notByUsers[pkg+"."+name+"."+f.Name.Name] {
					exported[pkg+"."+name+"."+f.Name.Name] = true
				}
			case strings.HasSuffix(file, "_test.go"):
				if name, isExample := strings.CutPrefix(f.Name.Name, "Example"); isExample {
					name, rest, _ := strings.Cut(name, "_")
					examples[pkg+"."+name] = true
					method, _, _ := strings.Cut(rest, "_")
					examples[pkg+"."+name+"."+method] = true
				}
			case f.Name.IsExported():
				exported[pkg+"."+f.Name.Name] = true
			}
		}
	}
	if len(exported) < 37 {
		t.Errorf("%d functions found: too few to be all", len(exported))
	}
	for name := range exported {
		if !examples[name] {
			t.Errorf("%s has no Example", name)
		}
	}
}

// receiver is the type that a method is of.
func receiver(f *ast.FuncDecl) string {
	t := f.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name
	}
	return "" // with type parameters
}
