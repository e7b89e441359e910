package snsserver

import (
	"bytes"
	"encoding/xml"
)

// namespace is that of every reply.
const namespace = "http://sns.amazonaws.com/doc/2010-03-31/"

// xmlWriter writes the elements of a reply.
type xmlWriter struct{ b bytes.Buffer }

func (w *xmlWriter) open(name string)  { w.b.WriteString("<" + name + ">") }
func (w *xmlWriter) close(name string) { w.b.WriteString("</" + name + ">") }

// text writes an element. Characters that XML has no way to write become U+FFFD.
func (w *xmlWriter) text(name, value string) {
	w.open(name)
	_ = xml.EscapeText(&w.b, []byte(value)) // a buffer takes everything
	w.close(name)
}

// optional writes an element unless it is empty.
func (w *xmlWriter) optional(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

// entries writes a map in the order of names.
func (w *xmlWriter) entries(name string, names []string, values map[string]string) {
	w.open(name)
	for _, key := range names {
		w.open("entry")
		w.text("key", key)
		w.text("value", values[key])
		w.close("entry")
	}
	w.close(name)
}
