// Package cause is the text that a dead-lettered message carries to tell why.
package cause

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// Attribute is the message attribute that holds it.
const Attribute = "holdfast-cause"

// Max is the most bytes of an encoded cause.
const Max = 1024

// Cause tells why a message was dead-lettered.
type Cause struct {
	// Cause names the rule.
	Cause string `json:"cause"`
	// Error is the handler's error, shortened where Max demands it.
	Error string `json:"error"`
	// Attempt counts the runs.
	Attempt int `json:"attempt"`
	// Queue is the ARN of the queue it was dead-lettered from.
	Queue string `json:"queue"`
	// Message is its message id there.
	Message string `json:"message"`
	// At is when.
	At time.Time `json:"at"`
}

// Encode returns c as a JSON object of at most Max bytes, in characters that SQS
// takes in an attribute. Where that is too little for all of it the end of the
// error goes first: nothing else in it is long.
func (c Cause) Encode() string {
	c.At = c.At.UTC()
	texts := []*string{&c.Error, &c.Queue, &c.Message, &c.Cause}
	for _, text := range texts {
		*text = legible(head(*text, Max))
	}
	for {
		encoded, err := json.Marshal(c)
		if err != nil {
			// Only a year beyond 9999 cannot be encoded.
			c.At = time.Time{}
			continue
		}
		for len(texts) > 1 && *texts[0] == "" {
			texts = texts[1:]
		}
		if len(encoded) <= Max {
			return string(encoded)
		}
		// Escapes make the JSON up to six times as long as the text: cut what is
		// surely too much and look again.
		text := texts[0]
		*text = head(*text, len(*text)-(len(encoded)-Max+5)/6)
	}
}

// head returns as many whole characters of s as fit into n bytes.
func head(s string, n int) string {
	if n >= len(s) {
		return s
	}
	n = max(0, n)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Decode reads an encoded cause.
func Decode(s string) (c Cause, err error) {
	err = json.Unmarshal([]byte(s), &c)
	return c, err
}

// legible drops what SQS does not take in an attribute: all but the characters of
// XML 1.0 [SendMessage]. Invalid UTF-8 becomes the replacement character.
func legible(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' || (r >= 0x20 && r <= 0xD7FF) || (r >= 0xE000 && r <= 0xFFFD) || r >= 0x10000 {
			return r
		}
		return -1
	}, s)
}
