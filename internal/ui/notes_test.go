package ui

import (
	"strings"
	"testing"
)

// TestNotesCanBeRead: in every size that has the picture, each word of the
// notes can be got to, and the line that cuts them says how.
func TestNotesCanBeRead(t *testing.T) {
	for _, size := range [][2]int{{60, 15}, {80, 24}, {110, 30}, {140, 40}} {
		w, o := noted()
		m := sized(o, size[0], size[1])
		if size == [2]int{80, 24} && !strings.Contains(stripColours(m.View()), "tab, enter: all") {
			t.Errorf("%v: notes are cut and nothing says how to read them:\n%s", size, m.View())
		}
		press(m, "shift+tab", "enter")
		seen := ""
		for range 30 {
			for _, line := range strings.Split(stripColours(m.View()), "\n") {
				if !strings.HasPrefix(line, "│") {
					continue
				}
				if text := strings.Trim(strings.TrimSpace(line), "│ "); !strings.Contains(seen, text) {
					seen += " " + text
				}
			}
			press(m, "j")
		}
		for _, note := range append(topoNotes(&m.d), run{text: "probes ask for /healthz: the readiness probe's path"}) {
			for _, word := range strings.Fields(note.text) {
				if !strings.Contains(seen, word) {
					t.Errorf("%v: %q of %q is nowhere", size, word, note.text)
				}
			}
		}
		if strings.Contains(seen, "…") {
			t.Errorf("%v: something is cut: %s", size, seen)
		}
		if press(m, "esc"); m.topo.notes.open {
			t.Errorf("%v: esc does not close the notes", size)
		}
		_ = w
	}
}

// TestSkewIsNotCut: the verdict is there in every size, with its reason or
// without.
func TestSkewIsNotCut(t *testing.T) {
	for _, width := range []int{60, 80, 110} {
		_, o := told()
		m := sized(o, width, 24)
		for _, line := range strings.Split(stripColours(m.View()), "\n") {
			if strings.HasPrefix(line, " SKEW") && (!strings.Contains(line, "not a problem") || strings.Contains(line, "…")) {
				t.Errorf("%d columns: %q", width, line)
			}
		}
	}
}
