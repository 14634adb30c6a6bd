package findings_test

import (
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestBeside applies the fixes of B03 and B04 of one report, one after the
// other: both flags are words of one annotation, and neither undoes the other.
func TestBeside(t *testing.T) {
	for _, name := range []string{"sane/f5-class-nginx.yaml", "sane/haproxy-ingress-plain.yaml"} {
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
