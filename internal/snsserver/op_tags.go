package snsserver

import "time"

// readTags reads the Tags of a request.
func readTags(f form) (map[string]string, error) {
	tags := make(map[string]string)
	err := f.list("Tags", "member", func(prefix string) error {
		key := f.get(prefix + ".Key")
		value, ok := f.lookup(prefix + ".Value")
		switch _, again := tags[key]; {
		case key == "" || len(key) > 128:
			return errParameter.with("Invalid parameter: Tags Reason: a tag's key has 1 to 128 characters, not %d", len(key))
		case !ok || len(value) > 256:
			return errParameter.with("Invalid parameter: Tags Reason: a tag has a value of at most 256 characters")
		case again:
			return errParameter.with("Invalid parameter: Duplicated keys are not allowed.")
		}
		tags[key] = value
		return nil
	})
	if len(tags) > maxTags {
		return nil, errTagLimit
	}
	return tags, err
}

// tagged finds the topic whose tags a request is about. The caller holds the
// lock.
func (s *Server) tagged(c *call) (*topic, error) {
	value := c.form.get("ResourceArn")
	if _, err := readARN("ResourceArn", value); err != nil {
		return nil, err
	}
	t := s.topics[value]
	if t == nil {
		return nil, errNoResource
	}
	if err := s.allow(c, t); err != nil {
		return nil, err
	}
	return s.newest(t, time.Now()), nil
}

// tagResource is TagResource.
func (s *Server) tagResource(c *call, _ *xmlWriter) error {
	tags, err := readTags(c.form)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.tagged(c)
	if err != nil {
		return err
	}
	n := len(t.tags)
	for key := range tags {
		if _, there := t.tags[key]; !there {
			n++
		}
	}
	if n > maxTags {
		return errTagLimit
	}
	for key, value := range tags {
		t.tags[key] = value
	}
	return nil
}

// untagResource is UntagResource. Keys that no tag has are fine.
func (s *Server) untagResource(c *call, _ *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.tagged(c)
	if err != nil {
		return err
	}
	for _, key := range c.form.strings("TagKeys") {
		delete(t.tags, key)
	}
	return nil
}

// listTags is ListTagsForResource.
func (s *Server) listTags(c *call, w *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.tagged(c)
	if err != nil {
		return err
	}
	w.open("Tags")
	for _, key := range sortedKeys(t.tags) {
		w.open("member")
		w.text("Key", key)
		w.text("Value", t.tags[key])
		w.close("member")
	}
	w.close("Tags")
	return nil
}
