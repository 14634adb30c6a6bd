package findings_test

import (
	"testing"

	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestKongHash wants C05 of the policy that hashes, and not of one that has
// Kong's own sessions.
func TestKongHash(t *testing.T) {
	f := read(t, "testdata/fixes/kong-hash.yaml")
	all := findings.Check(f, findings.Options{Only: []string{"C05"}}).Findings
	if len(all) != 1 || !all[0].Fails() || all[0].Object.Kind != "KongUpstreamPolicy" {
		t.Errorf("got %s", titles(all))
	}
	f.Objects = append(f.Objects[:len(f.Objects)-1], object(t, map[string]any{"apiVersion": "configuration.konghq.com/v1beta1", "kind": "KongUpstreamPolicy",
		"metadata": map[string]any{"name": "sticky"}, "spec": map[string]any{"algorithm": "sticky-sessions", "stickySessions": map[string]any{"cookie": "aff", "cookiePath": "/"}}}))
	if all := findings.Check(f, findings.Options{Only: []string{"C05"}}).Findings; len(all) > 0 {
		t.Errorf("sticky-sessions: %s", titles(all))
	}
}
