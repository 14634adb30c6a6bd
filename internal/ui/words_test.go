package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// turnedOn is a route without affinity for ten seconds, in which s01 wanders,
// and then one with it for seconds more.
func turnedOn(more int) (*world, Options) {
	w := base()
	on := w.route
	off := chatRoute()
	off.Layers[0].Candidates = []affinity.Policy{{Why: "no affinity annotation"}}
	w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{off}})
	w.open("s01", affinity.ClientBrowser)
	w.open("s02", affinity.ClientBrowser)
	for sec := range 10 {
		w.now = start.Add(time.Duration(sec) * time.Second)
		w.answer("s01", []string{podB, podC, podA}[sec/3%3], false, 40*time.Millisecond)
		w.answer("s02", podC, false, 40*time.Millisecond)
	}
	if more > 0 {
		w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{on}})
	}
	for sec := range more {
		w.now = start.Add(time.Duration(10+sec) * time.Second)
		w.answer("s01", podC, sec == 0, 40*time.Millisecond)
		w.answer("s02", podC, sec == 0, 40*time.Millisecond)
	}
	return w, w.options()
}

// text is a frame without its colours, spaces in one.
func text(m *Model) string { return strings.Join(strings.Fields(stripColours(m.View())), " ") }

// TestStuckSaysNoMore: that a session is held says nothing of the changes of
// pod before it was, which its strip shows.
func TestStuckSaysNoMore(t *testing.T) {
	w, o := turnedOn(20)
	for _, width := range []int{80, 140} {
		m := sized(o, width, 40)
		press(m, "2", "enter")
		got := text(m)
		if strings.Contains(got, "last minute") || !strings.Contains(got, "C pq7rw answered every request since 14:00:10Z") {
			t.Errorf("%d wide, %s after the first answer:\n%s", width, w.now.Sub(start), m.View())
		}
	}
}
