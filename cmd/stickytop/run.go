package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubestickytop/stickytop/internal/kube"
	"github.com/kubestickytop/stickytop/internal/ui"
)

// Exit codes, as in the README.
const (
	exitOK          = 0
	exitUsage       = 2   // the command line or a file it names is wrong
	exitCannot      = 3   // the cluster or the ingress could not be asked
	exitBroken      = 70  // a fault of this program: EX_SOFTWARE of sysexits.h
	exitUnwritten   = 74  // what was to be printed could not be written: EX_IOERR of sysexits.h
	exitInterrupted = 130 // 128 + SIGINT
)

// failure is an error with the exit code it means and the next thing to type.
type failure struct {
	code int
	err  error
	hint string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usageError(format string, args ...any) error {
	return &failure{code: exitUsage, err: fmt.Errorf(format, args...)}
}

func cannot(hint, format string, args ...any) error {
	return &failure{code: exitCannot, err: fmt.Errorf(format, args...), hint: hint}
}

// run is the whole program: it returns the exit code.
func run(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	name := programName(args[0])
	args = args[1:]
	if strings.HasPrefix(name, "kubectl_complete-") {
		// kubectl runs this beside a plugin to complete its arguments.
		name, args = "kubectl stickytop", append([]string{cobra.ShellCompRequestCmd}, args...)
	}
	kube.RedirectLogs(nil)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	root := newRoot(name, streams)
	root.SetArgs(joinKernel(args, func(word string) bool {
		c, _, err := root.Find([]string{word})
		return err == nil && c != root
	}))
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	cmd, err := root.ExecuteContextC(ctx)
	// A pod's end is asked for by a signal.
	if err == nil && (ctx.Err() == nil || cmd.Name() == agentCommand) {
		return exitOK
	}
	return conclude(streams.ErrOut, name, err, ctx.Err() != nil)
}

// programName is what usage calls the program: as a plugin it is typed
// "kubectl stickytop".
func programName(arg0 string) string {
	name := strings.TrimSuffix(filepath.Base(arg0), ".exe")
	if rest, ok := strings.CutPrefix(name, "kubectl-"); ok {
		return "kubectl " + strings.ReplaceAll(rest, "_", "-")
	}
	return name
}

func conclude(w io.Writer, name string, err error, interrupted bool) int {
	var f *failure
	var p *kube.Problem
	switch {
	case interrupted && (err == nil || errors.Is(err, context.Canceled)):
		return exitInterrupted
	case unwritten(err) != nil:
		say(w, "nothing more can be printed: "+unwritten(err).Error(), "")
		return exitUnwritten
	case errors.As(err, &f):
		say(w, f.err.Error(), typedAs(name, f.hint))
		return f.code
	case errors.As(err, &p):
		say(w, p.What, typedAs(name, p.Hint))
		return exitCannot
	case errors.Is(err, ui.ErrBroken):
		say(w, err.Error(), "this is a bug of stickytop: please report it with the lines above")
		return exitBroken
	}
	// What cobra refuses: unknown flags, commands, wrong numbers of arguments.
	say(w, err.Error(), fmt.Sprintf("see '%s --help'", name))
	return exitUsage
}

// ownCommand is a command of this program, however a text calls the program.
var ownCommand = regexp.MustCompile(`\b(?:kubectl stickytop|stickytop) (agents|decode|demo|explain|get|lint|rbac)\b`)

// typedAs has a hint call the program what the user calls it.
func typedAs(name, hint string) string {
	return ownCommand.ReplaceAllString(hint, name+" $1")
}

// writes remembers a write that failed.
type writes struct {
	to  io.Writer
	err error
}

func (w *writes) Write(p []byte) (n int, err error) {
	if n, err = w.to.Write(p); err != nil {
		w.err = err
	}
	return n, err
}

// unwritten is the failed write in err; nil where none failed.
func unwritten(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok && e.Op == "write" {
		return e
	}
	return nil
}

func say(w io.Writer, what, hint string) {
	fmt.Fprintln(w, "error: "+what)
	if hint != "" {
		fmt.Fprintln(w, "hint: "+hint)
	}
}

// logTo sends the logs of client-go and of this program to a file, never to
// the screen.
func logTo(path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, usageError("--log-file: %w", err)
	}
	kube.RedirectLogs(f)
	slog.SetDefault(slog.New(slog.NewJSONHandler(f, nil)))
	return f, nil
}
