package manifest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/kubestickytop/stickytop/internal/findings"
)

// tenThousand is a cluster's worth of YAML: 2500 apps of an Ingress with
// affinity, a Service, a Deployment and a PodDisruptionBudget in 50 namespaces.
func tenThousand() []byte {
	var b bytes.Buffer
	for i := range 2500 {
		fmt.Fprintf(&b, `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: app%[1]d
  namespace: ns%[2]d
  annotations:
    nginx.ingress.kubernetes.io/affinity: cookie
    nginx.ingress.kubernetes.io/session-cookie-max-age: "3600"
spec:
  ingressClassName: nginx
  rules:
  - host: app%[1]d.example.com
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service:
            name: app%[1]d
            port:
              number: 80
---
apiVersion: v1
kind: Service
metadata:
  name: app%[1]d
  namespace: ns%[2]d
spec:
  selector:
    app: app%[1]d
  ports:
  - name: http
    port: 80
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app%[1]d
  namespace: ns%[2]d
spec:
  replicas: 3
  selector:
    matchLabels:
      app: app%[1]d
  template:
    metadata:
      labels:
        app: app%[1]d
    spec:
      containers:
      - name: app
        image: example.com/app:1
        ports:
        - containerPort: 80
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: app%[1]d
  namespace: ns%[2]d
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      app: app%[1]d
`, i, i%50)
	}
	return b.Bytes()
}

// BenchmarkLint reads and judges 10,000 objects.
func BenchmarkLint(b *testing.B) {
	text := tenThousand()
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
	objects, _ := Read(bytes.NewReader(tenThousand()), "all.yaml")
	for b.Loop() {
		findings.Check(findings.Facts{Objects: objects}, findings.Options{})
	}
}
