package findings_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/manifest"
)

// TestUnheeded wants each ignore that does not do what it says told, and no
// other.
func TestUnheeded(t *testing.T) {
	for text, want := range map[string]string{
		"D01 the app retries":      "",
		"D01, A04: on purpose":     "",
		"I01 sessions say it":      "",
		"D01":                      `"D01" is not heeded: it gives no reason`,
		"all":                      `"all" is not heeded: it names no rule, as A04 does one`,
		"d01 the app retries":      `"d01 the app retries" is not heeded: it names no rule, as A04 does one`,
		"Z99 the app retries":      `"Z99 the app retries" is not heeded: no rule is called Z99`,
		"D01,Z99: the app retries": `"D01,Z99: the app retries" is not heeded: no rule is called Z99`,
	} {
		const service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n"
		for at, in := range map[string]string{
			"comment":    "# stickytop.dev/ignore: " + text + "\n" + service,
			"annotation": service + "  annotations:\n    stickytop.dev/ignore: '" + text + "'\n",
		} {
			objects, problems := manifest.Read(strings.NewReader(in), "web.yaml")
			if len(problems) > 0 || len(objects) != 1 {
				t.Fatal(problems)
			}
			var got []string
			for _, u := range findings.Check(findings.Facts{Objects: objects}, findings.Options{}).Unheeded {
				got = append(got, u.String())
			}
			if want == "" && len(got) > 0 || want != "" && !slices.ContainsFunc(got, func(s string) bool {
				return strings.HasPrefix(s, "web.yaml:") && strings.HasSuffix(s, " service/web: stickytop.dev/ignore "+want)
			}) {
				t.Errorf("%s %q: got %q", at, text, got)
			}
		}
	}
}
