package sqsserver

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of SQS (AWS, "Amazon SQS message quotas").
const (
	maxMessageSize   = 1 << 20 // bytes of body and attributes, and of a whole batch
	maxBatch         = 10
	maxAttributes    = 10
	maxAttributeName = 256
	maxGroupID       = 128
	maxBatchID       = 80
	maxQueueName     = 80
	// maxRequest bounds a request's JSON: a full batch whose every byte is
	// written as \u0000, and room for the rest.
	maxRequest = 8 << 20
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

func validQueueName(name string) bool {
	base := strings.TrimSuffix(name, ".fifo")
	return base != "" && len(name) <= maxQueueName && wordy(base, "-_")
}

// validToken holds for MessageGroupId, MessageDeduplicationId and
// ReceiveRequestAttemptId: letters, digits and punctuation.
func validToken(s string) bool {
	return s != "" && len(s) <= maxGroupID && wordy(s, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
}

func validBatchID(s string) bool { return s != "" && len(s) <= maxBatchID && wordy(s, "-_") }

// validAttributeName follows SendMessage's rules for message attributes.
func validAttributeName(s string) bool {
	lower := strings.ToLower(s)
	return s != "" && len(s) <= maxAttributeName && wordy(s, "_-.") &&
		!strings.HasPrefix(lower, "aws.") && !strings.HasPrefix(lower, "amazon.") &&
		!strings.HasPrefix(s, ".") && !strings.HasSuffix(s, ".") && !strings.Contains(s, "..")
}

// badCharacter finds the first character that SQS refuses:
// all but #x9 | #xA | #xD | #x20-#xD7FF | #xE000-#xFFFD | #x10000-#x10FFFF.
func badCharacter(s string) (rune, bool) {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1, r < 0x20 && r != '\t' && r != '\n' && r != '\r', r == 0xFFFE, r == 0xFFFF:
			return r, true
		}
		i += n
	}
	return 0, false
}

// checkBatch holds the entries' number and ids against the rules every batch
// shares. These errors refuse the whole request.
func checkBatch(n int, entry string, id func(int) string) *Error {
	if n == 0 {
		return errBatchEmpty.with("There should be at least one %s in the request.", entry)
	}
	if n > maxBatch {
		return errBatchTooMany.with("Maximum number of entries per request are %d. You have sent %d.", maxBatch, n)
	}
	for i := range n {
		if !validBatchID(id(i)) {
			return errBatchID
		}
		for j := range i {
			if id(j) == id(i) {
				return errBatchIDsNotDistinct.with("Id %s repeated.", id(i))
			}
		}
	}
	return nil
}
