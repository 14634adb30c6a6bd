package ui

import (
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// show opens a view, from wherever the user is.
func (m *Model) show(v view) {
	if v != m.view {
		m.lastView = m.view
	}
	m.view, m.detail.id, m.overlay = v, "", overlayNone
}

// move moves whatever cursor the screen has.
func (m *Model) move(by motion) {
	switch m.where() {
	case inTopo:
		m.topo.notes.page.scroll(by)
	case inSessions:
		m.sessions.touched = m.d.now
		m.sessions.move(by)
	case inPods:
		m.pods.move(by)
	case inEvents:
		m.events.moveBy(by)
	case inFindings:
		m.findings.moveBy(by)
	case inClientIP:
		m.clientip.move(by)
	case inDetail:
		m.detail.scroll(by)
	case inHelp:
		m.help.scroll(by)
	case inPicker:
		m.picker.move(by)
	}
}

// sideways goes to another column of a table, or another route of Topo.
func sideways(by int) func(*Model) tea.Cmd {
	return func(m *Model) tea.Cmd {
		switch m.where() {
		case inSessions:
			m.sessions.col += by
		case inPods:
			m.pods.col += by
		case inClientIP:
			m.clientip.col += by
		case inTopo:
			if n := len(m.d.scope); n > 1 {
				m.d.focus = (m.d.focus + by + n) % n
			}
		}
		return nil
	}
}

// open goes into what is selected.
func (m *Model) open() tea.Cmd {
	switch m.where() {
	case inAccess:
		m.overlay = overlayNone
	case inPicker:
		return m.pick()
	case inTopo:
		m.openPane()
	case inSessions:
		if s := m.session(); s != nil {
			m.detail = detailPanel{id: s.Spec.ID}
		}
	case inPods:
		if ref, ok := m.pods.selected(); ok {
			m.sessionsOn(ref)
		}
	case inEvents:
		m.openEvent()
	case inFindings:
		m.findings.full = !m.findings.full
	case inClientIP:
		m.clientip.full = !m.clientip.full
	}
	return nil
}

func (m *Model) openPane() {
	switch m.topo.pane {
	case paneFuses:
		if s := m.topo.shortest(&m.d); s != nil {
			m.detail = detailPanel{id: s.Spec.ID}
		}
	case paneEvents:
		m.show(viewEvents)
	case paneNotes:
		m.topo.notes = notesPanel{open: !m.topo.notes.open}
	default:
		m.show(viewSessions)
	}
}

// sessionsOn shows the sessions of one pod.
func (m *Model) sessionsOn(ref affinity.PodRef) {
	word := ref.Name
	if p, ok := m.d.snap.Pod(ref); ok && p.Tag != "" {
		word = p.Tag
	}
	m.sessions.setFilter("pod=" + word)
	m.sessions.dirty = true
	m.show(viewSessions)
}

// openEvent tells an event in full, unless that is done already, then goes to
// what it is about: a session, or a pod's sessions.
func (m *Model) openEvent() {
	h, ok := m.events.happening()
	switch {
	case !ok:
	case !m.events.full && !m.events.told:
		m.events.full = true
	case m.d.session(h.Session) != nil:
		m.detail = detailPanel{id: h.Session}
	case !h.Pod.IsZero():
		m.sessionsOn(h.Pod)
	default: // it is about nothing else
		m.events.full = !m.events.full
	}
}

// back leaves what is on top: an overlay, the detail, a filter.
func (m *Model) back() tea.Cmd {
	switch {
	case m.overlay != overlayNone:
		m.overlay = overlayNone
		m.help.search = ""
	case m.detail.id != "":
		m.detail.id = ""
	case m.view == viewTopo && m.topo.notes.open:
		m.topo.notes.open = false
	case m.view == viewEvents && m.events.full:
		m.events.full = false
	case m.view == viewFindings && m.findings.full:
		m.findings.full = false
	case m.view == viewClientIP && m.clientip.full:
		m.clientip.full = false
	default:
		if f, changed := m.filterOf(m.where()); f != nil && f.input != "" {
			f.setFilter("")
			changed()
		}
	}
	return nil
}

// filterOf returns the filter of a context, and what to do when it changes.
func (m *Model) filterOf(in where) (*filterLine, func()) {
	switch in {
	case inSessions:
		return &m.sessions.filterLine, func() { m.sessions.dirty = true }
	case inPods:
		return &m.pods.filterLine, func() {}
	case inEvents:
		return &m.events.filterLine, func() {}
	case inFindings:
		return &m.findings.filterLine, func() {}
	case inClientIP:
		return &m.clientip.filterLine, func() {}
	case inPicker:
		return &m.picker.filterLine, func() {}
	}
	return nil, nil
}

func (m *Model) openFilter() tea.Cmd {
	if m.overlay == overlayHelp {
		m.prompt = newPrompt(m.help.search)
		m.prompt.filter = &filterLine{}
		m.prompt.changed = func() { m.help.search, m.help.top = m.promptText(), 0 }
		return nil
	}
	f, changed := m.filterOf(m.where())
	m.prompt = newPrompt(f.input)
	m.prompt.filter, m.prompt.before, m.prompt.changed = f, *f, changed
	return nil
}

// filterSessions opens the filter where there are no rows to filter: what is
// typed behind / has to go somewhere else than to the keys.
func (m *Model) filterSessions() tea.Cmd {
	m.detail.id, m.view = "", viewSessions
	return m.openFilter()
}

func (m *Model) promptText() string {
	if m.prompt == nil {
		return ""
	}
	return m.prompt.in.Value()
}

func (m *Model) openHelp() tea.Cmd {
	m.help = helpPanel{of: m.where()}
	m.overlay = overlayHelp
	return nil
}

func (m *Model) openPicker() tea.Cmd {
	m.overlay = overlayPicker
	return nil
}

// pick probes what the picker's cursor is on.
func (m *Model) pick() tea.Cmd {
	t, ok := m.picker.target(&m.d)
	if !ok {
		return nil
	}
	m.d.target = t
	m.overlay = overlayNone
	m.do(affinity.Command{Kind: affinity.CommandSelect, Target: t})
	m.say(plain, "watching "+t.Namespace+" "+t.String())
	m.d.setScope()
	return nil
}

// noProbe says why no traffic can be made.
func (m *Model) noProbe() string {
	if m.opt.ReadOnly {
		return "only watching (--no-probe)"
	}
	return ""
}

// noRoute says why no session can be opened.
func (m *Model) noRoute() string {
	if why := m.noProbe(); why != "" {
		return why
	}
	if m.d.route().ID == "" {
		return "there is no route to open a session on"
	}
	return ""
}

// noPanes says why Topo has no panes to choose from.
func (m *Model) noPanes() string {
	if m.topo.special(&m.d) != nil {
		return "there is nothing to choose between here"
	}
	return ""
}

// nothingToOpen says why enter does nothing.
func (m *Model) nothingToOpen() string {
	switch {
	case m.where() == inTopo && m.topo.special(&m.d) != nil,
		m.where() == inSessions && len(m.sessions.rows) == 0,
		m.where() == inPods && len(m.pods.rows) == 0,
		m.where() == inEvents && len(m.events.rows) == 0,
		m.where() == inFindings && len(m.findings.rows) == 0,
		m.where() == inClientIP && len(m.clientip.rows) == 0,
		m.where() == inPicker && len(m.picker.rows) == 0:
		return "nothing is selected"
	}
	return ""
}

func (m *Model) noSession() string {
	if why := m.noProbe(); why != "" {
		return why
	}
	s := m.session()
	if s == nil {
		return "no session is selected"
	}
	if !s.ClosedAt.IsZero() {
		return "this session has ended"
	}
	return ""
}

func (m *Model) openSession() tea.Cmd {
	r := m.d.route().ID
	if s := m.session(); s != nil {
		r = s.Spec.Route
	}
	m.do(affinity.Command{Kind: affinity.CommandOpen, Route: r})
	m.say(plain, "opening a session on "+string(r))
	return nil
}

func onSession(kind affinity.CommandKind, what string) func(*Model) tea.Cmd {
	return func(m *Model) tea.Cmd {
		id := m.session().Spec.ID
		m.do(affinity.Command{Kind: kind, Session: id})
		m.say(plain, string(id)+" "+what)
		return nil
	}
}

func (m *Model) endSession() tea.Cmd {
	id := m.session().Spec.ID
	m.question = &question{text: "End session " + string(id) + "?", yes: func() tea.Cmd {
		m.do(affinity.Command{Kind: affinity.CommandClose, Session: id})
		m.say(plain, "ending "+string(id))
		return nil
	}}
	return nil
}

// revealFor is how long a cookie stays readable.
const revealFor = 10 * time.Second

func (m *Model) noCookie() string {
	if s := m.session(); s == nil || (s.Pin == nil || s.Pin.Value == "") && len(s.Kept) == 0 {
		return "it holds no cookie"
	}
	return ""
}

func (m *Model) reveal() tea.Cmd {
	id := m.session().Spec.ID
	m.question = &question{text: "A cookie hands over the user's session. Show that of " + string(id) + " for 10 s?", yes: func() tea.Cmd {
		m.d.revealed, m.d.revealTo = id, m.opt.Now().Add(revealFor)
		return nil
	}}
	return nil
}

func (m *Model) togglePause() tea.Cmd {
	if m.pause.on {
		m.pause = pause{}
		m.adopt(m.opt.Snapshots(), m.opt.Now())
		return nil
	}
	m.pause.start(&m.d)
	return nil
}

func (m *Model) toggleFollow() tea.Cmd {
	f := &m.sessions.follow
	if m.view == viewEvents {
		f = &m.events.follow
		if !*f {
			m.events.move(toTop)
		}
	}
	*f = !*f
	return nil
}

func (m *Model) toggleGroups() tea.Cmd {
	m.events.grouped = !m.events.grouped
	return nil
}

func (m *Model) toggleWide() tea.Cmd {
	m.sessions.wide = !m.sessions.wide
	return nil
}

func (m *Model) nextClock() tea.Cmd {
	m.d.clock = (m.d.clock + 1) % clockFormats
	m.say(plain, "times in "+m.d.clock.String())
	return nil
}

func (m *Model) nextTheme() tea.Cmd {
	m.theme = (m.theme + 1) % len(m.themes)
	m.say(plain, "theme "+m.themes[m.theme].name)
	return nil
}

func (m *Model) oneTheme() string {
	if len(m.themes) < 2 {
		return "without colours (NO_COLOR or --color=never) there is only one theme"
	}
	return ""
}

func (m *Model) sortByColumn() tea.Cmd {
	if m.view == viewPods {
		m.pods.sortByColumn(m.d.class)
		return nil
	}
	if m.view == viewClientIP {
		slots := place(m.clientip.columns(m.d.class), m.w-cursorGutter-1)
		m.clientip.sortOn(slots[min(max(m.clientip.col, 0), len(slots)-1)].name)
		return nil
	}
	slots := place(m.sessions.columns(&m.d), m.w-cursorGutter-1)
	name := slots[min(max(m.sessions.col, 0), len(slots)-1)].name
	if name == "strip" {
		name = "moves"
	}
	m.sessions.sortOn(name)
	return nil
}

func (m *Model) invertSort() tea.Cmd {
	if m.view == viewPods {
		m.pods.down = !m.pods.down
		return nil
	}
	if m.view == viewClientIP {
		m.clientip.down = !m.clientip.down
		return nil
	}
	m.sessions.down = !m.sessions.down
	m.sessions.dirty = true
	return nil
}

// sortOn sorts the list that is shown by a column.
func (m *Model) sortOn(name string) {
	if m.view == viewClientIP {
		m.clientip.sortOn(name)
		return
	}
	m.sessions.sortOn(name)
}

func (m *Model) reconnect() tea.Cmd {
	m.do(affinity.Command{Kind: affinity.CommandReconnect})
	m.say(plain, "watches reconnect")
	return nil
}

func (m *Model) noWatch() string {
	if len(m.d.snap.Sources) == 0 {
		return "no cluster is watched"
	}
	return ""
}
