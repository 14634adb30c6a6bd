package findings_test

import (
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/manifest"
)

// TestHeadlessPatch wants a patch of J01 that an API server takes: another
// Service, for clusterIP of one that is there can't change.
func TestHeadlessPatch(t *testing.T) {
	f := read(t, "testdata/rules/J01/bad.yaml")
	all := findings.Check(f, findings.Options{Only: []string{"J01"}}).Findings
	for _, x := range all {
		if x.Object.Name != "mongo" {
			continue
		}
		beside, problems := manifest.Read(strings.NewReader(x.Patch), "patch")
		if len(problems) > 0 || len(beside) != 1 {
			t.Fatalf("%d objects, %v in\n%s", len(beside), problems, x.Patch)
		}
		s := beside[0]
		port, _ := s.Items("spec", "ports")[0].Int("port")
		if s.Kind != "Service" || s.Name != "mongo-headless" || s.Namespace != "shop" || s.Str("spec", "clusterIP") != "None" ||
			s.Str("spec", "selector", "app") != "mongo" || port != 27017 {
			t.Errorf("%s", x.Patch)
		}
		if !strings.Contains(x.Fix, "delete this one and create it again") {
			t.Errorf("fix %q", x.Fix)
		}
		for _, y := range findings.Check(findings.Facts{Objects: append(f.Objects, s)}, findings.Options{Only: []string{"J01"}}).Findings {
			if y.Object.Name == s.Name && y.Fails() {
				t.Errorf("the patch itself is wrong: %s", y.Title)
			}
		}
		return
	}
	t.Fatalf("nothing about mongo: %s", titles(all))
}

// TestConnecting wants each database's own words: only MongoDB has replica sets.
func TestConnecting(t *testing.T) {
	for port, want := range map[int64]string{27017: "replica-set", 5432: "target_session_attrs", 6379: "Sentinel", 5672: "let clients name the members"} {
		o := object(t, map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "db"},
			"spec": map[string]any{"clusterIP": "None", "selector": map[string]any{"app": "db"}, "ports": []any{map[string]any{"port": port}}}})
		all := findings.Check(findings.Facts{Objects: []*findings.Object{o}}, findings.Options{Only: []string{"J01"}}).Findings
		if len(all) != 1 || !strings.Contains(all[0].Fix, want) || want != "replica-set" && strings.Contains(all[0].Fix, "replica-set") {
			t.Errorf("port %d: %s, fix %q", port, titles(all), all[0].Fix)
		}
	}
}
