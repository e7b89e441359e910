package sqsserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Bind gives an access key an IAM policy that is enforced from then on: what it
// does not allow, or denies, is refused as AccessDenied. "" frees the key again.
// Keys without a policy may do everything in their account.
func (s *Server) Bind(accessKey, document string) error {
	var p *policy
	if document != "" {
		var err error
		if p, err = parsePolicy(document, false); err != nil {
			return fmt.Errorf("access key %q: %w", accessKey, err)
		}
	}
	s.lock()
	defer s.unlock()
	if p == nil {
		delete(s.bound, accessKey)
	} else {
		s.bound[accessKey] = p
	}
	return nil
}

// Policy returns a queue's access policy as SNS sees it, "" where it has none;
// exists is false where there is no such queue. SNS asks for it before it sends. One
// that was set less than Config.PolicySpread ago is not seen yet.
func (s *Server) Policy(queueARN string) (document string, exists bool) {
	exists = s.at(queueARN, func(q *queue) {
		if document = q.settings.policy; time.Since(q.policySet) < s.cfg.PolicySpread {
			document = q.policyBefore
		}
	})
	return document, exists
}

// Permit adds a statement to a queue's access policy, in place of one with its
// Sid. The error is an *Error.
func (s *Server) Permit(queueARN, sid string, statement map[string]any) error {
	s.lock()
	defer s.unlock()
	q := s.byARN(queueARN)
	if q == nil {
		return errNoQueue
	}
	doc, statements, err := q.policyDocument()
	if err != nil {
		return err
	}
	with := map[string]any{"Sid": sid}
	maps.Copy(with, statement)
	return q.setPolicyDocument(doc, append(slices.DeleteFunc(statements, labelled(sid)), with), time.Now())
}

// allow asks the tester's rule, the caller's policy and the queue's. The caller
// holds the lock.
func (s *Server) allow(c *call, q *queue) error { return s.allowTo(c, iamAction(c.action), q) }

// allowTo is allow for one of the several actions that a call needs.
func (s *Server) allowTo(c *call, action string, q *queue) error {
	if err := s.allowOwn(c, action, q.arn); err != nil {
		return err
	}
	allowed, denied := q.settings.access.ask(c.id, true, action, q.arn)
	switch {
	case denied:
		return refuse(c, action, q.arn, "with an explicit deny in a resource-based policy")
	case c.id.account != q.key.account && (!allowed || !slices.Contains(grantable, action)):
		return refuse(c, action, q.arn, "because no resource-based policy allows the sqs:"+strings.ToLower(action)+" action")
	}
	return nil
}

// allowOwn is allow for calls that are not about a queue that exists.
func (s *Server) allowOwn(c *call, action, arn string) error {
	if s.authorize != nil {
		if err := s.authorize(action, arn); err != nil {
			return refuse(c, action, arn, err.Error())
		}
	}
	if p := s.bound[c.id.accessKey]; p != nil {
		switch allowed, denied := p.ask(c.id, false, action, arn); {
		case denied:
			return refuse(c, action, arn, "with an explicit deny in an identity-based policy")
		case !allowed:
			return refuse(c, action, arn, "because no identity-based policy allows the sqs:"+strings.ToLower(action)+" action")
		}
	}
	return nil
}

func refuse(c *call, action, arn, why string) error {
	return errAccessDenied.with("User: %s is not authorized to perform: sqs:%s on resource: %s %s",
		c.id.principal(), strings.ToLower(action), arn, why)
}
