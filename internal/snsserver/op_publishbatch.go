package snsserver

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
)

// publishBatch is PublishBatch. As on AWS a message that is formally wrong (its
// attributes, its group) refuses the whole request; what is wrong with a message
// itself (its text, its subject) fails its entry.
func (s *Server) publishBatch(c *call, w *xmlWriter) error {
	var ids []string
	var entries []outgoing
	var malformed *Error
	err := c.form.list("PublishBatchRequestEntries", "member", func(prefix string) error {
		ids = append(ids, c.form.get(prefix+".Id"))
		o, refused := c.readOutgoing(prefix+".", fmt.Sprintf("publishBatchRequestEntries.%d.member.", len(ids)))
		entries = append(entries, o)
		malformed = cmp.Or(malformed, refused)
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	t, missing := s.open(c, "TopicArn")
	if err = cmp.Or(missing, err); err != nil {
		return err
	}
	if err := checkBatch(ids); err != nil {
		return err
	}
	total := 0
	for i := range entries {
		if malformed == nil {
			malformed = entries[i].check(t)
		}
		total += entries[i].size()
	}
	if malformed != nil {
		return malformed
	}
	if total > t.settings.maxSize {
		return errBatchTooLong
	}

	var successful, failed xmlWriter
	now := time.Now()
	for i := range entries {
		refused := s.faults.entry(c.action, c.topic)
		var result published
		if refused == nil {
			result, refused = s.accept(t, entries[i], now)
		}
		list := &successful
		if refused != nil {
			list = &failed
		}
		list.open("member")
		list.text("Id", ids[i])
		if refused != nil {
			list.text("Code", refused.Code)
			list.text("Message", refused.Message)
			list.text("SenderFault", strconv.FormatBool(!refused.Receiver))
		} else {
			result.write(list)
		}
		list.close("member")
	}
	w.open("Successful")
	w.b.Write(successful.b.Bytes())
	w.close("Successful")
	w.open("Failed")
	w.b.Write(failed.b.Bytes())
	w.close("Failed")
	return nil
}

// checkBatch holds the entries' number and ids against the rules of batches.
// These errors refuse the whole request.
func checkBatch(ids []string) error {
	switch {
	case len(ids) == 0:
		return errBatchEmpty
	case len(ids) > maxBatch:
		return errBatchTooMany
	}
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		switch {
		case !validBatchID(id):
			return errBatchID
		case seen[id]:
			return errBatchIDs
		}
		seen[id] = true
	}
	return nil
}
