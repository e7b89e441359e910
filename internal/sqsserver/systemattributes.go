package sqsserver

import (
	"strconv"
	"time"
)

// systemAttributes is every message system attribute, in the order of the API
// reference. An empty text is left out.
var systemAttributes = []struct {
	name string
	get  func(m *received) string
}{
	{"SenderId", func(m *received) string { return m.sender }},
	{"SentTimestamp", func(m *received) string { return millis(m.enqueued) }},
	{"ApproximateReceiveCount", func(m *received) string { return strconv.Itoa(m.receives) }},
	{"ApproximateFirstReceiveTimestamp", func(m *received) string { return millis(m.firstReceived) }},
	{"SequenceNumber", func(m *received) string { return m.sequence }},
	{"MessageDeduplicationId", func(m *received) string { return m.dedup }},
	{"MessageGroupId", func(m *received) string { return m.group }},
	{"AWSTraceHeader", func(m *received) string { return m.trace }},
	{"DeadLetterQueueSourceArn", func(m *received) string { return m.deadLetterOf }},
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// systemSet is a choice of systemAttributes, one bit each.
type systemSet uint16

// selectSystem reads the two lists of names; AttributeNames is the older one.
func selectSystem(lists ...[]string) (systemSet, *Error) {
	var set systemSet
	for _, names := range lists {
		for _, name := range names {
			if name == "All" {
				set = 1<<len(systemAttributes) - 1
				continue
			}
			bit := systemBit(name)
			if bit < 0 {
				return 0, errAttributeName.with("Unknown Attribute %s.", name)
			}
			set |= 1 << bit
		}
	}
	return set, nil
}

func systemBit(name string) int {
	for i := range systemAttributes {
		if systemAttributes[i].name == name {
			return i
		}
	}
	return -1
}

func (set systemSet) write(w *jsonWriter, m *received) {
	if set == 0 {
		return
	}
	w.key("Attributes")
	w.open('{')
	for i := range systemAttributes {
		if set&(1<<i) != 0 {
			w.text(systemAttributes[i].name, systemAttributes[i].get(m))
		}
	}
	w.close('}')
}
