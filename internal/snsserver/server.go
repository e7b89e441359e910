package snsserver

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/partition"
)

// Defaults of Config.
const (
	DefaultAccount  = "000000000000"
	DefaultRegion   = "us-east-1"
	DefaultLogLimit = 100_000
	// DefaultBodyTimeout is 30 s.
	DefaultBodyTimeout = 30 * time.Second
)

// Config shapes a Server. The zero value is valid.
type Config struct {
	// Account is the twelve digit account of callers whose access key is not
	// itself twelve digits. Default: 000000000000.
	Account string
	// Region is the region of unsigned requests. Default: us-east-1.
	Region string
	// Endpoint begins the URLs in envelopes: of the signing certificate, of
	// unsubscribing and of confirming. Default: https://sns.<region>.amazonaws.com,
	// as on AWS, which Transport answers too.
	Endpoint string
	// LogLimit is how many calls, published messages and deliveries are kept;
	// older ones are forgotten. Negative: none. Default: 100,000.
	LogLimit int
	// BodyTimeout is how long the body of a request on a port may take. Default:
	// 30 s.
	BodyTimeout time.Duration
	// NoSignature writes a placeholder where the signature of an envelope goes,
	// for tests that publish so much that signing (below a millisecond each) shows.
	// Default: envelopes are signed with RSA as on AWS.
	NoSignature bool
}

// Server is SNS in one process. It is safe for concurrent use; make one with New.
type Server struct {
	cfg Config

	// faults and log have locks of their own.
	faults faultTable
	log    callLog

	// mu guards everything below and all that hangs on it. Queues is called
	// under it: what was published first is sent first.
	mu        sync.Mutex
	queues    Queues
	topics    map[string]*topic        // by ARN
	subs      map[string]*subscription // by ARN
	tokens    map[string]*subscription // by the token of a confirmation
	agenda    agenda
	journal   journal
	policies  map[string]*policy // parsed policy documents, by their text
	bound     map[string]*policy // IAM policies by access key
	authorize func(action, topicARN string) error
	serial    uint64 // last number given to a topic, subscription, message or token
	sequence  uint64 // last SequenceNumber
}

// New returns a server without topics that delivers to queues. nil queues stands
// for an SQS without any queue.
func New(cfg Config, queues Queues) *Server {
	if cfg.Account == "" {
		cfg.Account = DefaultAccount
	}
	if cfg.Region == "" {
		cfg.Region = DefaultRegion
	}
	if cfg.LogLimit == 0 {
		cfg.LogLimit = DefaultLogLimit
	}
	if cfg.BodyTimeout == 0 {
		cfg.BodyTimeout = DefaultBodyTimeout
	}
	if queues == nil {
		queues = noQueues{}
	}
	return &Server{
		cfg:      cfg,
		queues:   queues,
		log:      callLog{calls: ring[*Call]{limit: cfg.LogLimit}},
		journal:  newJournal(cfg.LogLimit),
		topics:   make(map[string]*topic),
		subs:     make(map[string]*subscription),
		tokens:   make(map[string]*subscription),
		policies: make(map[string]*policy),
		bound:    make(map[string]*policy),
	}
}

// SetAuthorize installs a rule that is asked before each call with the IAM
// action ("Publish" for its batch form too) and the ARN of the topic, "*" for
// calls without one. An error refuses the call as AuthorizationError with the
// error's text. nil allows all. The rule is asked under the server's lock: it
// must not call the server.
func (s *Server) SetAuthorize(rule func(action, topicARN string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authorize = rule
}

func (s *Server) nextSerial() uint64 {
	s.serial++
	return s.serial
}

// uuid returns the next identifier in the form of a UUID. They count up, so a
// test run is the same each time and a dump reads in the order of publishing.
func (s *Server) uuid() string {
	return fmt.Sprintf("00000000-0000-4000-a000-%012x", s.nextSerial())
}

// endpoint begins the URLs that belong to a topic.
func (s *Server) endpoint(a arn) string {
	if s.cfg.Endpoint != "" {
		return strings.TrimSuffix(s.cfg.Endpoint, "/")
	}
	return "https://sns." + a.region + "." + partition.Domain(a.region)
}
