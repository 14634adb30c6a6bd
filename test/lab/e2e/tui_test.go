package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestScreen runs the terminal program on the chat backend at both sizes: it shows where the sessions are and that a
// pod was killed, and leaves the terminal as it was.
func TestScreen(t *testing.T) {
	l := mainLab(t)
	for _, size := range []struct{ width, height int }{{80, 24}, {140, 40}} {
		t.Run(fmt.Sprintf("%dx%d", size.width, size.height), func(t *testing.T) {
			term := terminalOf(t, l, size.width, size.height)
			term.typed("stty -a > " + term.socket + ".before; echo was here; " + product(t) + " ing/msgapp -n msgapp --path / --probe-timeout 3s")
			term.shows(t, 20*time.Second, "LIVE", "stuck 6", "msgapp-sticky")
			for name, is := range map[string]string{"alternate screen": "#{alternate_on}", "hidden cursor": "#{?cursor_flag,0,1}"} {
				if got := strings.TrimSpace(term.tmux(t, "display-message", "-p", is)); got != "1" {
					t.Errorf("%s: %s, want 1", name, got)
				}
			}
			term.key(t, "2")
			text := term.shows(t, 5*time.Second, "s01", "STUCK")
			victim := ""
			for _, pod := range podsOf(t, l, "msgapp", "app.kubernetes.io/component=backend") {
				if strings.Contains(text, pod[len(pod)-5:]) {
					victim = pod
				}
			}
			if victim == "" {
				t.Fatalf("no pod of kubectl get pods on the screen:\n%s", text)
			}
			check(t, l.DeletePod(within(t, 5*time.Second), victim))
			text = term.shows(t, 25*time.Second, "RE-PINNED")
			wantFits(t, text, size.width, size.height)
			check(t, l.WaitFor(within(t, 40*time.Second), "msgapp-backend"))
			term.key(t, "q")
			wantRestored(t, term)
		})
	}
}

func wantFits(t *testing.T, text string, width, height int) {
	t.Helper()
	rows := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(rows) > height {
		t.Errorf("%d rows on a screen of %d", len(rows), height)
	}
	for _, row := range rows {
		if n := len([]rune(row)); n > width {
			t.Errorf("%d cells in a row of %d: %q", n, width, row)
		}
	}
}

// wantRestored wants the shell back: its screen, its cursor, its line discipline.
func wantRestored(t *testing.T, term *terminal) {
	t.Helper()
	text := term.shows(t, 5*time.Second, "was here\n$")
	if strings.Contains(text, "RE-PINNED") {
		t.Errorf("the program's screen is still there:\n%s", text)
	}
	for name, is := range map[string]string{
		"alternate screen": "#{alternate_on}", "hidden cursor": "#{?cursor_flag,0,1}", "mouse": "#{mouse_any_flag}", "keypad": "#{keypad_flag}",
	} {
		if got := strings.TrimSpace(term.tmux(t, "display-message", "-p", is)); got != "0" {
			t.Errorf("%s: %s after the end", name, got)
		}
	}
	term.typed("stty -a | cmp " + term.socket + ".before && echo same as be''fore")
	term.shows(t, 5*time.Second, "same as before")
}
