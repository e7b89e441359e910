package sqsserver

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"
)

// cooldown is how long AWS makes one wait between two purges of a queue, and
// before a deleted queue's name may be used again.
const cooldown = 60 * time.Second

func (c *call) queueURL(key queueKey) string {
	return c.base + "/" + key.account + "/" + key.name
}

// createQueue is CreateQueue.
type createQueue struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}

func (r *createQueue) target() string { return r.QueueName }
func (r *createQueue) entries() int   { return 1 }

func (r *createQueue) serve(s *Server, c *call, w *jsonWriter) error {
	if r.QueueName == "" {
		return errMissing.with("The request must contain the parameter QueueName.")
	}
	if !validQueueName(r.QueueName) {
		return errParameter.with("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	now := time.Now()
	s.lock()
	defer s.unlock()
	key := queueKey{c.id.account, c.id.region, r.QueueName}
	if err := s.allowOwn(c, iamAction(c.action), key.arn()); err != nil {
		return err
	}
	if err := s.create(key, r.Attributes, r.Tags, now); err != nil {
		return err
	}
	w.text("QueueUrl", c.queueURL(key))
	return nil
}

// create makes a queue, or accepts the one that is there if it says the same.
func (s *Server) create(key queueKey, attrs, tags map[string]string, now time.Time) error {
	set := defaultSettings()
	if err := set.apply(attrs, true); err != nil {
		return err
	}
	if set.fifo != strings.HasSuffix(key.name, ".fifo") {
		return errParameter.with("The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.")
	}
	if err := checkTags(tags); err != nil {
		return err
	}
	if q := s.queues[key]; q != nil {
		wanted := &queue{settings: set}
		for _, name := range sortedKeys(attrs) {
			if get := attributeByName[name].get; get(q) != get(wanted) {
				return errQueueExists.with("A queue already exists with the same name and a different value for attribute %s", name)
			}
		}
		return nil
	}
	if at, ok := s.buried[key]; ok && !s.cfg.NoCooldown && now.Sub(at) < cooldown {
		return errDeletedRecently
	}
	if err := s.checkRedrive(key, &set); err != nil {
		return err
	}
	delete(s.buried, key)
	q := newQueue(s, key, set, now)
	q.tags = maps.Clone(tags)
	s.queues[key] = q
	return nil
}

// getQueueURL is GetQueueUrl.
type getQueueURL struct {
	QueueName              string
	QueueOwnerAWSAccountID string `json:"QueueOwnerAWSAccountId"`
}

func (r *getQueueURL) target() string { return r.QueueName }
func (r *getQueueURL) entries() int   { return 1 }

func (r *getQueueURL) serve(s *Server, c *call, w *jsonWriter) error {
	if r.QueueName == "" {
		return errMissing.with("The request must contain the parameter QueueName.")
	}
	key := queueKey{c.id.account, c.id.region, r.QueueName}
	if r.QueueOwnerAWSAccountID != "" {
		key.account = r.QueueOwnerAWSAccountID
	}
	s.lock()
	defer s.unlock()
	q := s.queues[key]
	if q == nil {
		if err := s.allowOwn(c, iamAction(c.action), key.arn()); err != nil {
			return err
		}
		return errNoQueue
	}
	if err := s.allow(c, q); err != nil {
		return err
	}
	w.text("QueueUrl", c.queueURL(key))
	return nil
}

// listQueues is ListQueues.
type listQueues struct {
	QueueNamePrefix string
	NextToken       string
	MaxResults      *int
}

func (r *listQueues) target() string { return "" }
func (r *listQueues) entries() int   { return 1 }

func (r *listQueues) serve(s *Server, c *call, w *jsonWriter) error {
	limit, bad := pageSize(r.MaxResults)
	if bad != nil {
		return bad
	}
	s.lock()
	defer s.unlock()
	if err := s.allowOwn(c, iamAction(c.action), queueKey{c.id.account, c.id.region, "*"}.arn()); err != nil {
		return err
	}
	var names []string
	for key := range s.queues {
		if key.account == c.id.account && key.region == c.id.region && strings.HasPrefix(key.name, r.QueueNamePrefix) {
			names = append(names, key.name)
		}
	}
	page, next, err := paginate(names, r.NextToken, limit)
	if err != nil {
		return err
	}
	if len(page) > 0 {
		w.key("QueueUrls")
		w.open('[')
		for _, name := range page {
			w.sep()
			w.value(c.queueURL(queueKey{c.id.account, c.id.region, name}))
		}
		w.close(']')
	}
	if r.MaxResults != nil { // AWS pages only for those who ask
		w.text("NextToken", next)
	}
	return nil
}

// pageSize reads the MaxResults of the two lists of queues.
func pageSize(given *int) (int, *Error) {
	const most = 1000
	if given == nil {
		return most, nil
	}
	if *given < 1 || *given > most {
		return 0, errParameter.with("Value %d for parameter MaxResults is invalid. Reason: MaxResults must be an integer between 1 and %d.", *given, most)
	}
	return *given, nil
}

// paginate sorts names and cuts out the page after token, which is the last
// name of the page before.
func paginate(names []string, token string, limit int) (page []string, next string, err error) {
	slices.Sort(names)
	if token != "" {
		last, bad := base64.RawURLEncoding.DecodeString(token)
		if bad != nil {
			return nil, "", errParameter.with("Value %s for parameter NextToken is invalid. Reason: Invalid or expired next token.", token)
		}
		i, found := slices.BinarySearch(names, string(last))
		if found {
			i++
		}
		names = names[i:]
	}
	if len(names) <= limit {
		return names, "", nil
	}
	return names[:limit], base64.RawURLEncoding.EncodeToString([]byte(names[limit-1])), nil
}

// deleteQueue is DeleteQueue.
type deleteQueue struct {
	QueueURL string `json:"QueueUrl"`
}

func (r *deleteQueue) target() string { return r.QueueURL }
func (r *deleteQueue) entries() int   { return 1 }

func (r *deleteQueue) serve(s *Server, c *call, _ *jsonWriter) error {
	now := time.Now()
	s.lock()
	defer s.unlock()
	q, err := s.open(c, r.QueueURL, now)
	if err != nil {
		return err
	}
	s.remove(q, now)
	s.buried[q.key] = now
	return nil
}

// remove ends a queue and all that hangs on it.
func (s *Server) remove(q *queue, now time.Time) {
	delete(s.queues, q.key)
	if t := q.activeMove(); t != nil {
		t.end(moveFailed, errNoQueue.Code)
	}
	q.clear(now)
	q.failWaiters(errNoQueue)
}

// purgeQueue is PurgeQueue.
type purgeQueue struct {
	QueueURL string `json:"QueueUrl"`
}

func (r *purgeQueue) target() string { return r.QueueURL }
func (r *purgeQueue) entries() int   { return 1 }

func (r *purgeQueue) serve(s *Server, c *call, _ *jsonWriter) error {
	now := time.Now()
	s.lock()
	defer s.unlock()
	q, err := s.open(c, r.QueueURL, now)
	if err != nil {
		return err
	}
	if !s.cfg.NoCooldown && !q.purged.IsZero() && now.Sub(q.purged) < cooldown {
		return errPurgeInProgress.with("Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.key.name)
	}
	q.purged = now
	q.clear(now)
	return nil
}
