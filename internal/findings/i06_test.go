package findings_test

import (
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestShutdownUnknown wants no verdict on a timeout whose ConfigMap was not read.
func TestShutdownUnknown(t *testing.T) {
	const forbidden = "get configmaps in ingress-nginx is forbidden"
	for _, tt := range []struct {
		name string
		with func(*findings.Facts)
		want string
	}{
		{"files", func(*findings.Facts) {}, "the controller's ConfigMap, which may set worker-shutdown-timeout, is not among the objects: 240 s by default"},
		{"cluster", func(f *findings.Facts) { f.Cluster = true }, "the controller's ConfigMap, which may set worker-shutdown-timeout, was not found where ingress-nginx keeps it: 240 s by default"},
		{"forbidden", func(f *findings.Facts) { f.Cluster, f.Unread = true, map[string]string{"ConfigMap": forbidden} }, forbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := read(t, "testdata/sane/nginx-sockets.yaml")
			tt.with(&f)
			all := findings.Check(f, findings.Options{Only: []string{"I06"}}).Findings
			if len(all) != 1 || all[0].Certainty != affinity.CertaintyNotChecked || all[0].NotChecked != tt.want {
				t.Errorf("got %s", titles(all))
			}
		})
	}
}
