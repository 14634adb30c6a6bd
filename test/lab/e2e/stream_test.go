package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/test/lab"
)

// lines collects what a process writes, each line with the time at which it was read.
type lines[T any] struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   *strings.Builder // its standard error; read after the end

	mu  sync.Mutex
	got []line[T]
	bad error
}

type line[T any] struct {
	at   time.Time
	what T
}

// follow runs a program in the client's namespace until the test ends or stop is called.
func follow[T any](t *testing.T, l *lab.Lab, parse func([]byte) (T, error), program string, args ...string) *lines[T] {
	t.Helper()
	return followIn(t, l, "client", parse, program, args...)
}

// followIn is follow in another of the lab's namespaces.
func followIn[T any](t *testing.T, l *lab.Lab, ns string, parse func([]byte) (T, error), program string, args ...string) *lines[T] {
	t.Helper()
	cmd, err := l.Command(within(t, 15*time.Minute), ns, program, args...)
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	f := &lines[T]{cmd: cmd, ended: make(chan struct{}), err: &strings.Builder{}}
	cmd.Stderr = f.err
	check(t, cmd.Start())
	go f.read(out, parse)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Kill)
		<-f.ended
	})
	return f
}

func (f *lines[T]) read(out io.Reader, parse func([]byte) (T, error)) {
	defer close(f.ended)
	reader := bufio.NewReaderSize(out, 1<<20)
	for {
		text, err := reader.ReadBytes('\n')
		now := time.Now()
		if len(text) > 0 && err == nil {
			what, bad := parse(text)
			f.mu.Lock()
			f.got, f.bad = append(f.got, line[T]{now, what}), errors.Join(f.bad, bad)
			f.mu.Unlock()
		}
		if err != nil {
			_ = f.cmd.Wait()
			return
		}
	}
}

func (f *lines[T]) all() []line[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got[:len(f.got):len(f.got)]
}

// stop interrupts the program as Ctrl-C does, and returns all lines and its exit code.
func (f *lines[T]) stop(t *testing.T) ([]line[T], int) {
	t.Helper()
	_ = f.cmd.Process.Signal(os.Interrupt)
	select {
	case <-f.ended:
	case <-time.After(patience * 10 * time.Second):
		t.Fatal("the program did not end after SIGINT")
	}
	if f.bad != nil {
		t.Error(f.bad)
	}
	return f.all(), f.cmd.ProcessState.ExitCode()
}

// stream is get sessions -w -o json --requests.
type stream struct{ *lines[session] }

func watchSessions(t *testing.T, l *lab.Lab, args ...string) stream {
	t.Helper()
	args = append([]string{"get", "sessions", "-w", "-o", "json", "--requests"}, args...)
	return stream{follow(t, l, func(text []byte) (s session, err error) {
		return s, json.Unmarshal(text, &s)
	}, product(t), args...)}
}

// latest is each session's last line, by name.
func (s stream) latest() map[string]session {
	last := map[string]session{}
	for _, l := range s.all() {
		last[l.what.Name] = l.what
	}
	return last
}

// settled waits until n sessions are in a state, each after some answers, and returns them.
func (s stream) settled(t *testing.T, n, answers int, state string) map[string]session {
	t.Helper()
	var last map[string]session
	defer func() {
		if t.Failed() {
			t.Logf("sessions: %s", describe(last))
		}
	}()
	eventually(t, 25*time.Second, "all sessions "+state, func() bool {
		last = s.latest()
		count := 0
		for _, x := range last {
			if x.State == state && x.Requests-x.Failures >= answers {
				count++
			}
		}
		return count == n
	})
	return last
}

// until waits for a line.
func (s stream) until(t *testing.T, limit time.Duration, what string, is func(session) bool) line[session] {
	t.Helper()
	var found line[session]
	n := 0
	eventually(t, limit, what, func() bool {
		all := s.all()
		for ; n < len(all); n++ {
			if is(all[n].what) {
				found = all[n]
				return true
			}
		}
		return false
	})
	return found
}

// finish stops the program and holds its last words against the access log.
func (s stream) finish(t *testing.T, l *lab.Lab) ([]line[session], map[string]session) {
	t.Helper()
	before := time.Now()
	all, code := s.stop(t)
	if code != 130 {
		t.Errorf("exit code %d after SIGINT, want 130: %s", code, s.err)
	}
	last := s.latest()
	agree(t, l, last, before.Add(-2*time.Second))
	return all, last
}

func describe(all map[string]session) string {
	var text strings.Builder
	for _, name := range sorted(all) {
		s := all[name]
		fmt.Fprintf(&text, "\n  %s %s on %s via %s: %s %s; moves %+v", name, s.State, s.pod(), s.Via, s.Detail, s.LastFailure, s.Moves)
	}
	return text.String()
}
