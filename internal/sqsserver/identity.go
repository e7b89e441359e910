package sqsserver

import (
	"strings"

	"github.com/holdfast-go/holdfast/internal/partition"
)

// identity is who calls, as far as the signature's scope tells. Signatures are
// not checked: any credentials are good in a test.
type identity struct {
	accessKey string
	account   string
	region    string
}

// identify reads the credential scope of a Signature Version 4 header:
//
//	AWS4-HMAC-SHA256 Credential=AKID/20260102/us-east-1/sqs/aws4_request, SignedHeaders=...
//
// An access key of twelve digits is taken for the account, so that a test can be
// several accounts at once.
func (s *Server) identify(authorization string) identity {
	id := identity{account: s.cfg.Account, region: s.cfg.Region}
	_, scope, ok := strings.Cut(authorization, "Credential=")
	if !ok {
		return id
	}
	if end := strings.IndexAny(scope, ", "); end >= 0 {
		scope = scope[:end]
	}
	key, rest, ok := strings.Cut(scope, "/")
	if !ok || key == "" {
		return id
	}
	id.accessKey = key
	if isAccount(key) {
		id.account = key
	}
	if _, rest, ok = strings.Cut(rest, "/"); !ok {
		return id
	}
	if region, _, ok := strings.Cut(rest, "/"); ok && region != "" {
		id.region = region
	}
	return id
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

// sender is the SenderId attribute of messages this caller sends.
func (id identity) sender() string {
	if id.accessKey != "" {
		return id.accessKey
	}
	return id.account
}

// principal is the ARN of the caller: a user of the name of its access key.
func (id identity) principal() string {
	return "arn:" + partition.Of(id.region) + ":iam::" + id.account + ":user/" + id.sender()
}

// iamAction is the permission an action needs: batches need that of their
// single form.
func iamAction(action string) string { return strings.TrimSuffix(action, "Batch") }
