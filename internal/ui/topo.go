package ui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// topoPane is a part of Topo that enter opens.
type topoPane uint8

const (
	panePath topoPane = iota
	paneFuses
	paneEvents
	paneNotes
	topoPanes
)

// topoPanel is the picture of one route: clients, ingress, service, pods.
type topoPanel struct {
	pane  topoPane
	notes notesPanel
	fuses []burning // the sessions whose timers end first
	dist  affinity.Distribution

	clients map[string]int // sessions by transport
	forever bool           // a cookie without any deadline is held

	rev   uint64           // of what is computed
	route affinity.RouteID // for which
}

// burning is a session with the timer that ends it first.
type burning struct {
	s *affinity.Session
	t affinity.Timer
}

const maxFuses = 12

func (p *topoPanel) refresh(d *data) {
	r := d.route().ID
	if p.rev == d.rev && p.route == r {
		return
	}
	p.rev, p.route = d.rev, r
	p.dist = d.sum.dist
	if len(d.scope) > 1 {
		p.dist = affinity.Distribute(d.snap, []affinity.RouteID{r})
	}
	p.fuses, p.clients, p.forever = p.fuses[:0], map[string]int{}, false
	for _, s := range d.snap.Sessions {
		if !s.ClosedAt.IsZero() || s.Spec.Route != r {
			continue
		}
		p.clients[s.Spec.Transport]++
		if t, ok := s.Fuse(d.now); ok {
			p.keep(burning{s, t})
		} else if len(s.Timers) > 0 && noFuse(s) != "—" {
			p.forever = true
		}
	}
}

// keep inserts b among the shortest fuses.
func (p *topoPanel) keep(b burning) {
	i, _ := slices.BinarySearchFunc(p.fuses, b, func(x, y burning) int {
		if c := x.t.Deadline.Compare(y.t.Deadline); c != 0 {
			return c
		}
		return -1 // behind those that end at the same time
	})
	if i >= maxFuses {
		return
	}
	if len(p.fuses) == maxFuses {
		p.fuses = p.fuses[:maxFuses-1]
	}
	p.fuses = slices.Insert(p.fuses, i, b)
}

// shortest returns the session that ends first.
func (p *topoPanel) shortest(*data) *affinity.Session {
	if len(p.fuses) == 0 {
		return nil
	}
	return p.fuses[0].s
}

func (p *topoPanel) next(by int) {
	p.notes.open = false
	p.pane = (p.pane + topoPane(by) + topoPanes) % topoPanes
}

// special returns the screen that takes the place of the picture, if there is
// nothing to draw yet or no way to draw it from.
func (p *topoPanel) special(d *data) func(area, *data) {
	state, _ := d.snap.Health()
	switch {
	case len(d.scope) > 0 && unreachable(d, d.route()):
		return drawNoPath
	case len(d.scope) > 0:
		return nil
	case state == affinity.SourceSyncing, d.silent():
		return drawSync
	}
	return drawNothing
}

func (p *topoPanel) draw(a area, d *data) {
	if draw := p.special(d); draw != nil {
		draw(a, d)
		return
	}
	if p.notes.open {
		p.notes.draw(a, d)
		return
	}
	if d.class == classL {
		p.drawGrid(a, d)
		return
	}
	const below = 8 // lines for HELD to SKEW, and some events
	path := min(7+branchRows(d.route(), a.h-7-below), a.h)
	p.drawPath(a.sub(0, 0, a.w, path), d, p.pane == panePath)
	if d.isStale() {
		drawStaleNote(a.sub(0, path+1, a.w, a.h-path-1), d)
		return
	}
	p.drawLines(a.sub(0, path+1, a.w, a.h-path-1), d)
}

// drawLines draws what stands under the picture on a small screen.
func (p *topoPanel) drawLines(a area, d *data) {
	y := drawBanner(a, d)
	draws := []func(area, *data){drawHeld, p.drawNextFuse, drawMoves, p.drawSkew}
	if d.compared().text != "" {
		draws = slices.Insert(draws, 1, drawCompared)
	}
	for _, draw := range draws {
		if y >= a.h {
			return
		}
		draw(a.sub(0, y, a.w, 1), d)
		y++
	}
	var notes []run
	for _, n := range append(topoNotes(d), askedNote(d)) {
		for _, line := range wrap(n.text, a.w-2) {
			notes = append(notes, run{n.st, line})
		}
	}
	room := a.h - y - 1
	const fewEvents = 3
	lines := min(len(notes), max(room-fewEvents, min(2, room-1), 0))
	if lines < len(notes) && room > fewEvents { // the notes need the blank line more
		y, lines = y-1, lines+1
	}
	p.drawRecent(a.sub(0, y+1, a.w, a.h-y-1-lines), d)
	drawFewNotes(a.sub(0, a.h-lines, a.w, lines), notes, p.pane == paneNotes)
}

// bannerLines is how many lines the banner may have.
const bannerLines = 3

// drawBanner draws what the error answers are about and returns how many lines
// it took.
func drawBanner(a area, d *data) int {
	b := d.sum.banner()
	lines := wrap(b.text, a.w-2)
	shown := min(len(lines), bannerLines, a.h)
	for y, line := range lines[:shown] {
		room := a.w - 1
		if y == shown-1 && shown < len(lines) {
			room = drawMore(a, y, paneKeys)
		}
		a.clip(1, y, room-1, b.st, line)
	}
	return shown
}

// label draws the heading of a line; the pane in focus has a mark.
func label(a area, text string, focused bool) {
	if focused {
		a.put(0, 0, strong, ">")
	}
	a.put(1, 0, strong, text)
}

func drawHeld(a area, d *data) {
	label(a, "HELD", false)
	s := d.sum
	of := s.judged()
	text := fmt.Sprintf("%d/%d sessions kept their pod %s", s.held, of, d.heldWindow())
	switch {
	case s.total == 0:
		text = "no sessions"
	case of == 0:
		text = "not known: " + heldUnknown(s)
	case s.from.IsZero():
		text = fmt.Sprintf("%d/%d: nothing holds a session", s.held, of)
	case a.w < 70:
		text = strings.Replace(text, " sessions", "", 1)
	}
	if n := s.failing; n > 0 && s.held > 0 {
		text += ", " + strconv.Itoa(n) + " failing"
	}
	if of > 0 && of < s.total {
		text += ", " + strconv.Itoa(s.total-of) + " not known"
	}
	x := a.put(12, 0, plain, text) + 2
	if room := min(22, a.w-x-9); of > 0 && room > 4 {
		a.right(a.w-room-2, 0, plain, percent(s.held, of))
		a.put(a.w-room-1, 0, plain, bar(float64(s.held)/float64(of), room, false))
	}
}

// drawCompared says what several client models or transports came to.
func drawCompared(a area, d *data) {
	label(a, "COMPARED", false)
	v := d.compared()
	room := a.w - 13
	if cells(v.text) > room {
		room = drawMore(a, 0, paneKeys) - 12
	}
	a.clip(12, 0, room, v.st, v.text)
}

// heldUnknown says why nothing is known of any session.
func heldUnknown(s summary) string {
	if s.by[affinity.Unknown] > 0 {
		return "no answer names its pod"
	}
	return "no session has an answer yet"
}

func (p *topoPanel) drawNextFuse(a area, d *data) {
	label(a, "NEXT FUSE", p.pane == paneFuses)
	if len(p.fuses) == 0 {
		text := "no timer is running"
		if p.forever {
			text = "no timer is running: the cookie lasts as long as the browser"
		}
		a.put(12, 0, muted, text)
		return
	}
	b := p.fuses[0]
	pen := a.pen(12, 0).put(plain, string(b.s.Spec.ID)+" "+string(b.t.Letter)+sign(b.t.Renewal)+" "+b.t.Name+" "+remaining(b.t, d.now))
	if f, ok := fraction(b.t, d.now); ok {
		pen.gap(1).put(plain, bar(f, 8, b.t.Renewal == affinity.RenewalSliding))
	}
	for i, b := range p.fuses[1:] {
		text := "  " + string(b.s.Spec.ID) + " " + string(b.t.Letter) + sign(b.t.Renewal) + " " + remaining(b.t, d.now)
		if i == 0 {
			text = "  then" + text[1:]
		}
		if pen.x+cells(text) > a.w {
			return
		}
		pen.put(plain, text)
	}
}

func drawMoves(a area, d *data) {
	label(a, "MOVES", false)
	text := "10m: " + d.sum.movesText()
	st := plain
	if d.sum.unexplained > 0 {
		text += fmt.Sprintf(" (%d unexplained ▲)", d.sum.unexplained)
		st = warn
	}
	if loose := d.hist.looseText(); loose != "" {
		text += ", " + loose + " ▲"
		st = warn
	}
	x := a.w - cells(text) - 1
	spark(a, 12, 0, max(0, x-14), changed, d.hist.changes())
	a.put(x, 0, st, text)
}

func (p *topoPanel) drawSkew(a area, d *data) {
	label(a, "SKEW", false)
	text := skewText(p.dist)
	if cells(text) > a.w-13 {
		text = skewBrief(p.dist)
	}
	a.put(12, 0, plain, text)
}

// skewText compares the spread with what chance alone gives.
func skewText(d affinity.Distribution) string {
	if d.MaxOverMean == 0 {
		return d.Verdict
	}
	if d.Few {
		return fmt.Sprintf("max/mean %.2f, chance gives %.2f: %s", d.MaxOverMean, d.Chance, d.Verdict)
	}
	return fmt.Sprintf("max/mean %.2f, chance gives %.2f (p %.2f): %s", d.MaxOverMean, d.Chance, d.P, d.Verdict)
}

// skewBrief is the same without why it is judged so.
func skewBrief(d affinity.Distribution) string {
	verdict, _, _ := strings.Cut(d.Verdict, ":")
	if d.MaxOverMean == 0 {
		return verdict
	}
	return fmt.Sprintf("max/mean %.2f, chance %.2f: %s", d.MaxOverMean, d.Chance, verdict)
}

// drawRecent draws the newest events that matter.
func (p *topoPanel) drawRecent(a area, d *data) {
	if a.h <= 0 {
		return
	}
	var shown []affinity.Happening
	for i := len(d.snap.Timeline) - 1; i >= 0 && len(shown) < a.h; i-- {
		if h := d.snap.Timeline[i]; h.Level > affinity.LevelInfo || h.Kind == "pod" || len(d.snap.Timeline) < a.h {
			shown = append(shown, h)
		}
	}
	slices.Reverse(shown)
	if p.pane == paneEvents {
		a.put(0, 0, strong, ">")
	}
	if len(shown) == 0 {
		a.put(1, 0, muted, "no events yet")
	}
	for y, h := range shown {
		drawEventLine(a.sub(1, y, a.w-1, 1), d, h)
	}
}

// drawEventLine draws an event in one line: when, what, why.
func drawEventLine(a area, d *data, h affinity.Happening) {
	x := a.put(0, 0, plain, d.clock.format(h.At, d.now))
	cause, st := causeOf(h)
	width := a.w - x - 2
	if cause != "" && a.w >= 60 {
		room := min(cells(cause), max(width-2-cells(h.Text), width/4))
		a.clip(a.w-room, 0, room, st, cause)
		width -= room + 2
	}
	a.clip(x+2, 0, width, levelStyle(h), h.Text)
}

// causeOf says why a move happened; loudly when nothing explains it.
func causeOf(h affinity.Happening) (string, style) {
	switch {
	case h.CauseText != "":
		return h.CauseText, plain
	case h.Kind == "move":
		return "▲ UNEXPLAINED", warn
	}
	return "", plain
}

func levelStyle(h affinity.Happening) style {
	switch h.Level {
	case affinity.LevelChange:
		return changed
	case affinity.LevelWarning:
		return warn
	case affinity.LevelBroken:
		return broken
	}
	return plain
}

// topoNotes are what the reader should know about the route: no endpoints,
// bypassed layers, doubts about the controller, merges.
func topoNotes(d *data) []run {
	r := d.route()
	var out []run
	if text := d.snap.NoService(r); text != "" {
		out = append(out, run{broken, "✗ NO SUCH SERVICE: " + text})
	} else if text := d.snap.NoneReady(r); text != "" {
		out = append(out, run{broken, "✗ NO READY ENDPOINTS: " + text})
	}
	for _, text := range r.Unheeded {
		out = append(out, run{warn, "▲ " + text})
	}
	if text := d.snap.OthersText(r); text != "" {
		out = append(out, run{warn, "▲ " + text})
	}
	for _, text := range r.Contested {
		out = append(out, run{warn, "▲ " + text})
	}
	if n := len(d.scope); n > 1 && d.sum.total == 0 {
		out = append(out, run{plain, fmt.Sprintf("route %d of %d: h and l show the others", d.focus+1, n)})
	}
	if n := d.sum.mute; n > 0 {
		out = append(out, run{broken, fmt.Sprintf("✗ %d of %d sessions get no answer, their pins are as of the last: %s", n, d.sum.total, d.sum.muteWhy)})
	}
	for _, x := range d.sum.refused {
		out = append(out, run{broken, x.text(d.sum.total)})
	}
	if text := d.sum.pollingOn(); text.text != "" {
		out = append(out, text)
	}
	if n := d.sum.awaiting; n > 0 {
		text := fmt.Sprintf("▲ %d of %d sessions wait for an answer, the longest for %s", n, d.sum.total, age(d.now.Sub(d.sum.longest)))
		if d.sum.awaits != "" {
			text += ", for " + d.sum.awaits
		}
		out = append(out, run{warn, text + ": no error yet"})
	}
	if text := firstRound(d); text != "" {
		out = append(out, run{plain, text})
	}
	if text := d.snap.NamelessText(r); text != "" {
		out = append(out, run{warn, "▲ " + text})
	}
	if text := d.snap.RedirectsText(r); text != "" {
		out = append(out, run{warn, "▲ " + text})
	}
	if text := d.snap.ElsewhereText(r); text != "" {
		out = append(out, run{warn, "▲ " + text})
	}
	if d.sum.limited > 0 {
		out = append(out, run{warn, "▲ RATE LIMITED (429): " + plural(d.sum.limited, "session backs", "sessions back") + " off"})
	}
	for _, l := range r.Layers {
		if note := d.addressNote(l); note != "" {
			out = append(out, run{plain, note})
		} else if l.Bypassed != "" {
			out = append(out, run{plain, l.Object + " bypassed: " + l.Bypassed})
		}
		switch {
		case l.Hint != "":
			out = append(out, run{plain, l.Hint})
		case l.Guessed && l.Proof == "":
			out = append(out, run{plain, "no cookie that is known was seen: what holds a client here is not known"})
		case !l.Settled():
			out = append(out, run{plain, "controller presumed " + l.Policy().Controller + ": " + strconv.Itoa(len(l.Candidates)) + " fit, no cookie has told them apart"})
		}
		if a := l.Policy().Assumed; a != "" {
			out = append(out, run{plain, a})
		}
		for _, n := range l.Policy().Notes {
			out = append(out, run{plain, n})
		}
	}
	for _, n := range r.Notes {
		if !slices.Contains(r.Contested, n) {
			out = append(out, run{plain, n})
		}
	}
	return out
}
