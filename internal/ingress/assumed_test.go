package ingress

import (
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestAssumed wants a policy to say which of the controller's settings it takes
// for their defaults, and to say nothing of what it knows.
func TestAssumed(t *testing.T) {
	const nothing = ""
	for _, tt := range []struct {
		name        string
		controller  string
		annotations map[string]string
		config      NginxConfig
		want        string // begins with
	}{
		{"not read", "k8s.io/ingress-nginx", map[string]string{"affinity": "cookie"}, NginxConfig{Unread: "get configmaps in ingress-nginx is forbidden"},
			"defaults assumed (service-upstream, proxy-read-timeout): get configmaps in ingress-nginx is forbidden"},
		{"not yet", "k8s.io/ingress-nginx", map[string]string{"affinity": "cookie", "proxy-read-timeout": "90"}, NginxConfig{},
			"defaults assumed (service-upstream): the controller's ConfigMap was not looked for yet"},
		{"all said by the object", "k8s.io/ingress-nginx", map[string]string{"affinity": "cookie", "proxy-read-timeout": "90", "service-upstream": "false"}, NginxConfig{}, nothing},
		{"read", "k8s.io/ingress-nginx", map[string]string{"affinity": "cookie"}, NginxConfig{Name: "ingress-nginx/c"}, nothing},
		{"not sticky", "k8s.io/ingress-nginx", nil, NginxConfig{}, nothing},
		{"HAProxy", "haproxy-ingress.github.io/controller", nil, NginxConfig{}, "defaults assumed (what the objects do not set)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Objects{Classes: []Class{{Name: "c", Controller: tt.controller}}, NginxConfig: tt.config,
				Services: []Service{{Namespace: "n", Name: "web", ClusterIP: "10.0.0.1", Ports: []ServicePort{{Port: 80}}}}}
			ing := Ingress{Namespace: "n", Name: "web", ClassName: "c", Annotations: map[string]string{},
				Rules: []Rule{{Host: "h", Paths: []Path{{Path: "/", Type: "Prefix", Backend: Backend{Service: "web", PortNumber: 80}}}}}}
			for k, v := range tt.annotations {
				ing.Annotations["nginx.ingress.kubernetes.io/"+k] = v
			}
			o.Ingresses = []Ingress{ing}
			layer, _ := Build(o)[0].Layer(affinity.LayerIngress)
			got := layer.Policy().Assumed
			if tt.want == nothing && got != "" || !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
