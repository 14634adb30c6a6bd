// Package ui is the screen: it pulls snapshots, draws them, and turns keys
// into commands.
//
// One tick looks at the newest snapshot; nothing is ever pushed. Panels are
// plain structs that draw into a grid of cells, and the frame is drawn again
// only when something on it changed. The one goroutine is Bubble Tea's.
package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/kubestickytop/stickytop/internal/term"
)

const (
	framesPerSecond = 15
	// stuckAfter is how long a terminal may take to accept the last frame. One
	// that takes none (a dead SSH connection) must not keep the process.
	stuckAfter = 2 * time.Second
)

// ErrStuck tells that the terminal stopped taking output.
var ErrStuck = errors.New("the terminal takes no more output")

// ErrBroken is what Run's error wraps when the screen ended by a fault of its
// own, a panic among them.
var ErrBroken = errors.New("screen")

// Run shows the screen until the user quits (nil), ctx ends (its cause) or the
// process is told to end by a signal (an error that names it). It returns with
// the terminal as it was, also after a panic of the screen itself.
func Run(ctx context.Context, opt Options) error {
	if opt.In == nil {
		opt.In = os.Stdin
	}
	if opt.Out == nil {
		opt.Out = os.Stdout
	}
	rescue := term.NewRescue(opt.In, opt.Out)
	out := term.NewOutput(opt.Out, opt.Term.Mux, !opt.NoSync)
	if opt.Clipboard == nil {
		opt.Clipboard = out
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()

	m := &quitting{Model: New(opt), quit: make(chan struct{})}
	program := tea.NewProgram(m, tea.WithInput(opt.In), tea.WithOutput(out.Writer()),
		tea.WithAltScreen(), tea.WithFPS(framesPerSecond), tea.WithoutSignalHandler())
	done := make(chan error, 1)
	go func() {
		_, err := program.Run()
		done <- err
	}()
	err := wait(ctx, program, done, m.quit)
	if errors.Is(err, ErrStuck) || errors.Is(err, tea.ErrProgramPanic) {
		rescue.Restore(stuckAfter / 10)
	}
	switch {
	case err == nil && m.failed != nil:
		return fmt.Errorf("%w: %w", ErrBroken, m.failed)
	case errors.Is(err, ErrStuck):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	if frame, keep := m.Kept(); keep {
		_, _ = io.WriteString(opt.Out, frame+"\n")
	}
	return nil
}

// wait waits for the program to end; once it is asked to, not for long. A
// context given to Bubble Tea would kill it, which leaves its reader behind;
// so it is told to quit like by a user.
func wait(ctx context.Context, program *tea.Program, done <-chan error, quit <-chan struct{}) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		go program.Quit() // blocks while a frame does, and is then left behind
	case <-quit:
	}
	select {
	case err := <-done:
		return err
	case <-time.After(stuckAfter):
		return ErrStuck
	}
}

// quitting is a Model that tells when the user asked to quit, or when a bug
// made it panic. Bubble Tea's own recovery closes the input under its reader
// (seen by the race detector), so a panic is turned into quitting here.
type quitting struct {
	*Model
	quit   chan struct{}
	closed bool
	failed error
}

// Update hides the Model's, which returns the Model itself.
func (q *quitting) Update(msg tea.Msg) (model tea.Model, cmd tea.Cmd) {
	model, cmd = q, tea.Quit
	if q.failed != nil {
		return model, cmd
	}
	defer q.recovered()
	_, cmd = q.Model.Update(msg)
	if q.leaving {
		q.leave()
	}
	return model, cmd
}

// View draws nothing once a frame has failed; Init and the next Update quit.
func (q *quitting) View() (frame string) {
	if q.failed != nil {
		return ""
	}
	defer q.recovered()
	return q.Model.View()
}

func (q *quitting) recovered() {
	if r := recover(); r != nil {
		q.failed = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		q.leave()
	}
}

func (q *quitting) leave() {
	if !q.closed {
		q.closed = true
		close(q.quit)
	}
}
