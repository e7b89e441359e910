package redisstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/idempotency/storetest"
	"github.com/holdfast-go/holdfast/internal/slack"
)

// rawRedis reaches behind the store.
type rawRedis struct{ rdb redis.UniversalClient }

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

// slowly makes a store that gives a slow machine its time: under the race detector
// miniredis takes seconds for a full batch.
func slowly(rdb redis.UniversalClient) *redisstore.Store {
	return redisstore.NewWithOptions(rdb, redisstore.Options{Timeout: 30 * time.Second})
}

func TestStoreConformsOnRedis(t *testing.T) {
	t.Parallel()
	rdb := realRedis(t)
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		return storetest.Packed(slowly(rdb), rawRedis{rdb})
	})
}

// TestStoreConformsOnCluster runs on three masters, over which the keys spread.
func TestStoreConformsOnCluster(t *testing.T) {
	t.Parallel()
	rdb := onCluster(t)
	storetest.Run(t, func(*testing.T) storetest.Harness {
		return storetest.Packed(slowly(rdb), rawRedis{rdb})
	})
}

// TestStoreConformsBehindSentinel has every call wait for the replica.
func TestStoreConformsBehindSentinel(t *testing.T) {
	t.Parallel()
	rdb := onPair(t)
	storetest.Run(t, func(*testing.T) storetest.Harness {
		return storetest.Packed(redisstore.NewWithOptions(rdb, redisstore.Options{
			Timeout:    30 * time.Second,
			Durability: redisstore.Durability{Replicas: 1, Timeout: 20 * time.Second, All: true},
		}), rawRedis{rdb})
	})
}

// TestStoreConformsOnMiniredis has no exceptions: what miniredis does otherwise
// (keys that do not expire by themselves, numbers printed in full) the suite does
// not need.
func TestStoreConformsOnMiniredis(t *testing.T) {
	t.Parallel()
	rdb := miniClient(t)
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		return storetest.Packed(slowly(rdb), rawRedis{rdb})
	})
}

// miniClient returns a client of a miniredis that lives in this process and has
// no socket, so that it works in a synctest bubble.
func miniClient(t testing.TB) *redis.Client {
	mini := miniredis.NewMiniRedis()
	rdb := redis.NewClient(options(slack.Dialer(mini.Dial)))
	t.Cleanup(func() {
		rdb.Close()
		mini.Close()
	})
	return rdb
}
