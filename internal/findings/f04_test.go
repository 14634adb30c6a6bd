package findings_test

import (
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/findings"
)

// TestTimeoutWiped: in a file the field is still there, in a cluster only what
// kubectl was given tells.
func TestTimeoutWiped(t *testing.T) {
	var got []string
	for _, f := range findings.Check(read(t, "testdata/rules/F04/bad.yaml"), findings.Options{Only: []string{"F04"}}).Findings {
		if strings.Contains(f.Title, "dropped without a word") {
			got = append(got, f.Object.Name)
		}
	}
	if strings.Join(got, " ") != "was-wiped wiped" {
		t.Errorf("found in %q", got)
	}
	for text, want := range map[string]int{"": 0, "{": 0, "[]": 0, `{"spec":{"sessionAffinityConfig":{"clientIP":{"timeoutSeconds":"x"}}}}`: 0, `{"spec":{"sessionAffinityConfig":{"clientIP":{"timeoutSeconds":60}}}}`: 60,
		`{"spec":{"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":60}}}}`: 0} {
		if n := findings.AppliedTimeout(text); n != want {
			t.Errorf("%q gives %d, want %d", text, n, want)
		}
	}
}
