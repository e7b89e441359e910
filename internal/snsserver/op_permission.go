package snsserver

import "slices"

// topicActions is what a topic's policy can be about.
var topicActions = []string{
	"AddPermission", "DeleteTopic", "GetTopicAttributes", "ListSubscriptionsByTopic", "ListTagsForResource",
	"Publish", "Receive", "RemovePermission", "SetTopicAttributes", "Subscribe", "TagResource", "UntagResource",
}

// addPermission is AddPermission: one more statement in the topic's policy.
func (s *Server) addPermission(c *call, _ *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.open(c, "TopicArn")
	if err != nil {
		return err
	}
	label, accounts, actions := c.form.get("Label"), c.form.strings("AWSAccountId"), c.form.strings("ActionName")
	switch {
	case label == "":
		return required("Label")
	case len(accounts) == 0:
		return required("AWSAccountId")
	case len(actions) == 0:
		return required("ActionName")
	}
	doc, statements, err := s.document(t)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(statements, labelled(label)) {
		return errParameter.with("Invalid parameter: Statement already exists")
	}
	var principals []any
	for _, account := range accounts {
		if !isAccount(account) {
			return errParameter.with("Invalid parameter: AWSAccountId Reason: %.50q is no account", account)
		}
		principals = append(principals, "arn:"+t.arn.partition+":iam::"+account+":root")
	}
	var names []any
	for _, action := range actions {
		if !slices.Contains(topicActions, action) && action != "*" {
			return errParameter.with("Invalid parameter: Policy statement action out of service scope!")
		}
		names = append(names, "SNS:"+action)
	}
	return s.replacePolicy(t, doc, append(statements, map[string]any{
		"Sid": label, "Effect": "Allow", "Principal": map[string]any{"AWS": principals},
		"Action": names, "Resource": t.arn.String(),
	}))
}

// removePermission is RemovePermission. A label that no statement has is fine.
func (s *Server) removePermission(c *call, _ *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.open(c, "TopicArn")
	if err != nil {
		return err
	}
	doc, statements, err := s.document(t)
	if err != nil {
		return err
	}
	label := labelled(c.form.get("Label"))
	if !slices.ContainsFunc(statements, label) {
		return nil
	}
	return s.replacePolicy(t, doc, slices.DeleteFunc(statements, label))
}

func labelled(label string) func(statement any) bool {
	return func(statement any) bool {
		fields, _ := statement.(map[string]any)
		return fields["Sid"] == label
	}
}
