package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What a command does before it begins is the init functions of what the
// binary imports: one dependency's tables, made anew at each start, once took
// 45 ms (mattn/go-runewidth before v0.0.28). The least of several starts
// counts, since a busy machine stretches the clock.
func TestNoInitTakesLong(t *testing.T) {
	const bound = 10.0 // milliseconds
	least := map[string]float64{}
	for range 12 {
		cmd := exec.CommandContext(t.Context(), binary, "version")
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		var trace bytes.Buffer
		cmd.Stderr = &trace
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(trace.String()) { // init PACKAGE @1.2 ms, 3.4 ms clock, …
			fields := strings.Fields(line)
			if len(fields) < 6 || fields[0] != "init" {
				continue
			}
			took, err := strconv.ParseFloat(fields[4], 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if had, ok := least[fields[1]]; !ok || took < had {
				least[fields[1]] = took
			}
		}
	}
	if len(least) < 20 {
		t.Fatalf("%d packages in the trace", len(least))
	}
	for name, took := range least {
		if took > bound {
			t.Errorf("the init of %s takes %.1f ms at best, want at most %.0f", name, took, bound)
		}
	}
}

// BenchmarkStart is the whole life of short commands, in wall-clock time.
//
//	go test -run '^$' -bench Start -benchtime 20x ./cmd/stickytop
func BenchmarkStart(b *testing.B) {
	for _, args := range [][]string{{"version"}, {"decode", "lb=8284434f14da8452", "--endpoints", "10.244.0.5:8080,10.244.1.7:8080"}} {
		b.Run(args[0], func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				cmd := exec.CommandContext(b.Context(), binary, args...)
				cmd.Env, cmd.Stdout = append(os.Environ(), "KUBECONFIG="+os.DevNull), io.Discard
				start := time.Now()
				if err := cmd.Run(); err != nil {
					b.Fatal(strings.Join(args, " "), err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[0].Microseconds())/1000, "ms-least")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
		})
	}
}
