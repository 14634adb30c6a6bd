package manifest

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/kubestickytop/stickytop/internal/findings"
)

// tenThousand is a cluster's worth of YAML: 2500 apps of an Ingress with
// affinity, a Service, a Deployment and a PodDisruptionBudget in 50 namespaces.
func tenThousand(b testing.TB) []byte {
	b.Helper()
	app, err := os.ReadFile("testdata/app.yaml.fmt")
	if err != nil {
		b.Fatal(err)
	}
	var all bytes.Buffer
	for i := range 2500 {
		fmt.Fprintf(&all, string(app), i, i%50)
	}
	return all.Bytes()
}

// BenchmarkLint reads and judges 10,000 objects.
func BenchmarkLint(b *testing.B) {
	text := tenThousand(b)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		objects, problems := Read(bytes.NewReader(text), "all.yaml")
		if len(objects) != 10_000 || len(problems) > 0 {
			b.Fatal(len(objects), problems)
		}
		if r := findings.Check(findings.Facts{Objects: objects}, findings.Options{}); len(r.Findings) < 2500 {
			b.Fatal(len(r.Findings))
		}
	}
}

// BenchmarkCheck judges them alone, as the screen does.
func BenchmarkCheck(b *testing.B) {
	objects, _ := Read(bytes.NewReader(tenThousand(b)), "all.yaml")
	for b.Loop() {
		findings.Check(findings.Facts{Objects: objects}, findings.Options{})
	}
}
