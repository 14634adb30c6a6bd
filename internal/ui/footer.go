package ui

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

const footerLines = 2

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
	m.drawMode(a.sub(0, y, a.w, 1))
	m.drawHints(a.sub(0, y+1, a.w, 1))
}

// drawMode draws what is typed or asked, else the crumbs and what is set.
func (m *Model) drawMode(a area) {
	switch {
	case m.question != nil:
		a.put(1, 0, warn, m.question.text+"  y/n")
		return
	case m.prompt != nil:
		mark := "/"
		if m.prompt.palette != nil {
			mark = ":"
		}
		x := drawPrompt(a, 0, mark, m.prompt.in)
		if f := m.prompt.filter; f != nil && f.err != "" {
			a.put(x+2, 0, warn, f.err)
		}
		return
	}
	p := a.pen(1, 0).put(strong, m.crumbs())
	if text := m.mode(); text != "" {
		p.gap(2).put(plain, text)
	}
	right := run{warn, m.degraded()}
	if m.pause.on {
		right = run{changed, m.pause.missed}
	}
	if m.notice.text != "" {
		right = run{m.notice.st, m.notice.text}
	}
	if right.text == "" {
		m.drawWorld(a.sub(p.x+2, 0, a.w-p.x-3, 1))
		return
	}
	room := max(a.w-p.x-3, a.w/2)
	a.fill(a.w-1-min(room, cells(right.text)), 0, min(room, cells(right.text)), plain, " ")
	a.sub(a.w-1-room, 0, room, 1).right(room, 0, right.st, right.text)
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
	case inFindings:
		c := m.findings.counts
		parts = append(parts, fmt.Sprintf("%d fail  %d info  %d ok  %d not checked", c.fail, c.info, c.ok, c.unchecked))
	case inClientIP:
		if m.clientip.sortBy != "" || m.clientip.down {
			parts = append(parts, "sort: "+cmp.Or(m.clientip.sortBy, "service"))
		}
	case inEvents:
		if m.events.follow {
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
		return "stale since " + m.d.clock.format(since, m.d.now)
	case m.view == viewClientIP && m.d.nodeTrouble() != "":
		return m.d.nodeTrouble()
	case m.d.sum.limited > 0:
		return plural(m.d.sum.limited, "session is", "sessions are") + " rate limited (429): probes back off"
	}
	return ""
}

// drawHints draws the keys of this context, as many as fit, quit always.
func (m *Model) drawHints(a area) {
	if m.question != nil {
		a.put(1, 0, plain, "y yes  n no  esc back")
		return
	}
	if m.prompt != nil {
		a.put(1, 0, plain, "enter done  esc back")
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
