package leftout_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-go/holdfast/internal/leftout"
)

// logged notes what is logged.
type logged struct {
	testing.TB
	text string
}

func (l *logged) Helper()                         {}
func (l *logged) Logf(format string, args ...any) { l.text += fmt.Sprintf(format, args...) }

func TestNote(t *testing.T) {
	file := filepath.Join(t.TempDir(), "left-out")
	t.Setenv("HOLDFAST_LEFT_OUT", file)
	leftout.Note(t, "no Docker")
	leftout.Note(t, "no boto3")
	if got, err := os.ReadFile(file); err != nil || string(got) != "no Docker\nno boto3\n" {
		t.Errorf("%v, %q", err, got)
	}
	tb := &logged{}
	t.Setenv("HOLDFAST_LEFT_OUT", filepath.Join(file, "not a folder"))
	if leftout.Note(tb, "no Docker"); tb.text == "" {
		t.Error("a file that cannot be written is not told")
	}
	tb = &logged{}
	t.Setenv("HOLDFAST_LEFT_OUT", "")
	if leftout.Note(tb, "no Docker"); tb.text != "" {
		t.Errorf("logged where nobody asks: %s", tb.text)
	}
}
