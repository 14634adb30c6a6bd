package ui

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// drawTiny says what is needed; nothing else fits.
func (m *Model) drawTiny(a area) {
	a.put(0, 0, strong, "stickytop")
	a.put(0, 1, plain, fmt.Sprintf("too small: %dx%d", m.w, m.h))
	a.put(0, 2, plain, fmt.Sprintf("needs %dx%d", tinyWidth, tinyHeight))
	a.put(0, 3, plain, "q quit")
}

// drawSmall draws the layout of a terminal under 60x15: one line of state, one
// of numbers, then the view without any frame.
func (m *Model) drawSmall(a area) {
	s := m.health()
	clock := m.d.now.UTC().Format("15:04Z")
	right := s.glyph + " " + s.word + " " + clock
	a.sub(0, 0, a.w-cells(right)-1, 1).pen(0, 0).put(strong, "stickytop").gap(1).put(plain, strings.Trim(m.place()+" "+ingressLabel(m.d.route()), " "))
	a.right(a.w, 0, s.st, right)
	m.drawSmallNumbers(a)
	lines := min(m.modeLines(a.w), max(1, a.h/3))
	m.drawBody(a.sub(0, 2, a.w, a.h-3-lines))
	foot := a.sub(0, a.h-1-lines, a.w, 1+lines)
	switch {
	case m.question != nil || m.prompt != nil || m.notice.text != "" || m.pause.on || m.detail.id != "" || m.overlay != overlayNone:
		m.drawMode(foot.sub(0, 0, foot.w, lines))
	default:
		m.drawWorst(foot)
	}
	m.drawHints(foot.sub(0, lines, foot.w, 1))
}

func (m *Model) drawSmallNumbers(a area) {
	p := a.pen(0, 1)
	for i, n := range m.numbers(false) {
		text := n.text
		if i == 0 {
			text = strings.TrimPrefix(text, "sess ") + ":"
		}
		if p.x+cells(text) > a.w {
			break
		}
		p.put(n.st, text).gap(1)
	}
}

// drawWorst says in one line what needs a look first.
func (m *Model) drawWorst(a area) {
	if text := m.degraded(); text != "" {
		a.put(0, 0, warn, text)
		return
	}
	var worst *affinity.Session
	rank := severity(affinity.RePinned) + 1
	for _, s := range m.d.snap.Sessions {
		if c, _ := s.Condition(m.d.now); severity(c) < rank {
			worst, rank = s, severity(c)
		}
	}
	if worst == nil {
		text := "no sessions"
		switch s := m.d.sum; {
		case s.judged() > 0:
			text = "held " + strconv.Itoa(s.held) + " of " + strconv.Itoa(s.judged()) + " " + m.d.heldWindow()
		case s.total > 0:
			text = "held: not known, " + heldUnknown(s)
		}
		a.put(0, 0, plain, text)
		return
	}
	c, detail := worst.Condition(m.d.now)
	a.put(0, 0, conditionStyle(c), "▲ "+string(worst.Spec.ID)+" "+c.String()+": "+detail)
}
