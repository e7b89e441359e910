package sqsserver

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/partition"
)

// Defaults of Config.
const (
	DefaultAccount       = "000000000000"
	DefaultRegion        = "us-east-1"
	DefaultInFlightLimit = 120_000
	DefaultLogLimit      = 100_000
	DefaultBodyTimeout   = 30 * time.Second
)

// Config shapes a Server. The zero value is valid.
type Config struct {
	// Account is the twelve digit account of callers whose access key is not
	// itself twelve digits. Default: 000000000000.
	Account string
	// Region is the region of unsigned requests. Default: us-east-1.
	Region string
	// InFlightLimit is how many messages of a queue may be in flight at once, and
	// among how many of its oldest messages a FIFO queue looks for groups.
	// Default: 120,000, as on AWS.
	InFlightLimit int
	// LogLimit is how many calls the call log keeps; older ones are forgotten
	// (their counts are not). Negative: none. Default: 100,000.
	LogLimit int
	// BodyTimeout is how long the body of a request on a port may take. Default:
	// 30 s.
	BodyTimeout time.Duration
	// NoCooldown turns off the waits of 60 s between two purges of a queue and
	// between a queue's deletion and the next of that name. Default: they hold.
	NoCooldown bool
	// PolicySpread is how long a policy that a queue was made or changed with takes
	// until SNS sees it; on AWS up to 60 s. Default: none.
	PolicySpread time.Duration
	// NoHistory forgets a message when it leaves its queue, for servers that run
	// long. Default: receive counts and deletions are kept for the tests' views.
	NoHistory bool
}

// Server is SQS in one process. It is safe for concurrent use; make one with New.
type Server struct {
	cfg Config

	// faults and log have locks of their own: a call passes them without
	// touching the queues.
	faults faultTable
	log    callLog

	// mu guards everything below and all that hangs on it: queues, messages,
	// shelves, waiters. It is taken by lock and left by unlock, never directly.
	mu        sync.Mutex
	queues    map[queueKey]*queue
	buried    map[queueKey]time.Time // when a queue of that name was deleted
	authorize func(action, queueARN string) error
	bound     map[string]*policy // by access key
	serial    uint64             // last number given to a queue, message, receipt or request
	dirty     []*queue           // queues whose waiters must be looked at before mu is left
}

// queueKey tells queues apart. Two accounts, or two regions of one account, may
// use the same name.
type queueKey struct{ account, region, name string }

func (k queueKey) arn() string {
	return "arn:" + partition.Of(k.region) + ":sqs:" + k.region + ":" + k.account + ":" + k.name
}

// New returns a server without queues.
func New(cfg Config) *Server {
	if cfg.Account == "" {
		cfg.Account = DefaultAccount
	}
	if cfg.Region == "" {
		cfg.Region = DefaultRegion
	}
	if cfg.InFlightLimit == 0 {
		cfg.InFlightLimit = DefaultInFlightLimit
	}
	if cfg.LogLimit == 0 {
		cfg.LogLimit = DefaultLogLimit
	}
	if cfg.BodyTimeout == 0 {
		cfg.BodyTimeout = DefaultBodyTimeout
	}
	return &Server{
		cfg:    cfg,
		log:    callLog{limit: max(cfg.LogLimit, 0)},
		queues: make(map[queueKey]*queue),
		buried: make(map[queueKey]time.Time),
		bound:  make(map[string]*policy),
	}
}

// SetAuthorize installs a rule that is asked before each call with the IAM
// action ("SendMessage" for its batch form too) and the queue's ARN. An error
// refuses the call as AccessDenied with the error's text. nil allows all. The rule
// is asked under the server's lock: it must not call the server.
func (s *Server) SetAuthorize(rule func(action, queueARN string) error) {
	s.lock()
	defer s.unlock()
	s.authorize = rule
}

// lock takes the server's state.
func (s *Server) lock() { s.mu.Lock() }

// unlock gives waiting polls what has become available meanwhile and leaves the
// state. Serving them here, and not where a message appears, keeps a queue from
// being changed by another queue's poll in the middle of a walk over it.
func (s *Server) unlock() {
	for len(s.dirty) > 0 {
		q := s.dirty[len(s.dirty)-1]
		s.dirty = s.dirty[:len(s.dirty)-1]
		q.dirty = false
		q.serveWaiters(time.Now())
	}
	s.mu.Unlock()
}

// Clear takes all queues away, with no wait for their names, and frees all access
// keys. Polls that wait are told that their queue is gone. Faults and the log stay.
func (s *Server) Clear() {
	s.lock()
	defer s.unlock()
	now := time.Now()
	for _, q := range s.queues {
		s.remove(q, now)
	}
	clear(s.buried)
	clear(s.bound)
}

func (s *Server) nextSerial() uint64 {
	s.serial++
	return s.serial
}

// uuid returns the next identifier in the form of a UUID. They count up, so a
// test run is the same each time and a dump reads in the order of sending.
func (s *Server) uuid() string {
	const form = "00000000-0000-4000-8000-000000000000"
	n := strconv.FormatUint(s.nextSerial(), 16)
	return form[:max(len(form)-len(n), 24)] + n
}

// locate finds the queue of a URL. The host is not looked at: in tests it is
// whatever the client dialled. A name alone is taken too, as AWS does for
// queues of the caller.
func (s *Server) locate(id identity, url string) (*queue, error) {
	if url == "" {
		return nil, errMissing.with("The request must contain the parameter QueueUrl.")
	}
	key, ok := splitURL(id, url)
	if !ok {
		return nil, errAddress.with("The address %s is not valid for this endpoint.", url)
	}
	q := s.queues[key]
	if q == nil {
		return nil, errNoQueue
	}
	return q, nil
}

func splitURL(id identity, url string) (queueKey, bool) {
	key := queueKey{account: id.account, region: id.region}
	if i := strings.Index(url, "://"); i >= 0 {
		url = url[i+3:]
		slash := strings.IndexByte(url, '/')
		if slash < 0 {
			return key, false
		}
		url = url[slash+1:]
	}
	url = strings.Trim(url, "/")
	if account, name, ok := strings.Cut(url, "/"); ok {
		key.account, key.name = account, name
	} else {
		key.name = url
	}
	return key, key.name != "" && !strings.Contains(key.name, "/")
}

// nameOf is the queue's name in a URL, an ARN or a name.
func (s *Server) nameOf(id identity, target string) string {
	if key, ok := splitARN(target); ok {
		return key.name
	}
	key, _ := splitURL(id, target)
	return key.name
}

// byARN finds a queue by its ARN, or nil.
func (s *Server) byARN(arn string) *queue {
	key, ok := splitARN(arn)
	if !ok {
		return nil
	}
	return s.queues[key]
}

func splitARN(arn string) (queueKey, bool) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "sqs" || parts[3] == "" || parts[4] == "" || parts[5] == "" {
		return queueKey{}, false
	}
	return queueKey{region: parts[3], account: parts[4], name: parts[5]}, true
}
