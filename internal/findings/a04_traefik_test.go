package findings_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestTraefikShared: objects that make one Traefik service of a Service's port, and
// ask for different cookies; a rule of one Service makes its own.
func TestTraefikShared(t *testing.T) {
	all := findings.Check(read(t, "testdata/traefik-shared.yaml"), findings.Options{Only: []string{"A04"}}).Findings
	want := map[string]string{
		"shop/two":   "shares web:80 with traefikservice/one, with another sticky.cookie",
		"shop/twice": "names double:80 twice, with different sticky.cookies",
		"shop/api":   "shares api:80 with ingressroute/list, with another sticky.cookie",
	}
	impact := map[string]string{"shop/two": "may change whenever Traefik reads its objects", "shop/twice": "the last one's cookie", "shop/api": "the cookie is that of traefikservice/api"}
	for _, f := range all {
		at := f.Object.Namespace + "/" + f.Object.Name
		if want[at] != f.Title || !strings.Contains(f.Impact, impact[at]) || f.Certainty != affinity.CertaintyLikely {
			t.Errorf("%s: %s (%s), %s", at, f.Title, f.Impact, f.Certainty)
		}
		if !slices.ContainsFunc(f.Evidence, func(e affinity.FindingEvidence) bool { return strings.Contains(e.Field, "sticky") }) {
			t.Errorf("%s: evidence %+v", at, f.Evidence)
		}
		delete(want, at)
	}
	for at, title := range want {
		t.Errorf("%s: nothing says %q", at, title)
	}
}
