// Package netns runs code and programs inside named network namespaces (the folder /run/netns, as ip-netns(8) has it).
package netns

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Dir holds one file per namespace, as ip-netns(8) has it.
const Dir = "/run/netns"

// Do runs fn on an operating-system thread that is inside the namespace. An empty name is the caller's own.
// Sockets that fn makes and programs that fn starts stay in the namespace.
func Do(name string, fn func() error) error {
	if name == "" {
		return fn()
	}
	return DoPath(filepath.Join(Dir, name), fn)
}

// DoPath is Do for the path of a namespace file.
func DoPath(path string, fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- inThread(path, fn) }()
	return <-done
}

func inThread(path string, fn func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	if err := enter(path); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = fn()
	// A thread that cannot come home stays locked and ends with this goroutine.
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

func enter(path string) error {
	target, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer target.Close()
	if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return nil
}

// Start starts cmd inside the namespace.
func Start(name string, cmd *exec.Cmd) error { return Do(name, cmd.Start) }

// Dial connects from inside the namespace. The address must hold an IP: nothing in the lab resolves names. The
// source, if any, is an IP of the namespace to connect from.
func Dial(ctx context.Context, name, source, address string) (net.Conn, error) {
	var d net.Dialer
	if source != "" {
		ip := net.ParseIP(source)
		if ip == nil {
			return nil, fmt.Errorf("source %q is no IP address", source)
		}
		d.LocalAddr = &net.TCPAddr{IP: ip}
	}
	var conn net.Conn
	err := Do(name, func() (err error) {
		conn, err = d.DialContext(ctx, "tcp", address)
		return err
	})
	return conn, err
}

// EnterForGood moves the calling thread, which must be locked, into the namespace at path. What is exec'd from it is inside too.
func EnterForGood(path string) error {
	runtime.LockOSThread()
	return enter(path)
}
