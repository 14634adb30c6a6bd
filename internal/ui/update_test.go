package ui

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestSelectionStaysWithItsRow sorts the list under the cursor.
func TestSelectionStaysWithItsRow(t *testing.T) {
	w, o := told()
	m := sized(o, 80, 24)
	press(m, "2", "j", "j", "S") // s03, then by state
	if got, _ := m.sessions.selected(); got != "s03" {
		t.Errorf("after sorting the cursor is on %s, want s03", got)
	}
	press(m, "/", "type:!s03", "enter")
	if got, _ := m.sessions.selected(); got == "s03" || got == "" {
		t.Errorf("the cursor is on %q, which is filtered out", got)
	}
	_ = w
}

// TestOrderIsHeld: for two seconds after a cursor key the rows stay where
// they are, whatever happens to their states.
func TestOrderIsHeld(t *testing.T) {
	w, o := told()
	m := sized(o, 80, 24)
	press(m, "2", "S", "j")
	before := fmt.Sprint(m.sessions.rows)
	step := func() {
		w.now = w.now.Add(time.Second)
		for i := range 5 {
			w.fail("s08", affinity.FailureTimeout, 0, fmt.Sprint("no answer ", i))
		}
		m.tick(w.snap(), w.now)
	}
	step()
	if got := fmt.Sprint(m.sessions.rows); got != before {
		t.Errorf("a second after a key: %s, want %s", got, before)
	}
	step()
	step()
	if got := fmt.Sprint(m.sessions.rows); got == before {
		t.Error("three seconds after a key the failing session is where it was")
	}
}

// TestPauseHolds: a paused screen shows the same bytes but for what it says is
// missed, and catches up afterwards.
func TestPauseHolds(t *testing.T) {
	w, o := told()
	m := sized(o, 80, 24)
	press(m, "2", "p")
	body := func() string { return strings.Join(strings.Split(m.View(), "\n")[:22], "\n") }
	before := body()
	w.now = w.now.Add(3 * time.Second)
	w.answer("s01", podB, true, time.Millisecond)
	m.tick(w.snap(), w.now)
	if body() != before {
		t.Errorf("a paused screen changed:\n%s\nwas\n%s", body(), before)
	}
	if !strings.Contains(m.View(), "missed 1 move, 1 other event, 1 request in 0:03") {
		t.Errorf("it does not say what is missed:\n%s", m.View())
	}
	press(m, "p")
	if s := m.d.session("s01"); s.Tag != "B" || m.pause.on {
		t.Errorf("after the pause s01 is on %s, want B", s.Tag)
	}
}

// TestDrawsOnlyOnChange: frames in which nothing changed are the same string.
func TestDrawsOnlyOnChange(t *testing.T) {
	w, o := told()
	m := sized(o, 80, 24)
	m.View()
	drawn := m.drawn
	for range 9 {
		w.now = w.now.Add(100 * time.Millisecond)
		m.Update(tickMsg{})
		m.View()
	}
	if m.drawn != drawn {
		t.Errorf("drawn %d times in nine idle ticks of one second", m.drawn-drawn)
	}
	w.answer("s01", podA, false, time.Millisecond) // the same again
	m.Update(tickMsg{})
	if m.View(); m.drawn != drawn {
		t.Error("an answer that says the same was drawn before the second was over")
	}
	w.now = w.now.Add(50 * time.Millisecond)
	w.answer("s01", podB, true, time.Millisecond) // news
	m.Update(tickMsg{})
	if m.View(); m.drawn == drawn {
		t.Error("a move was not drawn at once")
	}
}

func TestDetailOfForgottenSession(t *testing.T) {
	w, o := told()
	m := sized(o, 80, 24)
	press(m, "2", "enter")
	fresh := base()
	fresh.now = w.now.Add(time.Second)
	m.tick(fresh.snap(), fresh.now)
	if !strings.Contains(m.View(), "no longer known") {
		t.Errorf("detail of a session that is gone:\n%s", m.View())
	}
	press(m, "x", "r", "K", "u", "C", "c") // nothing to act on
}

// TestCaption shows a caption and takes it away again.
func TestCaption(t *testing.T) {
	w, o := told()
	text := ""
	o.Caption = func() string { return text }
	m := sized(o, 80, 24)
	m.View()
	text = "watch pod C drain"
	m.tick(m.d.snap, w.now)
	checkFrame(t, m.View(), 80, 24)
	if !strings.Contains(m.View(), text) {
		t.Errorf("no caption:\n%s", m.View())
	}
}

// hostile is text that a terminal must never get as it is.
var hostile = []string{"\x1b[2J\x1b]52;c;aGk=\x07", "a\r\nb\tc", "\u202egnp.exe", "e\u0301\u0301\u0301", "日本語のポッド", "\xff\xfe", "👩‍👩‍👧‍👦", "\u200b\u200b", strings.Repeat("w", 300), "\x9b31m", ""}

// TestHostileText draws every screen with names that came from nowhere good.
// Sources clean them; the screen must be safe even if one forgets.
func TestHostileText(t *testing.T) {
	for _, bad := range hostile {
		w, o := told()
		o.Context, o.User, o.Title, o.As, o.AsGroups = bad, bad, bad, bad, []string{bad, bad}
		o.Caption = func() string { return bad }
		w.route.Name, w.route.Host, w.route.Notes = bad, bad, []string{bad}
		w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route}},
			affinity.PodChanged{Pod: affinity.Pod{Ref: podRef(podA), Node: bad, Reason: bad, Owner: bad, IP: bad}},
			affinity.ClusterEvent{Kind: bad, Subject: bad, Text: bad},
			affinity.SourceChanged{Status: affinity.SourceStatus{Name: bad, State: affinity.SourceForbidden, Detail: bad}},
			affinity.SessionOpened{Spec: affinity.SessionSpec{ID: affinity.SessionID(bad), Route: w.route.ID, Transport: bad, Client: affinity.ClientModel(bad)}})
		w.fail("s01", affinity.FailureOther, 0, bad)
		for _, keys := range [][]string{{"1"}, {"2"}, {"2", "enter"}, {"2", "G", "enter"}, {"2", "ctrl+w"}, {"3"}, {"4"}, {"A"}, {"N"}, {"?"}, {":"}} {
			for _, size := range [][2]int{{30, 8}, {60, 15}, {80, 24}, {140, 40}} {
				m := sized(o, size[0], size[1])
				press(m, keys...)
				checkFrame(t, m.View(), size[0], size[1])
			}
		}
	}
}

// FuzzScreen presses random keys on screens of random size while the world
// goes on.
func FuzzScreen(f *testing.F) {
	for seed := range uint64(24) {
		f.Add(seed, 40)
	}
	keys := []string{"1", "2", "3", "4", "j", "k", "g", "G", "h", "l", "enter", "enter", "esc", "tab", "shift+tab", "/", ":", "?", "n", "x", "r", "K", "u", "y", "p",
		"F", "t", "T", "c", "C", "O", "I", "S", "P", "X", "M", "L", "o", "N", "A", "R", "-", "7", "ctrl+w", "ctrl+d", "ctrl+u", "pgdown", "pgup", "backspace",
		"left", "right", "type:pod=A or (", "type:[", "type:日本", "type:sort", "home", "end", "ctrl+l", "up", "down"}
	f.Fuzz(func(t *testing.T, seed uint64, steps int) {
		rng := rand.New(rand.NewPCG(seed, 1))
		which := screens[rng.IntN(len(screens))]
		w, o := which.make()
		o.Controls, o.Clipboard = &recorder{}, &recorder{}
		o.Term.ASCII = rng.IntN(2) == 0
		m := sized(o, 80, 24)
		size := [2]int{80, 24}
		for range min(max(steps, 0), 80) {
			switch rng.IntN(8) {
			case 0:
				size = [2]int{rng.IntN(200), rng.IntN(60)}
				m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
			case 1:
				w.now = w.now.Add(time.Duration(rng.IntN(3000)) * time.Millisecond)
				w.disturb(rng)
				m.Update(tickMsg{})
			default:
				press(m, keys[rng.IntN(len(keys))])
			}
			if size[0] > 0 && size[1] > 0 {
				checkFrame(t, m.View(), size[0], size[1])
			} else if m.View() != "" {
				t.Errorf("a screen of %dx%d shows something", size[0], size[1])
			}
		}
	})
}

// disturb lets something happen.
func (w *world) disturb(rng *rand.Rand) {
	pods := []string{podA, podB, podC, podD}
	pod := pods[rng.IntN(len(pods))]
	id := fmt.Sprintf("s%02d", 1+rng.IntN(14))
	switch rng.IntN(8) {
	case 0:
		w.open(id, affinity.ClientBrowser)
	case 1:
		if _, ok := w.pods[pod]; !ok {
			w.add(pod, fmt.Sprintf("10.4.9.%d", rng.IntN(250)), "node-9", time.Second)
		} else {
			w.remove(pod)
			delete(w.pods, pod)
		}
	case 2:
		w.fail(id, affinity.FailureKind(rng.IntN(10)), 502, "502 Bad Gateway")
	case 3:
		w.sources(affinity.SourceState(rng.IntN(6)), "i/o timeout")
	case 4:
		w.apply(affinity.SessionClosed{ID: affinity.SessionID(id), Reason: "ended by you"})
	case 5:
		w.apply(affinity.Routes{Source: "ingresses"})
	case 6:
		w.apply(affinity.Routes{Source: "ingresses", Routes: []affinity.Route{w.route}})
	default:
		if _, ok := w.pods[pod]; ok {
			w.answer(id, pod, rng.IntN(3) == 0, time.Duration(rng.IntN(300))*time.Millisecond)
		}
	}
}

// TestWidths checks that the cells counted here are those of x/ansi, which
// the renderer counts with.
func TestWidths(t *testing.T) {
	for _, s := range append([]string{"plain", "─│╭●◐○✗×▲→", "A→B", "服务", "é", "é"}, hostile...) {
		c := newCanvas(40, 1, false)
		n := c.put(0, 0, 40, plain, s)
		line := c.text(&themes()[0])
		if w := ansi.StringWidth(line); w > 40 || w > n {
			t.Errorf("%q takes %d cells, drawn %d", s, n, w)
		}
	}
}

func TestCutAtTheEdge(t *testing.T) {
	for _, tt := range []struct {
		in   string
		w    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"服务", 4, "服务"}, {"服务器", 4, "服…"}, {"a服", 2, "a…"}, {"x", 0, ""}, {"ab", 1, "…"},
	} {
		c := newCanvas(10, 1, false)
		c.put(0, 0, tt.w, plain, tt.in)
		if got := c.text(&themes()[0]); got != tt.want {
			t.Errorf("%q in %d cells: %q, want %q", tt.in, tt.w, got, tt.want)
		}
	}
}
