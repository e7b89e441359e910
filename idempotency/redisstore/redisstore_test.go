package redisstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/internal/slack"
)

var queue = holdfast.Queue{Name: "orders", Visibility: 30 * time.Second}

func request(key, token string) idempotency.ClaimRequest {
	return idempotency.ClaimRequest{
		Key: key, Token: token, Lease: 24 * time.Second, Hard: 12 * time.Hour, TTL: 96 * time.Hour,
		PayloadHash: "ungWv48Bz-o", Life: "AbCd1234",
	}
}

func complete(r idempotency.ClaimRequest, reply idempotency.ClaimReply) idempotency.CompleteRequest {
	return idempotency.CompleteRequest{
		Key: r.Key, Token: r.Token, PayloadHash: r.PayloadHash, Life: r.Life,
		Fence: reply.Fence, Attempts: reply.Attempts, TTL: 96 * time.Hour,
	}
}

func TestUnsuitableClientsAreRefused(t *testing.T) {
	t.Parallel()
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer ring.Close()
	var nilClient *redis.Client
	for name, c := range map[string]struct {
		store *redisstore.Store
		want  string
	}{
		"a ring":         {redisstore.New(ring), "a *redis.Ring gives a key to another server"},
		"nil":            {redisstore.New(nil), "it is nil"},
		"a nil client":   {redisstore.New(nilClient), "it is a nil *redis.Client"},
		"the zero Store": {&redisstore.Store{}, "was not made with New"},
	} {
		_, claimErr := c.store.Claim(t.Context(), request("k", "t"))
		mwErr := idempotency.New(c.store, idempotency.Config{Consumer: "c"}).Validate()
		for _, err := range []error{c.store.Validate(), claimErr, mwErr} {
			if !errors.Is(err, redisstore.ErrClient) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error is %v, want ErrClient with %q", name, err, c.want)
			}
		}
	}
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	if err := redisstore.New(rdb).Validate(); err != nil {
		t.Errorf("a plain client is refused: %v", err)
	}
}

func TestStoreOnRedis(t *testing.T) {
	t.Parallel()
	t.Run("a server that has forgotten the scripts is given them again", func(t *testing.T) {
		t.Parallel()
		rdb := realRedis(t)
		store := redisstore.New(rdb)
		r := request("noscript:"+rand.Text(), "a")
		flush := func() {
			t.Helper()
			if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		flush()
		claim, err := store.Claim(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		flush()
		if _, err := store.Complete(t.Context(), complete(r, claim)); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("what is not a record is an error and is left alone", func(t *testing.T) {
		t.Parallel()
		rdb := realRedis(t)
		store := redisstore.New(rdb)
		key := "bad:" + rand.Text()
		for _, packed := range []string{
			"", "OK", "2|C|9|1|0|0|t||", "1|Z|9|1|0|0|t||", "1|C|9|1|0|0|t|", "1|C|9|1|0|0|t|||",
			"1|P|9|1|0|5|t||", "1|P|9|1|0|5|t|||9", "1|P|9|1|0|5|t|||9|0|2", "1|P|9|1|0|0|t|||9|0|0", "1|C|9|1|0|0|t|||9|0|0", "1|C|1.79e+15|1|0|0|t||",
			"1|C|0|1|0|0|t||", "1|C|9|-1|0|0|t||", "1|C|9|1|0|0|||", "1|C|9|1|0|0|t t||",
		} {
			if _, err := idempotency.ParseRecord(packed); !errors.Is(err, idempotency.ErrBadRecord) {
				t.Errorf("ParseRecord of %q returned %v", packed, err)
			}
			rdb.Set(t.Context(), key, packed, time.Minute)
			if _, err := store.Claim(t.Context(), request(key, "a")); !errors.Is(err, idempotency.ErrBadRecord) {
				t.Errorf("claim over %q returned %v, want ErrBadRecord", packed, err)
			}
			if got := rdb.Get(t.Context(), key).Val(); got != packed {
				t.Errorf("%q became %q", packed, got)
			}
		}
		rdb.Del(t.Context(), key)
		rdb.LPush(t.Context(), key, "x")
		rdb.Expire(t.Context(), key, time.Minute)
		if _, err := store.Claim(t.Context(), request(key, "a")); !errors.Is(err, idempotency.ErrBadRecord) {
			t.Errorf("claim over a list returned %v, want ErrBadRecord", err)
		}
	})
	t.Run("a completed key takes at most 220 bytes", func(t *testing.T) {
		t.Parallel()
		rdb := realRedis(t)
		store := redisstore.New(rdb)
		// As the middleware makes them: 33 characters of key, 16 of token.
		r := request("hf:orders:"+rand.Text()[:23], rand.Text()[:16])
		claim, err := store.Claim(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Complete(t.Context(), complete(r, claim)); err != nil {
			t.Fatal(err)
		}
		if n := rdb.MemoryUsage(t.Context(), r.Key).Val(); n == 0 || n > 220 {
			t.Errorf("it takes %d bytes", n)
		}
	})
	t.Run("a server that is not there is an error of the store", func(t *testing.T) {
		t.Parallel()
		rdb := redis.NewClient(options(func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("connection refused")
		}))
		defer rdb.Close()
		_, err := redisstore.New(rdb).Claim(t.Context(), request("k", "t"))
		if err == nil || !strings.Contains(err.Error(), `redisstore: claim "k"`) {
			t.Errorf("returned %v", err)
		}
	})
}

// TestStoreInBubble shows go-redis, the scripts and miniredis in virtual time:
// the client dials into this process, and TIME is the bubble's clock. Keys of
// miniredis do not expire by themselves: call FastForward where that matters.
func TestStoreInBubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mini := miniredis.NewMiniRedis()
		rdb := redis.NewClient(&redis.Options{
			// Never dialled, but go-redis looks it up: a name, and its default is one,
			// would start package net's resolver inside the bubble, and the next
			// look-up outside of it would end the process.
			Addr:                  "127.0.0.1:6379",
			Dialer:                slack.Dialer(mini.Dial),
			ContextTimeoutEnabled: true,
		})
		defer func() {
			rdb.Close()
			mini.Close()
		}()
		store := redisstore.New(rdb)
		mw := idempotency.New(store, idempotency.Config{Consumer: "orders", LocalDone: -1})
		m := &holdfast.Message{ID: "m-1", Body: "x", Queue: holdfast.Queue{Visibility: 30 * time.Second}}

		// The first run tells the key; then another worker has it, and dies.
		var key string
		tell := func(ctx context.Context, _ *holdfast.Message) error {
			claim, _ := idempotency.FromContext(ctx)
			key = claim.Key
			return nil
		}
		if err := mw.Wrap(holdfast.HandlerFunc(tell)).Handle(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		mini.Del(key)
		r := request(key, "dead")
		r.PayloadHash = ""
		dead, err := store.Claim(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}

		ran := false
		h := mw.Wrap(holdfast.HandlerFunc(func(ctx context.Context, _ *holdfast.Message) error {
			ran = true
			claim, _ := idempotency.FromContext(ctx)
			if !claim.Partial || claim.Attempt != 1 || claim.Fence <= dead.Fence {
				t.Errorf("claim is %+v after fence %d", claim, dead.Fence)
			}
			time.Sleep(5 * time.Minute) // the claim is kept meanwhile
			if ctx.Err() != nil {
				t.Errorf("cancelled: %v", context.Cause(ctx))
			}
			return nil
		}))
		time.Sleep(23 * time.Second)
		if err := h.Handle(t.Context(), m); !errors.Is(err, idempotency.ErrBusy) || ran {
			t.Errorf("within the dead worker's lease: ran is %v, returned %v; want ErrBusy", ran, err)
		}
		time.Sleep(time.Second)
		if err := h.Handle(t.Context(), m); err != nil || !ran {
			t.Errorf("after the dead worker's lease: ran is %v, returned %v", ran, err)
		}
		ran = false
		if err := h.Handle(t.Context(), m); err != nil || ran {
			t.Errorf("after the completion: ran is %v, returned %v", ran, err)
		}
	})
}

// FuzzReply reads replies that no script of ours makes.
func FuzzReply(f *testing.F) {
	f.Add("N 1790000000000001")
	f.Add("Z 1")
	f.Add("N 1.79e+15")
	f.Add("N  1")
	f.Add("")
	f.Fuzz(func(t *testing.T, reply string) {
		class, n, err := redisstore.ReadReply(reply, "NTOBCM")
		if err != nil {
			return
		}
		words := strings.Split(reply, " ")
		if len(words) < 2 || string(rune(class)) != words[0] || !slices.Contains(strings.Split("NTOBCM", ""), words[0]) {
			t.Fatalf("%q was read as class %v, number %d", reply, class, n)
		}
	})
}
