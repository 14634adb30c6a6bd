package ui

// notesPanel is what Topo has to say about a route, on a screen of its own:
// beside the picture only some of it has room.
type notesPanel struct {
	open bool
	page scrolled
}

func (p *notesPanel) draw(a area, d *data) {
	in := a.box("What holds a client, and why", "esc back", d.isStale())
	if d.isStale() {
		p.page.draw(in, staleLines(d, in.w), "j")
		return
	}
	var lines [][]run
	for _, line := range noteLines(d, in.w) {
		lines = append(lines, []run{line})
	}
	p.page.draw(in, lines, "j")
}

// noteLines is all of it in lines of w cells: where the settings are from, what
// was seen of them, and what to know.
func noteLines(d *data, w int) []run {
	var out []run
	say := func(st style, indent, text string) {
		for _, line := range wrap(text, w-len(indent)) {
			out = append(out, run{st, indent + line})
		}
	}
	if b := d.sum.banner(); b.text != "" {
		say(b.st, "", b.text)
	}
	if v := d.compared(); v.text != "" {
		say(v.st, "", v.text)
	}
	for _, l := range d.route().Layers {
		say(strong, "", l.Object+": "+policyText(l.Policy()))
		if why := l.Policy().Why; why != "" {
			say(muted, "  ", why)
		}
		if l.Proof != "" {
			say(plain, "  ", "seen: "+l.Proof)
		}
	}
	for _, n := range topoNotes(d) {
		say(n.st, "", n.text)
	}
	n := askedNote(d)
	say(n.st, "", n.text)
	return out
}

// askedNote says what sessions ask for, and why; "" where nothing is asked.
func askedNote(d *data) run {
	r := d.route()
	if r.ProbeWhy == "" {
		return run{}
	}
	text, path := "", ""
	for _, s := range d.snap.Sessions {
		switch {
		case s.Spec.Route != r.ID:
		case s.Spec.Path != "":
			path = s.Spec.Path
		default:
			text = "probes ask for " + r.ProbePath + ": " + r.ProbeWhy
		}
	}
	switch {
	case path == "":
		text = "probes ask for " + r.ProbePath + ": " + r.ProbeWhy
	case text == "":
		text = "probes ask for " + path + ": --socketio-path"
	default:
		text += "; those of Socket.IO for " + path
	}
	return run{muted, text}
}

// paneKeys lead from Topo to all of its notes.
const paneKeys = "tab, enter: all"

// drawMore says on the right of line y which keys show what has no room, and
// returns the column before it.
func drawMore(a area, y int, keys string) int {
	a.right(a.w-1, y, strong, keys)
	return a.w - 1 - len("  ") - len(keys)
}

// drawFewNotes draws as many lines of the notes as there is room for, and how
// to read the others.
func drawFewNotes(a area, lines []run, focused bool) {
	if focused {
		a.put(0, 0, strong, ">")
	}
	for y, line := range lines[:min(len(lines), a.h)] {
		room := a.w - 2
		if y == a.h-1 && len(lines) > a.h {
			room = drawMore(a, y, paneKeys) - 1
		}
		a.clip(1, y, room, line.st, line.text)
	}
}
