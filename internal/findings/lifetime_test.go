package findings_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/manifest"
)

// verdicts are what one rule says of an Ingress of ingress-nginx with a sticky
// route and one more annotation.
func verdicts(t *testing.T, rule, path, key, value string) string {
	t.Helper()
	in := fmt.Sprintf(`apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  annotations:
    nginx.ingress.kubernetes.io/affinity: cookie
    nginx.ingress.kubernetes.io/%s: "%s"
spec:
  ingressClassName: edge
  rules:
  - host: shop.example.com
    http:
      paths:
      - path: %s
        pathType: Prefix
        backend: {service: {name: web, port: {number: 80}}}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: edge}
spec: {controller: k8s.io/ingress-nginx}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ingress-nginx-controller}
spec:
  template:
    metadata: {labels: {app: ingress-nginx}}
    spec:
      containers:
      - name: controller
        image: registry.k8s.io/ingress-nginx/controller:v1.12.0
`, key, value, path)
	objects, problems := manifest.Read(strings.NewReader(in), "f")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return titles(findings.Check(findings.Facts{Objects: objects}, findings.Options{Only: []string{rule}}).Findings)
}

// TestLifetimeThatLasts wants no alarm about a cookie that outlives the visits
// that it is set against.
func TestLifetimeThatLasts(t *testing.T) {
	for age, want := range map[string]string{"1800": " high ", "10800": " high ", "21599": " high ", "21600": " low ", "43200": " low ", "86400": " info ", "172800": " info "} {
		if got := verdicts(t, "B10", "/", "session-cookie-max-age", age); !strings.Contains(got, "B10"+want) || strings.Count(got, "B10") != 1 {
			t.Errorf("%s s: %s, want%s", age, got, want)
		}
	}
}

// TestPingOfEngineIO wants its ping spoken of where Engine.IO may be, and not on
// the path of other WebSockets.
func TestPingOfEngineIO(t *testing.T) {
	for _, tt := range []struct{ path, timeout, want string }{
		{"/socket.io", "60", "I05 ok"},
		{"/socket.io", "20", "I05 high"},
		{"/", "60", "I05 ok"},
		{"/ws", "60", "I05 info likely ingress/web: a WebSocket on /ws that is silent for 60 s is cut"},
		{"/ws", "20", "I05 medium likely ingress/web: a WebSocket on /ws that is silent for 20 s is cut"},
		{"/ws", "3600", ""},
		{"/ws/socket.io", "60", "I05 ok"},
	} {
		got := verdicts(t, "I05", tt.path, "proxy-read-timeout", tt.timeout)
		if !strings.Contains(got, tt.want) || tt.want == "" && got != "" || strings.Contains(got, "Engine.IO") && tt.path == "/ws" {
			t.Errorf("%s %s s: %s, want %q", tt.path, tt.timeout, got, tt.want)
		}
	}
}

// TestGraceInProportion wants pods to have as long as their sessions may last,
// and five minutes where that is longer or not known.
func TestGraceInProportion(t *testing.T) {
	text, err := os.ReadFile("testdata/fixes/short-cookie.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for age, want := range map[string]string{"30": "", "60": "60", "90": "90", "300": "300", "10800": "300"} {
		in := strings.Replace(string(text), "session-cookie-max-age: '60'", "session-cookie-max-age: '"+age+"'", 1)
		if age != "60" && in == string(text) {
			t.Fatal("nothing was replaced")
		}
		objects, problems := manifest.Read(strings.NewReader(in), "f")
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		got := findings.Check(findings.Facts{Objects: objects}, findings.Options{Only: []string{"C03"}}).Findings
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0].Patch, "terminationGracePeriodSeconds: "+want+"\n") && !strings.HasSuffix(got[0].Patch, "terminationGracePeriodSeconds: "+want)) {
			t.Errorf("a cookie of %s s: %v, want %q", age, got, want)
		}
	}
}
