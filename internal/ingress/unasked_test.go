package ingress

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// TestNobodyAsked: of all that is read, OpenShift's router alone makes a cookie
// where no object asks for one; it says so. [openshift/router
// images/router/haproxy/conf/haproxy-config.template; for the others, what each
// file here names: the cookie needs an annotation, a policy or a field]
func TestNobodyAsked(t *testing.T) {
	services := []Service{{Namespace: "shop", Name: "web", Type: "NodePort", ClusterIP: "10.96.0.1", Ports: []ServicePort{{Name: "http", Port: 80}}}}
	classes := map[string]string{"nginx": "k8s.io/ingress-nginx", "traefik-ingress-nginx": "k8s.io/ingress-nginx", "traefik": traefikController, "haproxytech": haproxytechController,
		"haproxy-ingress": haproxyIngressController, "nginx-inc": "nginx.org/ingress-controller", "contour": "projectcontour.io/contour", "kong": "ingress-controllers.konghq.com/kong",
		"istio": "istio.io/ingress-controller", "openshift": "openshift.io/ingress-to-route", "aws-alb": "ingress.k8s.aws/alb", "azure-agic": "azure/application-gateway"}
	check := func(what string, o Objects, by string) {
		t.Helper()
		o.Services = services
		routes := Build(o)
		if len(routes) == 0 {
			t.Errorf("%s: no route", what)
		}
		for _, r := range routes {
			l, _ := r.Layer(affinity.LayerIngress)
			if len(l.Candidates) == 0 {
				t.Errorf("%s: nobody serves it", what)
			}
			for _, p := range l.Candidates {
				sticky := p.Mechanism == affinity.MechanismCookie || p.Mechanism == affinity.MechanismClientIP
				if sticky != (by == openshiftKey) || p.Unasked != sticky {
					t.Errorf("%s, %s: %v (%s), unasked %v", what, p.Controller, p.Mechanism, p.Why, p.Unasked)
				}
			}
		}
	}
	for _, c := range Controllers {
		ing := Ingress{Namespace: "shop", Name: "web", ClassName: "edge", Rules: []Rule{{Host: "shop.example.com", Paths: []Path{{Path: "/", Type: "Prefix", Backend: Backend{Service: "web", PortNumber: 80}}}}}}
		o := Objects{Classes: []Class{{Name: "edge", Controller: classes[c.Key()]}}}
		if key := c.Key(); classes[key] == "" && key != nginxKey { // these go by the annotation of the class
			ing.ClassName, ing.Annotations, o.Classes = "", map[string]string{annotationClass: key}, nil
		} else if key == nginxKey {
			o.Classes[0].Controller = classes["nginx"]
		}
		o.Ingresses = []Ingress{ing}
		check("an Ingress of "+c.Key(), o, c.Key())
	}
	for _, g := range gatewayControllers {
		check("an HTTPRoute of "+g.name, Objects{Custom: loadCustoms(t, fmt.Sprintf(`
kind: GatewayClass
metadata: {name: gw}
spec: {controllerName: %s}
---
kind: Gateway
metadata: {namespace: shop, name: gw}
spec: {gatewayClassName: gw, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
kind: HTTPRoute
metadata: {namespace: shop, name: web}
spec: {parentRefs: [{name: gw}], hostnames: [shop.example.com], rules: [{backendRefs: [{name: web, port: 80}]}]}
`, g.name))}, g.key)
	}
	for kind, spec := range map[string]string{
		"HTTPProxy":     "{virtualhost: {fqdn: shop.example.com}, routes: [{services: [{name: web, port: 80}]}]}",
		"VirtualServer": "{host: shop.example.com, upstreams: [{name: web, service: web, port: 80}], routes: [{path: /, action: {pass: web}}]}",
		"Route":         "{host: shop.example.com, to: {kind: Service, name: web}}",
	} {
		by := ""
		if kind == "Route" {
			by = openshiftKey
		}
		check(kind, Objects{Custom: loadCustoms(t, fmt.Sprintf("kind: %s\nmetadata: {namespace: shop, name: web}\nspec: %s\n", kind, spec))}, by)
	}
}

func loadCustoms(t *testing.T, text string) (all []Custom) {
	t.Helper()
	for doc := range strings.SplitSeq(text, "---\n") {
		c, ok := loadCustom(t, doc)
		if !ok {
			t.Fatalf("no custom object: %s", doc)
		}
		all = append(all, c)
	}
	return all
}
