package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/holdfast-go/holdfast/consumer"
)

// progress shows how far the job is: one line that changes on a terminal, else one
// per second.
type progress struct {
	out      io.Writer
	begun    time.Time
	messages int
	shop     *shop
	worker   *consumer.Consumer
	drain    *drain
}

// line shows it.
func (p *progress) line() {
	charged, failed := p.shop.count()
	sent, left := p.drain.count()
	stats := p.worker.Stats()
	text := fmt.Sprintf("%4.1f s  sent %d of %d  charged %d  failed runs %d  dead-lettered %d  held %d  to settle %d",
		time.Since(p.begun).Seconds(), sent, p.messages, charged, failed, stats.DeadLettered, stats.Held, left)
	if isTerminal(p.out) {
		fmt.Fprintf(p.out, "\r\x1b[K%s", text)
	} else {
		fmt.Fprintln(p.out, text)
	}
}

// end shows it for the last time and leaves the line.
func (p *progress) end() {
	p.line()
	if isTerminal(p.out) {
		fmt.Fprintln(p.out)
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
