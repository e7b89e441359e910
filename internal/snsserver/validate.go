package snsserver

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of SNS (AWS, "Amazon SNS endpoints and quotas", and the API's reference).
const (
	defaultMaxSize   = 256 << 10 // bytes of body and attributes
	maxMaxSize       = 1 << 20
	minMaxSize       = 1 << 10
	maxLargeSubs     = 100 // subscriptions of a topic that takes more than the default
	maxBatch         = 10
	maxBatchID       = 80
	maxToken         = 128
	maxTopicName     = 256
	maxTags          = 50
	maxSubject       = 99 // "less than 100 characters long"
	maxDisplayName   = 100
	maxAttributeName = 256
	maxSQSAttributes = 10 // of a message with raw delivery
	maxFilterTopic   = 200
	maxFilterAccount = 10_000
	pageSize         = 100
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// wordy says whether s consists of letters, digits and the extra characters.
func wordy(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte(extra, c) >= 0:
		default:
			return false
		}
	}
	return true
}

func validTopicName(name string) bool {
	base := strings.TrimSuffix(name, ".fifo")
	return base != "" && len(name) <= maxTopicName && wordy(base, "-_")
}

// validToken holds for MessageGroupId and MessageDeduplicationId: letters, digits
// and punctuation.
func validToken(s string) bool {
	return s != "" && len(s) <= maxToken && wordy(s, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
}

func validBatchID(s string) bool { return s != "" && len(s) <= maxBatchID && wordy(s, "-_") }

// validSubject: text without line breaks and control characters, below 100
// characters.
func validSubject(s string) bool {
	if s == "" || utf8.RuneCountInString(s) > maxSubject || !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

func boolean(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// nameProblem is what AWS has against the name of a message attribute, "" for
// nothing.
func nameProblem(name string) string {
	switch {
	case name == "":
		return "The message attribute name must not be empty."
	case len(name) > maxAttributeName:
		return "Length of message attribute name must be less than 256 bytes."
	case name[0] == '.':
		return "Invalid message attribute name starting with character '.' was found."
	case name[len(name)-1] == '.':
		return "Invalid message attribute name ending with character '.' was found."
	case strings.Contains(name, ".."):
		return "Message attribute name can not have successive '.' character."
	}
	for _, r := range name {
		if r >= utf8.RuneSelf || !wordy(string(r), "_-.") {
			return "Invalid non-alphanumeric character '#x" + strings.ToUpper(strconv.FormatInt(int64(r), 16)) + "' was found in the message attribute name. Can only include alphanumeric characters, hyphens, underscores, or dots."
		}
	}
	lower := strings.ToLower(name)
	if strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") {
		return "Message attribute name must not start with 'AWS.' or 'Amazon.'."
	}
	return ""
}
