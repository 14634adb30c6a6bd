package findings_test

import (
	"testing"

	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestStickyBalancers wants F02 silent where the load balancer itself is asked
// to keep clients, and not for any annotation with "sticky" in its name.
func TestStickyBalancers(t *testing.T) {
	for _, tt := range []struct {
		annotation, value string
		silent            bool
	}{
		{"stickytop.dev/ignore", "J01 not a database", false},
		{"team/sticky-notes", "ask Bo", false},
		{"example.com/stickyness", "true", false},
		{"service.beta.kubernetes.io/do-loadbalancer-sticky-sessions-type", "none", false},
		{"service.beta.kubernetes.io/do-loadbalancer-sticky-sessions-type", "cookies", true},
		{"service.beta.kubernetes.io/scw-loadbalancer-sticky-sessions", "table", true},
		{"load-balancer.hetzner.cloud/http-sticky-sessions", "true", true},
		{"service.beta.kubernetes.io/aws-load-balancer-target-group-attributes", "stickiness.enabled=true,stickiness.type=source_ip", true},
		{"loadbalancer.openstack.org/lb-method", "SOURCE_IP", true},
	} {
		f := findings.Facts{Objects: []*findings.Object{object(t, map[string]any{"apiVersion": "v1", "kind": "Service",
			"metadata": map[string]any{"name": "web", "annotations": map[string]any{tt.annotation: tt.value}},
			"spec":     map[string]any{"type": "LoadBalancer", "sessionAffinity": "ClientIP", "selector": map[string]any{"app": "web"}, "ports": []any{map[string]any{"port": int64(80)}}}})}}
		got := findings.Check(f, findings.Options{Only: []string{"F02"}})
		if silent := len(got.Findings) == 0; silent != tt.silent {
			t.Errorf("%s=%s: %s", tt.annotation, tt.value, titles(got.Findings))
		}
	}
	ignored := findings.Facts{Objects: []*findings.Object{object(t, map[string]any{"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"name": "web", "annotations": map[string]any{"stickytop.dev/ignore": "F02 one node"}},
		"spec":     map[string]any{"type": "NodePort", "sessionAffinity": "ClientIP"}})}}
	if got := findings.Check(ignored, findings.Options{Only: []string{"F02"}}); len(got.Findings) != 0 || len(got.Ignored) != 1 {
		t.Errorf("%d ignored, and %s", len(got.Ignored), titles(got.Findings))
	}
}

func object(t *testing.T, o map[string]any) *findings.Object {
	t.Helper()
	v := findings.From(o)
	x, ok := findings.NewObject(&v, "")
	if !ok {
		t.Fatalf("no object: %v", o)
	}
	return x
}
