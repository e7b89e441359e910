package redisstore_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/idempotency/storetest"
)

// rawRedis reaches behind the store.
type rawRedis struct{ rdb *redis.Client }

func (r rawRedis) Get(key string) (string, time.Duration, bool, error) {
	ctx := context.Background()
	packed, err := r.rdb.Get(ctx, key).Result()
	if errors.Is(err, redis.Nil) {
		return "", 0, false, nil
	}
	if err != nil {
		return "", 0, false, err
	}
	ttl, err := r.rdb.PTTL(ctx, key).Result()
	return packed, ttl, true, err
}

func (r rawRedis) Set(key, packed string) error {
	ctx := context.Background()
	ttl := time.Duration(redis.KeepTTL)
	if r.rdb.Exists(ctx, key).Val() == 0 {
		ttl = time.Hour
	}
	return r.rdb.Set(ctx, key, packed, ttl).Err()
}

func (r rawRedis) Delete(key string) error {
	return r.rdb.Del(context.Background(), key).Err()
}

func TestStoreConformsOnRedis(t *testing.T) {
	t.Parallel()
	rdb := realRedis(t)
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		return storetest.Packed(redisstore.New(rdb), rawRedis{rdb})
	})
}

// TestStoreConformsOnMiniredis has no exceptions: what miniredis does otherwise
// (keys that do not expire by themselves, numbers printed in full) the suite does
// not need.
func TestStoreConformsOnMiniredis(t *testing.T) {
	t.Parallel()
	rdb := miniClient(t)
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		return storetest.Packed(redisstore.New(rdb), rawRedis{rdb})
	})
}

// miniClient returns a client of a miniredis that lives in this process and has
// no socket, so that it works in a synctest bubble.
func miniClient(t testing.TB) *redis.Client {
	mini := miniredis.NewMiniRedis()
	rdb := redis.NewClient(options(func(context.Context, string, string) (net.Conn, error) { return mini.Dial() }))
	t.Cleanup(func() {
		rdb.Close()
		mini.Close()
	})
	return rdb
}
