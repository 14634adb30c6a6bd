// Package lab starts a real Kubernetes on one Linux machine, without containers, and does to it what goes wrong in
// the field. It is for tests and demonstrations. A lab is etcd, an API server, a controller manager, kube-proxies and
// an ingress controller as plain processes in namespaces of their own; docs/lab.md describes it.
package lab

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kubestickytop/stickytop/test/lab/internal/control"
	"github.com/kubestickytop/stickytop/test/lab/internal/layout"
	"github.com/kubestickytop/stickytop/test/lab/manifests"
)

// Options say what lab to start. The zero value is a lab of two nodes, kube-proxy in nftables mode, and Traefik
// reading ingress-nginx annotations.
type Options struct {
	Name    string // a DNS label; default "lab"
	Nodes   int    // default 2
	Proxy   string // kube-proxy's mode: nftables (default) or iptables; several, as "nftables,iptables", the nodes take in turn
	Ingress string // traefik-nginx (default), traefik or haproxy
	// Detached labs outlive, once they are ready, the process that starts them; others end with it, however it ends.
	Detached bool
	// Program is the lab command's binary. Empty means to build it with the go command.
	Program string
	// Progress is told what is being waited for, a line each; nil for silence.
	Progress io.Writer
}

// Status describes a lab.
type Status = control.Status

// Lab is a running lab.
type Lab struct {
	Spec    Spec
	control *control.Client
	program string
	pid     int      // of the lab's init, in the caller's PID namespace
	tether  *os.File // its end ends the lab; nil when the lab was set free, or started by another process
	exited  chan struct{}

	mu     sync.Mutex
	relays map[string]net.Listener // on loopback, by where they lead
}

// Spec is what a lab was started with.
type Spec = layout.Spec

// Start starts a lab and returns when its workloads are ready. It first removes what dead labs left.
// Before anything else it returns a *Missing error when this machine cannot run a lab.
func Start(ctx context.Context, o Options) (*Lab, error) {
	spec, program, err := o.resolve(ctx)
	if err != nil {
		return nil, err
	}
	if err := check(ctx, spec, program); err != nil {
		return nil, err
	}
	lock, err := reserve(&spec)
	if err != nil {
		return nil, err
	}
	l, err := launch(spec, program, lock)
	lock.Close() // from here on it tells of the lab's own processes
	if err != nil {
		return nil, errors.Join(err, guarded(sweep))
	}
	if err := l.wait(ctx, o.Progress); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if o.Detached {
		if err := l.release(); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}

func (o Options) resolve(ctx context.Context) (Spec, string, error) {
	spec := Spec{
		Name: either(o.Name, "lab"), Nodes: o.Nodes, Proxy: either(o.Proxy, "nftables"),
		Ingress: either(o.Ingress, "traefik-nginx"), Rootless: !privileged(),
	}
	if spec.Nodes == 0 {
		spec.Nodes = 2
	}
	if err := layout.CheckName(spec.Name); err != nil {
		return spec, "", err
	}
	if spec.Nodes < 1 || spec.Nodes > 9 {
		return spec, "", fmt.Errorf("%d nodes: want 1 to 9", spec.Nodes)
	}
	for mode := range strings.SplitSeq(spec.Proxy, ",") {
		if mode != "nftables" && mode != "iptables" {
			return spec, "", fmt.Errorf("proxy %q: want nftables or iptables, or both with a comma, which the nodes take in turn", spec.Proxy)
		}
	}
	if !slices.Contains(manifests.Ingresses, spec.Ingress) {
		return spec, "", fmt.Errorf("ingress %q: want one of %s", spec.Ingress, strings.Join(manifests.Ingresses, ", "))
	}
	var err error
	if spec.Cache, err = layout.Cache(); err != nil {
		return spec, "", err
	}
	program := o.Program
	if program == "" {
		if program, err = Program(ctx); err != nil {
			return spec, "", err
		}
	}
	return spec, program, nil
}

func either(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Program builds the lab command with the go command, into the cache, and returns its path: a test's own binary cannot be
// the lab's init. On a busy machine the first build takes longer than a lab's start; the next ones take a moment. Each
// checkout has a file of its own.
func Program(ctx context.Context) (string, error) {
	cache, err := layout.Cache()
	if err != nil {
		return "", err
	}
	const module = "github.com/kubestickytop/stickytop/test/lab"
	source, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("find the source of the lab command: %w", err)
	}
	sum := sha256.Sum256(source)
	path := filepath.Join(cache, fmt.Sprintf("lab-%x", sum[:6]))
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, module+"/cmd/lab")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the lab command: %w: %s", err, out)
	}
	return path, nil
}

// launch starts the lab's init process in new namespaces. It inherits the lock, and all of the lab's processes from
// it: the lock is free when the last of them is gone.
func launch(spec Spec, program string, lock *os.File) (*Lab, error) {
	own := spec.Path("program")
	if err := copyFile(own, program); err != nil {
		return nil, err
	}
	if err := spec.Save(); err != nil {
		return nil, err
	}
	log, err := os.Create(spec.Path("lab.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(own, "_init", spec.Dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = unshare(spec.Rootless)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd.ExtraFiles = []*os.File{lock, r}
	l := &Lab{Spec: spec, control: control.NewClient(spec.Socket()), program: own, exited: make(chan struct{}), tether: w}
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, fmt.Errorf("start the lab's init: %w", err)
	}
	l.pid = cmd.Process.Pid
	go func() {
		cmd.Wait()
		close(l.exited)
	}()
	return l, os.WriteFile(spec.Path("init.pid"), []byte(strconv.Itoa(l.pid)), 0o600)
}

// release sets the lab free of this process: the byte tells its init not to mind the tether's end.
func (l *Lab) release() error {
	_, err := l.tether.Write([]byte{1})
	err = errors.Join(err, l.tether.Close())
	l.tether = nil
	return err
}

// unshare asks for the lab's namespaces; without root, a user namespace in which the caller is root comes first.
func unshare(rootless bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	if rootless {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

// wait waits until the lab is ready, or says why it will not be.
func (l *Lab) wait(ctx context.Context, progress io.Writer) error {
	last := "nothing: its control socket never answered"
	for {
		status, err := l.control.Status(ctx)
		switch {
		case err == nil && status.Ready:
			return nil
		case err == nil && status.Phase == "failed":
			return fmt.Errorf("lab %s: %s", l.Spec.Name, status.Error)
		case err == nil && status.Phase != last:
			last = status.Phase
			if progress != nil {
				fmt.Fprintln(progress, last)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lab %s not ready: %w (last seen: %s)\n%s", l.Spec.Name, ctx.Err(), last, l.log())
		case <-l.exited:
			return fmt.Errorf("lab %s ended while starting: %s", l.Spec.Name, l.log())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// log is the end of what the lab's own programs said, for an error: its folder is about to go.
func (l *Lab) log() string {
	paths, _ := filepath.Glob(l.Spec.Path("logs", "*.log"))
	var text strings.Builder
	for _, path := range append([]string{l.Spec.Path("lab.log")}, paths...) {
		data, _ := os.ReadFile(path)
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		fmt.Fprintf(&text, "--- %s\n%s\n", filepath.Base(path), strings.Join(lines[max(0, len(lines)-15):], "\n"))
	}
	return text.String()
}

// Status asks the lab how it is.
func (l *Lab) Status(ctx context.Context) (Status, error) { return l.control.Status(ctx) }

// Close ends the lab and removes all of it: processes, namespaces, files.
func (l *Lab) Close() error {
	l.mu.Lock()
	for _, listener := range l.relays {
		listener.Close()
	}
	l.relays = nil
	l.mu.Unlock()
	if l.tether != nil {
		l.tether.Close()
	}
	return end(l.Spec)
}

// copyFile links or copies a program, so that a lab does not depend on a file that a rebuild replaces.
func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
