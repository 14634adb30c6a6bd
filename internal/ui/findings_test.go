package ui

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// judged is the story, with what the rules say of its objects and one finding
// that a session showed.
func judged() (*world, Options) {
	w, o := told()
	ing := affinity.ObjectRef{Kind: "Ingress", Namespace: "msgapp", Name: "msgapp"}
	svc := affinity.ObjectRef{Kind: "Service", Namespace: "msgapp", Name: "msgapp"}
	const prefix = "metadata.annotations[nginx.ingress.kubernetes.io/"
	w.apply(affinity.Findings{Source: "rules", Findings: []affinity.Finding{
		{Rule: "B10", Title: "cookie max-age 3h is absolute, not renewed", Severity: affinity.SeverityHigh, Certainty: affinity.CertaintyExact, Object: ing,
			Evidence: []affinity.FindingEvidence{{Object: ing, Field: prefix + "session-cookie-max-age]", Value: "10800", Source: "object"}},
			Impact:   "counted from the first answer, of visits on a new cookie: one of 30 min lasts, one of 3h just lasts, one of 6h is moved once",
			Fix:      "omit max-age and expires, so that the cookie lasts as long as the browser, or set more than your longest session",
			Patch:    "kubectl annotate ingress msgapp -n msgapp nginx.ingress.kubernetes.io/session-cookie-max-age-", Verify: "stickytop ing/msgapp -n msgapp: the fuse of a session shows no deadline"},
		{Rule: "D01", Title: "change-on-failure is off: cookies of a failing pod keep failing", Severity: affinity.SeverityHigh, Certainty: affinity.CertaintyExact, Object: ing,
			Evidence: []affinity.FindingEvidence{{Object: ing, Field: prefix + "session-cookie-change-on-failure]", Source: "object", Text: "false when absent"}},
			Impact:   "clients of a pod that fails get errors until it leaves the endpoints", Fix: "set session-cookie-change-on-failure: true",
			Patch: "metadata:\n  annotations:\n    nginx.ingress.kubernetes.io/session-cookie-change-on-failure: \"true\""},
		{Rule: "F01", Title: "ClientIP 10800 s is bypassed by ingress traffic", Severity: affinity.SeverityInfo, Certainty: affinity.CertaintyExact, Object: svc, Route: w.route.ID},
		{Rule: "C03", Title: "another app's", Severity: affinity.SeverityHigh, Certainty: affinity.CertaintyExact, Object: affinity.ObjectRef{Kind: "Deployment", Namespace: "msgapp", Name: "other"}},
		{Rule: "L01", Title: "controller ingress-nginx is retired (March 2026)", Severity: affinity.SeverityInfo, Certainty: affinity.CertaintyLikely, Object: ing},
		{Rule: "I05", Title: "proxy-read 60s > ping 25s", Certainty: affinity.CertaintyExact, Object: ing},
		{Rule: "F02", Title: "ClientIP is remembered by each node for itself", Severity: affinity.SeverityHigh, NotChecked: "list nodes cluster-wide is forbidden"},
	}}, affinity.Findings{Source: "sessions", Findings: []affinity.Finding{
		{Rule: "G02", Title: "the same cookie gets two answers: controller replicas disagree", Severity: affinity.SeverityCritical, Certainty: affinity.CertaintyLikely,
			Object: affinity.ObjectRef{Kind: "Deployment", Namespace: "ingress-nginx", Name: "controller"}, Session: "s09", At: start.Add(61 * time.Second),
			Evidence: []affinity.FindingEvidence{{Source: "session", Text: "30 answers of s09 with one unchanged cookie: 15 of A, 15 of B"}},
			Impact:   "about half of the requests reach a pod without the session", Fix: "restart the replica that is behind"},
	}})
	return w, o
}

// TestFindingOfNoRule is shown as any other, but no rule explains it.
func TestFindingOfNoRule(t *testing.T) {
	w, o := told()
	ing := affinity.ObjectRef{Kind: "Ingress", Namespace: "msgapp", Name: "msgapp"}
	w.apply(affinity.Findings{Source: "rules", Findings: []affinity.Finding{
		{Rule: affinity.NoRule, Title: "an ignore is not heeded: it gives no reason", Severity: affinity.SeverityInfo, Certainty: affinity.CertaintyExact, Object: ing,
			Evidence: []affinity.FindingEvidence{{Object: ing, Field: "metadata.annotations[stickytop.dev/ignore]", Value: "D01", Source: "object"}}},
		{Rule: affinity.NoRule, Title: "not everything is judged", NotChecked: "of 70 Deployments 64 are judged"},
	}})
	m := sized(o, 100, 30)
	press(m, "5")
	view := m.View()
	for _, want := range []string{"an ignore is not heeded: it gives no reason", "[stickytop.dev/ignore]: D01", "not checked: of 70 Deployments"} {
		if !strings.Contains(view, want) {
			t.Errorf("no %q in\n%s", want, view)
		}
	}
	if strings.Contains(view, "stickytop explain") {
		t.Errorf("no rule explains it:\n%s", view)
	}
}

func TestFindings(t *testing.T) {
	w, o := judged()
	r := &recorder{}
	o.Controls, o.Clipboard = r, r
	m := sized(o, 100, 30)
	press(m, "5")
	if got := ids(m); got != "G02 B10 D01 F01 L01 F02" {
		t.Errorf("rows %q: worst first, what passed hidden, not checked last", got)
	}
	if !strings.Contains(m.View(), "5 Findings ▲3") {
		t.Errorf("no count in the tabs:\n%s", m.View())
	}
	press(m, "o")
	if got := ids(m); got != "G02 B10 D01 F01 L01 I05 F02" {
		t.Errorf("with o: %q", got)
	}
	press(m, "o", "j", "M")
	if got := ids(m); got != "G02 D01 F01 L01 F02" || m.findings.counts.fail != 2 {
		t.Errorf("B10 muted: %q, %d fail", got, m.findings.counts.fail)
	}
	press(m, "/", "type:severity=critical or conf=not-checked", "enter")
	if got := ids(m); got != "G02 F02" {
		t.Errorf("filtered: %q", got)
	}
	press(m, "esc", "g", "j")
	if cmd := press(m, "y"); !isMsg[copiedMsg](cmd) || !strings.Contains(r.copied, "change-on-failure: \"true\"") {
		t.Errorf("y copied %q", r.copied)
	}
	press(m, "g")
	if cmd := press(m, "y"); !isMsg[copiedMsg](cmd) || r.copied != "restart the replica that is behind" {
		t.Errorf("y copied %q where there is nothing to paste", r.copied)
	}
	press(m, "enter")
	if !m.findings.full || !strings.Contains(m.View(), "15 of A, 15 of B") {
		t.Error("enter does not open it")
	}
	press(m, "esc")
	if m.findings.full || m.view != viewFindings {
		t.Error("esc does not close it")
	}
	w.apply(affinity.Findings{Source: "rules"}, affinity.Findings{Source: "sessions"})
	m.tick(w.snap(), w.now.Add(time.Second))
	if len(m.findings.rows) != 0 || strings.Contains(m.View(), "Findings ▲") {
		t.Errorf("findings that are gone stay: %q", ids(m))
	}
}

// Without a target the findings are those of the whole namespace.
func TestFindingsOfTheTarget(t *testing.T) {
	w, o := judged()
	o.Controls = &recorder{}
	m := sized(o, 100, 30)
	press(m, "5")
	if got := ids(m); strings.Contains(got, "C03") || !strings.Contains(m.View(), "5 Findings ▲3") {
		t.Errorf("of %s: %s\n%s", o.Target, got, m.View())
	}
	o.Target = affinity.Target{}
	m = sized(o, 100, 30)
	m.d.target = affinity.Target{Namespace: "msgapp"}
	m.tick(w.snap(), w.now.Add(time.Second))
	press(m, "5")
	if got := ids(m); !strings.Contains(got, "C03") || !strings.Contains(m.View(), "5 Findings ▲4") {
		t.Errorf("of the namespace: %s\n%s", got, m.View())
	}
}

func ids(m *Model) string {
	var out []string
	for _, id := range m.findings.rows {
		out = append(out, id.rule)
	}
	return strings.Join(out, " ")
}

func TestFindingsAreNews(t *testing.T) {
	w, _ := told()
	before := w.snap()
	w.apply(affinity.Findings{Source: "x", Findings: []affinity.Finding{{Rule: "A01"}}})
	if !isNews(before, w.snap()) || slices.ContainsFunc(before.Findings, func(affinity.Finding) bool { return true }) {
		t.Error("a finding is not news")
	}
}

// TestFindingInFull: no field, and no command to paste, is cut in any size.
func TestFindingInFull(t *testing.T) {
	f := affinity.Finding{
		Rule: "D01", Severity: affinity.SeverityHigh, Title: "change-on-failure is off: cookies of a failing pod keep leading to it, whatever it answers",
		Object:   affinity.ObjectRef{Kind: "Ingress", Namespace: "msgapp", Name: "msgapp"},
		Evidence: []affinity.FindingEvidence{{Field: "metadata.annotations[nginx.ingress.kubernetes.io/session-cookie-change-on-failure]", Value: "false", Text: "absent, which means false"}},
		Impact:   "users of a broken pod stay with it", Fix: "turn it on",
		Patch:  "kubectl annotate ingress msgapp -n msgapp nginx.ingress.kubernetes.io/session-cookie-change-on-failure=true --overwrite\nspec:\n  template: {}\n",
		Verify: "kill a pod: its sessions move within one request",
	}
	for _, size := range [][2]int{{44, 10}, {60, 15}, {80, 24}, {140, 40}} {
		w := story()
		w.apply(affinity.Findings{Source: "objects", Findings: []affinity.Finding{f}})
		m := sized(w.options(), size[0], size[1])
		press(m, "5", "enter")
		seen := ""
		for range 12 {
			lines := strings.Split(stripColours(m.View()), "\n")
			for _, line := range lines[2 : len(lines)-2] {
				seen += strings.TrimSpace(line)
			}
			press(m, "pgdown")
		}
		seen = strings.ReplaceAll(seen, " ", "")
		for _, want := range []string{"session-cookie-change-on-failure]:false", "session-cookie-change-on-failure=true--overwrite", f.Verify, "whatever it answers", "explain D01"} {
			if !strings.Contains(seen, strings.ReplaceAll(want, " ", "")) {
				t.Errorf("%v: no %q in %s", size, want, seen)
			}
		}
	}
}

// TestSaveFindings: what is saved is what is shown, under the name that was
// typed, and the whole path is told.
func TestSaveFindings(t *testing.T) {
	m, r, _ := recorded()
	press(m, "5", "M", "/", "type:rule=d01", "enter", "ctrl+s")
	if text := stripColours(m.View()); !strings.Contains(text, "save as: found.md") || !strings.Contains(text, "esc back  name ends in .md, .json") {
		t.Fatalf("no name is asked for:\n%s", text)
	}
	cmd := press(m, "type:x", "enter")
	m.Update(cmd())
	if r.path != "found.mdx" || len(r.saved) != 1 || r.saved[0].Rule != "D01" {
		t.Errorf("saved to %q: %+v", r.path, r.saved)
	}
	if text := stripColours(m.View()); !strings.Contains(text, "1 finding saved to /home/me/found.mdx") {
		t.Errorf("the path is not told:\n%s", text)
	}
	r.saved, r.err = nil, errors.New("disk full")
	press(m, "ctrl+s", "esc")
	if r.saved != nil || m.prompt != nil {
		t.Error("esc saved")
	}
	m.Update(press(m, "ctrl+s", "enter")())
	if !strings.Contains(m.notice.text, "not saved: disk full") {
		t.Errorf("notice %q", m.notice.text)
	}
}

// TestFindingsOfSeveralNamespaces wants objects told apart that share their names.
func TestFindingsOfSeveralNamespaces(t *testing.T) {
	snap := &affinity.Snapshot{Services: []affinity.Service{{Ref: affinity.ServiceRef{Namespace: "chat", Name: "web"}}}}
	for _, ns := range []string{"chat", "shop"} {
		snap.Findings = append(snap.Findings, affinity.Finding{Rule: "B10", Title: "x", Severity: affinity.SeverityHigh, Certainty: affinity.CertaintyExact, Object: affinity.ObjectRef{Kind: "Ingress", Namespace: ns, Name: "web"}})
	}
	p, d := &findingsPanel{}, &data{snap: snap}
	p.refresh(d)
	if got := p.cell(d, snap.Findings[0], "object"); got != "ing/web" {
		t.Errorf("of one namespace: %q", got)
	}
	p, snap.Services = &findingsPanel{}, append(snap.Services, affinity.Service{Ref: affinity.ServiceRef{Namespace: "shop", Name: "web"}})
	p.refresh(d)
	if got := p.cell(d, snap.Findings[1], "object"); got != "shop/ing/web" {
		t.Errorf("of two: %q", got)
	}
	if text := (findingRow{snap.Findings[1]}).text(); !strings.Contains(text, "shop") {
		t.Errorf("a filter sees %q", text)
	}
	if line := objectLine(snap.Findings[1]); line[1].text != "ingress/web in namespace shop" {
		t.Errorf("%+v", line)
	}
}
