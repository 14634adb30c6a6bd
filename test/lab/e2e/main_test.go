// Package e2e drives the built program against the lab: a real Kubernetes, real ingress controllers, real faults.
//
// The truth comes from the other side: the controller's access log, the backends' logs, kubectl. Nothing of the
// program is imported; its words are read from -o json or off a terminal.
package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubestickytop/stickytop/test/lab"
)

// folder holds what the suite builds and writes. A run that was killed leaves its own to the next one.
var folder string

const folders = "stickytop-e2e-"

func TestMain(m *testing.M) {
	flag.Parse()
	// Tests mostly wait for the cluster, not for a core: more of them run side by side than there are cores.
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := flag.Set("test.parallel", "5"); err != nil {
			panic(err)
		}
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	lock, err := makeFolder()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer lock.Close()
	defer os.RemoveAll(folder)
	if err := os.Setenv("XDG_STATE_HOME", filepath.Join(folder, "state")); err != nil { // of the program under test
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	for name, s := range labs {
		if s.lab == nil {
			continue
		}
		if err := s.lab.Close(); err != nil {
			fmt.Fprintf(os.Stderr, "close lab %s: %v\n", name, err)
			code = 1
		}
	}
	return code
}

// makeFolder makes the suite's folder, takes the lock in it, and removes the folders whose lock nobody has any more.
func makeFolder() (*os.File, error) {
	old, err := filepath.Glob(filepath.Join(os.TempDir(), folders+"*", "lock"))
	if err != nil {
		return nil, err
	}
	for _, path := range old {
		lock, err := os.Open(path)
		if err != nil {
			continue // another user's, or gone by now
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
		_ = lock.Close()
	}
	if folder, err = os.MkdirTemp("", folders); err != nil {
		return nil, err
	}
	fresh := filepath.Join(folder, "locking")
	lock, err := os.Create(fresh)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, err
	}
	return lock, os.Rename(fresh, filepath.Join(folder, "lock")) // nobody finds it before it is locked
}

// build builds a package of the module in dir once.
func build(dir, pkg, name string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		path := filepath.Join(folder, name)
		cmd := exec.Command("go", "build", "-o", path, pkg)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build %s: %w: %s", pkg, err, out)
		}
		return path, nil
	})
}

var (
	buildLab     = build("..", "./cmd/lab", "lab")
	buildProduct = build("../../..", "./cmd/stickytop", "stickytop")
)

// product returns the program under test: $STICKYTOP, or what is built from the repository.
func product(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("STICKYTOP"); path != "" {
		return path
	}
	path, err := buildProduct()
	check(t, err)
	return path
}

// shared is a lab that several tests use, started by the first of them.
type shared struct {
	ingress string // its controller
	proxy   string // kube-proxy's mode; "" for the lab's default
	once    sync.Once
	lab     *lab.Lab
	err     error
}

// labs are those that tests can have. Where the API server goes away, the cluster needs up to a minute until it is
// itself again, so that test has one to itself.
var labs = map[string]*shared{
	"main":    {ingress: "traefik-nginx"},
	"outage":  {ingress: "traefik-nginx"},
	"traefik": {ingress: "traefik"},
	"haproxy": {ingress: "haproxy"},
	// Kinds are installed there.
	"lint": {ingress: "traefik-nginx"},
	// Many sessions are held there, while their pods are killed.
	"sockets": {ingress: "traefik-nginx"},
	// Services are changed there.
	"clientip-nftables": {ingress: "traefik-nginx", proxy: "nftables"},
	"clientip-iptables": {ingress: "traefik-nginx", proxy: "iptables"},
	// Its first node is in the first mode, its second in the other.
	"clientip-both": {ingress: "traefik-nginx", proxy: "nftables,iptables"},
}

// labOf returns one of the labs, or skips the test, saying why, where none can run.
func labOf(t *testing.T, name string) *lab.Lab {
	t.Helper()
	s := labs[name]
	s.once.Do(func() {
		program, err := buildLab()
		if err != nil {
			s.err = err
			return
		}
		if os.Getenv("STICKYTOP") == "" { // for lab/stickytop, the program as a pod
			path, err := buildProduct()
			if s.err = err; err != nil {
				return
			}
			_ = os.Setenv("STICKYTOP", path)
		}
		// Once a kernel was seen to keep a lab's first process for minutes, beyond the reach of SIGKILL, while three
		// others came up beside it in ten seconds. A second one is another lab; the first's words stay in the output.
		for try := range 2 {
			if s.err = s.start(fmt.Sprintf("e%d-%s%d", os.Getpid(), name, try), program); s.err == nil || errors.As(s.err, new(*lab.Missing)) {
				return
			}
			fmt.Fprintf(os.Stderr, "lab %s, try %d: %v\n", name, try+1, s.err)
		}
	})
	check(t, s.err)
	return s.lab
}

func (s *shared) start(name, program string) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	began := time.Now()
	if s.lab, err = lab.Start(ctx, lab.Options{Name: name, Ingress: s.ingress, Proxy: s.proxy, Program: program}); err == nil {
		fmt.Fprintf(os.Stderr, "lab %s up after %s\n", name, time.Since(began).Round(100*time.Millisecond))
	}
	return err
}

func mainLab(t *testing.T) *lab.Lab {
	t.Helper()
	return labOf(t, "main")
}

// check skips where the machine cannot run a lab, and fails on any other error.
func check(t *testing.T, err error) {
	t.Helper()
	var missing *lab.Missing
	if errors.As(err, &missing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// patience is how many times longer than on an idle machine anything may take that must only happen soon. What must
// happen within a time, or before something else, is measured where it matters.
const patience = 4

// within bounds what a test waits for.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience*d)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until a condition holds.
func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	limit *= patience
	end := time.Now().Add(limit)
	for !holds() {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
