package findings

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var a09 = Rule{
	ID: "A09", Title: "sessionPersistence that the Gateway's controller does not implement", Severity: affinity.SeverityCritical,
	What:    "Gateway API session persistence (GEP-1619) is experimental. Each implementation decides whether it reads it, and the standard channel of the CRDs drops the field without a word.",
	Impact:  "no cookie is issued: every request may go to any pod",
	Fix:     "use the implementation's own policy, or one that supports sessionPersistence",
	Verify:  "stickytop get sessions {obj} --for 30s: states leave COOKIELESS",
	Sources: []string{"kubernetes-sigs/gateway-api#4258", "kubernetes-sigs/gateway-api#4876", "nginx/nginx-gateway-fabric#4515", "istio pilot/pkg/config/kube/gateway/backend_policies.go", "traefik/traefik#11243"},
	check:   checkPersistence,
}

// gatewayControllers tell, by the start of GatewayClass spec.controllerName,
// who reads sessionPersistence, as far as is known.
var gatewayControllers = []struct {
	prefix, title string
	reads         bool
	instead       string
}{
	{"gateway.envoyproxy.io/", "Envoy Gateway", true, ""},
	{"kgateway.dev/kgateway", "kgateway", true, ""},
	{"istio.io/gateway-controller", "Istio", false, "a DestinationRule with consistentHash"},
	{"traefik.io/gateway-controller", "Traefik's Gateway provider", false, "an IngressRoute with sticky.cookie"},
	{"networking.gke.io/", "GKE", false, "a GCPBackendPolicy with sessionAffinity"},
	{"io.cilium/", "Cilium", false, ""},
}

func checkPersistence(c *check) {
	for _, r := range c.objects("HTTPRoute") {
		for i, rule := range r.Items("spec", "rules") {
			at := []string{"spec", "rules", strconv.Itoa(i), "sessionPersistence"}
			if !rule.Has("sessionPersistence") {
				continue
			}
			for n, parent := range r.Items("spec", "parentRefs") {
				c.persistence(r, at, parent, strconv.Itoa(n))
			}
		}
	}
	for _, p := range c.objects("BackendLBPolicy") {
		c.hit(p, hit{title: "BackendLBPolicy was replaced by XBackendTrafficPolicy", severity: affinity.SeverityHigh, likely: true,
			evidence: []affinity.FindingEvidence{p.field("apiVersion")},
			fix:      "since Gateway API v1.3 it is XBackendTrafficPolicy, gateway.networking.x-k8s.io/v1alpha1; a route's sessionPersistence is read by more"})
	}
}

func (c *check) persistence(r *Object, at []string, parent *Value, n string) {
	ns := cmp.Or(parent.Str("namespace"), r.Namespace)
	gateway := c.named("Gateway", ns, parent.Str("name"))
	if gateway == nil {
		c.notChecked(r, fmt.Sprintf("Gateway %s/%s, which tells the implementation, is not among the objects", ns, affinity.Clean(parent.Str("name"), 60)))
		return
	}
	class := c.named("GatewayClass", "", gateway.Str("spec", "gatewayClassName"))
	if class == nil {
		c.notChecked(r, fmt.Sprintf("GatewayClass %s, which tells the implementation, is not among the objects", affinity.Clean(gateway.Str("spec", "gatewayClassName"), 60)))
		return
	}
	name := class.Str("spec", "controllerName")
	evidence := []affinity.FindingEvidence{r.field(at...), r.noted("parent", "spec", "parentRefs", n, "name"), class.field("spec", "controllerName")}
	for _, g := range gatewayControllers {
		if !strings.HasPrefix(name, g.prefix) {
			continue
		}
		if !g.reads {
			h := hit{title: g.title + " does not read sessionPersistence", evidence: evidence}
			if g.instead != "" {
				h.fix = "use " + g.instead
			}
			c.hit(r, h)
		}
		return
	}
	c.hit(r, hit{title: "sessionPersistence is experimental, and this implementation is not known to read it", severity: affinity.SeverityMedium, likely: true, evidence: evidence})
}
