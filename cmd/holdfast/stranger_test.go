package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/holdfast-go/holdfast/internal/leftout"
)

// TestAStrangersClient runs a program of boto3 against the server: queues, topics,
// a filter policy, a redrive. HOLDFAST_PYTHON names a Python that has boto3;
// default: python3.
func TestAStrangersClient(t *testing.T) {
	t.Parallel()
	python := os.Getenv("HOLDFAST_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.CommandContext(t.Context(), python, "-c", "import boto3").Run(); err != nil {
		if os.Getenv("HOLDFAST_PYTHON") != "" {
			t.Fatalf("HOLDFAST_PYTHON=%s has no boto3: %v", python, err)
		}
		const why = "a stranger's client: no python3 with boto3 here: pip install boto3, or name one by HOLDFAST_PYTHON"
		leftout.Note(t, why)
		t.Skip(why)
	}
	s := start(t)
	out, err := exec.CommandContext(t.Context(), python, "testdata/stranger.py", s.url).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
