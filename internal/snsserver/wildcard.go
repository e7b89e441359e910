package snsserver

import (
	"fmt"
	"strings"
)

// wildcard is a pattern in which * stands for any text: the pieces between the
// stars. \* and \\ are a star and a backslash.
type wildcard []string

// parseWildcard reads a pattern.
func parseWildcard(s string) (wildcard, error) {
	var pieces wildcard
	var piece strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '*':
			if i > 0 && s[i-1] == '*' && piece.Len() == 0 {
				return nil, fmt.Errorf("Consecutive wildcard characters at pos %d", i-1) //nolint:staticcheck // AWS's words
			}
			pieces = append(pieces, piece.String())
			piece.Reset()
		case c == '\\':
			if i++; i == len(s) || s[i] != '*' && s[i] != '\\' {
				return nil, fmt.Errorf("Invalid escape character at pos %d", i-1) //nolint:staticcheck // AWS's words
			}
			piece.WriteByte(s[i])
		default:
			piece.WriteByte(c)
		}
	}
	return append(pieces, piece.String()), nil
}

// match tells whether s fits. The leftmost place for each piece is as good as any.
func (w wildcard) match(s string) bool {
	last := len(w) - 1
	if last == 0 {
		return s == w[0]
	}
	s, ok := strings.CutPrefix(s, w[0])
	if !ok {
		return false
	}
	for _, piece := range w[1:last] {
		_, rest, found := strings.Cut(s, piece)
		if !found {
			return false
		}
		s = rest
	}
	return strings.HasSuffix(s, w[last])
}

func (w wildcard) String() string { return strings.Join(w, "*") }
