package ui

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/term"
)

// counter counts what would go to a terminal.
type counter struct{ n atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// TestBytesPerSecond runs the whole program for a minute of simulated time
// while every session is answered once a second, and counts what goes to the
// terminal.
func TestBytesPerSecond(t *testing.T) {
	for _, tt := range []struct {
		name string
		w, h int
		keys string
		most int64 // bytes a second
	}{
		{"topo", 80, 24, "1", 4000}, {"sessions", 80, 24, "2", 4000}, {"events", 80, 24, "4", 4000},
		{"topo", 140, 40, "1", 10_000}, {"sessions", 140, 40, "2", 10_000}, {"pods", 140, 40, "3", 10_000}, {"events", 140, 40, "4", 10_000},
		{"paused", 140, 40, "2p", 250},
	} {
		t.Run(fmt.Sprintf("%s/%dx%d", tt.name, tt.w, tt.h), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := steadyBytes(t, tt.w, tt.h, tt.keys)
				t.Logf("%d bytes a second", got)
				if got > tt.most || got == 0 {
					t.Errorf("%d bytes a second, want at most %d and more than none", got, tt.most)
				}
			})
		})
	}
}

func steadyBytes(t *testing.T, w, h int, keys string) int64 {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var newest atomic.Pointer[affinity.Snapshot]
	world := base()
	world.now = time.Now()
	for i := range 40 {
		world.open(fmt.Sprintf("s%02d", i), affinity.ClientBrowser)
	}
	newest.Store(world.snap())
	done := make(chan struct{})
	go func() {
		defer close(done)
		live(ctx, world, &newest)
	}()

	o := world.options()
	o.Snapshots, o.Now = newest.Load, time.Now
	out := &counter{}
	program := tea.NewProgram(New(o), tea.WithContext(ctx), tea.WithInput(nil), tea.WithAltScreen(), tea.WithFPS(framesPerSecond),
		tea.WithOutput(term.NewOutput(out, term.MuxNone, true).Writer()), tea.WithoutSignalHandler())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = program.Run()
	}()
	program.Send(tea.WindowSizeMsg{Width: w, Height: h})
	for _, k := range keys {
		program.Send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{k}})
	}
	time.Sleep(5 * time.Second)
	before := out.n.Load()
	time.Sleep(time.Minute)
	n := out.n.Load() - before
	program.Quit()
	<-ended
	cancel()
	<-done
	time.Sleep(time.Second) // Bubble Tea leaves its last tick to run out
	return n / 60
}

// live answers every session about once a second, at different moments of it.
func live(ctx context.Context, w *world, newest *atomic.Pointer[affinity.Snapshot]) {
	rng := rand.New(rand.NewPCG(1, 2))
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	pods := []string{podA, podB, podC}
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.now = time.Now()
		w.answer(fmt.Sprintf("s%02d", n%40), pods[n%40%3], n < 40, time.Duration(20+rng.IntN(40))*time.Millisecond)
		newest.Store(w.snap())
	}
}
