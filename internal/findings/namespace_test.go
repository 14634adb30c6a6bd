package findings_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/findings"
	"github.com/kubestickytop/stickytop/internal/manifest"
)

// TestRulesOfOtherNamespaces: a DestinationRule of another namespace is judged
// where it is about a Service of the one that is asked for.
func TestRulesOfOtherNamespaces(t *testing.T) {
	for _, test := range []struct {
		own, host string
		judged    bool
	}{
		{"shop", "web", true},
		{"shop", "api.example.com", true},
		{"blog", "web", false},
		{"blog", "web.shop", true},
		{"blog", "web.shop.svc.cluster.local", true},
		{"blog", "web.blog.svc.cluster.local", false},
		{"blog", "shop", false},
		{"blog", "web.shop.example.com", false},
		{"istio-system", "*", true},
		{"istio-system", "*.local", true},
		{"istio-system", "*.svc.cluster.local", true},
		{"istio-system", "*.shop.svc.cluster.local", true},
		{"istio-system", "*.blog.svc.cluster.local", false},
		{"istio-system", "*.example.com", false},
	} {
		text := strings.NewReplacer("OWN", test.own, "HOST", test.host).Replace(`apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: sticky, namespace: OWN}
spec: {host: "HOST", trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: JSESSIONID, ttl: 60s}, httpHeaderName: mcp-session-id}}}}
`)
		objects, problems := manifest.Read(strings.NewReader(text), "a.yaml")
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		var said []string
		for _, f := range findings.Check(findings.Facts{Objects: objects, Cluster: true, Namespace: "shop"}, findings.Options{Only: []string{"B08", "C05", "E05"}}).Findings {
			said = append(said, f.Rule)
		}
		slices.Sort(said)
		want := ""
		if test.judged {
			want = "B08 C05 E05"
		}
		if got := strings.Join(said, " "); got != want {
			t.Errorf("%s of %s: %q, want %q", test.host, test.own, got, want)
		}
		if all := findings.Check(findings.Facts{Objects: objects, Cluster: true}, findings.Options{Only: []string{"C05"}}).Findings; len(all) != 1 {
			t.Errorf("%s of %s: %d findings of all namespaces", test.host, test.own, len(all))
		}
	}
}

// TestSharedInOneSecond: of Ingresses that are as old the controller has an order,
// and so has what is told.
func TestSharedInOneSecond(t *testing.T) {
	ing := func(name, path, created string) string {
		return strings.NewReplacer("NAME", name, "PATH", path, "CREATED", created).Replace(`---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: NAME
  namespace: shop
  creationTimestamp: CREATED
  annotations: {nginx.ingress.kubernetes.io/affinity: cookie, nginx.ingress.kubernetes.io/session-cookie-path: PATH}
spec: {ingressClassName: nginx, rules: [{host: a.example, http: {paths: [{path: PATH, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}
`)
	}
	for created, want := range map[string]string{
		`"2026-01-01T00:00:00Z"`: "effective: affinity and mode of ingress/b, the cookie of ingress/a",
		"null":                   "decided by the order in which they are created",
	} {
		objects, _ := manifest.Read(strings.NewReader(ing("a", "/", created)+ing("b", "/b", created)), "a.yaml")
		all := findings.Check(findings.Facts{Objects: objects, Cluster: true, Namespace: "shop"}, findings.Options{Only: []string{"A04"}}).Findings
		if len(all) != 1 || !strings.Contains(all[0].Impact, want) {
			t.Errorf("created %s: %+v, want %s", created, all, want)
		}
	}
}
