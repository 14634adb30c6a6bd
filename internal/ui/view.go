package ui

// View returns the frame: as many lines as the terminal has, none wider than
// it. It draws only when something changed since the last time.
func (m *Model) View() string {
	if m.w == 0 || m.h == 0 {
		return ""
	}
	if m.drawn == m.rev {
		return m.frame
	}
	m.canvas.clear()
	m.draw(m.canvas.area())
	m.frame, m.drawn = m.canvas.text(&m.themes[m.theme]), m.rev
	return m.frame
}

func (m *Model) draw(a area) {
	switch m.d.class {
	case classTiny:
		m.drawTiny(a)
		return
	case classXS:
		m.drawSmall(a)
		return
	}
	head := m.drawHeader(a)
	foot := m.footerLines(a.w, a.h)
	m.drawBody(a.sub(0, head, a.w, a.h-head-foot))
	m.drawFooter(a.sub(0, a.h-foot, a.w, foot))
}

func (m *Model) drawBody(a area) {
	if m.prompt != nil && m.prompt.palette != nil {
		m.prompt.palette.draw(a, m)
		return
	}
	switch m.where() {
	case inHelp:
		m.help.draw(a, m)
	case inPicker:
		m.picker.draw(a, &m.d)
	case inAccess:
		drawAccess(a, &m.d)
	case inDetail:
		m.detail.draw(a, &m.d)
	case inSessions:
		m.drawSessions(a)
	case inPods:
		m.pods.draw(a, &m.d)
	case inEvents:
		m.events.draw(a, &m.d)
	case inFindings:
		m.findings.draw(a, &m.d)
	case inClientIP:
		m.clientip.draw(a, &m.d)
	default:
		m.topo.draw(a, &m.d)
	}
}

// previewHeight is the lines of the preview under the list of sessions.
const previewHeight = 9

func (m *Model) drawSessions(a area) {
	s := m.session()
	if m.d.class < classM || a.h < 2*previewHeight || s == nil {
		m.sessions.draw(a, &m.d)
		return
	}
	m.sessions.draw(a.sub(0, 0, a.w, a.h-previewHeight), &m.d)
	drawPreview(a.sub(0, a.h-previewHeight, a.w, previewHeight), &m.d, s)
}
