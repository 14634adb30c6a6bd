package ingress

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestServiceUpstreamByDefault: the ConfigMap's service-upstream counts where
// the annotation says nothing.
func TestServiceUpstreamByDefault(t *testing.T) {
	const objects = `
kind: IngressClass
metadata: {name: nginx}
spec: {controller: k8s.io/ingress-nginx}
---
kind: Ingress
metadata:
  name: web
  namespace: default
  annotations:
    nginx.ingress.kubernetes.io/affinity: "cookie"
spec:
  ingressClassName: nginx
  rules:
  - host: a.example.com
    http:
      paths:
      - {path: '/', pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
---
kind: Service
metadata:
  name: web
  namespace: default
spec:
  clusterIP: 10.96.0.10
  ports: [{name: http, port: 80, targetPort: 8080}]
  sessionAffinity: ClientIP
`
	const said = "service-upstream of configmap ingress-nginx/controller: the only upstream is the Service's ClusterIP"
	for _, tt := range []struct {
		name, own string // the annotation; "" for none
		byDefault bool
		pods      bool
	}{
		{"off", "", false, true},
		{"on", "", true, false},
		{"on, but not here", "false", true, true},
		{"on, and here too", "true", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := load(t, objects)
			o.NginxConfig = NginxConfig{Name: "ingress-nginx/controller", ServiceUpstream: tt.byDefault}
			if tt.own != "" {
				o.Ingresses[0].Annotations[nginxPrefix+"service-upstream"] = tt.own
			}
			r := Build(o)[0]
			if pods := r.Policy().Decoder != nil; pods != tt.pods {
				t.Errorf("the cookie holds a pod: %v, want %v", pods, tt.pods)
			}
			if l, _ := r.Layer(affinity.LayerService); (l.Bypassed != "") != tt.pods {
				t.Errorf("ClientIP is bypassed: %q", l.Bypassed)
			}
			named := slices.ContainsFunc(r.Policy().Notes, func(n string) bool { return strings.HasPrefix(n, said) })
			if want := tt.byDefault && tt.own == ""; named != want {
				t.Errorf("names the ConfigMap: %v, notes %q", named, r.Policy().Notes)
			}
		})
	}
}
