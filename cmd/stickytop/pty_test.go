package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

// build makes the binary once for all tests of this package.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "stickytop-test")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "stickytop")
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		panic(string(out))
	}
	for _, name := range []string{"kubectl-stickytop", "kubectl_complete-stickytop"} {
		if err := os.Symlink("stickytop", filepath.Join(dir, name)); err != nil {
			panic(err)
		}
	}
	// These tests wait more than they work: more at once than there are cores.
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p != nil && p.Value.String() == p.DefValue {
		_ = p.Value.Set("6")
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// Bubble Tea v1 asks the terminal for its background and waits five seconds
// for an answer (see internal/quiet). The terminal here never answers.
func TestNoCommandAsksTheTerminal(t *testing.T) {
	commands := [][]string{
		{"version"}, {"--help"}, {"get", "--help"}, {"demo", "--help"}, {"demo", "--list"}, {"rbac", "--help"}, {"completion", "bash"},
		{"__complete", "demo", ""}, {"no-such/target"}, {"ing/x", "--kubeconfig", "/nonexistent"}, {"rbac", "--kubeconfig", "/nonexistent"},
		{"get", "sessions", "ing/x", "--kubeconfig", "/nonexistent"}, {"--no-such-flag"},
	}
	for _, args := range commands {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			start := time.Now()
			out := onTerminal(t, args, 4*time.Second)
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %s", took)
			}
			silent(t, out)
		})
	}
}

func silent(t *testing.T, out []byte) {
	t.Helper()
	for name, query := range map[string]string{"background colour (OSC 11)": "\x1b]11;?", "foreground colour (OSC 10)": "\x1b]10;?", "cursor position": "\x1b[6n"} {
		if bytes.Contains(out, []byte(query)) {
			t.Errorf("the terminal was asked for its %s: %q", name, out)
		}
	}
}

// terminalEnv is a terminal that Bubble Tea would ask.
func terminalEnv() []string {
	env := []string{"TERM=xterm-256color", "HOME=" + os.TempDir()}
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); name == "PATH" || name == "GOCOVERDIR" {
			env = append(env, kv)
		}
	}
	return env
}

// onTerminal runs the binary on a pseudo-terminal of 80x24 until it ends or
// the time is up, and returns what it wrote.
func onTerminal(t *testing.T, args []string, limit time.Duration) []byte {
	t.Helper()
	s := startTerminal(t, args)
	return s.wait(limit)
}

type terminalRun struct {
	t    testing.TB
	cmd  *exec.Cmd
	tty  *os.File
	out  chan []byte
	seen bytes.Buffer
	err  error
}

func startTerminal(t testing.TB, args []string, env ...string) *terminalRun {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(terminalEnv(), env...)
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	s := &terminalRun{t: t, cmd: cmd, tty: tty, out: make(chan []byte, 64)}
	go func() {
		defer close(s.out)
		for {
			buf := make([]byte, 32<<10)
			n, err := tty.Read(buf)
			if n > 0 {
				s.out <- buf[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = tty.Close()
		for range s.out {
		}
	})
	return s
}

// until reads until text was written, or fails.
func (s *terminalRun) until(text string, limit time.Duration) {
	s.t.Helper()
	deadline := time.After(limit)
	for !strings.Contains(s.seen.String(), text) {
		select {
		case b, ok := <-s.out:
			if !ok {
				s.t.Fatalf("ended before writing %q; it wrote %q", text, s.seen.String())
			}
			s.seen.Write(b)
		case <-deadline:
			s.t.Fatalf("no %q within %s; it wrote %q", text, limit, s.seen.String())
		}
	}
}

func (s *terminalRun) press(key string) {
	s.t.Helper()
	if _, err := io.WriteString(s.tty, key); err != nil {
		s.t.Fatal(err)
	}
}

func (s *terminalRun) wait(limit time.Duration) []byte {
	s.t.Helper()
	deadline := time.After(limit)
	for {
		select {
		case b, ok := <-s.out:
			if ok {
				s.seen.Write(b)
				continue
			}
			s.err = s.cmd.Wait()
			return s.seen.Bytes()
		case <-deadline:
			s.t.Fatalf("still running after %s; it wrote %q", limit, s.seen.String())
		}
	}
}

func (s *terminalRun) code() int {
	var exit *exec.ExitError
	if errors.As(s.err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

const (
	altScreen   = "\x1b[?1049h"
	noAltScreen = "\x1b[?1049l"
	showCursor  = "\x1b[?25h"
)

func TestDemoOnATerminal(t *testing.T) {
	s := startTerminal(t, []string{"demo", "delete-pod"})
	s.until("LIVE", 10*time.Second)
	s.press("2")
	s.until("STUCK", 10*time.Second)
	s.press("q")
	out := s.wait(5 * time.Second)
	silent(t, out)
	restored(t, out)
	if s.code() != 0 {
		t.Errorf("exit code %d after q, want 0", s.code())
	}
}

func restored(t *testing.T, out []byte) {
	t.Helper()
	if !bytes.Contains(out, []byte(altScreen)) {
		t.Fatalf("no screen was shown: %q", out)
	}
	if bytes.LastIndex(out, []byte(noAltScreen)) < bytes.LastIndex(out, []byte(altScreen)) {
		t.Error("the alternate screen was not left")
	}
	if !bytes.Contains(out, []byte(showCursor)) {
		t.Error("the cursor was not shown again")
	}
}

func TestTerminalIsRestoredOnSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			s := startTerminal(t, []string{"demo"})
			s.until(altScreen, 5*time.Second)
			if err := s.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			restored(t, s.wait(5*time.Second))
			if s.code() != exitInterrupted {
				t.Errorf("exit code %d, want %d", s.code(), exitInterrupted)
			}
		})
	}
}

// A SIGQUIT asks for the goroutines: on the terminal as it was, where they can
// be read.
func TestQuitDumpsAfterTheScreen(t *testing.T) {
	s := startTerminal(t, []string{"demo"})
	s.until("CLIENTS", 5*time.Second)
	if err := s.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	out := s.wait(10 * time.Second)
	restored(t, out)
	left := bytes.LastIndex(out, []byte(noAltScreen))
	if dump := bytes.Index(out, []byte("SIGQUIT: quit")); dump < left || !bytes.Contains(out[left:], []byte("\ngoroutine ")) {
		t.Errorf("no dump after the screen: %q", out[left:])
	}
	if bytes.LastIndex(out, []byte(showCursor)) < bytes.LastIndex(out, []byte("\x1b[?25l")) {
		t.Error("the cursor is still hidden")
	}
	if s.code() != 2 {
		t.Errorf("exit code %d, want 2 as of any Go program", s.code())
	}
}

// The first frame must not wait for the API: here nobody answers at all.
func TestFirstFrameBeforeAnyAnswer(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config")
	text := `{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}],
users: [{name: a, user: {token: x}}], contexts: [{name: a, context: {cluster: a, user: a}}], current-context: a}`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startTerminal(t, []string{"ing/msgapp", "--kubeconfig", config})
	start := time.Now()
	s.until(altScreen, 5*time.Second)
	s.until("stickytop", 5*time.Second)
	t.Logf("first frame after %s", time.Since(start))
	s.press("q")
	restored(t, s.wait(5*time.Second))
}

// Who may nothing is told for whom to ask: the user that the API server takes
// them for, not the one of the kubeconfig.
func TestAccessOfWhoIsImpersonated(t *testing.T) {
	server := startServer(t, findingsObjects)
	var all []apiserver.Rule
	for resource, group := range map[string]string{"pods": "", "services": "", "namespaces": "", "configmaps": "", "nodes": "",
		"endpointslices": "discovery.k8s.io", "ingresses": "networking.k8s.io", "ingressclasses": "networking.k8s.io"} {
		all = append(all, apiserver.Rule{Group: group, Resource: resource})
	}
	server.Deny(all...)
	config := filepath.Join(t.TempDir(), "config")
	text := `{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: "http://` + server.Addr() + `"}}],
users: [{name: admin-of-a, user: {}}, {name: other-of-a, user: {}}], contexts: [{name: a, context: {cluster: a, user: admin-of-a}}], current-context: a}`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--as", "jane"}, "Role for user jane"},
		{[]string{"--as", "jane", "--as-group", "ops", "--as-group", "dev"}, "Role for user jane, groups ops, dev"},
		{[]string{"--user", "other-of-a"}, "user other-of-a"},
		{nil, "user admin-of-a"},
	} {
		s := startTerminal(t, append([]string{"--kubeconfig", config, "--no-probe"}, tt.args...))
		s.until("LIMITED", 10*time.Second)
		s.press("A")
		s.until(tt.want, 10*time.Second)
		s.press("q")
		s.wait(5 * time.Second)
	}
}
