// Package queueref reads what names a queue: a name, a URL or an ARN, and the
// attributes that SQS tells of it.
package queueref

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/internal/partition"
)

// Parse takes a queue by name, URL or ARN and fills in what that tells: always
// Name and FIFO, and URL or ARN. The error says what was expected.
func Parse(s string) (q holdfast.Queue, err error) {
	switch {
	case strings.HasPrefix(s, "arn:"):
		parts := strings.Split(s, ":")
		if len(parts) != 6 || parts[2] != "sqs" || parts[3] == "" || parts[4] == "" {
			return q, errors.New("an ARN of SQS, arn:aws:sqs:region:account:name")
		}
		q.ARN, q.Name = s, parts[5]
	case strings.Contains(s, "://"):
		// Nothing may come behind the name, not even an empty query or fragment: the
		// URL is sent as it is, and its siblings' are made from it.
		u, err := url.Parse(s)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Path == "" || strings.ContainsAny(s, "?#") {
			return q, errors.New("a queue URL, https://sqs.region.amazonaws.com/account/name")
		}
		q.URL, q.Name = s, s[strings.LastIndex(s, "/")+1:]
	default:
		q.Name = s
	}
	if !validName(q.Name) {
		return q, errors.New("the name, URL or ARN of a queue, whose name is 1 to 80 letters, digits, - and _, with .fifo at its end for a FIFO queue")
	}
	q.FIFO = strings.HasSuffix(q.Name, ".fifo")
	return q, nil
}

// validName tells whether s can be a queue's name [CreateQueue].
func validName(s string) bool {
	if len(s) > 80 {
		return false
	}
	s = strings.TrimSuffix(s, ".fifo")
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return s != ""
}

// Region is the region in the ARN, or in a URL of AWS or LocalStack; empty where
// neither tells one.
func Region(q holdfast.Queue) string {
	if parts := strings.Split(q.ARN, ":"); len(parts) == 6 {
		return parts[3]
	}
	u, err := url.Parse(q.URL)
	if err != nil {
		return ""
	}
	parts := strings.Split(u.Hostname(), ".")
	switch {
	case len(parts) < 4:
	case parts[0] == "sqs" && (parts[2] == "localhost" || strings.Join(parts[2:], ".") == partition.Domain(parts[1])):
		return parts[1]
	case parts[1] == "queue" && strings.Join(parts[2:], ".") == partition.Domain(parts[0]): // the legacy form
		return parts[0]
	}
	return ""
}

// ARN is the ARN of a queue as far as it is known, for messages about it.
func ARN(q holdfast.Queue, region string) string {
	if q.ARN != "" {
		return q.ARN
	}
	account := "*"
	if parts := strings.Split(q.URL, "/"); len(parts) > 4 {
		account = parts[len(parts)-2]
	}
	return fmt.Sprintf("arn:%s:sqs:%s:%s:%s", partition.Of(region), region, account, q.Name)
}

// ReadAttributes takes over what GetQueueAttributes tells. An attribute that is
// missing leaves its field alone; one that cannot be read is an error.
func ReadAttributes(q *holdfast.Queue, attributes map[string]string) error {
	q.Attributes = attributes
	if arn := attributes["QueueArn"]; arn != "" {
		q.ARN = arn
	}
	if attributes["FifoQueue"] == "true" {
		q.FIFO = true
	}
	if v := attributes["MessageRetentionPeriod"]; v != "" {
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return fmt.Errorf("queue attribute MessageRetentionPeriod is %q; a number of seconds was expected", v)
		}
		q.Retention = time.Duration(n) * time.Second
	}
	if v := attributes["RedrivePolicy"]; v != "" {
		var p struct {
			Target string          `json:"deadLetterTargetArn"`
			Max    json.RawMessage `json:"maxReceiveCount"`
		}
		if err := json.Unmarshal([]byte(v), &p); err != nil {
			return fmt.Errorf("queue attribute RedrivePolicy is %q: %w", v, err)
		}
		// SQS takes the count as a number and as a string, gives back either, and
		// means 10 where there is none [CreateQueue].
		n, err := 10, error(nil)
		if len(p.Max) > 0 {
			n, err = strconv.Atoi(strings.Trim(string(p.Max), `"`))
		}
		if err != nil || p.Target == "" {
			return fmt.Errorf("queue attribute RedrivePolicy is %q; deadLetterTargetArn and maxReceiveCount were expected", v)
		}
		q.DeadLetterARN, q.MaxReceiveCount = p.Target, n
	}
	return nil
}

// Sibling is the URL of the queue with the given ARN where it is in the account
// and region of the queue with the given URL, as a dead-letter queue is.
func Sibling(queueURL, arn string) string {
	return queueURL[:strings.LastIndex(queueURL, "/")+1] + arn[strings.LastIndex(arn, ":")+1:]
}
