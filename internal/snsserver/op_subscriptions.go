package snsserver

import "time"

// find is the subscription that a request names, which the caller may look at or
// change. The caller holds the lock.
func (s *Server) find(c *call) (*subscription, error) {
	value := c.form.get("SubscriptionArn")
	if err := readSubscriptionARN(value); err != nil {
		return nil, err
	}
	sub := s.subs[value]
	if sub == nil {
		return nil, errNoSubscription
	}
	if s.newest(sub.topic, time.Now()); sub.gone {
		return nil, errNoSubscription
	}
	return sub, s.allowSubscription(c, sub)
}

// getSubscriptionAttributes is GetSubscriptionAttributes.
func (s *Server) getSubscriptionAttributes(c *call, w *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, err := s.find(c)
	if err != nil {
		return err
	}
	all := sub.all()
	w.entries("Attributes", sortedKeys(all), all)
	return nil
}

// setSubscriptionAttributes is SetSubscriptionAttributes. What AWS takes up to 15
// minutes to apply, a new filter policy, counts at once.
func (s *Server) setSubscriptionAttributes(c *call, _ *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, err := s.find(c)
	if err != nil {
		return err
	}
	name, value := c.form.get("AttributeName"), c.form.get("AttributeValue")
	if name == "FilterPolicy" && value != "" && sub.filter == nil {
		if err := s.filterLimits(sub.topic); err != nil {
			return err
		}
	}
	return sub.set(name, value, "Invalid parameter: ")
}

// listSubscriptions is ListSubscriptions: those of the caller's account.
func (s *Server) listSubscriptions(c *call, w *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ask(c, "*"); err != nil {
		return err
	}
	now := time.Now()
	for _, t := range s.topics {
		s.newest(t, now)
	}
	var all []*subscription
	for _, sub := range s.subs {
		if sub.owner == c.id.account && sub.topic.arn.region == c.id.region {
			all = append(all, sub)
		}
	}
	return writeSubscriptions(c, w, all)
}

// listSubscriptionsByTopic is ListSubscriptionsByTopic.
func (s *Server) listSubscriptionsByTopic(c *call, w *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.open(c, "TopicArn")
	if err != nil {
		return err
	}
	return writeSubscriptions(c, w, append([]*subscription(nil), t.subs...))
}

func writeSubscriptions(c *call, w *xmlWriter, all []*subscription) error {
	page, next, err := paginate(all, func(sub *subscription) uint64 { return sub.serial }, c.form.get("NextToken"))
	if err != nil {
		return err
	}
	w.open("Subscriptions")
	for _, sub := range page {
		w.open("member")
		w.text("TopicArn", sub.topic.arn.String())
		w.text("Protocol", "sqs")
		if sub.pending {
			w.text("SubscriptionArn", pendingList)
		} else {
			w.text("SubscriptionArn", sub.arn)
		}
		w.text("Owner", sub.owner)
		w.text("Endpoint", sub.endpoint)
		w.close("member")
	}
	w.close("Subscriptions")
	w.optional("NextToken", next)
	return nil
}
