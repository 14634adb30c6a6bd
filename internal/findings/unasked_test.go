package findings_test

import (
	"os"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/manifest"
)

// TestUnasked wants no more than a hint where a controller's default alone makes
// a route sticky, and the whole verdict once an object asks for it.
func TestUnasked(t *testing.T) {
	text, err := os.ReadFile("testdata/sane/openshift-default.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const route, service = "kind: Route\nmetadata:\n", "spec:\n  selector:\n    app: web\n  ports"
	for _, tt := range []struct{ name, before, after, want string }{
		{"nobody", "", "", "\n  C03 low likely deployment/web: pods behind a sticky route have 30 s to end, if its default cookie matters "},
		{"the Route", route, route + "  annotations: {router.openshift.io/cookie_name: web}\n", "\n  C03 high exact deployment/web: pods behind a sticky route have 30 s to end "},
		{"the Service", service, "spec:\n  sessionAffinity: ClientIP\n" + strings.TrimPrefix(service, "spec:\n"), "\n  C03 high exact deployment/web: pods behind a sticky route have 30 s to end "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := strings.Replace(string(text), tt.before, tt.after, 1)
			if tt.before != "" && in == string(text) {
				t.Fatal("nothing was replaced")
			}
			objects, problems := manifest.Read(strings.NewReader(in), "f")
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if got := titles(findings.Check(findings.Facts{Objects: objects}, findings.Options{Only: []string{"C03"}}).Findings); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}
