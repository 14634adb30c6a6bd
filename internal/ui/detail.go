package ui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// detailPanel is everything known of one session.
type detailPanel struct {
	id affinity.SessionID
	scrolled
}

func (p *detailPanel) draw(a area, d *data) {
	s := d.session(p.id)
	if s == nil {
		a.put(2, 1, plain, string(p.id)+" is no longer known.  esc goes back.")
		return
	}
	drawTitle(a.sub(0, 0, a.w, 1), d, s)
	title := "PINS"
	if s.Unheld {
		title = "PODS" // that answered
	}
	x := a.put(1, 1, strong, title) + 1
	note := "-" + age(time.Duration(max(1, a.w-x-12))*time.Second) + " … now"
	drawStrip(a, x, 1, a.w-x-len(note)-1, s, d.now)
	a.right(a.w-1, 1, muted, note)
	body := a.sub(0, 2, a.w, a.h-2)
	lines := detailLines(d, s, body.w)
	if len(lines) > body.h {
		lines = slices.DeleteFunc(lines, func(l []run) bool { return len(l) == 0 })
	}
	p.scrolled.draw(body.sub(1, 0, body.w-1, body.h), lines, "j")
}

// drawTitle draws the session's name, state and counts. Where room is short,
// what the rest of the screen tells too goes first, the moves last.
func drawTitle(a area, d *data, s *affinity.Session) {
	c, _ := s.Condition(d.now)
	where := []run{}
	switch {
	case c == affinity.Split:
		where = []run{{plain, "answered by " + strings.TrimPrefix(splitText(d, s), "? ")}}
	case !s.Pod.IsZero():
		how := "on " // nothing is seen that would hold it there
		if s.Pin != nil || c == affinity.Stuck {
			how = "pinned to "
		}
		where = []run{{plain, how}, {podStyle(s.Tag), d.podLabel(s.Pod)}}
	}
	name := run{strong, string(s.Spec.ID)}
	state := []run{{plain, "  "}, {conditionStyle(c), c.String() + conditionMark(c)}, {plain, "  "}}
	kind := run{plain, "  " + s.Spec.Transport}
	long := slices.Concat([]run{name, kind}, state, where)
	short := slices.Concat([]run{name}, state, where)
	client := ""
	if s.Spec.Client != affinity.ClientBrowser {
		client = "  client " + string(s.Spec.Client)
	}
	since := "age " + exactly(d.now.Sub(s.Opened))
	moves := fmt.Sprintf("moves %d", s.MoveCount)
	if s.UnheldCount > 0 {
		moves += fmt.Sprintf(" (%d unheld)", s.UnheldCount)
	}
	if s.CutCount > 0 {
		moves += fmt.Sprintf("  cut %d", s.CutCount)
	}
	spelt := fmt.Sprintf("  requests %d  failed %d  ", s.Requests, s.Failures)
	brief := fmt.Sprintf("  req %d  fail %d  ", s.Requests, s.Failures)
	for _, v := range []struct {
		head []run
		tail string
	}{
		{long, since + spelt + moves + client}, {long, since + brief + moves + client}, {short, since + brief + moves + client},
		{short, since + brief + moves}, {short, strings.TrimSpace(brief) + "  " + moves}, {short, moves}, {slices.Concat([]run{name}, state), moves},
	} {
		text := ""
		for _, r := range v.head {
			text += r.text
		}
		text = strings.TrimRight(text, " ")
		if 1+cells(text)+2+cells(v.tail) > a.w {
			continue
		}
		p := a.pen(1, 0)
		for _, r := range v.head {
			p.put(r.st, r.text)
		}
		p.x = 1 + cells(text)
		p.gap(2).put(plain, v.tail)
		return
	}
}

// sheet is the text of the detail screen, line by line.
type sheet struct {
	d     *data
	s     *affinity.Session
	w     int
	lines [][]run
}

const sheetLabel = 10

func detailLines(d *data, s *affinity.Session, w int) [][]run {
	t := &sheet{d: d, s: s, w: w - 2}
	t.state()
	t.socket()
	t.evidence()
	t.cookie()
	t.timers()
	t.exchanges()
	t.why()
	t.blank()
	t.route()
	return t.lines
}

// add appends a line under a label, wrapped when it is long.
func (t *sheet) add(label string, st style, text string) {
	for i, line := range wrap(text, t.w-sheetLabel) {
		if i > 0 {
			label = ""
		}
		t.lines = append(t.lines, []run{{strong, pad(label, sheetLabel)}, {st, line}})
	}
}

// row appends a line that is not wrapped.
func (t *sheet) row(label string, runs ...run) {
	t.lines = append(t.lines, append([]run{{strong, pad(label, sheetLabel)}}, runs...))
}

// sheetNote is the room below which a note goes under its row.
const sheetNote = 20

// noted appends a line that ends with a note. One that is too long for it is
// wrapped beside the row, or under it where little room is left there.
func (t *sheet) noted(label string, note run, runs ...run) {
	x := sheetLabel
	for _, r := range runs {
		x += cells(r.text)
	}
	if x+cells(note.text) <= t.w || note.text == "" {
		t.row(label, append(runs, note)...)
		return
	}
	indent := x
	if t.w-x < sheetNote {
		t.row(label, runs...)
		label, runs, indent = "", nil, sheetLabel+2
	}
	for i, line := range wrap(note.text, t.w-indent) {
		if i == 0 && len(runs) > 0 {
			t.row(label, append(runs, run{note.st, line})...)
			continue
		}
		t.lines = append(t.lines, []run{{plain, pad("", indent)}, {note.st, line}})
	}
}

func (t *sheet) blank() { t.lines = append(t.lines, nil) }

func pad(s string, w int) string {
	if n := cells(s); n < w {
		return s + strings.Repeat(" ", w-n)
	}
	return s
}

func (t *sheet) state() {
	c, detail := t.s.Condition(t.d.now)
	text := c.Explain()
	if detail != "" {
		text = detail + " (" + text + ")"
	}
	t.add("STATE", conditionStyle(c), text)
	if f := t.s.LastFailure; f != nil && t.s.InARow > 0 {
		t.add("FAILED", broken, fmt.Sprintf("%d in a row, %s: %s", t.s.InARow, f.Op, f.Text))
	}
	if affinity.BadStatus(t.s.LastStatus) {
		t.add("HTTP", conditionStyle(affinity.Failing), t.s.StatusText()+" since "+t.d.clock.format(t.s.StatusSince, t.d.now))
	}
	if t.s.Redirect != "" {
		t.add("REDIRECT", warn, "not followed: "+t.s.Redirect)
	}
	t.blank()
}

// evidence lists what each source says.
func (t *sheet) evidence() {
	t.row("WHO SAYS", run{strong, pad("SOURCE", 10)}, run{strong, pad("POD", 11)}, run{strong, pad("VIA", 5)}, run{strong, pad("SEEN", 6)}, run{strong, "NOTE"})
	if len(t.s.Evidence) == 0 {
		t.add("", muted, "nothing has named the pod: no header, no body, no cookie that decodes")
	}
	for _, e := range t.s.Evidence {
		says, st := "—", plain
		if !e.Pod.IsZero() {
			says = t.d.podLabel(e.Pod)
			if p, ok := t.d.snap.Pod(e.Pod); ok {
				st = podStyle(p.Tag)
			}
		}
		note := e.Detail
		if e.Addr != "" && !strings.Contains(note, e.Addr) {
			note += " → " + e.Addr
		}
		t.noted("", run{plain, note}, run{plain, pad(e.Source.String(), 10)}, run{st, pad(says, 11)}, run{plain, pad(e.Source.Via(), 5)},
			run{plain, pad(age(t.d.now.Sub(e.At)), 6)})
	}
	if r, ok := t.d.snap.Route(t.s.Spec.Route); ok {
		if text := t.d.snap.NamelessText(r); text != "" {
			t.add("", warn, "▲ "+text)
		}
	}
	if t.s.Disagree != "" {
		t.add("", broken, "▲ DISAGREE: "+t.s.Disagree)
	}
	t.blank()
}

func (t *sheet) cookie() {
	p := t.s.Pin
	if p == nil {
		t.add("COOKIE", plain, t.noneHeld())
		t.blank()
		return
	}
	masked := "masked, u shows it"
	if t.d.shows(t.s.Spec.ID) {
		masked = "hidden again in " + exactly(t.d.revealTo.Sub(t.d.now).Round(time.Second))
	}
	t.add("COOKIE", plain, p.Key+"="+t.d.secret(t.s.Spec.ID, p.Value)+"  ("+masked+")  "+cookieAttributes(p.Offer))
	text := "since " + t.d.clock.format(p.Since, t.d.now)
	if !p.ServedBy.IsZero() {
		text += " from " + t.d.podLabel(p.ServedBy)
	}
	if p.Decoder != "" {
		text += ", reads as " + p.Decoder
		if p.Decoded.Exact {
			text += " (exact)"
		}
	}
	t.add("", plain, text)
	if p.Offer.NotReturned != "" {
		t.add("", warn, "▲ not returned: "+p.Offer.NotReturned)
	}
	t.blank()
}

// noneHeld says that the client holds no cookie known to be for affinity, and
// what else it holds or sends.
func (t *sheet) noneHeld() string {
	if held := t.d.keptCookies(t.s); held != "" {
		return held + ", " + notKnown
	}
	xs := t.s.Exchanges
	if len(xs) == 0 || xs[len(xs)-1].Others == 0 {
		return "none is held"
	}
	x := xs[len(xs)-1]
	return "no affinity cookie is held: " + unsent(x.Others, x.Unsure)
}

// notKnown is said of cookies on a route where nothing tells the name of the
// affinity cookie.
const notKnown = "not known if for affinity"

// unsent says of a request that no cookie known to be for affinity went with
// it, which others may have; unsure are their names where one may be it.
func unsent(others int, unsure string) string {
	switch {
	case others == 0:
		return "no cookie sent"
	case unsure != "":
		return "sent " + unsure + ", " + notKnown
	}
	return "no affinity cookie sent, " + plural(others, "other", "others")
}

func cookieAttributes(o affinity.Offer) string {
	var out []string
	if o.Path != "" {
		out = append(out, "Path="+o.Path)
	}
	if o.Domain != "" {
		out = append(out, "Domain="+o.Domain)
	}
	if o.Secure {
		out = append(out, "Secure")
	}
	if o.HTTPOnly {
		out = append(out, "HttpOnly")
	}
	if o.SameSite != "" {
		out = append(out, "SameSite="+o.SameSite)
	}
	return strings.Join(out, " ")
}

// timers lists all that can end the session, bypassed ones struck through.
func (t *sheet) timers() {
	if len(t.s.Timers) == 0 {
		t.add("TIMERS", plain, "none: nothing that is known ends this session by itself")
	}
	label := "TIMERS"
	for _, timer := range nextFirst(t.s.Timers, t.d.now) {
		t.timer(label, timer)
		label = ""
	}
	t.blank()
}

func (t *sheet) timer(label string, timer affinity.Timer) {
	name := run{plain, string(timer.Letter) + sign(timer.Renewal) + " " + pad(timer.Name, 22) + " "}
	seen := "modelled"
	if timer.Seen {
		seen = "seen"
	}
	if t.w >= mediumWidth {
		seen += ", " + timer.Renewal.String()
	}
	switch f, ok := fraction(timer, t.d.now); {
	case timer.Bypassed != "":
		name.st = muted
		t.noted(label, run{muted, "╌╌ bypassed: " + timer.Bypassed + " ╌╌"}, name)
		return
	case ok:
		text := exactly(max(0, timer.Deadline.Sub(t.d.now))) + " of " + exactly(timer.Total) + "  " + seen
		width := min(24, t.w-sheetLabel-cells(name.text)-2-cells(text))
		if width < 4 {
			t.noted(label, run{plain, text}, name)
			return
		}
		t.row(label, name, run{plain, bar(f, width, timer.Renewal == affinity.RenewalSliding)}, run{plain, "  " + text})
	case timer.Renewal == affinity.RenewalSession:
		t.noted(label, run{plain, "ends with the browser  " + seen}, name)
	case timer.Deadline.IsZero():
		t.row(label, name, run{plain, "not running  " + seen})
	default:
		t.row(label, name, run{plain, exactly(max(0, timer.Deadline.Sub(t.d.now))) + "  " + seen})
	}
	if timer.Detail != "" && t.w >= mediumWidth {
		t.noted("", run{muted, timer.Detail}, run{plain, "   "})
	}
}

// exchangeRows is how many of the last round trips are listed.
const exchangeRows, exchangeRowsNarrow = 10, 4

func (t *sheet) exchanges() {
	label := "LAST"
	xs := t.s.Exchanges
	if len(xs) == 0 {
		t.add(label, muted, "no request yet")
	}
	last := ""
	rows := exchangeRows
	if t.w < mediumWidth {
		rows = exchangeRowsNarrow
	}
	for i := len(xs) - 1; i >= max(0, len(xs)-rows); i-- {
		x := xs[i]
		at, result, st := t.d.clock.format(x.At, t.d.now), strconv.Itoa(x.Status), plain
		if x.Failure != "" {
			st = broken
			if x.Status == 0 {
				result = "—"
			}
		}
		who, note := "→ ?", ""
		if x.Tag != "" {
			who = "→ " + x.Tag
		}
		switch {
		case x.Failure != "":
			who, note = "×", x.Failure
		case x.NewCookie:
			note = "new cookie"
		case x.Cookie == "":
			note = unsent(x.Others, x.Unsure)
		}
		if x.Leg != "" {
			note = strings.TrimSuffix(x.Leg+", "+note, ", ")
		}
		if x.Failure != "" && note == last {
			note = "the same"
		} else {
			last = note
		}
		t.noted(label, run{st, note}, run{plain, pad(at, 10)}, run{st, pad(result, 5)}, run{plain, pad(millisUnit(x.Took), 8)},
			run{podStyle(x.Tag), pad(who, 5)}, run{plain, pad(x.Source.Via(), 5)})
		label = ""
	}
	t.blank()
}

// why tells the last moves and what explains them.
func (t *sheet) why() {
	moves := t.s.Moves
	if len(moves) == 0 {
		t.add("WHY", plain, "it has not moved")
	}
	label := "WHY"
	for i := len(moves) - 1; i >= max(0, len(moves)-5); i-- {
		m := moves[i]
		cookie := "no new cookie"
		switch {
		case m.FirstPin:
			cookie = "pinned from here on"
		case m.Unheld:
			cookie = "unheld"
		case m.CookieChanged:
			cookie = "new cookie"
		case t.s.Pin != nil:
			cookie = "same cookie"
		}
		st, cause := plain, m.Cause
		if cause == "" {
			st, cause = warn, "▲ nothing that was seen explains it"
		}
		cut := ""
		if m.Cuts > 0 {
			cut = ", connection cut"
		}
		t.add(label, st, fmt.Sprintf("%s %s→%s, %s, %d failed%s: %s", t.d.clock.format(m.At, t.d.now), m.FromTag, m.ToTag, cookie, m.Failures, cut, cause))
		label = ""
	}
}

func (t *sheet) route() {
	r, ok := t.d.snap.Route(t.s.Spec.Route)
	if !ok {
		t.add("ROUTE", warn, string(t.s.Spec.Route)+" is gone")
		return
	}
	text := routeText(r, t.s.Spec)
	if t.s.LastRemote != "" {
		text += ", connected to " + t.s.LastRemote
	}
	t.add("ROUTE", plain, text)
	cookie := t.d.keptCookies(t.s)
	if t.s.Pin != nil {
		cookie = t.s.Pin.Key + "=" + t.d.secret(t.s.Spec.ID, t.s.Pin.Value)
	}
	t.add("TRY", plain, curl(r, t.s, cookie))
}

// drawPreview draws what the list of sessions shows below it on a large
// screen.
func drawPreview(a area, d *data, s *affinity.Session) {
	c, _ := s.Condition(d.now)
	in := a.box(string(s.Spec.ID)+"  "+s.Spec.Transport+"  "+c.String()+conditionMark(c), "enter for all of it", false)
	t := &sheet{d: d, s: s, w: in.w + 2}
	t.preview()
	for y, line := range t.lines {
		pen := in.pen(0, y)
		for _, r := range line {
			pen.put(r.st, r.text)
		}
	}
}

func (t *sheet) preview() {
	var says []run
	for _, e := range t.s.Evidence {
		name := "nobody known"
		if !e.Pod.IsZero() {
			name = t.d.podLabel(e.Pod)
		}
		says = append(says, run{plain, e.Source.String() + " → " + name + "    "})
	}
	if t.s.Disagree != "" {
		says = append(says, run{broken, "▲ DISAGREE"})
	}
	t.row("WHO SAYS", says...)
	if p := t.s.Pin; p != nil {
		t.row("COOKIE", run{plain, p.Key + "=" + t.d.secret(t.s.Spec.ID, p.Value) + "  " + cookieAttributes(p.Offer) + "  since " + t.d.clock.format(p.Since, t.d.now)})
	} else {
		t.row("COOKIE", run{plain, t.noneHeld()})
	}
	if len(t.s.Legs) > 0 {
		t.row("LEGS", legRuns(t.s, true)...)
	}
	label := "TIMERS"
	for _, timer := range nextFirst(t.s.Timers, t.d.now)[:min(2, len(t.s.Timers))] {
		timer.Detail = ""
		t.timer(label, timer)
		label = ""
	}
	c, detail := t.s.Condition(t.d.now)
	if detail == "" {
		detail = c.Explain()
	}
	t.row("WHY", run{conditionStyle(c), detail})
	if r, ok := t.d.snap.Route(t.s.Spec.Route); ok {
		t.row("ROUTE", run{plain, routeText(r, t.s.Spec)})
	}
}

// routeText is a route, what s asks of it, and the Service behind it where one
// is known.
func routeText(r affinity.Route, s affinity.SessionSpec) string {
	text := string(r.ID) + askedText(r, s)
	if r.Backend.Service.Name == "" {
		return text
	}
	return text + " → " + r.Backend.Service.String()
}

// askedText says what a session asks for where that is not its route's path.
func askedText(r affinity.Route, s affinity.SessionSpec) string {
	if path := r.AsksOf(s); path != "" {
		return " (asks " + path + ")"
	}
	return ""
}
