//go:build unix

package ui

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	xterm "github.com/charmbracelet/x/term"
	"github.com/creack/pty"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// tty is a terminal that a test looks at from behind.
type tty struct {
	t            *testing.T
	ptmx, file   *os.File
	before       *xterm.State
	mu           sync.Mutex
	seen         strings.Builder
	readerClosed chan struct{}
}

func newTTY(t *testing.T, reads bool) *tty {
	t.Helper()
	ptmx, file, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	if err := pty.Setsize(ptmx, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	x := &tty{t: t, ptmx: ptmx, file: file, readerClosed: make(chan struct{})}
	if x.before, err = xterm.GetState(file.Fd()); err != nil {
		t.Fatal(err)
	}
	if reads {
		go x.read()
	} else {
		close(x.readerClosed)
	}
	t.Cleanup(func() {
		_ = file.Close()
		_ = ptmx.Close()
		<-x.readerClosed
	})
	return x
}

func (x *tty) read() {
	defer close(x.readerClosed)
	buf := make([]byte, 4096)
	for {
		n, err := x.ptmx.Read(buf)
		x.mu.Lock()
		x.seen.Write(buf[:n])
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (x *tty) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.seen.String()
}

// wait waits until the terminal was sent want.
func (x *tty) wait(want string) {
	x.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(x.text(), want) {
			return
		}
	}
	x.t.Fatalf("%q never came; the terminal has %q", want, x.text())
}

// checkRestored checks that the terminal is as it was.
func (x *tty) checkRestored() {
	x.t.Helper()
	after, err := xterm.GetState(x.file.Fd())
	if err != nil {
		x.t.Fatal(err)
	}
	if after.Termios.Lflag != x.before.Termios.Lflag || after.Termios.Iflag != x.before.Termios.Iflag || after.Termios.Oflag != x.before.Termios.Oflag {
		x.t.Errorf("the terminal is still raw: %+v, was %+v", after.Termios, x.before.Termios)
	}
}

func (x *tty) checkLeft() {
	x.t.Helper()
	x.wait(ansi.ResetModeAltScreenSaveCursor)
	s := x.text()
	if strings.LastIndex(s, ansi.ShowCursor) < strings.LastIndex(s, ansi.HideCursor) {
		x.t.Error("the cursor is still hidden")
	}
	if strings.LastIndex(s, ansi.ResetModeAltScreenSaveCursor) < strings.LastIndex(s, ansi.SetModeAltScreenSaveCursor) {
		x.t.Error("the alternate screen is still shown")
	}
}

// start runs the screen on x.
func (x *tty) start(ctx context.Context, change func(*Options)) <-chan error {
	w, o := told()
	o.In, o.Out = x.file, x.file
	snap := w.snap()
	o.Snapshots, o.Now = func() *affinity.Snapshot { return snap }, nil
	if change != nil {
		change(&o)
	}
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	return done
}

func (x *tty) end(done <-chan error, within time.Duration) error {
	x.t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(within):
		x.t.Fatal("Run does not return")
		return nil
	}
}

func TestRunQuits(t *testing.T) {
	x := newTTY(t, true)
	done := x.start(t.Context(), nil)
	x.wait("CLIENTS")
	if strings.Contains(x.text(), ansi.RequestBackgroundColor) || strings.Contains(x.text(), "\x1b[6n") {
		t.Error("the terminal was asked something: one that does not answer would stall the start")
	}
	if !strings.Contains(x.text(), ansi.SetModeSynchronizedOutput+ansi.CursorHomePosition) {
		t.Error("frames are not marked as synchronized output")
	}
	_, _ = x.ptmx.WriteString("q")
	if err := x.end(done, 10*time.Second); err != nil {
		t.Errorf("Run: %v", err)
	}
	x.checkRestored()
	x.checkLeft()
}

func TestRunKeepsTheLastScreen(t *testing.T) {
	x := newTTY(t, true)
	done := x.start(t.Context(), nil)
	x.wait("CLIENTS")
	_, _ = x.ptmx.WriteString("Q")
	if err := x.end(done, 10*time.Second); err != nil {
		t.Errorf("Run: %v", err)
	}
	x.checkLeft()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s := x.text()
		after := s[strings.LastIndex(s, ansi.ResetModeAltScreenSaveCursor):]
		if strings.Contains(after, "CLIENTS") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after leaving, the terminal has %q, want the last screen", after)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	x := newTTY(t, true)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := x.start(ctx, nil)
	x.wait("CLIENTS")
	why := errors.New("target not found")
	cancel(why)
	if err := x.end(done, 10*time.Second); !errors.Is(err, why) {
		t.Errorf("Run: %v, want %v", err, why)
	}
	x.checkRestored()
	x.checkLeft()
}

func TestRunEndsOnSIGTERM(t *testing.T) {
	x := newTTY(t, true)
	done := x.start(t.Context(), nil)
	x.wait("CLIENTS")
	_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	if err := x.end(done, 10*time.Second); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("Run: %v, want an error that names the signal", err)
	}
	x.checkRestored()
	x.checkLeft()
}

func TestRunSurvivesAPanic(t *testing.T) {
	x := newTTY(t, true)
	began := time.Now()
	done := x.start(t.Context(), func(o *Options) {
		o.Caption = func() string {
			if time.Since(began) > time.Second/2 {
				panic("a bug in a caption")
			}
			return ""
		}
	})
	if err := x.end(done, 10*time.Second); err == nil || !strings.Contains(err.Error(), "panic") {
		t.Errorf("Run: %v, want an error about a panic", err)
	}
	x.checkRestored()
	x.checkLeft()
}

// asChild makes the test binary a program that shows a screen, for what only
// the end of a process can show.
const asChild = "UI_TEST_SHOWS_A_SCREEN"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) == "" {
		os.Exit(m.Run())
	}
	_, o := told()
	n := 0
	o.Caption = func() string { n++; return strings.Repeat("x", n%70) } // a new frame each tick
	o.Now = nil
	if err := Run(context.Background(), o); errors.Is(err, ErrStuck) {
		os.Exit(42)
	}
	os.Exit(0)
}

// TestRunLeavesAStuckTerminal: nobody reads the terminal any more, so frames
// block; the process must get away all the same.
func TestRunLeavesAStuckTerminal(t *testing.T) {
	x := newTTY(t, false)
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), asChild+"=1")
	child.Stdin, child.Stdout = x.file, x.file
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		state, err := xterm.GetState(x.file.Fd())
		if err == nil && state.Termios.Lflag != x.before.Termios.Lflag {
			break // raw: the screen has begun
		}
		if time.Now().After(end) {
			t.Fatal("the screen does not begin")
		}
	}
	fill(x.file)
	_ = child.Process.Signal(syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = child.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(stuckAfter + 8*time.Second):
		_ = child.Process.Kill()
		<-ended
		t.Fatal("a stuck terminal keeps the process")
	}
	if code := child.ProcessState.ExitCode(); code != 42 {
		t.Errorf("it ended with %v, want Run to return %v", child.ProcessState, ErrStuck)
	}
	x.checkRestored()
}

// fill writes to a terminal until it takes no more.
func fill(f *os.File) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 64 {
			if _, err := f.Write(make([]byte, 1024)); err != nil {
				return // closed by the end of the test
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}
