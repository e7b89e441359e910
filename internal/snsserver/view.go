package snsserver

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// TopicView is a copy of a topic.
type TopicView struct {
	ARN, Name     string
	FIFO          bool
	Attributes    map[string]string // as GetTopicAttributes tells them
	Tags          map[string]string
	Subscriptions []SubscriptionView // in the order they were made
}

// SubscriptionView is a copy of a subscription.
type SubscriptionView struct {
	ARN, Topic, Queue string // ARNs
	Owner             string // account
	Pending           bool
	// Token confirms a pending subscription.
	Token      string
	Attributes map[string]string // as GetSubscriptionAttributes tells them
	// Underway is how many messages are not through: those that are tried again,
	// and those that wait behind them.
	Underway int
}

// Topics returns all topics by ARN, sorted.
func (s *Server) Topics() []TopicView {
	s.mu.Lock()
	defer s.mu.Unlock()
	views := make([]TopicView, 0, len(s.topics))
	for _, t := range s.topics {
		views = append(views, s.view(t))
	}
	slices.SortFunc(views, func(a, b TopicView) int { return cmp.Compare(a.ARN, b.ARN) })
	return views
}

// Topic returns a topic by its ARN.
func (s *Server) Topic(topicARN string) (v TopicView, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[topicARN]
	if t == nil {
		return v, false
	}
	return s.view(t), true
}

func (s *Server) view(t *topic) TopicView {
	s.newest(t, time.Now())
	v := TopicView{
		ARN: t.arn.String(), Name: t.name, FIFO: t.settings.fifo,
		Attributes: s.topicAttributes(t), Tags: maps.Clone(t.tags),
	}
	for _, sub := range t.subs {
		v.Subscriptions = append(v.Subscriptions, s.viewSubscription(sub))
	}
	return v
}

func (s *Server) viewSubscription(sub *subscription) SubscriptionView {
	v := SubscriptionView{
		ARN: sub.arn, Topic: sub.topic.arn.String(), Queue: sub.endpoint, Owner: sub.owner,
		Pending: sub.pending, Attributes: sub.all(),
	}
	if sub.pending {
		v.Token = sub.token
	}
	for _, d := range s.agenda.waiting {
		if d.sub == sub {
			v.Underway++
		}
	}
	for _, l := range sub.lanes {
		v.Underway += len(l.behind)
	}
	return v
}
