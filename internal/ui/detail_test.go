package ui

import (
	"fmt"
	"strings"
	"testing"

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
