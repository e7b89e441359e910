package redisstore

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// routes finds the lane of a key's node.
//
// A plain client, Sentinel's included, has one lane. A cluster has one per master,
// which go-redis's map of the cluster tells; answers that say otherwise, MOVED and
// ASK, come back raw and are followed here, call by call.
type routes struct {
	solo *lane // nil on a cluster
	last *lane // of last resort, on a cluster

	mu    sync.Mutex // guards all below
	lanes map[*redis.Client]*lane
	// byAddr are the masters as they were last seen, by the addresses that redirections name.
	byAddr  map[string]*redis.Client
	mapped  bool     // go-redis has a map of the cluster
	mapping *mapping // a look at the cluster under way
}

// mapping is one look at the cluster.
type mapping struct {
	done chan struct{} // closed when err is set
	err  error
}

// route returns the lane for a key.
func (s *Store) route(ctx context.Context, key string) (*lane, error) {
	r := &s.routes
	if r.solo != nil {
		return r.solo, nil
	}
	r.mu.Lock()
	mapped := r.mapped
	r.mu.Unlock()
	if !mapped {
		// The first look may take the client's timeouts, whatever ctx says.
		m := s.look()
		select {
		case <-m.done:
			if m.err != nil {
				return nil, classify(m.err)
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	client, err := s.cluster.MasterForKey(ctx, key)
	if err != nil {
		return nil, classify(err)
	}
	return s.laneOf(client), nil
}

// laneOf returns the lane of a node.
func (s *Store) laneOf(client *redis.Client) *lane {
	r := &s.routes
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.lanes[client]; l != nil {
		return l
	}
	// A new node: what idles may belong to one that is gone.
	for c, l := range r.lanes {
		if l.idle() {
			delete(r.lanes, c)
		}
	}
	l := &lane{store: s, client: client}
	r.lanes[client] = l
	return l
}

// look has the masters asked for, unless that is under way.
func (s *Store) look() *mapping {
	r := &s.routes
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mapping != nil {
		return r.mapping
	}
	m := &mapping{done: make(chan struct{})}
	r.mapping = m
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.opts.Timeout)
		defer cancel()
		var mu sync.Mutex
		byAddr := map[string]*redis.Client{}
		err := s.cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			byAddr[c.Options().Addr] = c
			byAddr[c.NodeAddress()] = c
			return nil
		})
		r.mu.Lock()
		r.mapping, m.err = nil, err
		if err == nil {
			r.mapped, r.byAddr = true, byAddr
		}
		r.mu.Unlock()
		close(m.done)
	}()
	return m
}

// elsewhere follows a redirection: it hands the call to the lane of the node that
// the answer names, and reports whether it did. It never blocks.
func (s *Store) elsewhere(from *lane, o *op, err error) bool {
	if s.cluster == nil || o.hops >= maxHops || o.abandoned() {
		return false
	}
	addr, ask := "", false
	switch word, rest, _ := strings.Cut(replyText(err), " "); {
	case word == "MOVED" || word == "ASK":
		// MOVED 3999 127.0.0.1:6381
		_, addr, _ = strings.Cut(rest, " ")
		ask = word == "ASK"
	case word == "READONLY", errors.Is(err, redis.ErrClosed):
		// A master that is one no more, or a node that left the cluster. The map will
		// tell; until it does the cluster client tries what it knows.
	default:
		if !isReply(err) {
			s.cluster.ReloadState(context.Background()) // does not block
		}
		return false
	}
	if from.client != nil && strings.HasPrefix(addr, ":") {
		// An address without a host: the one that was asked, on another port.
		if host, _, err := net.SplitHostPort(from.client.Options().Addr); err == nil {
			addr = net.JoinHostPort(host, addr[1:])
		}
	}
	if !ask {
		s.cluster.ReloadState(context.Background())
	}
	r := &s.routes
	r.mu.Lock()
	client := r.byAddr[addr]
	r.mu.Unlock()
	o.hops++
	o.sends, o.asking = 0, ask
	s.stats.redirected.Add(1)
	if client == nil || client == from.client {
		// Not a master when we last looked, such as a node that is about to get its
		// first slot. The cluster client reaches it, though without a WAIT.
		s.look()
		o.asking = false
		r.last.add(o)
		return true
	}
	s.laneOf(client).add(o)
	return true
}

// replyText is what a server answered as an error, "" for other errors.
func replyText(err error) string {
	var reply redis.Error
	if errors.As(err, &reply) {
		return reply.Error()
	}
	return ""
}

// masters returns a client per master.
func (s *Store) masters(ctx context.Context) ([]*redis.Client, error) {
	if s.single != nil {
		return []*redis.Client{s.single}, nil
	}
	m := s.look()
	select {
	case <-m.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if m.err != nil {
		return nil, classify(m.err)
	}
	r := &s.routes
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[*redis.Client]bool{}
	var list []*redis.Client
	for _, c := range r.byAddr {
		if !seen[c] {
			seen[c] = true
			list = append(list, c)
		}
	}
	return list, nil
}

// keyPerMaster returns a key for each master. A master takes only keys of its own
// slots, so names are tried until each was met.
func (s *Store) keyPerMaster(ctx context.Context, prefix string) ([]string, error) {
	if s.single != nil {
		return []string{prefix}, nil
	}
	clients, err := s.masters(ctx)
	if err != nil {
		return nil, err
	}
	left := map[*redis.Client]bool{}
	for _, c := range clients {
		left[c] = true
	}
	var keys []string
	for n := 0; len(left) > 0 && n < 1<<14; n++ {
		key := prefix + ":" + strconv.Itoa(n)
		c, err := s.cluster.MasterForKey(ctx, key)
		if err != nil {
			return nil, classify(err)
		}
		if left[c] {
			delete(left, c)
			keys = append(keys, key)
		}
	}
	return keys, nil
}
