package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"sync"
	"testing"
	"time"

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
