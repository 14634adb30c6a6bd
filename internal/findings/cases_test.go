package findings_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestCases wants single cases of rules told: rule, object, severity, certainty
// and the start of the title.
func TestCases(t *testing.T) {
	for _, tt := range []struct{ file, want string }{
		{"rules/B08/bad.yaml", "B08 destinationrule/ports critical exact JSESSIONID is the session cookie"},
		{"rules/B08/bad.yaml", "B08 virtualservice/canary critical exact sets JSESSIONID, the session cookie"},
		{"rules/B08/bad.yaml", "B08 virtualservice/beta high likely goes by PHPSESSID, the session cookie"},
		{"rules/A09/bad.yaml", "A09 xbackendtrafficpolicy/meshed critical exact Istio does not read sessionPersistence of an XBackendTrafficPolicy"},
		{"rules/A11/bad.yaml", "A11 service/google critical exact the load balancer's affinity pins nodes"},
		{"fixes/offloaded.yaml", "B03 ingress/offloaded high likely TLS ends at the load balancer"},
	} {
		all := findings.Check(read(t, "testdata/"+tt.file), findings.Options{Only: []string{tt.want[:3]}}).Findings
		if !slices.ContainsFunc(all, func(f affinity.Finding) bool {
			return strings.HasPrefix(strings.Join([]string{f.Rule, f.Object.String(), f.Severity.String(), f.Certainty.String(), f.Title}, " "), tt.want)
		}) {
			t.Errorf("%s: nothing says %q: %s", tt.file, tt.want, titles(all))
		}
	}
	for _, tt := range []struct{ file, rule string }{{"fixes/offloaded-secure.yaml", "B03"}} {
		if all := findings.Check(read(t, "testdata/"+tt.file), findings.Options{Only: []string{tt.rule}}).Findings; slices.ContainsFunc(all, fails) {
			t.Errorf("%s: %s", tt.file, titles(all))
		}
	}
}

// TestDisputed wants no more than likely where two objects ask for affinity and
// which of them wins is not documented.
func TestDisputed(t *testing.T) {
	for both, want := range map[bool]string{true: "likely", false: "exact"} {
		f := read(t, "testdata/gke-both.yaml")
		if !both {
			f.Objects = slices.DeleteFunc(f.Objects, func(o *findings.Object) bool { return o.Kind == "GCPBackendPolicy" })
		}
		all := findings.Check(f, findings.Options{Only: []string{"C03"}}).Findings
		if len(all) != 1 || all[0].Certainty.String() != want {
			t.Fatalf("both %v: want %s: %s", both, want, titles(all))
		}
		if said := slices.ContainsFunc(all[0].Evidence, func(e affinity.FindingEvidence) bool {
			return e.Text == "gcpbackendpolicy/web asks for affinity too: which of them wins is not established"
		}); said != both {
			t.Errorf("both %v: evidence %+v", both, all[0].Evidence)
		}
	}
}
