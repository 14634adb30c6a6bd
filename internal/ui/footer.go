package ui

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// caption is the line of narration, "" for none.
func (m *Model) caption() string { return m.opt.Caption() }

// drawFooter draws the caption, where the user is, and the keys that work
// there.
func (m *Model) drawFooter(a area) {
	y := 0
	if text := m.caption(); text != "" {
		a.put(1, y, changed, "▸ "+text)
		y++
	}
	m.drawMode(a.sub(0, y, a.w, a.h-y-1))
	m.drawHints(a.sub(0, a.h-1, a.w, 1))
}

// footerLines is how many lines the footer takes in a frame of h lines that are
// w wide: a question or a message that one line does not hold has more, within
// reason.
func (m *Model) footerLines(w, h int) int {
	lines := 1 + min(m.modeLines(w), max(1, h/3))
	if m.caption() != "" {
		lines++
	}
	return lines
}

func (m *Model) modeLines(w int) int { return max(1, len(wrap(m.said().text, w-2))) }

// said is the question that waits, or the message that is shown.
func (m *Model) said() run {
	switch {
	case m.question != nil:
		return run{warn, m.question.text + " y/n"}
	case m.prompt == nil:
		return run{m.notice.st, m.notice.text}
	}
	return run{}
}

// drawMode draws what is typed, asked or told, else the crumbs and what is set.
func (m *Model) drawMode(a area) {
	if m.question == nil && m.prompt != nil {
		m.drawTyping(a)
		return
	}
	crumbs := m.crumbs()
	said := m.said()
	if m.question != nil || 1+cells(crumbs)+2+cells(said.text)+1 > a.w {
		a.sub(1, 0, a.w-2, a.h).paragraph(0, said.st, said.text)
		return
	}
	right := run{warn, m.degraded()}
	if m.pause.on {
		right = run{changed, m.pause.missed}
	}
	if said.text != "" {
		right = said
	}
	if right.text == "" {
		p := m.drawCrumbs(a, a.w-1)
		m.drawWorld(a.sub(p.x+2, 0, a.w-p.x-3, 1))
		return
	}
	start := max(1, a.w-1-min(cells(right.text), max(a.w-4-cells(crumbs), a.w/2)))
	m.drawCrumbs(a, start-2)
	a.clip(start, 0, a.w-1-start, right.st, right.text)
}

// drawCrumbs draws where the user is and what is set there, before column end.
func (m *Model) drawCrumbs(a area, end int) *pen {
	p := a.sub(0, 0, end, 1).pen(1, 0).put(strong, m.crumbs())
	if text := m.mode(); text != "" && p.x+2+min(cells(text), 8) <= end {
		p.gap(2).put(plain, text)
	}
	return p
}

func (m *Model) drawTyping(a area) {
	mark := "/"
	switch {
	case m.prompt.palette != nil:
		mark = ":"
	case m.prompt.done != nil:
		mark = m.prompt.mark
	}
	x := drawPrompt(a, 0, mark, m.prompt.in)
	if f := m.prompt.filter; f != nil && f.err != "" {
		a.put(x+2, 0, warn, f.err)
	}
}

// drawWorld draws the keys that provoke something in a demo, as many as fit.
func (m *Model) drawWorld(a area) {
	p := a.pen(0, 0)
	for _, b := range m.keys {
		if b.group != "DEMO" || len(b.keys) == 0 || b.disabled(m) != "" {
			continue
		}
		if p.x+cells(b.keyLabel())+1+cells(b.help) > a.w {
			return
		}
		p.put(strong, b.keyLabel()).put(plain, " "+b.help).gap(2)
	}
}

// crumbs is the way to where the user is: <sessions> <s07>.
func (m *Model) crumbs() string {
	out := "<" + strings.ToLower(viewNames[m.view]) + ">"
	if m.detail.id != "" {
		out += " <" + string(m.detail.id) + ">"
	}
	return out + [...]string{overlayNone: "", overlayHelp: " <help>", overlayPicker: " <targets>", overlayAccess: " <access>"}[m.overlay]
}

// mode is what is set on this screen: filter, order, following.
func (m *Model) mode() string {
	if m.where() == inHelp {
		if m.help.search != "" {
			return "search: " + m.help.search
		}
		return ""
	}
	var parts []string
	if f, _ := m.filterOf(m.where()); f != nil && f.input != "" {
		parts = append(parts, "filter: "+affinity.Clean(f.input, 40))
	}
	switch m.where() {
	case inSessions:
		if m.sessions.sortBy != "" || m.sessions.down {
			parts = append(parts, "sort: "+m.sessions.sortKeyName())
		}
		if m.sessions.follow {
			parts = append(parts, "following")
		}
	case inTopo:
		if m.topo.pane == paneNotes && m.topo.special(&m.d) == nil && !m.topo.notes.open {
			parts = append(parts, "notes: enter reads them")
		}
	case inFindings:
		c := m.findings.counts
		parts = append(parts, fmt.Sprintf("%d fail  %d info  %d ok  %d not checked", c.fail, c.info, c.ok, c.unchecked))
		if c.muted > 0 {
			parts = append(parts, fmt.Sprintf("%d muted", c.muted))
		}
	case inClientIP:
		if m.clientip.sortBy != "" || m.clientip.down {
			parts = append(parts, "sort: "+cmp.Or(m.clientip.sortBy, "service"))
		}
	case inEvents:
		if m.events.follow && !m.events.full {
			parts = append(parts, "following the newest")
		}
	}
	return strings.Join(parts, "  ")
}

// degraded says which part of the screen is blind.
func (m *Model) degraded() string {
	forbidden := m.d.sources(affinity.SourceForbidden)
	names := make([]string, 0, len(forbidden))
	for _, s := range forbidden {
		names = append(names, s.Name)
	}
	switch {
	case len(names) > 0:
		return "may not read " + strings.Join(names, ", ") + " (A)"
	case m.d.isStale():
		since, _ := m.d.stale()
		if why := staleWhy(&m.d); why != "" && m.view != viewTopo {
			return "stale: " + why
		}
		return "stale since " + m.d.clock.format(since, m.d.now)
	case m.view == viewClientIP && m.d.nodeTrouble() != "":
		return m.d.nodeTrouble()
	case m.d.agentTrouble() != "":
		return m.d.agentTrouble()
	case m.d.sum.limited > 0:
		return plural(m.d.sum.limited, "session is", "sessions are") + " rate limited (429): probes back off"
	}
	return ""
}

// drawHints draws the keys of this context, as many as fit, quit always.
func (m *Model) drawHints(a area) {
	if m.question != nil {
		a.put(1, 0, m.question.hint(), "y yes  n no  esc back")
		return
	}
	if m.prompt != nil {
		a.pen(1, 0).put(plain, "enter done  esc back").gap(2).put(plain, m.prompt.about)
		return
	}
	drawHints(a, m.hints())
}

func drawHints(a area, all []binding) {
	need := func(b binding) int { return cells(hintKey(b)) + 1 + cells(b.hint) + 2 }
	room := a.w - 1
	if n := len(all); n > 0 {
		room -= need(all[n-1])
	}
	p := a.pen(1, 0)
	for i, b := range all {
		if i < len(all)-1 && p.x+need(b) > room+2 {
			continue
		}
		p.put(strong, hintKey(b)).put(plain, " "+b.hint).gap(2)
	}
}

// hintKey is the first key of b: one is enough for the footer.
func hintKey(b binding) string { return keyName(b.keys[0]) }
