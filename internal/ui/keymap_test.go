package ui

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// recorder is the other side of a screen: it keeps what it is asked.
type recorder struct {
	commands []affinity.Command
	copied   string
	saved    []affinity.Finding
	path     string
	err      error
}

func (r *recorder) Do(c affinity.Command) { r.commands = append(r.commands, c) }

func (r *recorder) Copy(text string) (string, error) {
	r.copied = text
	return "OSC 52", r.err
}

func (r *recorder) Markdown(all []affinity.Finding) string { return "## " + all[0].Rule }

func (r *recorder) Name(time.Time) string { return "found.md" }

func (r *recorder) Endings() string { return ".md, .json" }

func (r *recorder) Save(path string, all []affinity.Finding) (string, error) {
	r.path, r.saved = path, all
	return "/home/me/" + path, r.err
}

func (r *recorder) last() affinity.Command {
	if len(r.commands) == 0 {
		return affinity.Command{}
	}
	return r.commands[len(r.commands)-1]
}

// recorded is a screen at 140x40 of the story, and what it asks for.
func recorded() (*Model, *recorder, *world) {
	w, o := judged()
	w.apply(affinity.Findings{Source: "sessions"}) // B10 is the first then
	r := &recorder{}
	o.Controls, o.Clipboard, o.Reports = r, r, r
	return sized(o, 140, 40), r, w
}

// isMsg reports whether cmd gives a message of that type.
func isMsg[T any](cmd tea.Cmd) bool {
	if cmd == nil {
		return false
	}
	_, ok := cmd().(T)
	return ok
}

// keyTests has, for every action of the key map, where it is tried and what
// it does there.
var keyTests = map[string]struct {
	from []string // keys that lead to where the key is pressed
	want func(m *Model, r *recorder, cmd tea.Cmd) bool
}{
	"open": {[]string{"2", "j"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.detail.id == "s02" }},
	"back": {[]string{"2", "enter"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.detail.id == "" && m.view == viewSessions }},
	"filter.clear": {[]string{"2", "/", "type:split", "enter"}, func(m *Model, _ *recorder, _ tea.Cmd) bool {
		return m.sessions.input == "" && len(m.sessions.rows) == 11
	}},
	"filter.sessions": {[]string{"2", "enter"}, func(m *Model, _ *recorder, _ tea.Cmd) bool {
		press(m, "type:pod=A", "enter")
		return m.detail.id == "" && m.view == viewSessions && m.sessions.input == "pod=A"
	}},
	"row.down":      {[]string{"2"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.cursor == "s02" }},
	"row.up":        {[]string{"2", "j", "j"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.cursor == "s02" }},
	"row.first":     {[]string{"2", "j", "j"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.cursor == "s01" }},
	"row.last":      {[]string{"2"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.cursor == "s11" }},
	"row.half-down": {[]string{"2"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.at > 1 }},
	"row.half-up":   {[]string{"2", "G"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.at < 9 }},
	"row.page-down": {[]string{"2"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.at > 1 }},
	"row.page-up":   {[]string{"2", "G"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.at < 9 }},
	"column.left":   {[]string{"2", "l", "l"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.col == 1 }},
	"column.right":  {[]string{"2"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.col == 1 }},
	"view.topo":     {[]string{"3"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.view == viewTopo }},
	"view.sessions": {nil, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.view == viewSessions }},
	"view.pods":     {nil, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.view == viewPods }},
	"view.events":   {nil, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.view == viewEvents }},
	"view.findings": {nil, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.view == viewFindings }},
	"view.clientip": {nil, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.view == viewClientIP }},
	"finding.copy-fix": {[]string{"5"}, func(_ *Model, r *recorder, cmd tea.Cmd) bool {
		return isMsg[copiedMsg](cmd) && strings.Contains(r.copied, "session-cookie-max-age-")
	}},
	"finding.copy-report": {[]string{"5"}, func(_ *Model, r *recorder, cmd tea.Cmd) bool { return isMsg[copiedMsg](cmd) && r.copied == "## B10" }},
	"finding.save": {[]string{"5"}, func(m *Model, r *recorder, _ tea.Cmd) bool {
		return isMsg[savedMsg](press(m, "enter")) && r.path == "found.md" && len(r.saved) == len(m.findings.rows)
	}},
	"finding.mute":   {[]string{"5"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return len(m.d.mutes) == 1 }},
	"finding.passed": {[]string{"5"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.findings.passed }},
	"view.last":      {[]string{"3", "4"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.view == viewPods }},
	"pane.next":      {nil, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.topo.pane == paneFuses }},
	"pane.before":    {nil, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.topo.pane == paneNotes }},
	"events.group":   {[]string{"4"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return !m.events.grouped }},
	"columns.wide":   {[]string{"2"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.wide }},
	"target":         {nil, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.overlay == overlayPicker }},
	"access":         {nil, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.overlay == overlayAccess }},
	"session.new": {[]string{"2"}, func(_ *Model, r *recorder, _ tea.Cmd) bool {
		return r.last() == affinity.Command{Kind: affinity.CommandOpen, Route: chatRoute().ID}
	}},
	"session.drop-cookie": {[]string{"2", "j"}, func(_ *Model, r *recorder, _ tea.Cmd) bool {
		return r.last() == affinity.Command{Kind: affinity.CommandDropCookie, Session: "s02"}
	}},
	"session.reprobe": {[]string{"2", "j"}, func(_ *Model, r *recorder, _ tea.Cmd) bool {
		return r.last() == affinity.Command{Kind: affinity.CommandReprobe, Session: "s02"}
	}},
	"session.end": {[]string{"2", "j"}, func(m *Model, r *recorder, _ tea.Cmd) bool {
		asked := m.question != nil && len(r.commands) == 0
		press(m, "y")
		return asked && r.last() == affinity.Command{Kind: affinity.CommandClose, Session: "s02"}
	}},
	"session.reveal": {[]string{"2", "enter"}, func(m *Model, _ *recorder, _ tea.Cmd) bool {
		asked := m.question != nil && !m.d.shows("s01")
		press(m, "y")
		return asked && m.d.shows("s01")
	}},
	"filter": {[]string{"2"}, func(m *Model, _ *recorder, _ tea.Cmd) bool {
		press(m, "type:pod=B", "enter")
		return len(m.sessions.rows) == 5+1 // s09 is split over A and B
	}},
	"sort.column": {[]string{"2", "l", "l"}, func(m *Model, _ *recorder, _ tea.Cmd) bool {
		return m.sessions.sortBy == "state" && m.sessions.rows[0] == "s09"
	}},
	"sort.invert": {[]string{"2"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.rows[0] == "s11" }},
	"sort.state":  {[]string{"2"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.rows[0] == "s09" }},
	"sort.pod": {[]string{"2"}, func(m *Model, _ *recorder, _ tea.Cmd) bool {
		return m.sessions.sortBy == "pod" && m.sessions.rows[0] == "s01"
	}},
	"sort.fuse":   {[]string{"2"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.rows[10] == "s10" }},
	"sort.moves":  {[]string{"2"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.rows[0] == "s09" }},
	"sort.rtt":    {[]string{"2"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.sortBy == "rtt" && m.sessions.down }},
	"pause":       {nil, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.pause.on }},
	"follow":      {[]string{"2"}, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.sessions.follow }},
	"time.format": {nil, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.d.clock == clockLocal }},
	"copy": {[]string{"2", "j"}, func(_ *Model, r *recorder, cmd tea.Cmd) bool {
		return isMsg[copiedMsg](cmd) && r.copied == "s02"
	}},
	"copy.curl": {[]string{"2"}, func(m *Model, r *recorder, _ tea.Cmd) bool {
		cmd := press(m, "n")
		return isMsg[copiedMsg](cmd) && strings.HasPrefix(r.copied, "curl ") && !strings.Contains(r.copied, "k-10")
	}},
	"quit.keep": {nil, func(m *Model, _ *recorder, cmd tea.Cmd) bool {
		frame, keep := m.Kept()
		return isMsg[tea.QuitMsg](cmd) && keep && strings.Contains(frame, "stickytop")
	}},
	"palette":   {nil, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.prompt != nil && m.prompt.palette != nil }},
	"help":      {nil, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.overlay == overlayHelp }},
	"theme":     {nil, func(m *Model, _ *recorder, _ tea.Cmd) bool { return m.theme == 1 }},
	"reconnect": {nil, func(_ *Model, r *recorder, _ tea.Cmd) bool { return r.last().Kind == affinity.CommandReconnect }},
	"redraw": {nil, func(_ *Model, _ *recorder, cmd tea.Cmd) bool {
		return cmd != nil && reflect.TypeOf(cmd()) == reflect.TypeOf(tea.ClearScreen())
	}},
	"suspend": {nil, func(_ *Model, _ *recorder, cmd tea.Cmd) bool { return isMsg[tea.SuspendMsg](cmd) }},
	"quit":    {nil, func(_ *Model, _ *recorder, cmd tea.Cmd) bool { return isMsg[tea.QuitMsg](cmd) }},
	"demo.delete-pod": {nil, func(_ *Model, r *recorder, _ tea.Cmd) bool {
		return r.last() == affinity.Command{Kind: affinity.CommandPerform, Action: "delete-pod"}
	}},
}

// TestEveryKey presses every key of the key map and checks what it did.
func TestEveryKey(t *testing.T) {
	m, _, _ := recorded()
	for _, b := range m.keys {
		test, ok := keyTests[b.name]
		if !ok && len(b.keys) > 0 {
			t.Errorf("%s has keys and no test", b.name)
			continue
		}
		for _, k := range b.keys {
			m, r, _ := recorded()
			press(m, test.from...)
			m.View()
			cmd := press(m, k)
			m.View()
			if !test.want(m, r, cmd) {
				t.Errorf("%s: %q did not do what it is for; notice %q", b.name, k, m.notice.text)
			}
		}
	}
}

// TestPaletteDoesEverything runs every action by its name.
func TestPaletteDoesEverything(t *testing.T) {
	m, _, _ := recorded()
	for _, b := range m.keys {
		test := keyTests[b.name]
		if test.want == nil || b.name == "palette" || b.name == "back" {
			continue // back closes the palette itself
		}
		m, r, _ := recorded()
		press(m, test.from...)
		m.View()
		press(m, ":", "type:"+b.name)
		cmd := press(m, "enter")
		m.View()
		if !test.want(m, r, cmd) {
			t.Errorf(":%s did not do what it is for; notice %q", b.name, m.notice.text)
		}
	}
}

// TestKeysAreUnique checks that no key means two things in one place.
func TestKeysAreUnique(t *testing.T) {
	all := bindings([]Action{{Key: "7", Name: "a", Title: "a"}})
	for in := inTopo; in <= inAccess; in <<= 1 {
		seen := map[string]string{}
		for _, b := range all {
			for _, k := range b.keys {
				if b.in&in == 0 {
					continue
				}
				if other := seen[k]; other != "" {
					t.Errorf("in %s, %q is %s and %s", in, k, other, b.name)
				}
				seen[k] = b.name
			}
		}
	}
}

func TestDemoKeyThatIsTaken(t *testing.T) {
	all := bindings([]Action{{Key: "p", Name: "scale", Title: "scale up"}, {Key: "8", Name: "more", Title: "more"}, {Key: "8", Name: "twice", Title: "twice"}})
	for _, b := range all {
		if (b.name == "demo.scale" || b.name == "demo.twice") && len(b.keys) > 0 {
			t.Errorf("%s took the key %q", b.name, b.keys)
		}
		if b.name == "demo.more" && len(b.keys) != 1 {
			t.Errorf("demo.more has keys %q, want 8", b.keys)
		}
	}
}

func TestReadOnlyMakesNoTraffic(t *testing.T) {
	for _, keys := range [][]string{{"2", "n"}, {"2", "x"}, {"2", "r"}, {"2", "K", "y"}} {
		w, o := told()
		r := &recorder{}
		o.Controls, o.ReadOnly = r, true
		m := sized(o, 80, 24)
		press(m, keys...)
		if len(r.commands) > 0 {
			t.Errorf("%q gave %+v", keys, r.commands)
		}
		if !strings.Contains(m.notice.text, "--no-probe") {
			t.Errorf("%q says %q, want why not", keys, m.notice.text)
		}
		_ = w
	}
}

func TestCopyCurl(t *testing.T) {
	m, r, _ := recorded()
	press(m, "2", "C")
	cmd := press(m, "y")
	if !isMsg[copiedMsg](cmd) || !strings.Contains(r.copied, "-b 'msgapp-sticky=k-10.4.1.23:3000-1'") {
		t.Errorf("C, y copied %q, want the cookie in it", r.copied)
	}
	if strings.Contains(m.View(), "k-10.4.1.23") {
		t.Error("copying showed the cookie")
	}
	r.err = errors.New("terminal gone")
	m.Update(press(m, "C", "n")())
	if !strings.Contains(m.notice.text, "terminal gone") {
		t.Errorf("notice %q, want the error", m.notice.text)
	}
}

func TestCurlQuotes(t *testing.T) {
	r := chatRoute()
	r.ProbePath = "/it's?a=1&b=2"
	got := curl(r, &affinity.Session{LastRemote: "[2001:db8::1]:443"}, "x=a'b")
	want := `curl -sS -o /dev/null -D - -b 'x=a'\''b' --connect-to '::[2001:db8::1]:443' 'https://chat.example.com/it'\''s?a=1&b=2'`
	if got != want {
		t.Errorf("curl = %s\nwant   %s", got, want)
	}
}

// TestCurlAsksWhatSessionsAsk: of a host that --host gave, or that stands for a
// wildcard.
func TestCurlAsksWhatSessionsAsk(t *testing.T) {
	r := chatRoute()
	r.Host = "*.example.com"
	got := curl(r, &affinity.Session{LastRemote: "127.0.0.1:8080", AskedHost: "a.example.com:8443"}, "")
	if want := "'https://a.example.com:8443/healthz'"; !strings.Contains(got, want) {
		t.Errorf("curl = %s, want %s in it", got, want)
	}
}

func TestRevealEnds(t *testing.T) {
	m, _, w := recorded()
	press(m, "2", "enter", "u", "y")
	if !strings.Contains(m.View(), "k-10.4.1.23:3000-1") {
		t.Fatal("u, y does not show the cookie")
	}
	w.now = w.now.Add(revealFor + time.Second)
	m.tick(w.snap(), w.now)
	if strings.Contains(m.View(), "k-10.4.1.23:3000-1") {
		t.Error("the cookie is shown after its ten seconds")
	}
}

func TestPickerSelects(t *testing.T) {
	w, o := pickable2()
	r := &recorder{}
	o.Controls = r
	m := sized(o, 80, 24)
	if m.overlay != overlayPicker {
		t.Fatal("several ingresses and no target: no choice is offered")
	}
	press(m, "j", "enter")
	want := affinity.Command{Kind: affinity.CommandSelect, Target: affinity.Target{Kind: "ingress", Namespace: "shop", Name: "shop-web"}}
	if r.last() != want || m.overlay != overlayNone {
		t.Errorf("enter gave %+v, want %+v", r.last(), want)
	}
	_ = w
}

// TestPaletteKnowsMasking: what the screen calls masked is found by that word.
func TestPaletteKnowsMasking(t *testing.T) {
	m, _, _ := recorded()
	press(m, "2", "enter", ":", "type:mask")
	if name, _ := m.prompt.palette.selected(); name != "session.reveal" {
		t.Errorf(":mask offers %q", name)
	}
}
