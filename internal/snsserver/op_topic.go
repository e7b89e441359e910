package snsserver

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/internal/partition"
)

// open finds the topic that a parameter names and asks for permission. The
// caller holds the lock.
func (s *Server) open(c *call, parameter string) (*topic, error) {
	value := c.form.get(parameter)
	a, err := readARN(parameter, value)
	if err != nil {
		return nil, err
	}
	if a.service != "sns" || a.region != c.id.region {
		return nil, errParameter.with("Invalid parameter: %s", parameter)
	}
	t := s.topics[value]
	if t == nil {
		return nil, errNoTopic
	}
	if err := s.allow(c, t); err != nil {
		return nil, err
	}
	return s.newest(t, time.Now()), nil
}

// createTopic is CreateTopic.
func (s *Server) createTopic(c *call, w *xmlWriter) error {
	tags, err := readTags(c.form)
	if err != nil {
		return err
	}
	if c.form.get("DataProtectionPolicy") != "" {
		return errUnsupported.with("DataProtectionPolicy is not supported: this server does not look into messages.")
	}
	names, attributes := c.form.attributes()
	s.mu.Lock()
	defer s.mu.Unlock()
	key := arn{partition.Of(c.id.region), "sns", c.id.region, c.id.account, c.form.get("Name")}
	if err := s.ask(c, key.String()); err != nil {
		return err
	}
	if err := s.create(key, names, attributes, tags); err != nil {
		return err
	}
	w.text("TopicArn", key.String())
	return nil
}

// create makes a topic, or finds that it is there just so.
func (s *Server) create(key arn, names []string, attributes, tags map[string]string) error {
	fifo := strings.EqualFold(attributes["FifoTopic"], "true")
	if !validTopicName(key.resource) || isFIFO(key.resource) != fifo {
		return errParameter.with("Invalid parameter: Topic Name")
	}
	fresh := &topic{
		arn: key, name: key.resource, owner: key.account,
		settings:   topicSettings{fifo: fifo, maxSize: defaultMaxSize, signature: "1"},
		attributes: make(map[string]string),
		tags:       tags,
	}
	for _, name := range names {
		if err := s.setTopicAttribute(fresh, name, attributes[name], true); err != nil {
			return err
		}
	}
	if old := s.topics[key.String()]; old != nil {
		have := s.topicAttributes(old)
		for name, value := range fresh.attributes {
			if cmp.Or(have[name], unshown[name]) != value {
				return errParameter.with("Invalid parameter: Attributes Reason: Topic already exists with different attributes")
			}
		}
		for key, value := range tags {
			if have, ok := old.tags[key]; !ok || have != value {
				return errParameter.with("Invalid parameter: Tags Reason: Topic already exists with different tags")
			}
		}
		return nil
	}
	fresh.serial = s.nextSerial()
	s.topics[key.String()] = fresh
	return nil
}

// unshown is the defaults that GetTopicAttributes does not tell.
var unshown = map[string]string{
	"SignatureVersion":   "1",
	"MaximumMessageSize": strconv.Itoa(defaultMaxSize),
	"TracingConfig":      "PassThrough",
}

// deleteTopic is DeleteTopic. Deleting one that is not there succeeds.
func (s *Server) deleteTopic(c *call, _ *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.open(c, "TopicArn")
	switch {
	case err == errNoTopic: //nolint:errorlint // the very value
		return nil
	case err != nil:
		return err
	}
	for len(t.subs) > 0 {
		s.remove(t.subs[len(t.subs)-1])
	}
	delete(s.topics, t.arn.String())
	return nil
}

// listTopics is ListTopics.
func (s *Server) listTopics(c *call, w *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ask(c, "*"); err != nil {
		return err
	}
	var all []*topic
	for _, t := range s.topics {
		if t.owner == c.id.account && t.arn.region == c.id.region {
			all = append(all, t)
		}
	}
	page, next, err := paginate(all, func(t *topic) uint64 { return t.serial }, c.form.get("NextToken"))
	if err != nil {
		return err
	}
	w.open("Topics")
	for _, t := range page {
		w.open("member")
		w.text("TopicArn", t.arn.String())
		w.close("member")
	}
	w.close("Topics")
	w.optional("NextToken", next)
	return nil
}

// paginate orders all by age and cuts out the page behind a token. A token names
// the last item of a page, so that what is made or deleted meanwhile neither
// repeats nor hides another.
func paginate[T any](all []T, serial func(T) uint64, token string) (page []T, next string, err error) {
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(serial(a), serial(b)) })
	if token != "" {
		text, err := hex.DecodeString(token)
		after, parse := strconv.ParseUint(string(text), 10, 64)
		if err != nil || parse != nil {
			return nil, "", errParameter.with("Invalid parameter: NextToken")
		}
		start, _ := slices.BinarySearchFunc(all, after, func(item T, after uint64) int {
			if serial(item) <= after {
				return -1
			}
			return 1
		})
		all = all[start:]
	}
	if len(all) <= pageSize {
		return all, "", nil
	}
	last := serial(all[pageSize-1])
	return all[:pageSize], hex.EncodeToString([]byte(strconv.FormatUint(last, 10))), nil
}
