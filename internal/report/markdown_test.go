package report

import (
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func TestMarkdown(t *testing.T) {
	web := affinity.ObjectRef{Kind: "Ingress", Namespace: "shop", Name: "web", File: "a.yaml", Line: 7}
	b := &strings.Builder{}
	l := Lint{Findings: []affinity.Finding{
		{Rule: "D01", Title: "change-on-failure is off", Severity: affinity.SeverityHigh, Certainty: affinity.CertaintyLikely, Object: web,
			Evidence: []affinity.FindingEvidence{{Object: web, Field: "metadata.annotations[x]", Value: "a`b"}}, Impact: "it hurts", Fix: "turn it on", Patch: "a:\n  ```\n", Verify: "look"},
		{Rule: "F02", Title: "each node for itself", NotChecked: "nodes are forbidden"},
	}}
	if err := l.Write(b, "markdown"); err != nil {
		t.Fatal(err)
	}
	want := "## D01 high, likely: change-on-failure is off\n\n" +
		"- object: `shop/ingress/web a.yaml:7`\n- evidence: ``metadata.annotations[x]: a`b``\n- impact: it hurts\n- fix: turn it on\n\n" +
		"````\na:\n  ```\n````\n\n- verify: `look`\n- more: `stickytop explain D01`\n\n" +
		"## F02 not checked: each node for itself\n\n- missing: nodes are forbidden\n- more: `stickytop explain F02`\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What an object says is neither markup nor a mention, and starts no line.
func TestMarkdownOfHostileText(t *testing.T) {
	const evil = "x](http://evil) <img src=x> @all #1 `a` **b**\n## not mine"
	b := &strings.Builder{}
	f := affinity.Finding{Rule: "A01", Title: evil, Severity: affinity.SeverityLow, Certainty: affinity.CertaintyExact, Impact: evil, Fix: evil, NotChecked: evil, Verify: evil,
		Object: affinity.ObjectRef{Kind: "Ingress", Name: evil}, Evidence: []affinity.FindingEvidence{{Field: evil, Value: evil}}}
	if err := (Lint{Findings: []affinity.Finding{f}}).Write(b, "markdown"); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "## not mine") {
			t.Errorf("a heading of the object's own: %q", line)
		}
		if name, text, _ := strings.Cut(strings.TrimSpace(line), ": "); strings.HasPrefix(text, "`") {
			if marks := text[:len(text)-len(strings.TrimLeft(text, "`"))]; strings.Count(text, marks) != 2 || !strings.HasSuffix(text, marks) {
				t.Errorf("%s: the code span ends early: %s", name, text)
			}
			continue
		}
		for _, mark := range []string{"@all", " <img", "x](", " **b"} {
			if strings.Contains(line, mark) {
				t.Errorf("%q in %q", mark, line)
			}
		}
	}
}
