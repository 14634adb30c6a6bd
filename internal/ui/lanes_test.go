package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// rolledOut is a rollout: A, B and C went, D, E and F came, and answer.
func rolledOut() *world {
	w := base()
	for i := range 6 {
		w.open(fmt.Sprintf("s%02d", i+1), "browser")
	}
	old := []string{podA, podB, podC}
	for i, name := range []string{"msgapp-84d1-zz001", "msgapp-84d1-zz002", "msgapp-84d1-zz003"} {
		for n := range 6 {
			w.answer(fmt.Sprintf("s%02d", n+1), old[i], true, time.Millisecond)
		}
		w.now = w.now.Add(20 * time.Second)
		w.add(name, fmt.Sprintf("10.4.3.%d", i+4), "node-3", time.Second)
		w.remove(old[i])
	}
	for n := range 6 {
		w.answer(fmt.Sprintf("s%02d", n+1), "msgapp-84d1-zz001", true, time.Millisecond)
	}
	w.now = w.now.Add(time.Second)
	return w
}

// laneTags are the pods that have a lane, and the line that counts the others.
func laneTags(m *Model) (tags, more string) {
	for _, line := range strings.Split(stripColours(m.View()), "\n") {
		if rest, ok := strings.CutPrefix(line, " pod "); ok {
			tag, _, _ := strings.Cut(rest, " ")
			tags += tag
		}
		if _, rest, ok := strings.Cut(line, "10m ago  + "); ok {
			more = strings.TrimSpace(strings.TrimSuffix(rest, "now"))
		}
	}
	return tags, more
}

// TestLanesShowLivePods: where not all pods have room, those that went are the
// first to be left out, and it is said.
func TestLanesShowLivePods(t *testing.T) {
	for _, tt := range []struct {
		h          int
		tags, more string
	}{
		{19, "D", "5 pods: A gone, B gone, C gone, E, F"},
		{22, "DEF", "3 pods: A gone, B gone, C gone"},
		{24, "CDEF", "2 pods: A gone, B gone"},
		{30, "ABCDEF", ""},
	} {
		m := sized(rolledOut().options(), 80, tt.h)
		press(m, "4")
		if tags, more := laneTags(m); tags != tt.tags || more != tt.more {
			t.Errorf("80x%d: lanes %q, %q; want %q, %q", tt.h, tags, more, tt.tags, tt.more)
		}
	}
}

// TestLanesTakeWhatTheListLeaves: with few events every pod has its lane.
func TestLanesTakeWhatTheListLeaves(t *testing.T) {
	w := base()
	w.open("s01", "browser")
	for i := range 6 {
		w.add(fmt.Sprintf("msgapp-7c9f-more%d", i), fmt.Sprintf("10.4.5.%d", i), "node-1", time.Hour)
	}
	m := sized(w.options(), 80, 24)
	press(m, "4", "/", "type:none", "enter")
	if tags, more := laneTags(m); tags != "ABCDEFGHI" || more != "" {
		t.Errorf("lanes %q, %q, want all nine", tags, more)
	}
}
