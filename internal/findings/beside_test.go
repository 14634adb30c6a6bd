package findings_test

import (
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestBeside applies the fixes of B03 and B04 of one report, one after the
// other, where both flags are in one setting: neither undoes the other.
func TestBeside(t *testing.T) {
	for _, name := range []string{"sane/f5-class-nginx.yaml", "sane/haproxy-ingress-plain.yaml", "fixes/contour-flags.yaml", "fixes/envoy-flags.yaml"} {
		t.Run(name, func(t *testing.T) {
			flags := findings.Options{Only: []string{"B03", "B04"}}
			w := parse(t, manifests(t)[name])
			all := findings.Check(w.facts(t, "yaml"), flags).Findings
			if len(all) != 2 {
				t.Fatalf("want B03 and B04, got %s", titles(all))
			}
			for _, order := range [][]affinity.Finding{{all[0], all[1]}, {all[1], all[0]}} {
				mended := w.clone(t)
				for _, f := range order {
					if err := mended.apply(f, "yaml"); err != nil {
						t.Fatal(err)
					}
				}
				if left := findings.Check(mended.facts(t, "yaml"), flags).Findings; len(left) > 0 {
					t.Errorf("left: %s\nafter\n%s\n%s", titles(left), order[0].Patch, order[1].Patch)
				}
			}
		})
	}
}

// TestFlagsWhole wants what a flag needs in the fix of what lacks it, and the
// field that tells of TLS as evidence.
func TestFlagsWhole(t *testing.T) {
	for _, tt := range []struct{ name, rule, title, evidence string }{
		{"fixes/samesite-http.yaml", "B03", "SameSite=None without Secure: browsers refuse the cookie", "ingress/web spec.tls"},
		{"fixes/contour-flags.yaml", "B04", "the cookie of a TLS host says no SameSite: browsers take Lax", "httpproxy/web spec.virtualhost.tls"},
		{"fixes/envoy-flags.yaml", "B04", "the cookie of a TLS host says no SameSite: browsers take Lax", "gateway/gw spec.listeners[0].protocol"},
		{"fixes/openshift-http.yaml", "B04", "cookie-same-site is for TLS alone: the cookie has no SameSite, browsers take Lax", "route/web spec.tls"},
	} {
		only := findings.Options{Only: []string{tt.rule}}
		w := parse(t, manifests(t)[tt.name])
		all := findings.Check(w.facts(t, "yaml"), only).Findings
		if len(all) != 1 || all[0].Title != tt.title {
			t.Errorf("%s: got %s", tt.name, titles(all))
			continue
		}
		has := false
		for _, e := range all[0].Evidence {
			has = has || e.Object.String()+" "+e.Field == tt.evidence
		}
		if !has {
			t.Errorf("%s: no %s in %+v", tt.name, tt.evidence, all[0].Evidence)
		}
		if err := w.apply(all[0], "yaml"); err != nil {
			t.Fatal(err)
		}
		if left := findings.Check(w.facts(t, "yaml"), only).Findings; len(left) > 0 {
			t.Errorf("%s: left %s\nafter\n%s", tt.name, titles(left), all[0].Patch)
		}
	}
}
