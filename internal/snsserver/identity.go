package snsserver

import (
	"strings"

	"github.com/holdfast-go/holdfast/internal/partition"
)

// identity is who calls, as far as the signature's scope tells. Signatures are
// not checked: any credentials are good in a test.
type identity struct {
	accessKey string // "" for an unsigned request
	account   string
	region    string
}

// identify reads the credential scope of a Signature Version 4 header:
//
//	AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/sns/aws4_request, SignedHeaders=...
//
// An access key of twelve digits is taken for the account, so that a test can be
// several accounts at once.
func (s *Server) identify(authorization string) identity {
	id := identity{account: s.cfg.Account, region: s.cfg.Region}
	scope, ok := credential(authorization)
	if !ok {
		return id
	}
	key, rest, _ := strings.Cut(scope, "/")
	if key == "" {
		return id
	}
	id.accessKey = key
	if isAccount(key) {
		id.account = key
	}
	_, rest, _ = strings.Cut(rest, "/") // the date
	if region, _, ok := strings.Cut(rest, "/"); ok && region != "" {
		id.region = region
	}
	return id
}

// credential is the scope in an Authorization header.
func credential(authorization string) (string, bool) {
	_, scope, ok := strings.Cut(authorization, "Credential=")
	if end := strings.IndexAny(scope, ", "); end >= 0 {
		scope = scope[:end]
	}
	return scope, ok
}

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// principal is the ARN of the caller: a user of the name of its access key.
func (id identity) principal() string {
	if id.accessKey == "" {
		return "anonymous"
	}
	return "arn:" + partition.Of(id.region) + ":iam::" + id.account + ":user/" + id.accessKey
}

// context is what conditions of policies may ask of the caller.
func (id identity) context() map[string]string {
	return map[string]string{
		"aws:sourceowner":      id.account,
		"aws:principalaccount": id.account,
		"aws:principalarn":     id.principal(),
		"aws:securetransport":  "true",
	}
}

// iamAction is the permission an action needs: batches need that of their
// single form.
func iamAction(action string) string { return strings.TrimSuffix(action, "Batch") }
