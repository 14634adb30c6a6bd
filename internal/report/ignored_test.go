package report

import (
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestIgnored wants the reasons of what is silenced in every format that has a
// place for them, and no alert of code scanning unless asked for.
func TestIgnored(t *testing.T) {
	const reason = "edited together"
	f := affinity.Finding{Rule: "A04", Title: "two Ingresses disagree", Severity: affinity.SeverityHigh, Certainty: affinity.CertaintyExact,
		Object: affinity.ObjectRef{Kind: "Ingress", Namespace: "shop", Name: "web", File: "web.yaml", Line: 3}}
	l := Lint{FailOn: affinity.SeverityLow, Rules: []LintRule{{ID: "A04", Title: "t"}}, Ignored: []Ignored{{f, reason}}}
	for format, want := range map[string]struct{ plain, shown string }{
		"text":     {"1 ignored (--show-ignored lists them)", "A04 ignored: two Ingresses disagree (shop/ingress/web  web.yaml:3): " + reason + "\n"},
		"json":     {`"reason": "` + reason + `"`, `"reason": "` + reason + `"`},
		"junit":    {`<skipped message="ignored: ` + reason + `">`, `skipped="1"`},
		"sarif":    {`A04 ignored: two Ingresses disagree (shop/ingress/web  web.yaml:3): ` + reason, `"justification": "` + reason + `"`},
		"markdown": {"", "## Ignored"},
	} {
		for shown, want := range map[bool]string{false: want.plain, true: want.shown} {
			l.ShowIgnored = shown
			var b strings.Builder
			if err := l.Write(&b, format); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(b.String(), want) || strings.Contains(b.String(), "<failure") {
				t.Errorf("%s, shown %v: no %q in\n%s", format, shown, want, b.String())
			}
		}
	}
	l.ShowIgnored = false
	if n := len(writeSARIF(t, l).Runs[0].Results); n != 0 {
		t.Errorf("%d results of what is ignored", n)
	}
}
