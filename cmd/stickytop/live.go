package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubestickytop/stickytop/internal/term"
	"github.com/kubestickytop/stickytop/internal/ui"
)

// isTerminal reports whether both ends of a screen are there.
func isTerminal(streams genericiooptions.IOStreams) bool {
	out, ok := streams.Out.(*os.File)
	in, ok2 := streams.In.(*os.File)
	return ok && ok2 && isatty.IsTerminal(out.Fd()) && isatty.IsTerminal(in.Fd())
}

// live shows the run on the screen until the user leaves. kept is what remembers
// the mutes; nil for nothing.
func live(ctx context.Context, s *setup, name string, screen screenFlags, kept *muteStore, streams genericiooptions.IOStreams) error {
	ability, err := screen.ability()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	wait, err := s.ask(ctx, cancel)
	if err != nil {
		return err
	}
	if kept != nil {
		defer func() {
			if err := kept.end(); err != nil {
				fmt.Fprintln(streams.ErrOut, "warning:", err)
			}
		}()
	}
	restore, err := divertStderr(s.log)
	if err != nil {
		return err
	}
	defer restore()
	defer term.NewRescue(streams.In, streams.Out).OnQuit(restore)()
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.engine.Run(ctx); err != nil {
			cancel(err)
		}
	})
	running.Go(func() { s.tidyMemory(ctx) })
	o := ui.Options{
		Snapshots: s.engine.Snapshot, Controls: s.engine, Title: name, Context: s.context, Server: s.apiServer, Namespace: s.namespace, Selector: s.selector, User: s.user, As: s.as.UserName, AsGroups: s.as.Groups,
		Target: s.target, ReadOnly: s.readOnly, Term: ability, Theme: screen.theme, NoSync: screen.noSync,
		Round: s.round, MaxRPS: s.maxRPS, Actions: s.actions, Caption: s.caption, Reports: reports{}, In: streams.In, Out: streams.Out,
	}
	if kept != nil {
		o.Mutes = kept
	}
	err = ui.Run(ctx, o)
	cause := context.Cause(ctx) // of the end, when it was not the user's
	cancel(nil)
	running.Wait()
	wait()
	if cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// divertStderr keeps the screen for the screen: what is written to standard
// error goes to the log file, or nowhere.
func divertStderr(log *os.File) (restore func(), err error) {
	if log != nil {
		return term.DivertStderr(log)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	return term.DivertStderr(null)
}

// tidyMemory gives back what the first lists of a cluster left behind, once
// they are all there: of 5,000 pods only a tenth is kept.
func (s *setup) tidyMemory(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		if synced(s.engine.Snapshot()) {
			debug.FreeOSMemory()
			return
		}
	}
}

// ask looks the target up. A login program may want the terminal, so it has to
// end before the screen begins; otherwise an answer that takes its time ends
// the screen later, if the target turns out not to exist. wait joins what ask
// started.
func (s *setup) ask(ctx context.Context, cancel context.CancelCauseFunc) (wait func(), err error) {
	if s.lookup == nil {
		return func() {}, nil
	}
	if s.prompts {
		return func() {}, mistake(s.lookup(ctx))
	}
	answer := make(chan error, 1)
	go func() { answer <- mistake(s.lookup(ctx)) }()
	select {
	case err := <-answer:
		return func() {}, err
	case <-time.After(lookupWait):
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := <-answer; err != nil && ctx.Err() == nil {
			cancel(err)
		}
	}()
	return func() { <-done }, nil
}

func (f screenFlags) ability() (term.Ability, error) {
	a := term.Detect(os.Getenv)
	switch f.color {
	case "auto":
	case "always":
		a.Colors = max(a.Colors, 16)
	case "never":
		a.Colors = 0
	default:
		return a, usageError("--color %q: use auto, always or never", f.color)
	}
	a.ASCII = a.ASCII || f.ascii
	return a, nil
}
