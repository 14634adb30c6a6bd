package ui

import (
	"strings"
	"testing"
)

// footerText is the last lines of a screen as one, colours and line breaks away.
func footerText(m *Model, lines int) string {
	all := strings.Split(stripColours(m.View()), "\n")
	return strings.Join(strings.Fields(strings.Join(all[max(0, len(all)-lines):], " ")), " ")
}

// TestFooterSaysAll: a message is read in full, and nothing is written over
// what stands beside it.
func TestFooterSaysAll(t *testing.T) {
	const filter = "filter: object=ingress/msgapp and"
	for _, size := range [][2]int{{44, 10}, {60, 15}, {80, 24}, {140, 40}} {
		w, o := judged()
		r := &recorder{}
		o.Controls, o.Clipboard = r, r
		m := sized(o, size[0], size[1])
		press(m, "5", "/", "type:object=ingress/msgapp and not severity=info", "enter")
		for _, text := range []string{
			"copied the fix of C02 by OSC 52 through tmux, which must allow it: set -g set-clipboard on",
			"C02 is muted for this run; annotation stickytop.dev/ignore mutes it for all",
			"asks now",
		} {
			m.say(plain, text)
			checkFrame(t, m.View(), size[0], size[1])
			got := footerText(m, 4)
			if !strings.Contains(got, text) {
				t.Errorf("%v: %q is not all in %q", size, text, got)
			}
			if i := strings.Index(got, "filter: "); i >= 0 {
				set, _, cut := strings.Cut(got[i:], "…")
				if cut && !strings.HasPrefix(filter, set) && !strings.HasPrefix(set, filter) {
					t.Errorf("%v: what is set was written over: %q", size, got)
				}
			}
		}
		_ = w
	}
}

// TestQuestionIsReadable: a question is all there, and a key that does not
// answer it makes the keys that do louder.
func TestQuestionIsReadable(t *testing.T) {
	for _, size := range [][2]int{{44, 10}, {60, 15}, {80, 24}} {
		_, o := told()
		r := &recorder{}
		o.Controls, o.Clipboard = r, r
		m := sized(o, size[0], size[1])
		press(m, "2", "C")
		const want = "A cookie hands over the user's session. Put it into the command? n copies without y/n y yes n no esc back"
		if got := footerText(m, 5); !strings.HasSuffix(got, want) {
			t.Errorf("%v: the footer is %q, want %q", size, got, want)
		}
		quiet := m.View()
		press(m, "j")
		if m.question == nil || m.View() == quiet {
			t.Errorf("%v: a key that is no answer was swallowed", size)
		}
		if press(m, "n"); m.question != nil {
			t.Errorf("%v: n did not answer", size)
		}
	}
}
