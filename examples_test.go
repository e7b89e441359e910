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

// TestFunctionsHaveExamples looks for a runnable Example of each exported function, where
// go doc shows it: ExampleName or ExampleName_suffix.
func TestFunctionsHaveExamples(t *testing.T) {
	t.Parallel()
	exported, examples := map[string]bool{}, map[string]bool{}
	for _, file := range goFiles(t, os.DirFS(".")) {
		pkg := path.Dir(file)
		if pkg != "fanout" && pkg != "producer" {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			switch {
			case !ok || f.Recv != nil:
			case strings.HasSuffix(file, "_test.go"):
				if name, isExample := strings.CutPrefix(f.Name.Name, "Example"); isExample {
					name, _, _ = strings.Cut(name, "_")
					examples[pkg+"."+name] = true
				}
			case f.Name.IsExported():
				exported[pkg+"."+f.Name.Name] = true
			}
		}
	}
	if len(exported) < 30 {
		t.Errorf("%d functions found: too few to be all", len(exported))
	}
	for name := range exported {
		if !examples[name] {
			t.Errorf("%s has no Example", name)
		}
	}
}
