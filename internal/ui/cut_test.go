package ui

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestDetailCutsNothing: what stands on the sheet of a session has room there,
// in every width, however long the notes are.
func TestDetailCutsNothing(t *testing.T) {
	long := "the certificate of the upstream is not valid for this name, ask whoever runs it"
	for _, make := range []func() (*world, Options){told, sockets, errorPage, errorOfPods, nameless} {
		w, _ := make()
		for _, width := range []int{60, 80, 100, 140} {
			m := sized(w.options(), width, 40)
			for _, s := range m.d.snap.Sessions {
				for _, change := range []func(*affinity.Session){
					func(*affinity.Session) {},
					func(s *affinity.Session) {
						for i := range s.Evidence {
							s.Evidence[i].Detail = long
						}
						for i := range s.Legs {
							s.Legs[i].Failure = long
						}
						for i := range s.Timers {
							s.Timers[i].Detail = long
						}
					},
				} {
					s := *s
					s.Evidence, s.Legs, s.Timers = append([]affinity.Evidence(nil), s.Evidence...), append([]affinity.Leg(nil), s.Legs...), append([]affinity.Timer(nil), s.Timers...)
					change(&s)
					for _, line := range detailLines(&m.d, &s, width) {
						text := ""
						for _, r := range line {
							text += r.text
						}
						if cells(text) > width-2 {
							t.Errorf("%s at %d columns: %d cells: %q", s.Spec.ID, width, cells(text), text)
						}
					}
				}
			}
		}
	}
}

// TestNothingIsCut: screens that explain say all of it in every size, or how
// to read the rest. Names in lists may be cut: enter tells them in full.
func TestNothingIsCut(t *testing.T) {
	may := func(name, line string) bool {
		return strings.Contains(line, "tab, enter: all") || strings.Contains(line, "(masked") || // a secret is meant to be cut
			strings.Contains(line, "> ") && (name == "palette" || name == "picker") || name == "palette" && strings.Contains(line, "sort.") || name == "picker" && strings.Contains(line, "ingress/")
	}
	for _, tt := range screens {
		switch tt.name {
		case "detail", "detail-split", "detail-revealed", "sockets-detail", "sockets-refused", "sockets-cut", "error-page-detail", "error-of-pods-detail",
			"nameless-detail", "limited", "nopath", "nopath-service", "stale", "sync", "nothing", "palette", "picker", "help", "topo-notes-full",
			"clientip-none", "clientip-forbidden", "unread", "sessions", "error-page-sessions", "sockets", "no-probe":
		default:
			continue
		}
		for _, size := range [][2]int{{60, 15}, {80, 24}} {
			w, o := tt.make()
			m := sized(o, size[0], size[1])
			press(m, tt.keys...)
			if tt.then != nil {
				tt.then(w, m)
			}
			lines := strings.Split(ansi.Strip(m.View()), "\n")
			for _, line := range lines[3:] {
				text := strings.ReplaceAll(strings.ReplaceAll(line, " … now", ""), "… waits", "")
				if strings.Contains(text, "…") && !may(tt.name, line) {
					t.Errorf("%s at %dx%d: %q", tt.name, size[0], size[1], line)
				}
			}
		}
	}
}

// TestGlyphsOfStripsDiffer: no two things that a strip or its legend shows are
// one character without Unicode.
func TestGlyphsOfStripsDiffer(t *testing.T) {
	seen := map[string]string{"!": "absolute", "~": "sliding"}
	for what, glyph := range map[string]string{"silence": silence.glyph, "waits": waiting.glyph, "failed": failed.glyph} {
		c := toASCII(glyph)
		if other := seen[c]; other != "" {
			t.Errorf("%s and %s are both %q", what, other, c)
		}
		seen[c] = what
	}
}

// TestNoUnitOfNothing: where no time is known there is no unit of it either.
func TestNoUnitOfNothing(t *testing.T) {
	w := base()
	w.open("s01", affinity.ClientBrowser)
	w.fail("s01", affinity.FailureTimeout, 0, "no answer within 5s")
	m := sized(w.options(), 140, 40)
	if text := ansi.Strip(m.View()); strings.Contains(text, "—ms") {
		t.Errorf("—ms in\n%s", text)
	}
}
