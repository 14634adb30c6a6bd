package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestTitleKeepsMoves: whatever the state is called, its title ends with how
// often the session moved, in every size.
func TestTitleKeepsMoves(t *testing.T) {
	for _, tt := range []struct {
		at     string // key that leads to a session
		change func(*affinity.Session)
	}{
		{"s09", func(s *affinity.Session) { s.Requests, s.Failures, s.MoveCount = 86400, 120, 43200 }},
		{"s01", func(s *affinity.Session) { s.Spec.Transport, s.MoveCount = "socketio", 3 }},
		{"s03", func(s *affinity.Session) { s.Spec.Client, s.Requests = "browser-cross-site", 12000 }},
	} {
		for _, w := range []int{44, 60, 80, 140} {
			world := story()
			m := sized(world.options(), w, 24)
			s := *m.d.session(affinity.SessionID(tt.at))
			tt.change(&s)
			c := newCanvas(w, 1, false)
			drawTitle(c.area(), &m.d, &s)
			line := c.text(&themes()[0])
			if line = stripColours(line); !strings.Contains(line+" ", fmt.Sprintf("moves %d ", s.MoveCount)) || strings.Contains(line, "…") {
				t.Errorf("%d columns: %q, want its %d moves", w, line, s.MoveCount)
			}
		}
	}
}

// TestRouteWithoutAService: a URL leads to nothing that is known by name.
func TestRouteWithoutAService(t *testing.T) {
	w, o := urlOnly()
	w.answer("s01", "", false, time.Millisecond)
	m := sized(o, 140, 40)
	press(m, "2")
	list := stripColours(m.View())
	press(m, "enter")
	for _, text := range []string{list, stripColours(m.View())} {
		for line := range strings.Lines(text) {
			if strings.Contains(line, "ROUTE ") && strings.Contains(line, "→") {
				t.Errorf("%q", line)
			}
		}
	}
	if !strings.Contains(stripColours(m.View()), "url:https://chat.example.com/, connected to 203.0.113.10:443") {
		t.Errorf("%s", m.View())
	}
}
