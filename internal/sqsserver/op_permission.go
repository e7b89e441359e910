package sqsserver

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/internal/partition"
)

// maxPermissionActions is how many actions AddPermission takes (AWS, "Amazon
// SQS policy quotas").
const maxPermissionActions = 7

// grantable is the actions that a queue's policy may open to other accounts
// (AWS, "Limitations of custom policies"). All others are the owner's.
var grantable = []string{
	"*", "SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility",
	"GetQueueAttributes", "GetQueueUrl", "ListDeadLetterSourceQueues", "PurgeQueue",
}

// addPermission is AddPermission: a statement of the Policy attribute.
type addPermission struct {
	QueueURL      string `json:"QueueUrl"`
	Label         string
	AWSAccountIDs []string `json:"AWSAccountIds"`
	Actions       []string
}

func (r *addPermission) target() string { return r.QueueURL }
func (r *addPermission) entries() int   { return 1 }

func (r *addPermission) serve(s *Server, c *call, _ *jsonWriter) error {
	now := time.Now()
	s.lock()
	defer s.unlock()
	q, err := s.open(c, r.QueueURL, now)
	if err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	doc, statements, err := q.policyDocument()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(statements, labelled(r.Label)) {
		return errParameter.with("Value %s for parameter Label is invalid. Reason: Already exists.", r.Label)
	}
	var principals, actions []string
	for _, account := range r.AWSAccountIDs {
		principals = append(principals, "arn:"+partition.Of(q.key.region)+":iam::"+account+":root")
	}
	for _, action := range r.Actions {
		actions = append(actions, "SQS:"+action)
	}
	return q.setPolicyDocument(doc, append(statements, map[string]any{
		"Sid":       r.Label,
		"Effect":    "Allow",
		"Principal": map[string]any{"AWS": oneOrMany(principals)},
		"Action":    oneOrMany(actions),
		"Resource":  q.arn,
	}), now)
}

func (r *addPermission) check() *Error {
	switch {
	case r.Label == "":
		return errMissing.with("The request must contain the parameter Label.")
	case !validBatchID(r.Label):
		return errParameter.with("Value %s for parameter Label is invalid. Reason: Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.", r.Label)
	case len(r.AWSAccountIDs) == 0:
		return errMissing.with("The request must contain the parameter AWSAccountIds.")
	case len(r.Actions) == 0:
		return errMissing.with("The request must contain the parameter Actions.")
	case len(r.Actions) > maxPermissionActions:
		return errOverLimit.with("%d Actions were found, maximum allowed is %d.", len(r.Actions), maxPermissionActions)
	}
	for _, account := range r.AWSAccountIDs {
		if !isAccount(account) {
			return errParameter.with("Value %s for parameter PrincipalId is invalid. Reason: Unable to verify.", account)
		}
	}
	for _, action := range r.Actions {
		switch {
		case slices.Contains(grantable, action):
		case operations[action] != nil && iamAction(action) == action:
			return errParameter.with("Value SQS:%s for parameter ActionName is invalid. Reason: Only the queue owner is allowed to invoke this action.", action)
		default:
			return errParameter.with("Value SQS:%s for parameter ActionName is invalid. Reason: Please refer to the appropriate WSDL for a list of valid actions.", action)
		}
	}
	return nil
}

// removePermission is RemovePermission.
type removePermission struct {
	QueueURL string `json:"QueueUrl"`
	Label    string
}

func (r *removePermission) target() string { return r.QueueURL }
func (r *removePermission) entries() int   { return 1 }

func (r *removePermission) serve(s *Server, c *call, _ *jsonWriter) error {
	now := time.Now()
	s.lock()
	defer s.unlock()
	q, err := s.open(c, r.QueueURL, now)
	if err != nil {
		return err
	}
	if r.Label == "" {
		return errMissing.with("The request must contain the parameter Label.")
	}
	doc, statements, err := q.policyDocument()
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(statements), labelled(r.Label))
	if len(kept) == len(statements) {
		return errParameter.with("Value %s for parameter Label is invalid. Reason: can't find label.", r.Label)
	}
	return q.setPolicyDocument(doc, kept, now)
}

func labelled(label string) func(any) bool {
	return func(statement any) bool {
		fields, ok := statement.(map[string]any)
		return ok && fields["Sid"] == label
	}
}

// oneOrMany is how policies write lists: one alone stands for itself.
func oneOrMany(list []string) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// policyDocument is the queue's policy for editing. What it does not know of
// stays as it is.
func (q *queue) policyDocument() (map[string]any, []any, error) {
	if q.settings.policy == "" {
		return map[string]any{"Version": "2008-10-17", "Id": q.arn + "/SQSDefaultPolicy"}, nil, nil
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(q.settings.policy), &doc); err != nil {
		return nil, nil, errAttributeValue.with("Invalid value for the parameter Policy.")
	}
	if many, ok := doc["Statement"].([]any); ok {
		return doc, many, nil
	}
	return doc, []any{doc["Statement"]}, nil
}

// setPolicyDocument replaces the queue's policy; one without statements is none.
func (q *queue) setPolicyDocument(doc map[string]any, statements []any, now time.Time) error {
	text := []byte{}
	if len(statements) > 0 {
		doc["Statement"] = statements
		var err error
		if text, err = json.Marshal(doc); err != nil {
			return err
		}
	}
	set := q.settings
	if err := set.apply(map[string]string{"Policy": string(text)}, false); err != nil {
		return err
	}
	q.settings, q.modified = set, now
	return nil
}
