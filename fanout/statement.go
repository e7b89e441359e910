package fanout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
)

const (
	// maxPolicyBytes and maxStatements bound a queue's policy [SQS, "Quotas related to
	// policies"].
	maxPolicyBytes = 8 << 10
	maxStatements  = 20

	snsPrincipal = "sns.amazonaws.com"
	// sidPrefix begins the Sid of every statement that this package writes.
	sidPrefix = "HoldfastFrom"
)

// statement is a statement of a queue's policy that lets a topic send.
type statement struct {
	Sid       string
	Effect    string
	Principal map[string]string
	Action    string
	Resource  string
	Condition map[string]map[string]string
}

// sendStatement lets one topic, of one account, send to one queue.
func sendStatement(topic, queue arn) statement {
	return statement{
		Sid:       sidOf(topic),
		Effect:    "Allow",
		Principal: map[string]string{"Service": snsPrincipal},
		Action:    "sqs:SendMessage",
		Resource:  queue.String(),
		Condition: map[string]map[string]string{
			"ArnEquals":    {"aws:SourceArn": topic.String()},
			"StringEquals": {"aws:SourceAccount": topic.account},
		},
	}
}

// sidOf names the statement for a topic: readable, of the letters that a Sid may
// have, and different for topics of one name in other places.
func sidOf(topic arn) string {
	sum := sha256.Sum256([]byte(topic.String()))
	name := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' {
			return -1
		}
		return r
	}, topic.name)
	return sidPrefix + name[:min(len(name), 40)] + hex.EncodeToString(sum[:4])
}

func (s *statement) text() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and maps of strings
	}
	return string(b)
}
