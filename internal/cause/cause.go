// Package cause is the text that a dead-lettered message carries to tell why.
package cause

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

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
// takes in an attribute.
func (c Cause) Encode() string {
	c.Error = legible(c.Error)
	c.At = c.At.UTC()
	for {
		text, err := json.Marshal(c)
		if err != nil {
			// Only a year beyond 9999 cannot be encoded.
			c.At = time.Time{}
			continue
		}
		if len(text) <= Max || c.Error == "" {
			return string(text)
		}
		// Escapes make the JSON up to six times as long as the text: cut what is
		// surely too much and look again.
		cut := len(c.Error) - (len(text)-Max+5)/6
		for cut > 0 && !utf8.RuneStart(c.Error[cut]) {
			cut--
		}
		c.Error = c.Error[:max(0, cut)]
	}
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
