package sqsserver

// batchResult gathers a batch's entries. It is a success whatever happened to
// them: HTTP 200 with Successful and Failed.
type batchResult struct {
	successful, failed jsonWriter
}

// entryReply is about how long an entry's outcome is.
const entryReply = 192

// newBatchResult has room for n entries.
func newBatchResult(n int) batchResult {
	return batchResult{successful: jsonWriter{b: make([]byte, 0, n*entryReply)}}
}

// add notes one entry's outcome. write adds the members of a success.
func (r *batchResult) add(id string, err *Error, write func(*jsonWriter)) {
	w := &r.successful
	if err != nil {
		w = &r.failed
	}
	w.sep()
	w.open('{')
	w.text("Id", id)
	if err != nil {
		w.text("Code", err.Code)
		w.text("Message", err.Message)
		w.boolean("SenderFault", !err.Receiver)
	} else if write != nil {
		write(w)
	}
	w.close('}')
}

func (r *batchResult) write(w *jsonWriter) {
	r.list(w, "Successful", &r.successful)
	r.list(w, "Failed", &r.failed)
}

// list writes one of the two lists; the SDK wants an empty one left out.
func (r *batchResult) list(w *jsonWriter, name string, entries *jsonWriter) {
	if len(entries.b) == 0 {
		return
	}
	w.grow(len(entries.b) + len(name) + 8)
	w.key(name)
	w.open('[')
	w.b = append(w.b, entries.b...)
	w.close(']')
}
