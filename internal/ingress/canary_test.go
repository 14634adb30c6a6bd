package ingress

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

const canaryObjects = `kind: IngressClass
metadata: {name: nginx}
spec: {controller: k8s.io/ingress-nginx}
---
kind: Ingress
metadata:
  name: shop
  namespace: default
  creationTimestamp: 2026-01-01T00:00:00Z
  annotations:
    nginx.ingress.kubernetes.io/affinity: "cookie"
    nginx.ingress.kubernetes.io/affinity-mode: "MODE"
    nginx.ingress.kubernetes.io/session-cookie-name: "s"
spec:
  ingressClassName: nginx
  rules:
  - http:
      paths:
      - {path: '/', pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}
---
kind: Ingress
metadata:
  name: next
  namespace: default
  creationTimestamp: 2026-02-01T00:00:00Z
  annotations:
    nginx.ingress.kubernetes.io/canary: "true"
    nginx.ingress.kubernetes.io/canary-weight: "10"
    nginx.ingress.kubernetes.io/affinity-canary-behavior: "BEHAVIOR"
spec:
  ingressClassName: nginx
  rules:
  - http:
      paths:
      - {path: '/', pathType: Prefix, backend: {service: {name: next, port: {number: 80}}}}
---
kind: Service
metadata: {name: shop, namespace: default}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
---
kind: Service
metadata: {name: next, namespace: default}
spec: {clusterIP: 10.96.0.11, ports: [{port: 80}]}
`

// TestCanaryCookie: an answer that names nobody comes with a cookie. Whose it is
// tells its second half at ingress-nginx, and the server at Traefik.
func TestCanaryCookie(t *testing.T) {
	const shop, next = "10.244.0.5:8080", "10.244.9.1:8080"
	persistent := func(backend, addr string) string { return md5hex(backend+addr) + "|" + backendKey(backend) }
	for _, tt := range []struct {
		name, mode, behavior, route, cookie string
		pod, detail                         string
	}{
		{"primary", "persistent", "sticky", "shop", persistent("default-shop-80", shop), "shop-1", "backend key of default-shop-80"},
		{"canary", "persistent", "sticky", "shop", persistent("default-next-80", next), "next-1", "svc/next, by ingress/next: md5(default-next-80"},
		{"seen from the canary", "persistent", "sticky", "next", persistent("default-shop-80", shop), "shop-1", "svc/shop, by ingress/shop: md5(default-shop-80"},
		{"its own route", "persistent", "sticky", "next", persistent("default-next-80", next), "next-1", "backend key of default-next-80"},
		{"canary, balanced", "balanced", "sticky", "shop", "1767225601.5.31.42|" + backendKey("default-next-80"), "next-1", "svc/next, by ingress/next: ring of 1"},
		{"primary, balanced", "balanced", "sticky", "shop", "1767225601.5.31.42|" + backendKey("default-shop-80"), "shop-1", "ring of 1"},
		{"legacy", "persistent", "legacy", "shop", persistent("default-next-80", next), "", ""},
		{"canary's key without its half", "persistent", "sticky", "shop", md5hex("default-next-80" + next), "", ""},
		{"Traefik's provider", "persistent", "sticky", "shop", traefikHash("http://" + next), "next-1", "svc/next, by ingress/next: http://" + next},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
			var st affinity.State
			apply := func(e affinity.Event) { st.Apply(e, now) }
			apply(affinity.Routes{Source: "objects", Routes: Build(load(t, strings.NewReplacer("MODE", tt.mode, "BEHAVIOR", tt.behavior).Replace(canaryObjects)))})
			for _, x := range []struct{ service, addr string }{{"shop", shop}, {"next", next}} {
				apply(affinity.EndpointsChanged{Service: affinity.ServiceRef{Namespace: "default", Name: x.service}, Endpoints: []affinity.Endpoint{
					{Addr: x.addr, IP: strings.TrimSuffix(x.addr, ":8080"), Pod: affinity.PodRef{Namespace: "default", Name: x.service + "-1"}, Ready: true, Serving: true}}})
			}
			route := affinity.RouteKey(affinity.RouteIngress, "default", tt.route, "", "/")
			apply(affinity.SessionOpened{Spec: affinity.SessionSpec{ID: "s01", Route: route, Transport: "http", Client: affinity.ClientBrowser}})
			apply(affinity.Observed{Session: "s01", Status: 200, Answer: affinity.Answer{Body: []byte("ok")},
				Offers: []affinity.Offer{{Name: "s", Value: affinity.Secret(tt.cookie), Path: "/"}}})
			s := st.Snapshot(now).Sessions[0]
			if s.Pod.Name != tt.pod {
				c, why := s.Condition(now)
				t.Fatalf("pod %q, want %q: %s, %s", s.Pod.Name, tt.pod, c, why)
			}
			if evidence := fmt.Sprint(s.Evidence); !strings.Contains(evidence, tt.detail) {
				t.Errorf("evidence %s, want %q in it", evidence, tt.detail)
			}
			if tt.pod == "" {
				return
			}
			r, _ := st.Snapshot(now).Route(route)
			notes := strings.Join(append(r.Policy().Notes, r.Notes...), "\n")
			if traefik := strings.Contains(tt.name, "Traefik"); traefik != strings.Contains(notes, "s-wrr") || traefik == strings.Contains(notes, "ingress/") {
				t.Errorf("%s is settled; its reader is told:\n%s", r.Policy().Controller, notes)
			}
			// The endpoint goes: so does the pin, whichever Service it was of.
			apply(affinity.EndpointsChanged{Service: affinity.ServiceRef{Namespace: "default", Name: strings.TrimSuffix(tt.pod, "-1")}})
			if c, why := st.Snapshot(now).Sessions[0].Condition(now); c != affinity.Orphan {
				t.Errorf("%s, %s: want %s", c, why, affinity.Orphan)
			}
		})
	}
}
