package ui

import (
	"slices"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// findingsPanel is what the rules and the sessions found, worst first, with the
// one under the cursor in full.
type findingsPanel struct {
	table[findingID]
	filterLine
	of       map[findingID]affinity.Finding
	mutesSeq uint64   // of data.mutes
	passed   bool     // those that passed and those muted are shown, too
	full     bool     // the one under the cursor fills the screen
	page     scrolled // of it
	several  bool     // namespaces are watched: names alone do not tell objects apart
	counts   findingCounts
	made     findingsInput
}

// findingID is a finding from one snapshot to the next.
type findingID struct {
	rule, object string
	route        affinity.RouteID
	session      affinity.SessionID
	title        string
}

func idOf(f affinity.Finding) findingID {
	return findingID{f.Rule, f.Object.Namespace + "/" + f.Object.String(), f.Route, f.Session, f.Title + f.NotChecked}
}

// findingsInput is what the rows were made from.
type findingsInput struct {
	first  *affinity.Finding // of the snapshot: unchanged ones are shared
	n      int
	routes *affinity.Route // the same, of what the target is made of
	target affinity.Target
	filter string
	passed bool
	mutes  uint64
}

type findingCounts struct{ fail, info, ok, unchecked, muted int }

var findingFields = []string{"rule", "severity", "object", "namespace", "session", "conf"}

// findingRow is a finding as filters see it.
type findingRow struct{ affinity.Finding }

func (r findingRow) text() string {
	return r.Rule + " " + severityWord(r.Finding) + " " + r.Title + " " + r.Object.Namespace + " " + r.Object.String() + " " + string(r.Session) + " " + r.NotChecked
}

func (r findingRow) field(name string) field {
	switch name {
	case "rule":
		return words(r.Rule)
	case "severity":
		return words(r.Severity.String())
	case "object":
		return words(r.Object.String(), r.Object.Name, r.Object.Kind)
	case "namespace":
		return words(r.Object.Namespace)
	case "session":
		return words(string(r.Session))
	}
	return words(r.Certainty.String())
}

func (p *findingsPanel) refresh(d *data) {
	input := findingsInput{n: len(d.snap.Findings), filter: p.input, passed: p.passed, mutes: p.mutesSeq}
	if input.n > 0 {
		input.first = &d.snap.Findings[0]
	}
	if input.target = d.target; len(d.snap.Routes) > 0 {
		input.routes = &d.snap.Routes[0]
	}
	if p.of != nil && p.made == input {
		return
	}
	p.made = input
	p.of = make(map[findingID]affinity.Finding, input.n)
	p.counts = findingCounts{}
	p.several = slices.ContainsFunc(d.snap.Services, func(s affinity.Service) bool { return s.Ref.Namespace != d.snap.Services[0].Ref.Namespace })
	var rows []findingID
	for _, f := range d.snap.FindingsOf(d.target) {
		id := idOf(f)
		if _, twice := p.of[id]; twice {
			continue
		}
		p.of[id] = f
		muted := d.mutes.hides(f)
		p.counts.add(f, muted)
		hidden := muted || f.Certainty != affinity.CertaintyNotChecked && f.Severity == affinity.SeverityOK
		if (p.passed || !hidden) && (p.match == nil || p.match.match(findingRow{f})) {
			rows = append(rows, id)
		}
	}
	p.set(rows)
}

func (c *findingCounts) add(f affinity.Finding, muted bool) {
	switch {
	case muted:
		c.muted++
	case f.Certainty == affinity.CertaintyNotChecked:
		c.unchecked++
	case f.Fails():
		c.fail++
	case f.Severity == affinity.SeverityOK:
		c.ok++
	default:
		c.info++
	}
}

// hidden says how many are not shown; "" for none.
func (c findingCounts) hidden() string {
	var parts []string
	if c.ok > 0 {
		parts = append(parts, strconv.Itoa(c.ok)+" passed")
	}
	if c.muted > 0 {
		parts = append(parts, strconv.Itoa(c.muted)+" muted")
	}
	return strings.Join(parts, ", ")
}

// finding is what the cursor is on.
func (p *findingsPanel) finding() (affinity.Finding, bool) {
	id, ok := p.selected()
	return p.of[id], ok
}

func severityWord(f affinity.Finding) string {
	if f.Certainty == affinity.CertaintyNotChecked {
		return "?"
	}
	return [...]string{"ok", "INFO", "LOW", "MED", "HIGH", "CRIT"}[f.Severity]
}

func severityStyle(f affinity.Finding) style {
	switch {
	case f.Certainty == affinity.CertaintyNotChecked, f.Severity <= affinity.SeverityInfo:
		return plain
	case f.Severity >= affinity.SeverityHigh:
		return broken
	}
	return warn
}

func (p *findingsPanel) draw(a area, d *data) {
	if f, ok := p.finding(); ok && p.full {
		p.page.draw(a.sub(1, 0, a.w-2, a.h), append([][]run{objectLine(f)}, findingLines(f, a.w-2)...), "pgdn")
		return
	}
	p.page.top = 0
	rows := a.h - 2
	detail := 0
	if a.h >= 14 {
		detail = min(a.h-5, max(a.h/2, a.h-len(p.rows)-3))
		rows = a.h - detail - 2
	}
	p.drawList(a.sub(0, 0, a.w, rows+2), d, rows)
	f, ok := p.finding()
	if !ok || detail == 0 {
		return
	}
	below := a.sub(0, a.h-detail, a.w, detail)
	if d.class >= classM {
		p.page.draw(below.box(f.Rule+"  "+strings.ToUpper(f.Severity.String()), "", false), findingLines(f, below.w-4), "enter")
		return
	}
	below.fill(1, 0, a.w-2, muted, "─")
	p.page.draw(below.sub(1, 1, a.w-2, detail-1), findingLines(f, a.w-2), "enter")
}

func (p *findingsPanel) columns(c class) []column {
	all := []column{
		{name: "sev", title: "SEV", min: 4, ideal: 5},
		{name: "rule", title: "RULE", min: 4, ideal: 5},
		{name: "what", title: "WHAT", min: 20, ideal: 44, flex: 1},
		{name: "object", title: "OBJECT", min: 12, ideal: 22, drop: 2},
	}
	if c >= classM {
		all = append(all, column{name: "since", title: "SINCE", min: 8, ideal: 9, drop: 4}, column{name: "affects", title: "AFFECTS", min: 8, ideal: 10, drop: 3})
	}
	return append(all, column{name: "conf", title: "CONF", min: 6, ideal: 6, drop: 1})
}

func (p *findingsPanel) drawList(a area, d *data, rows int) {
	slots := place(p.columns(d.class), a.w-cursorGutter-1)
	body := a.sub(cursorGutter, 0, a.w-cursorGutter, a.h)
	drawHead(body, slots, -1, "", false)
	from, to := p.window(rows)
	for i := from; i < to; i++ {
		y := 1 + i - from
		f := p.of[p.rows[i]]
		for _, c := range slots {
			st := plain
			if c.name == "sev" {
				st = severityStyle(f)
			}
			body.sub(c.x, y, c.w, 1).clip(0, 0, c.w, st, p.cell(d, f, c.name))
		}
		if i == p.at {
			drawCursor(a, y, cursorGutter)
		}
	}
	y := 1 + to - from
	switch {
	case len(p.rows) == 0 && p.input != "":
		a.put(2, 1, plain, p.noMatch("finding"))
	case len(p.rows) == 0 && len(d.snap.Findings) == 0:
		a.put(2, 1, plain, "Nothing was judged yet, or nothing here is judged.")
	case len(p.rows) == 0:
		a.put(2, 1, plain, "Nothing found.")
	}
	if text := p.counts.hidden(); text != "" && !p.passed && y < a.h {
		a.put(cursorGutter, max(y, 2), muted, "ok    "+text+" (o shows)")
	}
}

func (p *findingsPanel) cell(d *data, f affinity.Finding, name string) string {
	switch name {
	case "sev":
		if d.mutes.hides(f) {
			return "muted"
		}
		return severityWord(f)
	case "rule":
		return f.Rule
	case "what":
		if f.NotChecked != "" {
			return "not checked: " + f.NotChecked
		}
		return f.Title
	case "object":
		if p.several && f.Object.Namespace != "" {
			return f.Object.Namespace + "/" + shortObject(f.Object)
		}
		return orDash(shortObject(f.Object))
	case "since":
		if f.At.IsZero() {
			return "static"
		}
		return d.clock.format(f.At, d.now)
	case "affects":
		return orDash(f.Affects())
	}
	if f.Certainty == affinity.CertaintyNotChecked {
		return "—"
	}
	return f.Certainty.String()
}

// shortObject is an object as kubectl users type it.
func shortObject(o affinity.ObjectRef) string {
	kind, name, ok := strings.Cut(o.String(), "/")
	if !ok {
		return ""
	}
	switch kind {
	case "ingress":
		kind = "ing"
	case "service":
		kind = "svc"
	case "deployment":
		kind = "deploy"
	case "statefulset":
		kind = "sts"
	case "horizontalpodautoscaler":
		kind = "hpa"
	}
	return kind + "/" + name
}

// moveBy goes to another finding; where one fills the screen, whole pages go
// through its text.
func (p *findingsPanel) moveBy(m motion) {
	if p.full && m != lineUp && m != lineDown {
		p.page.scroll(m)
		return
	}
	p.page.top = 0
	p.move(m)
}

// findingLines is one finding in full, in lines of w cells.
func findingLines(f affinity.Finding, w int) [][]run {
	const label = 10
	var out [][]run
	say := func(name string, st style, indent, text string) {
		for _, l := range wrap(text, w-label-len(indent)) {
			out = append(out, []run{{strong, pad(name, label)}, {st, indent + l}})
			name = ""
		}
	}
	rule := pad(f.Rule, 4) + " "
	severity := strings.ToUpper(f.Severity.String())
	indent := max(cells(rule)+cells(severity)+2, label)
	for i, l := range wrap(f.Title, w-indent) {
		if i == 0 {
			out = append(out, []run{{strong, rule}, {severityStyle(f), pad(severity, indent-cells(rule))}, {plain, l}})
			continue
		}
		out = append(out, []run{{plain, strings.Repeat(" ", indent) + l}})
	}
	say("MISSING", plain, "", f.NotChecked)
	name := "EVIDENCE"
	for _, e := range f.Evidence {
		say(name, plain, "", evidenceLine(e, f.Object))
		name = ""
	}
	say("IMPACT", plain, "", f.Impact)
	say("FIX", plain, "", f.Fix)
	for l := range strings.Lines(f.Patch) {
		text := strings.TrimLeft(l, " ")
		say("", changed, l[:len(l)-len(text)], text)
	}
	say("VERIFY", plain, "", f.Verify)
	if f.Rule != affinity.NoRule {
		say("MORE", plain, "", "stickytop explain "+f.Rule)
	}
	return out
}

// objectLine says what a finding is about.
func objectLine(f affinity.Finding) []run {
	text := orDash(f.Object.String())
	if f.Object.Namespace != "" {
		text += " in namespace " + f.Object.Namespace
	}
	return []run{{muted, "OBJECT    "}, {plain, text}}
}

// evidenceLine is a field and its value, with the object when it is another
// than the finding's.
func evidenceLine(e affinity.FindingEvidence, about affinity.ObjectRef) string {
	var parts []string
	if o := e.Object; o.Kind != "" && (o.Kind != about.Kind || o.Name != about.Name || o.Namespace != about.Namespace) {
		parts = append(parts, shortObject(o))
	}
	if e.Field != "" && e.Value != "" {
		parts = append(parts, e.Field+": "+e.Value)
	} else if e.Field != "" {
		parts = append(parts, e.Field)
	}
	switch {
	case e.Text != "" && e.Field != "":
		parts = append(parts, "("+e.Text+")")
	case e.Text != "":
		parts = append(parts, e.Text)
	}
	return strings.Join(parts, " ")
}

// findingMark counts the problems of an object for the topology, those muted left
// out; "" for none.
func (d *data) findingMark(namespace, object string) string {
	n := 0
	for _, f := range d.snap.Findings {
		if f.Fails() && f.Object.Namespace == namespace && f.Object.String() == object && !d.mutes.hides(f) {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return "▲ " + strconv.Itoa(n)
}

func findingKeys() []binding {
	return []binding{
		{name: "finding.copy-fix", keys: []string{"y"}, group: "OUTPUT", help: "copy the fix", hint: "copy fix", in: inFindings, do: (*Model).copyFix, off: (*Model).noFinding},
		{name: "finding.copy-report", keys: []string{"Y"}, group: "OUTPUT", help: "copy all of it, as Markdown", hint: "report", in: inFindings, do: (*Model).copyReport, off: (*Model).noReport},
		{name: "finding.save", keys: []string{"ctrl+s"}, group: "OUTPUT", help: "save what is shown to a file", hint: "save", in: inFindings, do: (*Model).saveFindings, off: (*Model).noReport},
		{name: "finding.mute", keys: []string{"M"}, group: "VIEW", help: "mute the rule for this object, also in later runs; or show it again", hint: "mute", in: inFindings, do: (*Model).mute, off: (*Model).noMute},
		{name: "finding.passed", keys: []string{"o"}, group: "VIEW", help: "show what passed and what is muted", hint: "show ok", in: inFindings, do: func(m *Model) tea.Cmd { m.findings.passed = !m.findings.passed; return nil }},
	}
}

func (m *Model) noFinding() string {
	if _, ok := m.findings.finding(); !ok {
		return "no finding is selected"
	}
	return ""
}

// copyFix copies what to paste, or the sentence where there is nothing to.
func (m *Model) copyFix() tea.Cmd {
	f, _ := m.findings.finding()
	if f.Patch != "" {
		return m.send("the fix of "+f.Rule, f.Patch)
	}
	return m.send("the fix of "+f.Rule, f.Fix)
}

func (m *Model) noReport() string {
	if m.opt.Reports == nil {
		return "nothing here writes reports"
	}
	return m.noFinding()
}

// copyReport copies the finding as an issue or a chat takes it.
func (m *Model) copyReport() tea.Cmd {
	f, _ := m.findings.finding()
	return m.send("the report of "+f.Rule, m.opt.Reports.Markdown([]affinity.Finding{f}))
}

// saveFindings asks for a file's name and writes the rows as they are shown:
// filtered, and without those that are hidden.
func (m *Model) saveFindings() tea.Cmd {
	all := make([]affinity.Finding, 0, len(m.findings.rows))
	for _, id := range m.findings.rows {
		all = append(all, m.findings.of[id])
	}
	m.prompt = newPrompt(m.opt.Reports.Name(m.opt.Now()))
	m.prompt.mark, m.prompt.about = "save as: ", "name ends in "+m.opt.Reports.Endings()
	m.prompt.done = func(path string) tea.Cmd {
		return func() tea.Msg {
			saved, err := m.opt.Reports.Save(strings.TrimSpace(path), all)
			return savedMsg{n: len(all), path: saved, err: err}
		}
	}
	return nil
}

func (m *Model) saved(msg savedMsg) {
	if msg.err != nil {
		m.say(warn, "not saved: "+affinity.Clean(msg.err.Error(), maxPrompt))
		return
	}
	m.say(plain, plural(msg.n, "finding", "findings")+" saved to "+affinity.Clean(msg.path, maxPrompt))
}
