package ui

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// drawGrid draws Topo on a large screen: the picture, the history and the
// events on the left, what to know on the right.
func (p *topoPanel) drawGrid(a area, d *data) {
	leftW := a.w * 61 / 100
	right := a.sub(leftW, 0, a.w-leftW, a.h)
	shares := min(len(p.dist.Shares), 8)
	pathH := min(a.h, 12+shares+branchRows(d.route(), a.h))
	p.drawPathBox(a.sub(0, 0, leftW, pathH), d)
	histH := min(7, a.h-pathH)
	drawHistory(a.sub(0, pathH, leftW, histH), d)
	p.drawEventsBox(a.sub(0, pathH+histH, leftW, a.h-pathH-histH), d)

	held := min(9, right.h)
	p.drawStickiness(right.sub(0, 0, right.w, held), d)
	fuses := min(max(len(p.fuses), 1)+3, (right.h-held)/2)
	p.drawFuses(right.sub(0, held, right.w, fuses), d)
	p.drawNotes(right.sub(0, held+fuses, right.w, right.h-held-fuses), d)
}

func (p *topoPanel) title(text string, pane topoPane) string {
	if p.pane == pane {
		return "> " + text
	}
	return text
}

func (p *topoPanel) drawPathBox(a area, d *data) {
	dotted := d.isStale()
	remark := "enter sessions"
	if since, ok := d.stale(); ok {
		remark = "as of " + d.clock.format(since, d.now)
	}
	in := a.box(p.title("Path", panePath), remark, dotted)
	r := d.route()
	box1 := (in.w - 13 - 4) / 2
	box2 := in.w - 13 - 4 - box1
	in.put(1, 0, strong, "CLIENTS")
	in.put(13, 0, strong, "INGRESS")
	in.put(17+box1, 0, strong, "SERVICE")
	p.drawClients(in.sub(0, 2, 13, 5))
	drawLayerBox(in.sub(13, 1, box1, 7), d, r, affinity.LayerIngress, dotted)
	in.put(13+box1, 3, plain, "──▶")
	more := branchRows(r, in.h)
	drawLayerBox(in.sub(17+box1, 1, box2, 7+more), d, r, affinity.LayerService, dotted)
	y := 8 + more
	in.put(1, y, strong, "PODS")
	if text := countedNowhere(p.dist); text != "" {
		in.put(8, y, warn, "— "+text)
	}
	if p.dist.Total > 0 && p.dist.Fair > 0 {
		in.right(in.w, y, muted, "┆ fair share "+percentOf(p.dist.Fair))
	}
	if len(p.dist.Shares) == 0 {
		in.put(1, y+1, muted, noPods(d))
	}
	for i, s := range p.dist.Shares {
		if y+1+i >= in.h {
			break
		}
		p.drawPodLine(in.sub(0, y+1+i, in.w, 1), d, s, i == len(p.dist.Shares)-1)
	}
}

func percentOf(f float64) string { return fmt.Sprintf("%.1f%%", 100*f) }

func (p *topoPanel) drawPodLine(a area, d *data, s affinity.Share, last bool) {
	join := "┣━ "
	if last {
		join = "┗━ "
	}
	a.put(1, 0, plain, join)
	pod, known := d.snap.Pod(s.Pod)
	x := a.put(4, 0, podStyle(s.Tag), strings.TrimSpace(s.Tag+" "))
	glyph, st := endpointGlyph(pod, known, d.isStale(), s)
	x = a.put(max(x, 5)+1, 0, st, glyph) + 1
	a.clip(x, 0, 24, plain, podName(s.Pod, 24))
	a.clip(x+25, 0, 12, plain, pod.Node)
	a.right(x+43, 0, plain, strconv.Itoa(s.Pins)+" pins")
	shareBar(a.sub(x+45, 0, a.w-x-46, 1), s, p.dist.Fair)
}

func drawHistory(a area, d *data) {
	in := a.box("Last 10 minutes", "", false)
	took := make([]int, historyLen)
	for i, v := range d.hist.took {
		took[i] = int(v.Microseconds())
	}
	w, moves := max(0, in.w-20), d.sum.movesText()
	if loose := d.hist.looseText(); loose != "" {
		moves += " +" + loose
		w = max(0, in.w-11-cells(moves))
	}
	total := func(values []int) string {
		n := 0
		for _, v := range values {
			n += v
		}
		return strconv.Itoa(n)
	}
	for y, line := range []struct {
		name   string
		values []int
		st     style
		sum    string
	}{
		{"moves", d.hist.changes(), changed, moves},
		{"errors", d.hist.failures[:], broken, total(d.hist.failures[:])},
		{"slowest", took, plain, "p95 " + millisUnit(d.sum.p95)},
		{"requests", d.hist.requests[:], plain, total(d.hist.requests[:])},
	} {
		in.put(0, y, plain, line.name)
		spark(in, 9, y, w, line.st, line.values)
		in.right(in.w, y, plain, line.sum)
	}
	in.put(9, 4, muted, "-10m")
	in.right(9+w, 4, muted, "now")
	if d.hist.partial {
		in.put(20, 4, muted, "(sampled)")
	}
}

func (p *topoPanel) drawEventsBox(a area, d *data) {
	in := a.box(p.title("Events", paneEvents), "4 Events", false)
	inner := *p
	inner.pane = panePath
	inner.drawRecent(in, d)
}

func (p *topoPanel) drawStickiness(a area, d *data) {
	in := a.box("Stickiness", "", false)
	s := d.sum
	in.put(0, 0, strong, "HELD")
	text := "no sessions"
	of := s.judged()
	switch {
	case of > 0:
		text = fmt.Sprintf("%d/%d  %s  ", s.held, of, percent(s.held, of))
	case s.total > 0:
		text = "not known: " + heldUnknown(s)
	}
	x := in.put(10, 0, plain, text)
	if window := d.heldWindow(); window != "" && of > 0 {
		x = in.put(x, 0, plain, window) + 1
	}
	if of > 0 {
		in.put(x, 0, plain, bar(float64(s.held)/float64(of), in.w-x, false))
	}
	for i, line := range []struct {
		c    affinity.Condition
		note string
	}{{affinity.MovedSilent, "same cookie, another pod"}, {affinity.Split, "one cookie, several pods"}, {affinity.Orphan, "its pod left the endpoints"}, {affinity.Failing, "last request failed"}} {
		n, st := s.by[line.c], plain
		if line.c == affinity.Failing {
			n = s.failing // also of those that are orphans before all
		}
		if n > 0 {
			st = conditionStyle(line.c)
		}
		in.put(0, 1+i, st, line.c.String())
		in.right(15, 1+i, st, strconv.Itoa(n))
		in.put(17, 1+i, muted, line.note)
	}
	in.put(0, 5, strong, "SKEW")
	for i, text := range wrap(skewText(p.dist), in.w-6) {
		in.put(6, 5+i, plain, text)
	}
}

func (p *topoPanel) drawFuses(a area, d *data) {
	in := a.box(p.title("Next fuses", paneFuses), "! burns  ~ refills", false)
	if len(p.fuses) == 0 {
		p.drawNextFuse(in.sub(0, 0, in.w, 1), d)
		return
	}
	for y, b := range p.fuses {
		if y >= in.h {
			return
		}
		in.clip(0, y, 4, plain, string(b.s.Spec.ID))
		in.put(5, y, plain, string(b.t.Letter)+sign(b.t.Renewal))
		name := in.w - 8 - 12 - 9
		in.clip(8, y, name, plain, b.t.Name)
		if f, ok := fraction(b.t, d.now); ok {
			in.put(8+name+1, y, plain, bar(f, 11, b.t.Renewal == affinity.RenewalSliding))
		}
		in.right(in.w, y, plain, remaining(b.t, d.now))
	}
}

// drawNotes says where the settings are from, and what to know about them, and
// where it has no room for all, how to read the rest.
func (p *topoPanel) drawNotes(a area, d *data) {
	remark := ""
	lines := noteLines(d, a.w-4)
	if len(lines) > a.h-2 && !d.isStale() {
		remark = "tab, enter for all"
	}
	in := a.box(p.title("What holds a client, and why", paneNotes), remark, false)
	if d.isStale() {
		drawStaleNote(in, d)
		return
	}
	for y, line := range lines {
		in.put(0, y, line.st, line.text)
	}
}

// paragraph writes wrapped text from line y on and returns the line after it.
func (a area) paragraph(y int, st style, text string) int {
	indent := 0
	for indent < len(text) && text[indent] == ' ' {
		indent++
	}
	for _, line := range wrap(text, a.w-indent) {
		a.put(indent, y, st, line)
		y++
	}
	return y
}
