package ui

import (
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// helpPanel shows the key map: nothing in it is written by hand.
type helpPanel struct {
	of     where // context that help was asked from
	search string
	top    int
	height int
	length int
}

func (p *helpPanel) scroll(m motion) {
	switch m {
	case toTop:
		p.top = 0
	case toBottom:
		p.top = p.length
	default:
		p.top += step(m, p.height)
	}
	p.top = max(0, min(p.top, p.length-p.height))
}

func (p *helpPanel) draw(a area, m *Model) {
	in := a.box("Help: "+contextName(p.of), "/ search", false)
	lines := p.lines(m, in.w)
	p.length, p.height = len(lines), in.h
	p.top = max(0, min(p.top, p.length-p.height))
	for y, line := range lines[p.top:] {
		if y == in.h {
			break
		}
		pen := in.pen(0, y)
		for _, r := range line {
			pen.put(r.st, r.text)
		}
	}
	if more := len(lines) - p.top - in.h; more > 0 {
		a.put(3, a.h-1, strong, " j "+plural(more, "more line", "more lines")+" ")
	}
}

func contextName(w where) string {
	switch w {
	case inDetail:
		return "Session"
	case inPicker:
		return "Targets"
	case inAccess:
		return "Access"
	case inHelp:
		return "Help"
	}
	for v := range views {
		if w == inTopo<<v {
			return viewNames[v]
		}
	}
	return ""
}

// lines lays the groups of keys out in columns, then explains the glyphs.
func (p *helpPanel) lines(m *Model, w int) [][]run {
	const column = 38
	n := max(1, w/column)
	if w < column*2 && w >= 60 {
		n = 2
	}
	columns := make([][][]run, n)
	for _, g := range groups {
		block := p.group(m, g, w/n)
		if len(block) == 0 {
			continue
		}
		short := 0
		for i := range columns {
			if len(columns[i]) < len(columns[short]) {
				short = i
			}
		}
		columns[short] = append(columns[short], block...)
	}
	lines := beside(columns, w/n)
	return append(lines, p.reading(w)...)
}

// group is the block of one group: the keys that work where help was asked
// from, and everywhere.
func (p *helpPanel) group(m *Model, name string, w int) [][]run {
	var block [][]run
	for _, b := range m.keys {
		if b.group != name || len(b.keys) == 0 || b.in&p.of == 0 || !p.found(b) {
			continue
		}
		text, st := b.help, plain
		if why := b.disabled(m); why != "" && strings.Contains(why, "--no-probe") {
			text, st = text+" (off: --no-probe)", muted
		}
		block = append(block, []run{{strong, pad(b.keyLabel(), 10) + " "}, {st, clipped(text, w-12)}})
	}
	if len(block) == 0 {
		return nil
	}
	block = append([][]run{{{strong, name}}}, block...)
	return append(block, nil)
}

func (p *helpPanel) found(b binding) bool {
	s := strings.ToLower(p.search)
	return s == "" || strings.Contains(strings.ToLower(b.help+" "+b.name+" "+b.group+" "+strings.Join(b.keys, " ")), s)
}

func clipped(s string, w int) string {
	if cells(s) <= w || w < 1 {
		return s
	}
	r := []rune(s)
	return string(r[:min(len(r), w-1)]) + "…"
}

// beside joins columns line by line.
func beside(columns [][][]run, w int) [][]run {
	height := 0
	for _, c := range columns {
		height = max(height, len(c))
	}
	lines := make([][]run, height)
	for y := range lines {
		for i, c := range columns {
			used := 0
			if y < len(c) {
				for _, r := range c[y] {
					lines[y] = append(lines[y], r)
					used += cells(r.text)
				}
			}
			if i < len(columns)-1 {
				lines[y] = append(lines[y], run{plain, strings.Repeat(" ", max(1, w-used))})
			}
		}
	}
	return lines
}

// reading explains the words and glyphs of the screens.
func (p *helpPanel) reading(w int) [][]run {
	if p.search != "" {
		return nil
	}
	var lines [][]run
	add := func(label, text string) {
		for _, line := range wrap(text, w-9) {
			lines = append(lines, []run{{strong, pad(label, 9)}, {plain, line}})
			label = ""
		}
	}
	var states []string
	for _, c := range affinity.Conditions() {
		states = append(states, c.String()+" "+c.Explain())
	}
	add("STATE", strings.Join(states, " · "))
	add("STRIP", "one letter per second, the pod that answered last; × a request failed, · nothing was asked. A steady strip is one letter. Letters are never reused in a run.")
	add("FUSE", "the timer that ends the session first: C cookie, I ClientIP, D drain, H heartbeat, R proxy read timeout. ! absolute, burns whatever the traffic; ~ sliding, traffic refills; ? not known which; ≈ modelled from configuration, not seen; ╌╌ bypassed.")
	if p.of == inClientIP {
		add("SRC", "how a deadline is known: kernel (kern) read from the node, derived (own) from connections that stickytop made, assumed (≈) where the dataplane is not known. A pin belongs to one node, family and Service port.")
		add("FILL", "xt_recent takes 100 addresses for each pod and drops the one that was longest away; an nftables set takes 65535 and leaves others unpinned.")
	}
	add("LEGS", "where each request of a held connection went: h handshake, c connect, p poll, u upgrade. All the same letter is what affinity is for; × a leg was refused.")
	add("VIA", "how the pod is known: hdr a response header, body the response body, ck the decoded cookie.")
	add("PODS", "● ready  ◐ draining  ○ starting  ✗ failed or gone  ? not known")
	add("SKEW", "is compared with what chance alone gives; not a problem is a real answer.")
	add("FILTER", "text is a regular expression, !text the inverse. Fields: state=SPLIT pod=A fuse<30s rtt>100 moves>0, with = != ~ !~ < <= > >=, and, or, not, ( ). Here: "+strings.Join(filterFields(p.of), " "))
	return lines
}

func filterFields(w where) []string {
	switch w {
	case inPods:
		return podFields
	case inEvents:
		return eventFields
	case inFindings:
		return findingFields
	case inClientIP:
		return pinFields
	case inPicker:
		return pickerFields
	}
	return sessionFields
}
