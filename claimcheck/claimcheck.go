// Package claimcheck keeps payloads that are too large for SQS and SNS in S3, and
// sends pointers to them instead.
//
// A Store serves both ends: as producer.Config.Offload it puts large bodies into its
// bucket, and in consumer.Config.Middleware it fetches them before the handler and
// deletes the object after SQS confirmed that the message was deleted, never before.
// Its pointers are those of AWS's extended client libraries, so that either end may
// be a program in another language.
//
// # Order of middleware
//
// List idempotency before the store, so that it is outside: a duplicate is then
// known by its pointer, and neither fetched nor mistaken when its object is gone
// already. Its payload check compares pointers then, and the pointer of a message
// with an idempotency key is made of its target, key and body: the same message sent
// twice to a queue has the same one, and sent to two queues an object at each, which
// the one cannot delete under the other.
//
// # What is not deleted
//
// An object that came by way of a topic is for all of its queues, so nobody deletes
// it. With raw delivery only the object's name can tell: a Store names those for a
// queue, which it deletes, unlike those for a topic. Other programs' names tell nothing,
// and neither do a Store's behind a prefix that is not the reader's and ends in no slash.
// AWS's extended SQS client for Java by default deletes each object after its message,
// which loses messages where its SNS client published one raw to several queues; a Store
// leaves foreign objects alone unless Config.DeleteForeign says that they came to the
// queue directly.
//
// Objects of messages that were never sent, dead-lettered or lost to retention
// stay too, and those of a process that ended just then. Give the bucket a lifecycle
// rule that expires objects after the longest time that a message can take: its
// retention, that of its dead-letter queue, and the retention again after a redrive.
package claimcheck

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/holdfast-go/holdfast"
)

// S3API is what is called of the SDK's client; *s3.Client has it, and *Memory for
// tests.
type S3API interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
}

// Config configures a Store. Bucket is required; the rest of the zero value is a good
// production configuration.
type Config struct {
	// Bucket is where large payloads go. 3 to 63 lower-case letters, digits, '.' and
	// '-'. Default: none, it is required.
	Bucket string
	// Prefix is what the keys of objects begin with. Pointers to other keys are not
	// followed, so give one where the bucket has other things in it. At most 512
	// bytes. Default: "", the whole bucket is for payloads.
	Prefix string
	// Buckets are further buckets whose pointers are followed, with the same Prefix.
	// Anyone who may send to the queue can write a pointer, so all others are refused.
	// Default: none, only Bucket.
	Buckets []string
	// MaxBytes is the largest payload that is put or fetched, in bytes, 1 to 2 GiB. As
	// many as there are handlers may be in memory at once, beside what the consumer's
	// HeldBytes counts. Default: 64 MiB.
	MaxBytes int64
	// Keep leaves objects where they are after their message was deleted.
	// Default: false, they are deleted.
	Keep bool
	// DeleteForeign deletes objects that other programs named too, as AWS's extended SQS
	// client does. Set it only where no topic delivers foreign pointers raw to the
	// queue: they look the same, and their objects are for other queues as well.
	// Default: false, only what a Store named for a queue is deleted.
	DeleteForeign bool
	// Logger is told of objects that could not be deleted. Default: silent.
	Logger *slog.Logger
}

// ErrPointer is wrapped where a message points to what the store does not follow: a
// foreign bucket, or a key without the prefix. The message is dead-lettered.
var ErrPointer = errors.New("claimcheck: the message points to an object that is not the store's")

// ErrGone is wrapped where the object of a message does not exist. The message is
// dead-lettered.
var ErrGone = errors.New("claimcheck: the message's object does not exist")

// ErrTooLarge is wrapped where a payload is larger than Config.MaxBytes. A message
// that points to one is dead-lettered.
var ErrTooLarge = errors.New("claimcheck: the payload is larger than Config.MaxBytes")

const (
	// SizeAttribute is the message attribute that marks a pointer and tells the
	// payload's size.
	SizeAttribute = "ExtendedPayloadSize"
	// LegacySizeAttribute is what older clients wrote for it. It is read too.
	LegacySizeAttribute = "SQSLargePayloadSize"

	keyAttribute = "idempotency-key" // producer.KeyAttribute
	forQueue     = "queue-"          // begins the names of objects that are for one queue
	shared       = "shared-"         // and of those that nobody deletes
)

// Names of a Store are told by their forms. What others name, and a prefix, may begin
// with the same words, so that a name for a queue begins where the store's own prefix
// or a directory ends, and has nothing of a shared one in it.
var (
	forms       = `(?:[A-Z2-7]{26}|[A-Za-z0-9_-]{43})$`
	namedShared = regexp.MustCompile(shared + forms)
	namedQueue  = regexp.MustCompile(`(?:^|/)` + forQueue + forms)
)

// Store keeps payloads in a bucket. Make one with New. Safe for concurrent use, also
// by a producer and several consumers at once.
type Store struct {
	client S3API
	cfg    Config

	mu      sync.Mutex // guards all below
	queue   []pointer  // to be deleted
	workers int
	idle    chan struct{} // closed when nothing is to be deleted; nil when nobody waits
}

// New makes a store on an S3 client. It validates everything, does no I/O and
// returns all problems joined.
func New(client S3API, cfg Config) (*Store, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 64 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	bad := func(field string, value any, bound string) {
		errs = append(errs, fmt.Errorf("claimcheck: %s is %v; it must be %s", field, value, bound))
	}
	if v := reflect.ValueOf(client); client == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		bad("client", "nil", "an S3API, such as *s3.Client")
	}
	const bucket = "3 to 63 lower-case letters, digits, '.' and '-'"
	if !bucketName.MatchString(cfg.Bucket) {
		bad("Bucket", strconv.Quote(cfg.Bucket), bucket)
	}
	for i, b := range cfg.Buckets {
		if !bucketName.MatchString(b) {
			bad(fmt.Sprintf("Buckets[%d]", i), strconv.Quote(b), bucket)
		}
	}
	if len(cfg.Prefix) > 512 {
		bad("Prefix", fmt.Sprintf("%d bytes long", len(cfg.Prefix)), "at most 512")
	}
	if cfg.MaxBytes < 1 || cfg.MaxBytes > 2<<30 {
		bad("MaxBytes", cfg.MaxBytes, "1 to 2147483648")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Store{client: client, cfg: cfg}, nil
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// Offload puts m's body into the bucket and writes a pointer in its place, and
// SizeAttribute. It is what producer.Config.Offload calls for bodies that are too
// large; m.Topic.ARN or m.Queue.ARN says where the message goes.
func (s *Store) Offload(ctx context.Context, m *holdfast.Message) error {
	size := int64(len(m.Body))
	if size > s.cfg.MaxBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, s.cfg.MaxBytes)
	}
	p := pointer{Bucket: s.cfg.Bucket, Key: s.cfg.Prefix + name(m)}
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &p.Bucket, Key: &p.Key, Body: strings.NewReader(m.Body), ContentLength: &size, ContentType: aws.String("application/octet-stream"),
	})
	if err != nil {
		return fmt.Errorf("claimcheck: put s3://%s/%s: %w", p.Bucket, p.Key, err)
	}
	m.Body = p.String()
	if m.Attributes == nil {
		m.Attributes = make(map[string]holdfast.Attribute)
	}
	m.Attributes[SizeAttribute] = holdfast.Attribute{Type: "Number", String: strconv.FormatInt(size, 10)}
	return nil
}

// name is the name of an object for m's body. With an idempotency key the same
// message has the same name each time that it is sent to the same target; without one
// no two have.
func name(m *holdfast.Message) string {
	prefix, target := forQueue, m.Queue.ARN
	if m.Topic.ARN != "" {
		prefix, target = shared, m.Topic.ARN
	}
	key := m.Attr(keyAttribute)
	if key == "" {
		return prefix + rand.Text()
	}
	h := sha256.New()
	var n [8]byte
	for _, part := range []string{target, key} {
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	h.Write([]byte(m.Body))
	return prefix + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
