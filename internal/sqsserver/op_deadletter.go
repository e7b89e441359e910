package sqsserver

import (
	"cmp"
	"slices"
	"time"
)

// listDeadLetterSourceQueues is ListDeadLetterSourceQueues.
type listDeadLetterSourceQueues struct {
	QueueURL   string `json:"QueueUrl"`
	NextToken  string
	MaxResults *int
}

func (r *listDeadLetterSourceQueues) target() string { return r.QueueURL }
func (r *listDeadLetterSourceQueues) entries() int   { return 1 }

func (r *listDeadLetterSourceQueues) serve(s *Server, c *call, w *jsonWriter) error {
	limit, bad := pageSize(r.MaxResults)
	if bad != nil {
		return bad
	}
	s.lock()
	defer s.unlock()
	q, err := s.open(c, r.QueueURL, time.Now())
	if err != nil {
		return err
	}
	var names []string
	for _, source := range s.sourcesOf(q.arn) {
		names = append(names, source.key.name)
	}
	page, next, err := paginate(names, r.NextToken, limit)
	if err != nil {
		return err
	}
	w.key("queueUrls") // in lower case, and there when empty: so says the model
	w.open('[')
	for _, name := range page {
		w.sep()
		w.value(c.queueURL(queueKey{q.key.account, q.key.region, name}))
	}
	w.close(']')
	if r.MaxResults != nil {
		w.text("NextToken", next)
	}
	return nil
}

// sourcesOf is the queues that dead-letter into the one of an ARN, by their names:
// they are of its account and region, so those tell them apart.
func (s *Server) sourcesOf(arn string) []*queue {
	var sources []*queue
	for _, q := range s.queues {
		if q.settings.redrive != nil && q.settings.redrive.target == arn {
			sources = append(sources, q)
		}
	}
	slices.SortFunc(sources, func(a, b *queue) int { return cmp.Compare(a.key.name, b.key.name) })
	return sources
}
