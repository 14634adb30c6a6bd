package findings_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestForeignOfHAProxy wants the controller named, and no word of a missing
// cookie where its own annotation on the Service makes one.
func TestForeignOfHAProxy(t *testing.T) {
	for _, tt := range []struct {
		name string
		left func(*findings.Object) bool // out of the objects
		own  bool                        // the Service has HAProxy's annotation
		want string
	}{
		{"sticky by the Service", nil, true, "low exact"},
		{"not sticky", nil, false, "critical exact"},
		{"the Service is elsewhere", func(o *findings.Object) bool { return o.Kind == "Service" }, true, "critical likely"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := read(t, "testdata/haproxy.yaml")
			if tt.left != nil {
				f.Objects = slices.DeleteFunc(f.Objects, tt.left)
			}
			if !tt.own {
				for i, o := range f.Objects {
					if o.Kind == "Service" {
						v := findings.From(map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": o.Name, "namespace": o.Namespace}})
						f.Objects[i], _ = findings.NewObject(&v, "f")
					}
				}
			}
			all := findings.Check(f, findings.Options{Only: []string{"A01"}}).Findings
			if len(all) != 1 {
				t.Fatalf("got %s", titles(all))
			}
			x := all[0]
			if got := x.Severity.String() + " " + x.Certainty.String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if x.Title != "HAProxy Kubernetes Ingress Controller ignores nginx.ingress.kubernetes.io/affinity" {
				t.Errorf("title %q", x.Title)
			}
			if denies := strings.Contains(x.Impact, "no cookie is issued"); denies != (x.Severity == affinity.SeverityCritical) {
				t.Errorf("impact %q", x.Impact)
			}
			if !slices.ContainsFunc(x.Evidence, func(e affinity.FindingEvidence) bool {
				return e.Text == "served by HAProxy Kubernetes Ingress Controller"
			}) {
				t.Errorf("evidence %+v", x.Evidence)
			}
		})
	}
}
