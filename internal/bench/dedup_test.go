package main

import (
	"bytes"
	"strings"
	"testing"
)

// The cost itself is not tested; that all of it is measured, is.
func TestDedupIsMeasured(t *testing.T) {
	t.Parallel()
	server, err := startRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.close)
	d := newDedup(server.addr)
	t.Cleanup(func() { _ = d.rdb.Close() })
	d.many, d.one = workload{name: "many", messages: 1000}, workload{name: "one", messages: 100}
	r := &dedupReport{}
	if err := d.round(t.Context(), spawn(t), r); err != nil {
		t.Fatal(err)
	}
	if r.bytes, err = d.bytesPerKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.one[0]; n != 2 {
		t.Errorf("with one handler a message takes %v round trips, want 2", n)
	}
	if n := r.many[0]; n <= 0 || n >= 2 {
		t.Errorf("with %d handlers a message takes %v round trips, want more than 0 and less than 2", concurrency, n)
	}
	if r.floor[0] <= 0 || r.trip[0] <= 0 {
		t.Errorf("the floor took %v us and a round trip %v us, want more than 0", r.floor[0], r.trip[0])
	}
	if r.bytes <= 0 || r.bytes > maxBytesPerKey {
		t.Errorf("a completed key takes %d bytes, want 1 to %d", r.bytes, maxBytesPerKey)
	}
	var out bytes.Buffer
	r.print(&out)
	if !strings.Contains(out.String(), "dedup/plain cpu=") {
		t.Errorf("the report has no last line:\n%s", &out)
	}
}
