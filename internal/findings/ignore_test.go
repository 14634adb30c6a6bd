package findings_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/manifest"
)

// TestUnheeded wants each ignore that does not do what it says told, and no
// other.
func TestUnheeded(t *testing.T) {
	for text, want := range map[string]string{
		"D01 the app retries":      "",
		"D01, A04: on purpose":     "",
		"I01 sessions say it":      "",
		"D01":                      `"D01" is not heeded: it gives no reason`,
		"all":                      `"all" is not heeded: it names no rule, as A04 does one`,
		"d01 the app retries":      `"d01 the app retries" is not heeded: it names no rule, as A04 does one`,
		"Z99 the app retries":      `"Z99 the app retries" is not heeded: no rule is called Z99`,
		"D01,Z99: the app retries": `"D01,Z99: the app retries" is not heeded: no rule is called Z99`,
	} {
		const service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n"
		for at, in := range map[string]string{
			"comment":    "# stickytop.dev/ignore: " + text + "\n" + service,
			"annotation": service + "  annotations:\n    stickytop.dev/ignore: '" + text + "'\n",
		} {
			objects, problems := manifest.Read(strings.NewReader(in), "web.yaml")
			if len(problems) > 0 || len(objects) != 1 {
				t.Fatal(problems)
			}
			var got []string
			for _, u := range findings.Check(findings.Facts{Objects: objects}, findings.Options{}).Unheeded {
				got = append(got, u.String())
			}
			if want == "" && len(got) > 0 || want != "" && !slices.ContainsFunc(got, func(s string) bool {
				return strings.HasPrefix(s, "web.yaml:") && strings.HasSuffix(s, " service/web: stickytop.dev/ignore "+want)
			}) {
				t.Errorf("%s %q: got %q", at, text, got)
			}
		}
	}
}

// TestIgnoresOfLines wants every line of the annotation heeded, or told as not.
func TestIgnoresOfLines(t *testing.T) {
	objects, problems := manifest.Read(strings.NewReader("apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  annotations:\n    stickytop.dev/ignore: |\n      F02 one node\n      J01\n"+
		"spec: {type: NodePort, sessionAffinity: ClientIP, selector: {app: web}, ports: [{port: 80}]}\n"), "web.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	r := findings.Check(findings.Facts{Objects: objects}, findings.Options{})
	for _, g := range r.Ignored {
		if g.Reason != "one node" {
			t.Errorf("%s ignored for %q", g.Rule, g.Reason)
		}
	}
	if len(r.Unheeded) != 1 || r.Unheeded[0].Text != "J01" {
		t.Errorf("not heeded: %+v", r.Unheeded)
	}
}

// TestTold wants what was not judged, and an ignore that is not heeded, in the
// list that a screen shows.
func TestTold(t *testing.T) {
	at := affinity.ObjectRef{Kind: "Ingress", Namespace: "shop", Name: "web"}
	r := findings.Result{
		Findings: []affinity.Finding{{Rule: "L01", Severity: affinity.SeverityLow, Certainty: affinity.CertaintyExact}, {Rule: "I05", Certainty: affinity.CertaintyExact}},
		Unjudged: "too many", Unheeded: []findings.Unheeded{{Object: at, Routes: []affinity.RouteID{"r"}, Text: "D01", Why: "it gives no reason"}},
	}
	all := r.Told()
	got := ""
	for _, f := range all {
		got += f.Rule + " " + f.Title + f.NotChecked + "; "
	}
	if want := "L01 ; — an ignore is not heeded: it gives no reason; I05 ; — not everything is judgedtoo many; "; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	if f := all[1]; f.Object != at || len(f.Routes) != 1 || f.Fails() || f.Evidence[0].Value != "D01" {
		t.Errorf("%+v", f)
	}
	if len(r.Findings) != 2 || r.Findings[1].Rule != "I05" {
		t.Errorf("the findings became %v", r.Findings)
	}
}
