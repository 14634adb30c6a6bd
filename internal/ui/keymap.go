package ui

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Groups of the help screen, in its order.
var groups = []string{"MOVE", "VIEW", "SESSION", "FILTER", "SORT", "TIME", "OUTPUT", "APP", "DEMO"}

// bindings returns the key map. Where k9s has a key for a meaning it is used,
// else vim's, else htop's. The order is that of help and footer.
func bindings(actions []Action) []binding {
	all := moveKeys()
	all = append(all, viewKeys()...)
	all = append(all, sessionKeys()...)
	all = append(all, findingKeys()...)
	all = append(all, listKeys()...)
	all = append(all, timeKeys()...)
	app := appKeys()
	all = append(all, demoKeys(append(all, app...), actions)...)
	return append(all, app...)
}

func moveKeys() []binding {
	move := func(m motion) func(*Model) tea.Cmd {
		return func(md *Model) tea.Cmd { md.move(m); return nil }
	}
	return []binding{
		{name: "open", keys: []string{"enter"}, group: "MOVE", help: "open what is selected", hint: "open", in: inViews | inPicker | inAccess, do: (*Model).open, off: (*Model).nothingToOpen},
		{name: "back", keys: []string{"esc"}, group: "MOVE", help: "back", hint: "back", in: everywhere &^ inViews, do: (*Model).back},
		{name: "filter.clear", keys: []string{"esc"}, group: "FILTER", help: "clear the filter", in: inViews, do: (*Model).back},
		{name: "row.down", keys: []string{"j", "down"}, group: "MOVE", help: "next row", in: inMovable, do: move(lineDown)},
		{name: "row.up", keys: []string{"k", "up"}, group: "MOVE", help: "row before", in: inMovable, do: move(lineUp)},
		{name: "row.first", keys: []string{"g", "home"}, group: "MOVE", help: "first row", in: inMovable, do: move(toTop)},
		{name: "row.last", keys: []string{"G", "end"}, group: "MOVE", help: "last row", in: inMovable, do: move(toBottom)},
		{name: "row.half-down", keys: []string{"ctrl+d"}, group: "MOVE", help: "half a page down", in: inMovable, do: move(halfDown)},
		{name: "row.half-up", keys: []string{"ctrl+u"}, group: "MOVE", help: "half a page up", in: inMovable, do: move(halfUp)},
		{name: "row.page-down", keys: []string{"ctrl+f", "pgdown"}, label: "^f pgdn", group: "MOVE", help: "page down", in: inMovable, do: move(pageDown)},
		{name: "row.page-up", keys: []string{"ctrl+b", "pgup"}, group: "MOVE", help: "page up", in: inMovable, do: move(pageUp)},
		{name: "column.left", keys: []string{"h", "left", "shift+left"}, label: "h ←", group: "MOVE", help: "column left, route before", in: inSessions | inPods | inClientIP | inTopo, do: sideways(-1)},
		{name: "column.right", keys: []string{"l", "right", "shift+right"}, label: "l →", group: "MOVE", help: "column right, next route", in: inSessions | inPods | inClientIP | inTopo, do: sideways(1)},
	}
}

func viewKeys() []binding {
	var all []binding
	for v := range views {
		all = append(all, binding{name: "view." + strings.ToLower(viewNames[v]), keys: []string{string(rune('1' + v))}, group: "VIEW",
			help: viewNames[v], in: everywhere, do: func(m *Model) tea.Cmd { m.show(v); return nil }})
	}
	return append(all,
		binding{name: "view.last", keys: []string{"-"}, group: "VIEW", help: "view before", in: everywhere, do: func(m *Model) tea.Cmd { m.show(m.lastView); return nil }},
		binding{name: "pane.next", keys: []string{"tab"}, group: "VIEW", help: "next pane", hint: "pane", in: inTopo, do: func(m *Model) tea.Cmd { m.topo.next(1); return nil }, off: (*Model).noPanes},
		binding{name: "pane.before", keys: []string{"shift+tab"}, group: "VIEW", help: "pane before", in: inTopo, do: func(m *Model) tea.Cmd { m.topo.next(-1); return nil }, off: (*Model).noPanes},
		binding{name: "events.group", keys: []string{"o"}, group: "VIEW", help: "events by cause or by time", hint: "by cause", in: inEvents, do: (*Model).toggleGroups},
		binding{name: "columns.wide", keys: []string{"ctrl+w"}, group: "VIEW", help: "more columns", hint: "wide", in: inSessions, do: (*Model).toggleWide},
		binding{name: "target", keys: []string{"N"}, group: "VIEW", help: "choose an ingress", in: inScreens, do: (*Model).openPicker},
		binding{name: "access", keys: []string{"A"}, group: "VIEW", help: "what may be read", in: inScreens, do: func(m *Model) tea.Cmd { m.overlay = overlayAccess; return nil }},
	)
}

func sessionKeys() []binding {
	on := inTopo | inSessions | inDetail | inEvents
	return []binding{
		{name: "session.new", keys: []string{"n"}, group: "SESSION", help: "open a session", hint: "new", in: inTopo | inSessions | inPods, do: (*Model).openSession, off: (*Model).noRoute},
		{name: "session.drop-cookie", keys: []string{"x"}, group: "SESSION", help: "drop its cookie", hint: "drop cookie", in: on &^ inTopo, do: onSession(affinity.CommandDropCookie, "drops its cookie"), off: (*Model).noSession},
		{name: "session.reprobe", keys: []string{"r"}, group: "SESSION", help: "ask now", hint: "ask now", in: on &^ inTopo, do: onSession(affinity.CommandReprobe, "asks now"), off: (*Model).noSession},
		{name: "session.end", keys: []string{"K"}, group: "SESSION", help: "end it", in: on &^ inTopo, do: (*Model).endSession, off: (*Model).noSession},
		{name: "session.reveal", keys: []string{"u"}, group: "SESSION", help: "unmask its cookie for 10 s", hint: "reveal", in: inDetail, do: (*Model).reveal, off: (*Model).noCookie},
	}
}

func listKeys() []binding {
	all := []binding{
		{name: "filter", keys: []string{"/"}, group: "FILTER", help: "filter rows, search help", hint: "filter", in: inTables | inPicker | inHelp, do: (*Model).openFilter},
		{name: "filter.sessions", keys: []string{"/"}, group: "FILTER", help: "list sessions, filtered", in: inTopo | inDetail, do: (*Model).filterSessions},
		{name: "sort.column", keys: []string{"O"}, group: "SORT", help: "by the picked column", hint: "sort", in: inSessions | inPods | inClientIP, do: (*Model).sortByColumn},
		{name: "sort.invert", keys: []string{"I"}, group: "SORT", help: "the other way round", in: inSessions | inPods | inClientIP, do: (*Model).invertSort},
	}
	both := inSessions | inClientIP
	for _, s := range []struct {
		column, key string
		in          where
	}{{"id", "", inSessions}, {"state", "S", both}, {"pod", "P", both}, {"fuse", "X", both}, {"moves", "M", inSessions}, {"rtt", "L", inSessions},
		{"fail", "", inSessions}, {"route", "", inSessions}, {"address", "", inClientIP}, {"node", "", inClientIP}, {"since", "", inClientIP}} {
		b := binding{name: "sort." + s.column, group: "SORT", help: "by " + s.column, in: s.in, do: func(m *Model) tea.Cmd { m.sortOn(s.column); return nil }}
		if s.key != "" {
			b.keys = []string{s.key}
		}
		all = append(all, b)
	}
	return all
}

func timeKeys() []binding {
	return []binding{
		{name: "pause", keys: []string{"p"}, group: "TIME", help: "hold the screen", hint: "pause", in: inScreens, do: (*Model).togglePause},
		{name: "follow", keys: []string{"F"}, group: "TIME", help: "follow the row, the newest event", in: inSessions | inEvents, do: (*Model).toggleFollow},
		{name: "time.format", keys: []string{"t"}, group: "TIME", help: "utc, local, age", in: inScreens, do: (*Model).nextClock},
	}
}

func appKeys() []binding {
	return []binding{
		{name: "copy", keys: []string{"c"}, group: "OUTPUT", help: "copy the cell", hint: "copy", in: inScreens, do: (*Model).copyCell},
		{name: "copy.curl", keys: []string{"C"}, group: "OUTPUT", help: "copy as curl", hint: "curl", in: inDetail | inSessions, do: (*Model).copyCurl},
		{name: "quit.keep", keys: []string{"Q"}, group: "OUTPUT", help: "quit, keep the screen", in: everywhere, do: func(m *Model) tea.Cmd { m.keep = true; return m.leave() }},
		{name: "palette", keys: []string{":", "ctrl+p"}, group: "APP", help: "every action by name", hint: "command", in: everywhere, do: (*Model).openPalette},
		{name: "help", keys: []string{"?", "f1"}, group: "APP", help: "this help", hint: "help", in: inScreens | inPicker | inAccess, do: (*Model).openHelp},
		{name: "theme", keys: []string{"T"}, group: "APP", help: "next theme", in: everywhere, do: (*Model).nextTheme, off: (*Model).oneTheme},
		{name: "reconnect", keys: []string{"R"}, group: "APP", help: "reconnect watches", in: everywhere, do: (*Model).reconnect, off: (*Model).noWatch},
		{name: "redraw", keys: []string{"ctrl+l"}, group: "APP", help: "draw again", in: everywhere, do: func(*Model) tea.Cmd { return tea.ClearScreen }},
		{name: "suspend", keys: []string{"ctrl+z"}, group: "APP", help: "suspend", in: everywhere, do: func(*Model) tea.Cmd { return tea.Suspend }},
		{name: "quit", keys: []string{"q", "ctrl+c"}, group: "APP", help: "quit", hint: "quit", in: everywhere, do: (*Model).leave},
	}
}

// demoKeys binds the actions of the world. One whose key is taken stays
// reachable by name.
func demoKeys(taken []binding, actions []Action) []binding {
	var all []binding
	for _, a := range actions {
		b := binding{name: "demo." + a.Name, group: "DEMO", help: a.Title, in: inScreens, do: func(m *Model) tea.Cmd {
			m.do(affinity.Command{Kind: affinity.CommandPerform, Action: a.Name})
			m.say(plain, a.Title)
			return nil
		}}
		if _, used := find(append(taken, all...), a.Key, inScreens); a.Key != "" && !used {
			b.keys = []string{a.Key}
		}
		all = append(all, b)
	}
	return all
}
