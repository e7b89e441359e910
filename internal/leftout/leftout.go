// Package leftout tells which tests did not run because this machine lacks something.
// go test shows nothing of tests that are skipped, so that a suite could pass and a
// part of it never run; scripts/test prints what is noted here.
package leftout

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

// Note adds a line to the file that HOLDFAST_LEFT_OUT names; where it names none it does
// nothing. The caller skips the test.
func Note(tb testing.TB, why string) {
	tb.Helper()
	path := os.Getenv("HOLDFAST_LEFT_OUT")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, why) // one write, so that lines do not mix
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		tb.Logf("HOLDFAST_LEFT_OUT: %v", err)
	}
}
