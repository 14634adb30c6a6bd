package ui

import (
	"slices"
	"strconv"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// columns returns the columns for what there is to show and the room for it,
// in order. Error statuses have one while there are any.
func (p *sessionsPanel) columns(d *data) []column {
	c, bad := d.class, len(d.sum.statuses) > 0
	state := column{name: "state", title: "STATE", min: 12, ideal: 12}
	pod := column{name: "pod", title: "POD", min: 8, ideal: 9}
	pins := column{name: "strip", title: "PIN STRIP", min: 9, ideal: 12, flex: 1}
	fuse := column{name: "fuse", title: "FUSE", min: 14, ideal: 17}
	if c == classXS {
		return []column{{name: "id", title: "ID", min: 3, ideal: 3}, state, pod, {name: "strip", title: "STRIP", min: 4, ideal: 8, flex: 1, drop: 1},
			{name: "fuse", title: "FUSE", min: 9, ideal: 9, drop: 2}}
	}
	if c >= classM {
		pod.ideal, fuse.ideal, pins.ideal = 22, 20, 30
	}
	all := []column{
		{name: "id", title: "ID", min: 4, ideal: 4},
		{name: "kind", title: "KIND", min: 4, ideal: 4, drop: 5},
		state, pod,
		{name: "via", title: "VIA", min: 4, ideal: 4},
	}
	if p.kinds { // else it tells nothing that is not seen elsewhere
		all[1].drop = 0
	}
	if p.clients { // whom it acts for tells why sessions differ: it comes before what they took, and how they are known
		all = append(all, column{name: "client", title: "CLIENT", min: 7, ideal: map[bool]int{true: 12, false: 7}[c >= classM], drop: 1})
		all[4].drop, pins.min, pins.title = 3, 8, "STRIP"
	}
	if p.legs {
		if c >= classM {
			all[1].ideal = 8
		}
		all = append(all, column{name: "legs", title: "LEGS", min: 4, ideal: map[bool]int{true: 15, false: 4}[c >= classM], drop: 4})
	}
	all = append(all, pins)
	if c >= classM || p.wide {
		all = append(all, column{name: "moves", title: "MOVES", min: 5, ideal: 6, drop: 4, right: true})
		if p.unheld {
			all = append(all, column{name: "unheld", title: "UNHELD", min: 6, ideal: 6, drop: 4, right: true})
		}
	}
	if bad { // on a narrow screen what is wrong comes before what lasts how long
		fuse.drop = 2
	}
	all = append(all, fuse)
	if bad {
		all = append(all, column{name: "status", title: "HTTP", min: 7, ideal: 8})
	}
	if p.wide {
		all = append(all,
			column{name: "req", title: "REQ", min: 5, ideal: 6, drop: 7, right: true},
			column{name: "fail", title: "FAIL", min: 4, ideal: 5, drop: 6, right: true},
			column{name: "age", title: "AGE", min: 4, ideal: 4, drop: 8, right: true})
		if !bad {
			all = append(all, column{name: "status", title: "HTTP", min: 4, ideal: 4, drop: 9, right: true})
		}
		all = append(all, column{name: "route", title: "ROUTE", min: 16, ideal: 30, flex: 1, drop: 10})
	}
	rtt := column{name: "rtt", title: "RTT", min: 4, ideal: 5, drop: 3, right: true}
	if p.kinds || p.clients { // before the legs
		rtt.drop = 5
	}
	return append(all, rtt)
}

// The verdict of a comparison has up to comparedLines lines, where that leaves
// room for sessions: from comparedRows rows on.
const (
	comparedLines = 2
	comparedRows  = 8
)

// cursorGutter is the room left of every row, for the cursor.
const cursorGutter = 3

// draw draws the header, the rows and the legend.
func (p *sessionsPanel) draw(a area, d *data) {
	gutter := cursorGutter
	if d.class == classXS {
		gutter = 1
	}
	slots := place(p.columns(d), a.w-gutter-1)
	p.col = min(max(p.col, 0), len(slots)-1)
	body := a.sub(gutter, 0, a.w-gutter, a.h)
	drawHead(body, slots, p.col, p.sortKeyName(), p.down)
	rows := a.h - 1
	if d.class != classXS {
		rows--
	}
	if v := d.sum.pollingOn(); v.text != "" && rows >= comparedRows {
		rows--
		body.clip(0, rows+1, body.w-1, v.st, v.text)
	}
	if v := d.compared(); v.text != "" && rows >= comparedRows {
		below := rows
		lines := wrap(v.text, body.w-1)
		n := min(len(lines), comparedLines)
		for i, line := range lines[:n] {
			room := body.w - 1
			if i == n-1 && n < len(lines) {
				room = drawMore(body, below-n+1+i, "1, tab, enter: all")
			}
			body.clip(0, below-n+1+i, room, v.st, line)
		}
		rows -= n
	}
	from, to := p.window(rows)
	for i := from; i < to; i++ {
		y := 1 + i - from
		s := d.session(p.rows[i])
		if s == nil {
			continue
		}
		for _, slot := range slots {
			drawSessionCell(body.sub(slot.x, y, slot.w, 1), d, s, slot)
		}
		if i == p.at {
			drawCursor(a, y, gutter)
		}
	}
	if len(p.rows) == 0 {
		p.drawEmpty(body, d)
	}
	if d.class != classXS {
		p.drawLegend(a, d, from, to, slices.ContainsFunc(slots, func(s slot) bool { return s.name == "legs" }))
	}
}

// drawCursor marks line y: by a character, for terminals without any
// attribute, and reversed.
func drawCursor(a area, y, gutter int) {
	a.put(gutter/2, y, strong, ">")
	a.mark(y, reversed)
}

func (p *sessionsPanel) drawEmpty(a area, d *data) {
	switch {
	case len(d.snap.Sessions) > 0:
		a.put(0, 2, plain, p.noMatch("session"))
	case d.opt.ReadOnly:
		a.put(0, 2, plain, "No sessions: nothing is being probed (--no-probe).")
	case d.lost():
		drawNothing(a, d)
	default:
		a.put(0, 2, plain, "No sessions yet.  n opens one.")
	}
}

func (p *sessionsPanel) drawLegend(a area, d *data, from, to int, legs bool) {
	y := a.h - 1
	text := plural(len(p.rows), "session", "sessions")
	if len(p.rows) > to-from {
		text = strconv.Itoa(from+1) + "-" + strconv.Itoa(to) + " of " + strconv.Itoa(len(p.rows))
	}
	x := a.put(3, y, plain, text)
	legend := "C cookie  ! burns ~ refills  × error"
	if a.w >= 76 {
		legend = "C cookie I ClientIP ! burns ~ refills × error … waits · silence"
	}
	if a.w >= mediumWidth {
		legend = "C cookie  I ClientIP  D drain    ! absolute, burns  ~ sliding, traffic refills  ≈ modelled    × error  … waits  · silence"
	}
	if p.legs {
		legend = "C cookie R read H ping  ! burns ~ refills × error · silence"
		if legs {
			legend = "C cookie R read H ping  LEGS h c p u  ~ refills × error"
		}
		if a.w >= mediumWidth {
			legend = "C cookie  R proxy read  H heartbeat  D drain  ! burns  ~ refills  ≈ modelled    LEGS handshake connect poll upgrade  × refused"
		}
	}
	if text := firstRound(d); text != "" {
		a.put(3, y, plain, text)
		return
	}
	a.put(x+2, y, muted, firstThatFits(a.w-x-2, legend, "! burns ~ refills × error", "~ refills × error", ""))
}

// drawSessionCell draws one cell of one session.
func drawSessionCell(a area, d *data, s *affinity.Session, c slot) {
	switch c.name {
	case "state":
		condition, _ := s.Condition(d.now)
		st := conditionStyle(condition)
		x := a.put(0, 0, st, condition.String())
		x = a.put(x, 0, st, conditionMark(condition))
		if text := " no ws"; s.NoWebSocket() != "" && condition != affinity.Failing && x+cells(text) <= a.w {
			a.put(x, 0, warn, text)
		}
	case "pod":
		drawSessionPod(a, d, s)
	case "strip":
		drawStrip(a, 0, 0, a.w, s, d.now)
	case "legs":
		drawLegs(a, s)
	case "kind":
		a.put(0, 0, plain, kindText(s, a.w >= 8))
	case "client":
		a.put(0, 0, plain, clientText(s.Spec.Client, a.w))
	case "fuse":
		if d.class == classXS {
			a.put(0, 0, plain, fuseText(s, d.now))
			return
		}
		drawFuse(a, 0, 0, a.w, s, d.now)
	case "status":
		st := plain
		if affinity.BadStatus(s.LastStatus) {
			st = broken
			if s.StatusNote != "" && s.LastStatus < 500 {
				st = warn
			}
		}
		text := sessionText(d, s, c.name)
		if c.right {
			a.right(a.w, 0, st, text)
			return
		}
		a.put(0, 0, st, text)
	default:
		text := sessionText(d, s, c.name)
		if c.right {
			a.right(a.w, 0, plain, text)
			return
		}
		a.put(0, 0, plain, text)
	}
}

// clientText is a client model in w cells: without its number where that has no
// room.
func clientText(m affinity.ClientModel, w int) string {
	switch {
	case cells(string(m)) <= w:
		return string(m)
	case m.Kind() == affinity.ClientCrossSite:
		return "x-site"
	}
	return string(m.Kind())
}

// drawSessionPod draws the pod that holds s: its letter, how it is when it is
// not ready, and its name.
func drawSessionPod(a area, d *data, s *affinity.Session) {
	c, _ := s.Condition(d.now)
	switch {
	case c == affinity.Split:
		a.put(0, 0, broken, splitText(d, s))
		return
	case s.Pod.IsZero():
		a.put(0, 0, plain, "?")
		return
	}
	p, known := d.snap.Pod(s.Pod)
	if c == affinity.Orphan && (!known || !p.Gone.IsZero()) {
		a.put(0, 0, broken, "— "+s.Tag+" gone")
		return
	}
	tag := s.Tag
	if tag == "" {
		tag = "?"
	}
	x := a.put(0, 0, podStyle(tag), tag)
	mark, st := podGlyph(p, known, false)
	switch {
	case mark == "●" && c == affinity.Orphan:
		mark, st = "○", warn // ready, and yet no ready endpoint
	case mark == "●" || mark == "?":
		mark, st = " ", plain
	}
	x = a.put(x, 0, st, mark)
	name := s.Pod.Short()
	if a.w >= 16 {
		name = podName(s.Pod, a.w-x)
	}
	a.put(x, 0, plain, name)
}

// splitText names the pods of a SPLIT: "? A|B".
func splitText(d *data, s *affinity.Session) string {
	text := "? "
	for i, ref := range s.Split {
		if i > 0 {
			text += "|"
		}
		p, _ := d.snap.Pod(ref)
		text += p.Tag
	}
	return text
}

// sessionText is the text of a cell: what is drawn for plain cells, and what c
// copies for all of them.
func sessionText(d *data, s *affinity.Session, name string) string {
	switch name {
	case "id":
		return string(s.Spec.ID)
	case "kind":
		return kindText(s, true)
	case "client":
		return string(s.Spec.Client)
	case "legs":
		return legText(s)
	case "state":
		c, _ := s.Condition(d.now)
		return c.String()
	case "pod":
		if c, _ := s.Condition(d.now); c == affinity.Split {
			return splitText(d, s)
		}
		return s.Pod.Name
	case "via":
		return s.Via.Via()
	case "strip":
		return stripText(s, d)
	case "moves":
		return strconv.Itoa(s.MoveCount)
	case "unheld":
		return strconv.Itoa(s.UnheldCount)
	case "fuse":
		return fuseText(s, d.now)
	case "req":
		return strconv.Itoa(s.Requests)
	case "fail":
		return strconv.Itoa(s.Failed())
	case "age":
		return age(d.now.Sub(s.Opened))
	case "status":
		switch {
		case s.LastStatus == 0:
			return "—"
		case affinity.BadStatus(s.LastStatus):
			return s.StatusText()
		}
		return strconv.Itoa(s.LastStatus)
	case "route":
		if r, ok := d.snap.Route(s.Spec.Route); ok {
			return string(r.ID) + askedText(r, s.Spec)
		}
		return string(s.Spec.Route)
	case "rtt":
		if s.InARow > 0 {
			return "—"
		}
		return millis(roundTrip(s))
	}
	return ""
}

// stripText is the last minute of s as text.
func stripText(s *affinity.Session, d *data) string {
	out := make([]stripCell, 60)
	strip(out, s.Exchanges, d.now)
	holdStrip(out, s, d.now)
	waits(out, s, d.now)
	text := ""
	for _, c := range out {
		text += c.glyph
	}
	return text
}
