package sqsserver

import (
	"maps"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of tags (AWS, "Amazon SQS cost allocation tags").
const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// tagQueue is TagQueue.
type tagQueue struct {
	QueueURL string `json:"QueueUrl"`
	Tags     map[string]string
}

func (r *tagQueue) target() string { return r.QueueURL }
func (r *tagQueue) entries() int   { return 1 }

func (r *tagQueue) serve(s *Server, c *call, _ *jsonWriter) error {
	s.lock()
	defer s.unlock()
	q, err := s.open(c, r.QueueURL, time.Now())
	if err != nil {
		return err
	}
	if len(r.Tags) == 0 {
		return errMissing.with("The request must contain the parameter Tags.")
	}
	tags := make(map[string]string, len(q.tags)+len(r.Tags))
	maps.Copy(tags, q.tags)
	maps.Copy(tags, r.Tags)
	if err := checkTags(tags); err != nil {
		return err
	}
	q.tags = tags
	return nil
}

// checkTags holds all tags of a queue against the rules.
func checkTags(tags map[string]string) *Error {
	if len(tags) > maxTags {
		return errParameter.with("Too many tags: %d, a queue may have %d.", len(tags), maxTags)
	}
	for _, key := range sortedKeys(tags) {
		switch n := utf8.RuneCountInString(key); {
		case n < 1 || n > maxTagKey:
			return errParameter.with("Tag key %q is not of 1 to %d characters.", key, maxTagKey)
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return errParameter.with("Tag key %q begins with aws:, which AWS keeps for itself.", key)
		}
		if n := utf8.RuneCountInString(tags[key]); n > maxTagValue {
			return errParameter.with("The value of tag %q has %d characters, at most %d are allowed.", key, n, maxTagValue)
		}
	}
	return nil
}

// untagQueue is UntagQueue. Keys that are not there are no error.
type untagQueue struct {
	QueueURL string `json:"QueueUrl"`
	TagKeys  []string
}

func (r *untagQueue) target() string { return r.QueueURL }
func (r *untagQueue) entries() int   { return 1 }

func (r *untagQueue) serve(s *Server, c *call, _ *jsonWriter) error {
	s.lock()
	defer s.unlock()
	q, err := s.open(c, r.QueueURL, time.Now())
	if err != nil {
		return err
	}
	if len(r.TagKeys) == 0 {
		return errMissing.with("The request must contain the parameter TagKeys.")
	}
	for _, key := range r.TagKeys {
		delete(q.tags, key)
	}
	return nil
}

// listQueueTags is ListQueueTags.
type listQueueTags struct {
	QueueURL string `json:"QueueUrl"`
}

func (r *listQueueTags) target() string { return r.QueueURL }
func (r *listQueueTags) entries() int   { return 1 }

func (r *listQueueTags) serve(s *Server, c *call, w *jsonWriter) error {
	s.lock()
	defer s.unlock()
	q, err := s.open(c, r.QueueURL, time.Now())
	if err != nil {
		return err
	}
	if len(q.tags) == 0 {
		return nil
	}
	w.key("Tags")
	w.open('{')
	for _, key := range sortedKeys(q.tags) {
		w.givenKey(key) // an empty value is a value
		w.value(q.tags[key])
	}
	w.close('}')
	return nil
}
