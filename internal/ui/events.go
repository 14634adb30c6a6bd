package ui

import (
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// eventsPanel is the timeline: a lane for every actor, and the list, where
// what was caused stands under its cause.
type eventsPanel struct {
	table[uint64]
	filterLine
	grouped bool
	full    bool // the one under the cursor fills the screen
	told    bool // the one under the cursor is told below the list
	rowsBy  map[uint64]eventRow
	made    eventsInput
}

// eventsInput is what the rows were made from.
type eventsInput struct {
	rev     uint64
	filter  string
	grouped bool
}

// eventRow is one line of the list.
type eventRow struct {
	affinity.Happening
	moves int  // that it explains
	child bool // stands under its cause
	last  bool // of its siblings
}

var eventFields = []string{"src", "kind", "session", "pod", "route", "level", "cause"}

func (r eventRow) text() string {
	return r.Source + " " + r.Kind + " " + string(r.Session) + " " + r.Pod.Name + " " + r.Text + " " + r.CauseText
}

func (r eventRow) field(name string) field {
	switch name {
	case "src":
		return words(r.Source)
	case "kind":
		return words(r.Kind)
	case "session":
		return words(string(r.Session))
	case "pod":
		return words(r.Pod.Name, r.Pod.Short())
	case "route":
		return words(string(r.Route))
	case "level":
		return words([...]string{"info", "change", "warning", "broken"}[r.Level])
	}
	if text, _ := causeOf(r.Happening); text != "" {
		return words(text)
	}
	return words("none")
}

func (p *eventsPanel) refresh(d *data) {
	input := eventsInput{d.rev, p.input, p.grouped}
	if p.made == input {
		return
	}
	p.made = input
	p.rowsBy = make(map[uint64]eventRow, len(d.snap.Timeline))
	var kept []affinity.Happening
	explains := map[uint64]int{}
	for _, h := range d.snap.Timeline {
		if (h.Kind == "move" || h.Kind == "pinned") && h.Cause != 0 {
			explains[h.Cause]++
		}
	}
	for _, h := range d.snap.Timeline {
		if p.match == nil || p.match.match(eventRow{Happening: h}) {
			kept = append(kept, h)
			p.rowsBy[h.Seq] = eventRow{Happening: h, moves: explains[h.Seq]}
		}
	}
	if p.grouped {
		p.set(p.group(kept))
	} else {
		rows := make([]uint64, len(kept))
		for i, h := range kept {
			rows[len(kept)-1-i] = h.Seq
		}
		p.set(rows)
	}
	if p.follow && !p.full { // what is being read stays
		p.move(toTop)
	}
}

// group puts what was caused under its cause. The group with the newest line
// is on top; within one, time goes down.
func (p *eventsPanel) group(kept []affinity.Happening) []uint64 {
	type cluster struct {
		members []uint64
		newest  uint64
	}
	groups := map[uint64]*cluster{}
	var order []*cluster
	for _, h := range kept {
		root := h.Seq
		if _, ok := p.rowsBy[h.Cause]; ok && h.Cause != 0 {
			root = h.Cause
		}
		g := groups[root]
		if g == nil {
			g = &cluster{}
			groups[root] = g
			order = append(order, g)
		}
		if h.Seq == root {
			g.members = append([]uint64{root}, g.members...)
		} else {
			g.members = append(g.members, h.Seq)
		}
		g.newest = max(g.newest, h.Seq)
	}
	slices.SortFunc(order, func(a, b *cluster) int { return int(b.newest) - int(a.newest) })
	var rows []uint64
	for _, g := range order {
		for i, seq := range g.members {
			row := p.rowsBy[seq]
			row.child, row.last = i > 0, i == len(g.members)-1
			p.rowsBy[seq] = row
		}
		rows = append(rows, g.members...)
	}
	return rows
}

// happening is what the cursor is on.
func (p *eventsPanel) happening() (affinity.Happening, bool) {
	seq, ok := p.selected()
	return p.rowsBy[seq].Happening, ok
}

// moveBy moves the cursor; away from the newest line it stops following.
func (p *eventsPanel) moveBy(m motion) {
	p.move(m)
	p.follow = p.at == 0 && m == toTop
}

func (p *eventsPanel) draw(a area, d *data) {
	if p.told = false; p.full && len(p.rows) > 0 {
		p.drawFull(a.sub(1, 0, a.w-2, a.h), d)
		return
	}
	lanes := drawLanes(a, d, p)
	list := a.sub(0, lanes, a.w, a.h-lanes)
	if d.class >= classM && list.h > 16 {
		const about = 6
		p.told = true
		p.drawList(list.sub(0, 0, list.w, list.h-about), d)
		p.drawAbout(list.sub(0, list.h-about, list.w, about), d)
		return
	}
	p.drawList(list, d)
}

func (p *eventsPanel) columns(c class) []column {
	all := []column{{name: "time", title: "TIME", min: 8, ideal: 8}}
	if c >= classM {
		all = append(all, column{name: "age", title: "AGE", min: 5, ideal: 5, drop: 2, right: true})
	}
	return append(all,
		column{name: "src", title: "SRC", min: 5, ideal: 5, drop: 1},
		column{name: "what", title: "WHAT", min: 20, ideal: 40, flex: 1},
		column{name: "cause", title: "CAUSE", min: 13, ideal: 30, flex: 1, drop: 3})
}

func (p *eventsPanel) drawList(a area, d *data) {
	gutter := cursorGutter
	if d.class == classXS {
		gutter = 1
	}
	slots := place(p.columns(d.class), a.w-gutter-1)
	body := a.sub(gutter, 0, a.w-gutter, a.h)
	drawHead(body, slots, -1, "", false)
	from, to := p.window(a.h - 2)
	for i := from; i < to; i++ {
		y := 1 + i - from
		p.drawRow(body.sub(0, y, body.w, 1), d, slots, p.rowsBy[p.rows[i]])
		if i == p.at {
			drawCursor(a, y, gutter)
		}
	}
	if len(p.rows) == 0 {
		text := "Nothing has happened yet."
		if p.input != "" {
			text = p.noMatch("event")
		}
		body.put(0, 1, plain, text)
	}
	order := "by time"
	if p.grouped {
		order = "grouped by cause"
	}
	a.put(gutter, a.h-1, muted, strconv.Itoa(len(p.rows))+" of "+strconv.Itoa(len(d.snap.Timeline))+"   "+order)
}

func (p *eventsPanel) drawRow(a area, d *data, slots []slot, r eventRow) {
	for i, c := range slots {
		switch c.name {
		case "time":
			a.clip(c.x, 0, c.w, plain, d.clock.format(r.At, d.now))
		case "age":
			a.sub(c.x, 0, c.w, 1).right(c.w, 0, muted, age(d.now.Sub(r.At)))
		case "src":
			a.clip(c.x, 0, c.w, plain, r.Source)
		case "what":
			x, w := c.x, c.w
			if next := slots[min(i+1, len(slots)-1)]; next.name == "cause" && !hasCause(r.Happening) {
				w = next.x + next.w - x
			}
			if r.child {
				join := "├ "
				if r.last {
					join = "└ "
				}
				x, w = a.put(x, 0, muted, join), w-2
			}
			// SRC stands before it.
			text := strings.TrimPrefix(r.Text, r.Source+" ")
			if r.moves > 0 {
				text += "  (" + plural(r.moves, "event", "events") + ")"
			}
			a.clip(x, 0, w, levelStyle(r.Happening), text)
		case "cause":
			text, st := causeOf(r.Happening)
			a.clip(c.x, 0, c.w, st, text)
		}
	}
}

func hasCause(h affinity.Happening) bool {
	text, _ := causeOf(h)
	return text != ""
}

// drawAbout tells the whole of one event.
func (p *eventsPanel) drawAbout(a area, d *data) {
	h, ok := p.happening()
	if !ok {
		return
	}
	in := a.box(d.clock.format(h.At, d.now)+"  "+h.Kind, "", false)
	y := in.paragraph(0, levelStyle(h), h.Text)
	if cause, st := p.why(d, h); cause != "" {
		in.paragraph(y, st, "cause  "+cause)
	}
}

// why tells all that is known of what caused h.
func (p *eventsPanel) why(d *data, h affinity.Happening) (string, style) {
	cause, st := causeOf(h)
	if cause == "" {
		return "", st
	}
	if why, ok := p.rowsBy[h.Cause]; ok && h.Cause != 0 {
		cause += "  (" + d.clock.format(why.At, d.now) + " " + why.Text + ")"
	}
	if h.CauseText == "" {
		cause += ": no change of endpoints, no edit and no lost cookie was seen around it"
	}
	return cause, st
}

// drawFull tells the whole of one event, and what enter opens next.
func (p *eventsPanel) drawFull(a area, d *data) {
	h, _ := p.happening()
	a.put(0, 0, strong, d.clock.format(h.At, d.now)+"  "+age(d.now.Sub(h.At))+" ago  "+h.Source+", "+h.Kind)
	y := a.paragraph(1, levelStyle(h), h.Text)
	say := func(label string, st style, text string) {
		if text != "" {
			y = a.paragraph(y, st, strings.TrimSpace(label+"  "+text))
		}
	}
	cause, st := p.why(d, h)
	say("cause", st, cause)
	if n := p.rowsBy[h.Seq].moves; n > 0 {
		say("", plain, plural(n, "event is", "events are")+" explained by it")
	}
	if !h.Pod.IsZero() {
		say("pod", plain, h.Pod.String())
	}
	say("route", plain, string(h.Route))
	next := ""
	switch {
	case d.session(h.Session) != nil:
		next = "enter opens session " + string(h.Session)
	case !h.Pod.IsZero():
		next = "enter lists the sessions on this pod"
	}
	say("", muted, next)
}
