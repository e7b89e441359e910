package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
)

// seed is the file of --load: what is there when the server starts.
type seed struct {
	Queues   []seedQueue                `json:"queues"`
	Topics   []seedTopic                `json:"topics"`
	Policies map[string]json.RawMessage `json:"policies"`
}

type seedQueue struct {
	Name       string     `json:"name"`
	Attributes attributes `json:"attributes"`
}

type seedTopic struct {
	Name          string             `json:"name"`
	Attributes    attributes         `json:"attributes"`
	Subscriptions []seedSubscription `json:"subscriptions"`
}

type seedSubscription struct {
	Queue      string     `json:"queue"`
	Attributes attributes `json:"attributes"`
}

// attributes are those of the AWS APIs, which are all texts. A number, a boolean
// or an object stands for its JSON.
type attributes map[string]string

func (a *attributes) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*a = make(attributes, len(raw))
	for name, v := range raw {
		var text string
		if v[0] != '"' { // what is no text stands for its JSON, compact
			var compact bytes.Buffer
			if err := json.Compact(&compact, v); err != nil {
				return err
			}
			text = compact.String()
		} else if err := json.Unmarshal(v, &text); err != nil {
			return err
		}
		if text == "null" {
			return fmt.Errorf("attributes.%s is null", name)
		}
		(*a)[name] = text
	}
	return nil
}

// readSeed reads the file of --load.
func readSeed(file string) (*seed, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s, err := parseSeed(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

func parseSeed(data []byte) (*seed, error) {
	var s seed
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(&s)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return &s, nil
		}
		err = errors.New("there is more after the end of the object")
	}
	line := 1 + bytes.Count(data[:min(int(d.InputOffset()), len(data))], []byte("\n"))
	return nil, fmt.Errorf("near line %d: %w", line, err)
}

// plant makes what the file names and tells all that cannot be made.
func (b *backend) plant(ctx context.Context, s *seed) error {
	now := b.state.Load()
	var problems []error
	bad := func(field, value string, given attributes, err error) {
		// The services name the attribute that they refuse, and not its value.
		for _, name := range slices.Sorted(maps.Keys(given)) {
			if strings.Contains(err.Error(), name) {
				field, value = field+".attributes."+name, given[name]
				break
			}
		}
		problems = append(problems, fmt.Errorf("%s %q: %w", field, value, err))
	}

	// Queues that dead-letter need the others to be there.
	order := make([]int, len(s.Queues))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		return len(s.Queues[i].Attributes["RedrivePolicy"]) - len(s.Queues[j].Attributes["RedrivePolicy"])
	})
	arns := make(map[string]string, len(s.Queues))
	for _, i := range order {
		q := s.Queues[i]
		given := maps.Clone(q.Attributes)
		if given == nil {
			given = make(attributes)
		}
		if strings.HasSuffix(q.Name, ".fifo") && given["FifoQueue"] == "" {
			given["FifoQueue"] = "true"
		}
		arn, err := now.sqs.Create(q.Name, given)
		if err != nil {
			bad(fmt.Sprintf("queues[%d]", i), q.Name, q.Attributes, err)
			continue
		}
		arns[q.Name] = arn
	}
	for i, t := range s.Topics {
		field := fmt.Sprintf("topics[%d]", i)
		arn, err := now.sns.Create(t.Name, t.Attributes)
		if err != nil {
			bad(field, t.Name, t.Attributes, err)
			continue
		}
		for j, sub := range t.Subscriptions {
			if err := now.subscribe(ctx, t.Name, arn, arns[sub.Queue], sub.Attributes); err != nil {
				bad(fmt.Sprintf("%s.subscriptions[%d]", field, j), sub.Queue, sub.Attributes, err)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.Policies)) {
		if err := errors.Join(now.sqs.Bind(key, string(s.Policies[key])), now.sns.Bind(key, string(s.Policies[key]))); err != nil {
			bad("policies."+key, string(s.Policies[key]), nil, err)
		}
	}
	return errors.Join(problems...)
}

// subscribe lets a topic send to a queue and subscribes it.
func (s *state) subscribe(ctx context.Context, topic, topicARN, queueARN string, given attributes) error {
	if queueARN == "" {
		return errors.New("there is no such queue in this file")
	}
	err := s.sqs.Permit(queueARN, "holdfast-"+topic, map[string]any{
		"Effect":    "Allow",
		"Principal": map[string]any{"Service": "sns.amazonaws.com"},
		"Action":    "sqs:SendMessage",
		"Resource":  queueARN,
		"Condition": map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": topicARN}},
	})
	if err != nil {
		return err
	}
	form := url.Values{"Action": {"Subscribe"}, "TopicArn": {topicARN}, "Protocol": {"sqs"}, "Endpoint": {queueARN}}
	for i, name := range slices.Sorted(maps.Keys(given)) {
		form.Set(fmt.Sprintf("Attributes.entry.%d.key", i+1), name)
		form.Set(fmt.Sprintf("Attributes.entry.%d.value", i+1), given[name])
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sns.invalid", strings.NewReader(form.Encode())) // it never leaves the process
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := s.sns.Transport().RoundTrip(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusOK {
		return nil
	}
	var refused struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	if err := xml.NewDecoder(res.Body).Decode(&refused); err != nil {
		return err
	}
	return errors.New(refused.Code + ": " + refused.Message)
}
