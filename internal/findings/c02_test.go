package findings_test

import (
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestRecreate wants C02 to name the strategy, not a budget that is there.
func TestRecreate(t *testing.T) {
	all := findings.Check(read(t, "testdata/fixes/recreate-budget.yaml"), findings.Options{Only: []string{"C02"}}).Findings
	if len(all) != 1 || !all[0].Fails() {
		t.Fatalf("got %s", titles(all))
	}
	text := ""
	for _, e := range all[0].Evidence {
		text += e.Field + "=" + e.Value + " " + e.Text + "\n"
	}
	if strings.Contains(text, "no PodDisruptionBudget") || !strings.Contains(text, "spec.strategy.type=Recreate a rollout ends 3 pods at a time") {
		t.Errorf("evidence:\n%s", text)
	}
}
