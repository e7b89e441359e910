package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// process is a redis-server of this test binary, on a port of this machine.
type process struct {
	addr string
	port int
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// running are all processes, so that TestMain leaves none behind.
var running struct {
	sync.Mutex
	list []*process
}

func stopAll() {
	running.Lock()
	defer running.Unlock()
	for _, p := range running.list {
		p.stop()
		os.RemoveAll(p.dir)
	}
	running.list = nil
}

// kill ends the process as a crash does.
func (p *process) stop() {
	p.cmd.Process.Kill()
	<-p.done
}

// client returns a client of this process alone.
func (p *process) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: p.addr, DialerRetries: 1, MaxRetries: 1})
}

// freePorts returns ports that nobody listens on just now.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// startProcess starts a redis-server with options, given as in its configuration
// file, and waits until it answers.
func startProcess(sentinel bool, options ...string) (*process, error) {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("redis-server is not in PATH: install it (apt-get install redis-server), the store is tested on a real one")
	}
	for try := 0; ; try++ {
		p, err := startOnce(bin, sentinel, options)
		// Someone else may have taken the port meanwhile.
		if err == nil || try == 4 {
			return p, err
		}
	}
}

func startOnce(bin string, sentinel bool, options []string) (*process, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "holdfast-redis-")
	if err != nil {
		return nil, err
	}
	conf := []string{
		"port " + strconv.Itoa(ports[0]), "bind 127.0.0.1", "dir " + dir, `save ""`, "appendonly no",
		"logfile " + filepath.Join(dir, "log"),
	}
	if !sentinel {
		conf = append(conf, "maxmemory-policy noeviction", "repl-diskless-sync yes", "repl-diskless-sync-delay 0")
	}
	for _, o := range options {
		conf = append(conf, strings.ReplaceAll(o, "BUSPORT", strconv.Itoa(ports[1])))
	}
	file := filepath.Join(dir, "redis.conf")
	if err := os.WriteFile(file, []byte(strings.Join(conf, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	args := []string{file}
	if sentinel {
		args = append(args, "--sentinel")
	}
	p := &process{
		addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0])), port: ports[0], dir: dir,
		cmd: exec.Command(bin, args...), done: make(chan struct{}),
	}
	if err := p.cmd.Start(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	running.Lock()
	running.list = append(running.list, p)
	running.Unlock()
	rdb := p.client()
	defer rdb.Close()
	err = eventually(10*time.Second, func(ctx context.Context) error {
		select {
		case <-p.done:
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			return fatal{fmt.Errorf("redis-server ended: %s", log)}
		default:
			err := rdb.Ping(ctx).Err()
			var reply redis.Error
			if errors.As(err, &reply) {
				return nil // a replica without its master answers, too
			}
			return err
		}
	})
	return p, err
}

// fatal ends eventually at once.
type fatal struct{ error }

// eventually tries until it succeeds, and returns the last failure after limit.
func eventually(limit time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		var f fatal
		if err == nil || errors.As(err, &f) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", limit, err)
		}
	}
}

// cluster is a Redis Cluster of masters.
type cluster struct {
	nodes []*process
}

// sharedCluster is the three-master cluster of this test binary, started by the
// first test that asks for it.
var sharedCluster = sync.OnceValues(func() (*cluster, error) { return startCluster(3) })

func startCluster(masters int) (*cluster, error) {
	c := &cluster{}
	for range masters {
		if _, err := c.addNode(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for i, p := range c.nodes {
		rdb := p.client()
		defer rdb.Close()
		from, to := i*16384/masters, (i+1)*16384/masters-1
		if err := rdb.ClusterAddSlotsRange(ctx, from, to).Err(); err != nil {
			return nil, err
		}
	}
	return c, c.settled()
}

// addNode starts a node without slots and makes it known to the others.
func (c *cluster) addNode() (*process, error) {
	p, err := startProcess(false, "cluster-enabled yes", "cluster-port BUSPORT", "cluster-node-timeout 5000",
		"cluster-config-file nodes.conf")
	if err != nil {
		return nil, err
	}
	c.nodes = append(c.nodes, p)
	if p == c.nodes[0] {
		return p, nil
	}
	first := c.nodes[0].client()
	defer first.Close()
	bus, err := p.busPort()
	if err != nil {
		return nil, err
	}
	return p, first.Do(context.Background(), "cluster", "meet", "127.0.0.1", p.port, bus).Err()
}

func (p *process) busPort() (int, error) {
	rdb := p.client()
	defer rdb.Close()
	found, err := rdb.ConfigGet(context.Background(), "cluster-port").Result()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(found["cluster-port"])
}

// settled waits until all nodes know all nodes and all slots.
func (c *cluster) settled() error {
	return eventually(20*time.Second, func(ctx context.Context) error {
		for _, p := range c.nodes {
			rdb := p.client()
			info, err := rdb.ClusterInfo(ctx).Result()
			rdb.Close()
			if err != nil {
				return err
			}
			for _, want := range []string{"cluster_state:ok", fmt.Sprintf("cluster_known_nodes:%d\r", len(c.nodes))} {
				if !strings.Contains(info, want) {
					return fmt.Errorf("%s has no %q in %q", p.addr, want, info)
				}
			}
		}
		return nil
	})
}

func (c *cluster) client(t testing.TB) *redis.ClusterClient {
	t.Helper()
	rdb := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                 []string{c.nodes[0].addr, c.nodes[1].addr},
		DialTimeout:           10 * time.Second,
		ReadTimeout:           30 * time.Second, // test machines are slow
		WriteTimeout:          30 * time.Second,
		PoolTimeout:           10 * time.Second,
		ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

func onCluster(t testing.TB) *redis.ClusterClient {
	t.Helper()
	c, err := sharedCluster()
	if err != nil {
		t.Fatal(err)
	}
	return c.client(t)
}

// pair is a master and a replica watched by a Sentinel.
type pair struct {
	master, replica, sentinel *process
}

var sharedPair = sync.OnceValues(func() (*pair, error) { return startPair(time.Minute) })

// startPair starts a pair whose Sentinel takes the master for down when it has not
// answered for downAfter.
func startPair(downAfter time.Duration) (*pair, error) {
	master, err := startProcess(false)
	if err != nil {
		return nil, err
	}
	replica, err := startProcess(false, fmt.Sprintf("replicaof 127.0.0.1 %d", master.port))
	if err != nil {
		return nil, err
	}
	rdb := master.client()
	defer rdb.Close()
	err = eventually(20*time.Second, func(ctx context.Context) error {
		info, err := rdb.Info(ctx, "replication").Result()
		if err == nil && !strings.Contains(info, "state=online") {
			err = fmt.Errorf("the replica is not there: %q", info)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	sentinel, err := startProcess(true, fmt.Sprintf("sentinel monitor orders 127.0.0.1 %d 1", master.port),
		fmt.Sprintf("sentinel down-after-milliseconds orders %d", downAfter.Milliseconds()))
	if err != nil {
		return nil, err
	}
	watch := redis.NewSentinelClient(&redis.Options{Addr: sentinel.addr})
	defer watch.Close()
	err = eventually(20*time.Second, func(ctx context.Context) error {
		replicas, err := watch.Replicas(ctx, "orders").Result()
		if err == nil && (len(replicas) == 0 || strings.Contains(replicas[0]["flags"], "down") || replicas[0]["master-link-status"] != "ok") {
			err = fmt.Errorf("the Sentinel knows of %v", replicas)
		}
		return err
	})
	return &pair{master, replica, sentinel}, err
}

func (p *pair) client(t testing.TB) *redis.Client {
	t.Helper()
	rdb := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "orders", SentinelAddrs: []string{p.sentinel.addr},
		DialTimeout:           10 * time.Second,
		ReadTimeout:           30 * time.Second, // test machines are slow
		WriteTimeout:          30 * time.Second,
		PoolTimeout:           10 * time.Second,
		DialerRetries:         1,
		ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

func onPair(t testing.TB) *redis.Client {
	t.Helper()
	p, err := sharedPair()
	if err != nil {
		t.Fatal(err)
	}
	return p.client(t)
}
