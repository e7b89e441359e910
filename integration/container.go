package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

// The labels by which a later run knows a container that was left behind.
const (
	labelOwner = "io.github.holdfast-go.integration.pid"
	labelHost  = "io.github.holdfast-go.integration.host"
)

// docker is the Docker of this machine, asked once.
var docker = sync.OnceValues(findDocker)

func findDocker() (provider *testcontainers.DockerProvider, err error) {
	// The library panics where it finds no Docker.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("no Docker daemon was found (testcontainers: %v)", p)
		}
	}()
	if _, set := os.LookupEnv("TESTCONTAINERS_RYUK_DISABLED"); !set {
		// Ryuk is an image to pull; the reaper of this package does its work.
		if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	provider, err = testcontainers.NewDockerProvider(testcontainers.WithLogger(log.NewNoopLogger()))
	if err != nil {
		return nil, fmt.Errorf("no Docker daemon was found (testcontainers: %w)", err)
	}
	if _, err := provider.Client().Ping(ctx, client.PingOptions{}); err != nil {
		return nil, fmt.Errorf("no answer from Docker: %w", err)
	}
	host := provider.Client().DaemonHost()
	if !strings.HasPrefix(host, "unix://") && !strings.HasPrefix(host, "npipe://") {
		return nil, fmt.Errorf("the Docker at %s is not on this machine's own socket", host)
	}
	return provider, sweep(ctx, provider.Client())
}

// runContainer starts a container of this process's own with one port on a free port of
// 127.0.0.1, waits until it is ready and returns the port's address.
func runContainer(ctx context.Context, image, port string, env map[string]string, ready func(ctx context.Context, addr string) error) (addr string, err error) {
	provider, err := docker()
	if err != nil {
		return "", err
	}
	if err := haveImage(ctx, provider.Client(), image); err != nil {
		return "", err
	}
	r, err := theReaper()
	if err != nil {
		return "", err
	}
	inside, err := network.ParsePort(port)
	if err != nil {
		return "", err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return "", err
	}
	c, err := testcontainers.Run(ctx, image,
		testcontainers.WithLogger(log.NewNoopLogger()),
		testcontainers.WithExposedPorts(port),
		testcontainers.WithEnv(env),
		testcontainers.WithLabels(map[string]string{labelOwner: strconv.Itoa(os.Getpid()), labelHost: hostname}),
		testcontainers.WithHostConfigModifier(func(c *container.HostConfig) {
			// Docker's own default is every interface of the machine.
			c.PortBindings = network.PortMap{inside: {{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}}}
		}),
	)
	if c != nil {
		// Also one that did not start.
		err = errors.Join(err, r.removeAtEnd(provider.Client().DaemonHost(), c.GetContainerID()))
	}
	if err != nil {
		return "", fmt.Errorf("container of %s: %w", image, err)
	}
	outside, err := c.MappedPort(ctx, port)
	if err != nil {
		return "", fmt.Errorf("container of %s: %w", image, err)
	}
	addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(int(outside.Num())))
	if err := waitReady(ctx, c, func(ctx context.Context) error { return ready(ctx, addr) }); err != nil {
		return "", fmt.Errorf("container of %s is not ready: %w%s", image, err, lastWords(ctx, c))
	}
	return addr, nil
}

// waitReady gives up when the container has stopped.
func waitReady(ctx context.Context, c testcontainers.Container, ready func(context.Context) error) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	err := until(ctx, func(ctx context.Context) error {
		if state, err := c.State(ctx); err == nil && !state.Running {
			giveUp(fmt.Errorf("it ended with status %d", state.ExitCode))
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return ready(ctx)
	})
	if err != nil && ctx.Err() != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	return err
}

// lastWords is the end of what a container said.
func lastWords(ctx context.Context, c testcontainers.Container) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	logs, err := c.Logs(ctx)
	if err != nil {
		return ""
	}
	defer logs.Close()
	said, err := io.ReadAll(io.LimitReader(logs, 1<<20))
	if err != nil || len(said) == 0 {
		return ""
	}
	return "; it said:\n" + string(said[max(0, len(said)-2000):])
}

// haveImage finds an image on this machine, or pulls it where that is allowed.
func haveImage(ctx context.Context, cli client.APIClient, image string) error {
	_, err := cli.ImageInspect(ctx, image)
	if err == nil || !errdefs.IsNotFound(err) {
		return err
	}
	if !isSet(os.Getenv("HOLDFAST_PULL")) {
		return fmt.Errorf("no image %s in Docker: docker pull it, or set HOLDFAST_PULL=1", image)
	}
	pull, err := cli.ImagePull(ctx, image, client.ImagePullOptions{})
	if err != nil {
		return fmt.Errorf("pull %s: %w", image, err)
	}
	defer pull.Close()
	if err := pull.Wait(ctx); err != nil {
		return fmt.Errorf("pull %s: %w", image, err)
	}
	return nil
}

// sweep removes containers that were left by test binaries of this machine that are
// dead.
func sweep(ctx context.Context, cli client.APIClient) error {
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	found, err := cli.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", labelHost+"="+hostname),
	})
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	for _, c := range found.Items {
		pid, err := strconv.Atoi(c.Labels[labelOwner])
		if err != nil || alive(pid) {
			continue
		}
		if err := removeContainer(ctx, cli, c.ID); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
	}
	return nil
}

// alive errs on the side of alive, where the system does not say.
func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer func() { _ = p.Release() }()
	return !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// removeContainer removes a container that may be gone or going already.
func removeContainer(ctx context.Context, cli client.APIClient, id string) error {
	_, err := cli.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return nil
	}
	return err
}
