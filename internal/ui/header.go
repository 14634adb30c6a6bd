package ui

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// status is how far the screen can be believed, in a glyph and a word.
type status struct {
	glyph, word string
	st          style
}

// health finds the worst thing to say about the screen as a whole.
func (m *Model) health() status {
	d := &m.d
	if m.pause.on {
		return status{"❚❚", "PAUSED", changed}
	}
	state, since := d.snap.Health()
	code, bad := d.sum.badStatus()
	switch {
	case state == affinity.SourceStale:
		return status{"◌", "STALE " + exactly(max(0, d.now.Sub(since))), broken}
	case len(d.scope) > 0 && unreachable(d, d.route()):
		return status{"✗", "NO PATH", broken}
	case state == affinity.SourceSyncing, d.silent():
		return status{"◌", "FIRST SYNC", plain}
	case d.lost():
		return status{"✗", "NO ROUTE", warn}
	case len(d.scope) > 0 && d.snap.NoService(d.route()) != "":
		return status{"✗", "NO SERVICE", broken}
	case len(d.scope) > 0 && d.snap.NoneReady(d.route()) != "":
		return status{"✗", "NONE READY", broken}
	case d.sum.limited > 0:
		return status{"▲", "RATE LIMITED", warn}
	case bad:
		return code
	case d.sum.failing > 0 && d.sum.failing == d.sum.total:
		return status{"✗", "FAILING", broken}
	case d.sum.failing > 0:
		return status{"▲", "FAILING", warn}
	case d.sum.pollOn > 0:
		return status{"▲", "NO WEBSOCKET", warn}
	case len(d.sources(affinity.SourceForbidden)) > 0:
		return status{"◐", "LIMITED", warn}
	case m.opt.ReadOnly:
		return status{"●", "WATCHING", plain}
	case d.sum.total == 0:
		return status{"●", "READY", plain}
	}
	return status{"●", "LIVE", plain}
}

// drawHeader draws the header and its rule, and returns how many lines it took.
func (m *Model) drawHeader(a area) int {
	m.drawPlace(a)
	y := 1
	if a.h >= mergeHeight {
		m.drawNumbers(a, y)
		y++
	}
	m.drawTabs(a, y)
	rule := "─"
	if m.d.isStale() {
		rule = "┄"
	}
	a.fill(0, y+1, a.w, muted, rule)
	return y + 2
}

// drawPlace draws where we are, how live that is, and the time.
func (m *Model) drawPlace(a area) {
	clock := m.d.clock.wall(m.d.now)
	s := m.health()
	right := s.glyph + " " + s.word + "  " + clock + " "
	start := a.w - cells(right)
	x := a.put(start, 0, s.st, s.glyph+" "+s.word)
	a.put(x+2, 0, plain, clock)
	p := a.sub(0, 0, start-1, 1).pen(1, 0)
	p.put(strong, affinity.Clean(m.opt.Title, 40)).gap(2).put(plain, m.place())
	if r := m.d.route(); r.ID != "" && !m.undecided() {
		p.gap(2).put(strong, m.routeTitle(r))
		if a.w >= mediumWidth && r.Kind != affinity.RouteURL {
			p.gap(2).put(plain, askedURL(&m.d, r))
		} else if path := m.askedPath(r); path != "" && p.x+2+cells("asks "+path) <= p.a.w {
			p.gap(2).put(plain, "asks "+path)
		}
	}
}

// askedPath is what r's sessions ask for in place of its own path; "" where that
// is what they ask for.
func (m *Model) askedPath(r affinity.Route) string {
	if s := asksFirst(&m.d, r); s != nil {
		return r.AsksOf(s.Spec)
	}
	path, _ := r.Asks()
	return path
}

// undecided reports whether which of several routes is meant is being asked.
func (m *Model) undecided() bool {
	return m.overlay == overlayPicker && m.d.target.IsZero() && m.d.sum.total == 0 && len(m.d.scope) > 1
}

// place is the context and the namespace.
func (m *Model) place() string {
	ns := m.opt.Namespace
	if m.d.target.Namespace != "" {
		ns = m.d.target.Namespace
	}
	switch {
	case m.opt.Context == "":
		return ns
	case ns == "":
		return m.opt.Context + "/all"
	}
	return m.opt.Context + "/" + ns
}

func (m *Model) routeTitle(r affinity.Route) string {
	title := ingressLabel(r)
	if c := controllerName(r); c != "" {
		title += " (" + c + ")"
	}
	if n := len(m.d.scope); n > 1 {
		title += fmt.Sprintf(" %d/%d", m.d.focus+1, n)
	}
	return title
}

// drawNumbers draws as many of the numbers as fit, the ones to act on first.
func (m *Model) drawNumbers(a area, y int) {
	p := a.pen(1, y)
	for _, n := range m.numbers(a.w >= mediumWidth) {
		if p.x+cells(n.text) > a.w-1 {
			break
		}
		p.put(n.st, n.text).gap(2)
	}
}

// run is a piece of text in one style.
type run struct {
	st   style
	text string
}

func (m *Model) numbers(roomy bool) []run {
	s := m.d.sum
	if s.total == 0 && s.requests == 0 {
		text := "nothing is being probed"
		if len(m.d.snap.Sources) > 0 && !m.opt.ReadOnly {
			text += ", the cluster is watched"
		}
		return []run{{plain, text}}
	}
	word := "sess "
	if roomy {
		word = "sessions "
	}
	out := append([]run{{plain, word + strconv.Itoa(s.total)}}, s.statusRuns()...)
	for _, c := range []affinity.Condition{affinity.Stuck, affinity.Split, affinity.Orphan, affinity.Failing, affinity.MovedSilent, affinity.RePinned,
		affinity.Expired, affinity.NotReturned, affinity.Cookieless, affinity.Unknown, affinity.Waiting} {
		name := c.String()
		if st := conditionStyle(c); st != broken && st != silent {
			name = strings.ToLower(name)
		}
		if s.by[c] > 0 || c == affinity.Stuck {
			text := name + " " + strconv.Itoa(s.by[c])
			if others := s.failing - s.by[affinity.Failing]; roomy && c == affinity.Orphan && others > 0 {
				text += fmt.Sprintf(" (%d failing)", others)
			}
			out = append(out, run{conditionStyle(c), text})
		}
	}
	if s.pollOn > 0 {
		out = append(out, run{warn, "no WebSocket " + strconv.Itoa(s.pollOn)})
	}
	if roomy {
		text := fmt.Sprintf("moves/10m %s (%d unexplained", s.movesText(), s.unexplained)
		if loose := m.d.hist.looseText(); loose != "" {
			text += ", " + loose
		}
		out = append(out, run{plain, text + ")"})
	}
	if d := s.dist; d.MaxOverMean > 0 {
		text := fmt.Sprintf("skew %.2f", d.MaxOverMean)
		if roomy && d.Chance > 0 {
			text += fmt.Sprintf(" (chance %.2f)", d.Chance)
		}
		out = append(out, run{plain, text})
	}
	out = append(out, run{plain, "err " + percent(s.failures+s.errors, s.requests)})
	if s.p95 > 0 {
		out = append(out, run{plain, "p95 " + millisUnit(s.p95)})
	}
	return out
}

// tabsWidth is what the names of all views take.
const tabsWidth = 74

var shortNames = [views]string{"Topo", "Sess", "Pods", "Events", "Find", "ClientIP"}

// drawTabs draws the views, the one that is open in brackets.
func (m *Model) drawTabs(a area, y int) {
	p := a.pen(1, y)
	names := viewNames
	if a.w < tabsWidth {
		names = shortNames
	}
	for v := range views {
		text := string(rune('1'+v)) + " " + names[v]
		if n := m.findings.counts.fail; v == viewFindings && n > 0 {
			text += " ▲" + strconv.Itoa(n)
		}
		if v == m.view {
			p.put(strong, "["+text+"]").gap(1)
			continue
		}
		p.put(plain, text).gap(2)
	}
	if p.x < a.w-7 {
		a.right(a.w-1, y, plain, "? help")
	}
}
