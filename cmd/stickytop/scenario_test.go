package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/demo"
	"github.com/kubestickytop/stickytop/internal/report"
)

// Every scenario of the demo says what a run of it must show. Here the whole
// program runs it, and what it prints is held against that. Scenarios run side
// by side: they wait more than they work.
func TestScenariosShowWhatTheyPromise(t *testing.T) {
	scenarios := demo.Scenarios()
	outputs := make([][]byte, len(scenarios))
	errs := make([]error, len(scenarios))
	atOnce := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i, s := range scenarios {
		wg.Go(func() {
			atOnce <- struct{}{}
			defer func() { <-atOnce }()
			window := s.Expect.After.Duration + time.Second // sessions open spread over one
			ctx, cancel := context.WithTimeout(t.Context(), window+20*time.Second)
			defer cancel()
			outputs[i], errs[i] = exec.CommandContext(ctx, binary, "demo", s.Name, "-o", "json", "--for", window.String()).Output()
		})
	}
	wg.Wait()
	for i, s := range scenarios {
		t.Run(s.Name, func(t *testing.T) {
			if errs[i] != nil {
				t.Fatalf("%v\n%s", errs[i], outputs[i])
			}
			var list report.SessionList
			if err := json.Unmarshal(outputs[i], &list); err != nil {
				t.Fatal(err)
			}
			promised(t, list, s.Expect)
		})
	}
}

// The story must not run ahead of the screen: what it calls live is.
func TestStoryOfTheLostAPIServer(t *testing.T) {
	s, end, err := demoSetup(&cobra.Command{}, demo.Options{Scenario: "api-loss"}, defaultProbes())
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.engine.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	wasStale := false
	for !strings.Contains(s.caption(), "went on where they were") {
		if state, _ := s.engine.Snapshot().Health(); state == affinity.SourceStale {
			wasStale = true
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the story ended with %q", s.caption())
		case <-time.After(10 * time.Millisecond):
		}
	}
	if state, since := s.engine.Snapshot().Health(); state != affinity.SourceLive || !wasStale {
		t.Errorf("the story says %q, and the sources are %s since %s; stale before: %v", s.caption(), state, since, wasStale)
	}
}

// defaultProbes are the probe's defaults.
func defaultProbes() probeFlags {
	f := noProbes()
	f.noProbe = false
	return f
}

func promised(t *testing.T, list report.SessionList, want demo.Expect) {
	t.Helper()
	states := map[string]int{}
	moves, silent, first, failures := 0, 0, 0, 0
	for _, s := range list.Items {
		states[s.State]++
		failures += s.Failures
		for _, m := range s.Moves {
			moves++
			if m.FirstPin {
				first++
			}
			if !m.CookieChanged {
				silent++
			}
		}
	}
	check := func(what string, b demo.Bound, got int) {
		t.Helper()
		if !b.Holds(got) {
			t.Errorf("%s: %d, want %s (states %v)", what, got, b, states)
		}
	}
	for state, bound := range want.Sessions {
		check(state, bound, states[state])
	}
	check("moves", want.Moves, moves)
	check("silent moves", want.Silent, silent)
	check("re-pins", want.RePins, moves-silent-first)
	check("failures", want.Failures, failures)
}
