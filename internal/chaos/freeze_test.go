//go:build unix

package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTailFollowsDeafHandlers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger")
	l := newTail(path)
	defer l.close()
	if fresh := l.begun(); len(fresh) > 0 {
		t.Errorf("without a ledger %d handlers began", len(fresh))
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(text string) {
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	now := float64(time.Now().UnixNano()) / float64(time.Second)
	first := line(begun, "207", 1, "a", now)
	write(line(begun, "7", 1, "a", now-60) + line(begun, "8", 1, "a", now) + line(begun, "407", 1, "b", now) + line(effect, "407", 1, "b", now) + first[:9])
	if fresh := l.begun(); len(fresh) > 0 {
		t.Errorf("%d handlers began, want none: one began long ago, one listens, one has written, one line is half", len(fresh))
	}
	write(first[9:])
	if fresh := l.begun(); len(fresh) != 1 || fresh[0].life != "a" {
		t.Fatalf("%d handlers began, want that of life a", len(fresh))
	}
	overtaken := func(p *progress) bool { return p.overtaken && !p.written }
	if l.any("a", overtaken) {
		t.Error("overtaken by nobody")
	}
	write(line(begun, "207", 2, "b", now) + line(effect, "207", 2, "b", now))
	if l.read(); !l.any("a", overtaken) || l.any("b", overtaken) {
		t.Error("the handler of life a was not seen overtaken by life b")
	}
	write(line(effect, "207", 1, "a", now))
	if l.read(); l.any("a", overtaken) {
		t.Error("its late write was not seen")
	}
}

// What is stopped must go on before it is killed: else its late writes are never seen.
func TestAHeldWorkerIsNotHeldAgain(t *testing.T) {
	t.Parallel()
	c := &campaign{slots: []*worker{{life: "a"}, nil, {life: "b"}}}
	r := rand.New(rand.NewPCG(1, 1))
	slot, a := c.hold(r, "a")
	if a == nil || a.life != "a" || slot != 0 {
		t.Fatalf("held %+v in slot %d, want a in 0", a, slot)
	}
	for range 20 {
		if _, w := c.hold(r, "a"); w != nil {
			t.Fatal("a was held twice")
		}
		_, w := c.hold(r, "")
		if w == nil || w.life != "b" {
			t.Fatalf("held %+v, want b", w)
		}
		if _, none := c.hold(r, ""); none != nil {
			t.Fatal("held one more than there are")
		}
		c.release(w)
	}
	c.release(a)
	if _, w := c.hold(r, "a"); w != a {
		t.Error("a was not released")
	}
}
