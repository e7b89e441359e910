package holdfast_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link     = regexp.MustCompile(`\[([^\]]*)\]\(([^)#]+)[^)]*\)`)
	testName = regexp.MustCompile("`(Test[A-Za-z0-9_]+)`")
)

// TestDocumentsNameTestsThatExist holds README and docs to their links: each leads
// to a file of the repository, and a test that is named for it stands there.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	t.Parallel()
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	documents = append(documents, "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/orders/README.md", "examples/fanout/README.md", "examples/effects/README.md")
	tests := 0
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[2], "://") {
				continue
			}
			path := filepath.Join(filepath.Dir(document), m[2])
			info, err := os.Stat(path)
			if err != nil {
				t.Errorf("%s links to %s: %v", document, m[2], err)
				continue
			}
			for _, name := range testName.FindAllStringSubmatch(m[1], -1) {
				tests++
				source, err := os.ReadFile(path)
				if err != nil || info.IsDir() || !strings.Contains(string(source), "func "+name[1]+"(") {
					t.Errorf("%s names %s, which is not in %s", document, name[1], m[2])
				}
			}
		}
	}
	if tests < 20 {
		t.Errorf("%d tests are named in the documents: were the links read?", tests)
	}
}
