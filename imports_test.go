package holdfast_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/holdfast-go/holdfast"

// Names for the rows of the import table. A name that ends in /... stands for all
// below it.
const (
	root     = module
	internal = module + "/internal/..."
	awsCore  = "github.com/aws/aws-sdk-go-v2/aws/..."
	smithy   = "github.com/aws/smithy-go/..."
	sqs      = "github.com/aws/aws-sdk-go-v2/service/sqs/..."
	sns      = "github.com/aws/aws-sdk-go-v2/service/sns/..."
	s3       = "github.com/aws/aws-sdk-go-v2/service/s3/..."
	redis    = "github.com/redis/go-redis/v9/..."
	anything = "..."
)

// importTable says what the packages may import beside the standard library, in
// files that are not tests. The first row that fits a package counts. Siblings
// import the root and never each other, so that each can be used, read and thrown
// away by itself; docs/architecture.md has the table with its reasons.
var importTable = []struct {
	pkg string
	may []string
}{
	{".", nil},
	{"consumer", []string{root, internal, module + "/consumer/internal/...", sqs}},
	{"consumer/internal/wire", []string{root, internal, awsCore, smithy, sqs}},
	{"consumer/internal/...", []string{root, internal}},
	{"producer", []string{root, internal, awsCore, smithy, sqs, sns}},
	{"idempotency", []string{root, module + "/idempotency/internal/...", module + "/internal/lazyctx"}},
	{"idempotency/internal/...", nil},
	{"idempotency/redisstore", []string{root, module + "/idempotency", redis}},
	{"idempotency/storetest", []string{root, module + "/idempotency"}},
	{"middleware", []string{root}},
	{"claimcheck", []string{root, awsCore, s3}},
	{"fanout", []string{root, internal, awsCore, smithy, sqs, sns}},
	{"sqstest", []string{root, internal, awsCore, sqs, sns}},
	{"internal/sqsserver", []string{module + "/internal/partition"}},
	{"internal/snsserver", []string{module + "/internal/partition"}},
	{"internal/batch", nil},
	{"internal/partition", nil},
	{"internal/queueref", []string{root, module + "/internal/partition"}},
	{"internal/bench/...", []string{anything}},
	{"internal/chaos", []string{anything}},
	{"internal/...", []string{root}},
	{"integration/...", []string{anything}},
	{"cmd/...", []string{anything}},
	{"examples/...", []string{anything}},
}

// servers are in internal for tests: what runs in production must not link them.
var servers = []string{module + "/internal/sqsserver", module + "/internal/snsserver", module + "/internal/bench/..."}

// mayImportServers are the rows for which internal includes the servers.
var mayImportServers = []string{"sqstest", "internal/bench/...", "integration/...", "cmd/...", "examples/..."}

func TestPackagesImportOnlyWhatTheTableAllows(t *testing.T) {
	t.Parallel()
	for _, problem := range checkImports(t, os.DirFS(".")) {
		t.Error(problem)
	}
}

func TestImportTableIsEnforced(t *testing.T) {
	t.Parallel()
	file := func(imports ...string) *fstest.MapFile {
		var src strings.Builder
		src.WriteString("package p\n")
		for _, i := range imports {
			fmt.Fprintf(&src, "import _ %q\n", i)
		}
		return &fstest.MapFile{Data: []byte(src.String())}
	}
	tree := fstest.MapFS{
		"go.mod":                            {},
		"doc.go":                            file("context", "github.com/google/go-cmp/cmp"),
		"doc_test.go":                       file("github.com/google/go-cmp/cmp", module+"/consumer"),
		"consumer/a.go":                     file(root, module+"/internal/batch", "github.com/aws/aws-sdk-go-v2/service/sqs/types"),
		"consumer/b.go":                     file(module+"/idempotency", "github.com/aws/aws-sdk-go-v2/service/sns", module+"/internal/sqsserver"),
		"idempotency/a.go":                  file(root, module+"/idempotency/redisstore"),
		"idempotency/redisstore/a.go":       file(module+"/idempotency", "github.com/redis/go-redis/v9"),
		"sqstest/a.go":                      file(module+"/internal/sqsserver", module+"/internal/bench/stub"),
		"internal/batch/a.go":               file("sync", root),
		"internal/envelope/a.go":            file(root),
		"internal/bench/stub/a.go":          file("example.com/x"),
		"examples/orders/main.go":           file(module+"/consumer", module+"/sqstest"),
		"surprise/a.go":                     file("fmt"),
		"consumer/testdata/a.go":            file("example.com/x"),
		"middleware/otherwise/deep/main.go": file("fmt"),
	}
	want := []string{
		"consumer/b.go imports " + module + "/idempotency: package consumer may not; see importTable",
		"consumer/b.go imports github.com/aws/aws-sdk-go-v2/service/sns: package consumer may not; see importTable",
		"consumer/b.go imports " + module + "/internal/sqsserver: package consumer may not; see importTable",
		"doc.go imports github.com/google/go-cmp/cmp: package . may not; see importTable",
		"idempotency/a.go imports " + module + "/idempotency/redisstore: package idempotency may not; see importTable",
		"internal/batch/a.go imports " + root + ": package internal/batch may not; see importTable",
		"middleware/otherwise/deep/main.go: package middleware/otherwise/deep has no row in importTable",
		"surprise/a.go: package surprise has no row in importTable",
	}
	if diff := cmp.Diff(want, checkImports(t, tree)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func checkImports(t *testing.T, tree fs.FS) []string {
	t.Helper()
	var problems []string
	for _, file := range goFiles(t, tree) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		may, known := allowed(path.Dir(file))
		if !known {
			problems = append(problems, fmt.Sprintf("%s: package %s has no row in importTable", file, path.Dir(file)))
			continue
		}
		for _, imported := range importsOf(t, tree, file) {
			if !may(imported) {
				problems = append(problems, fmt.Sprintf("%s imports %s: package %s may not; see importTable", file, imported, path.Dir(file)))
			}
		}
	}
	return problems
}

// allowed returns what the row of pkg says about an import.
func allowed(pkg string) (may func(imported string) bool, known bool) {
	for _, row := range importTable {
		if !covers(row.pkg, pkg) {
			continue
		}
		return func(imported string) bool {
			first, _, _ := strings.Cut(imported, "/")
			if !strings.Contains(first, ".") {
				return true // the standard library
			}
			if coveredBy(servers, imported) && !coveredBy(mayImportServers, pkg) {
				return false
			}
			return coveredBy(row.may, imported)
		}, true
	}
	return nil, false
}

func coveredBy(patterns []string, name string) bool {
	for _, p := range patterns {
		if covers(p, name) {
			return true
		}
	}
	return false
}

func covers(pattern, name string) bool {
	prefix, below := strings.CutSuffix(pattern, "...")
	return name == strings.TrimSuffix(prefix, "/") || below && strings.HasPrefix(name, prefix)
}

// goFiles lists the module's own Go files, tests included, in the order of their
// names.
func goFiles(t *testing.T, tree fs.FS) []string {
	t.Helper()
	var files []string
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin"):
			return fs.SkipDir
		case !d.IsDir() && path.Ext(name) == ".go":
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func importsOf(t *testing.T, tree fs.FS, file string) []string {
	t.Helper()
	src, err := fs.ReadFile(tree, file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var imports []string
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		imports = append(imports, imported)
	}
	return imports
}
