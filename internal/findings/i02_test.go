package findings_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/manifest"
)

// TestOneWorker: what I02 prints to paste asks for one worker, and I02 says no
// more of it.
func TestOneWorker(t *testing.T) {
	const front = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop, annotations: {nginx.ingress.kubernetes.io/affinity: cookie}}
spec:
  ingressClassName: nginx
  rules: [{host: a.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "a:1", %s}]}
`
	check := func(field string) []string {
		objects, problems := manifest.Read(strings.NewReader(fmt.Sprintf(front, field)), "web.yaml")
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		var patches []string
		for _, f := range findings.Check(findings.Facts{Objects: objects}, findings.Options{Only: []string{"I02"}}).Findings {
			if f.Fails() {
				patches = append(patches, f.Patch)
			}
		}
		return patches
	}
	for field, want := range map[string]string{
		`command: [gunicorn, -w, "4", "app:app"]`:                `command: - gunicorn - -w - "1" - app:app`,
		`args: [gunicorn, --workers=4]`:                          `args: - gunicorn - --workers=1`,
		`command: [sh, -c, "exec gunicorn -w 4 -b :80 app"]`:     `command: - sh - -c - exec gunicorn -w 1 -b :80 app`,
		`command: [pm2-runtime, start, a.js, -i, max]`:           `command: - pm2-runtime - start - a.js - -i - "1"`,
		`env: [{name: WEB_CONCURRENCY, value: "4"}], tty: false`: `env: - name: WEB_CONCURRENCY value: "1"`,
	} {
		got := check(field)
		if len(got) != 1 || !strings.Contains(strings.Join(strings.Fields(got[0]), " "), want) {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
}
