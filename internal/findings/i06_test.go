package findings_test

import (
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestShutdownUnknown wants a default, where nobody knows whether it was changed,
// to fail no CI, and no verdict where the reason is that reading is forbidden.
func TestShutdownUnknown(t *testing.T) {
	const forbidden = "get configmaps in ingress-nginx is forbidden"
	for _, tt := range []struct {
		name string
		with func(*findings.Facts)
		want string
	}{
		{"files", func(*findings.Facts) {}, "240s is the default; the controller's ConfigMap, which may set it, is not among the objects"},
		{"cluster", func(f *findings.Facts) { f.Cluster = true }, "240s is the default; the controller's ConfigMap, which may set it, was not found where ingress-nginx keeps it"},
		{"forbidden", func(f *findings.Facts) { f.Cluster, f.Unread = true, map[string]string{"ConfigMap": forbidden} }, forbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := read(t, "testdata/sane/nginx-sockets.yaml")
			tt.with(&f)
			all := findings.Check(f, findings.Options{Only: []string{"I06"}}).Findings
			if len(all) != 1 {
				t.Fatalf("got %s", titles(all))
			}
			f0 := all[0]
			if tt.want == forbidden && (f0.Certainty != affinity.CertaintyNotChecked || f0.NotChecked != tt.want) {
				t.Errorf("got %+v", f0)
			}
			if tt.want != forbidden && (f0.Certainty != affinity.CertaintyLikely || f0.Severity != affinity.SeverityMedium || f0.Evidence[0].Text != tt.want) {
				t.Errorf("got %+v", f0)
			}
		})
	}
}
