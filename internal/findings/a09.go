package findings

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

var a09 = Rule{
	ID: "A09", Title: "sessionPersistence that the Gateway's controller does not implement", Severity: affinity.SeverityCritical,
	What:    "Gateway API session persistence (GEP-1619) is experimental. Each implementation decides whether it reads it, and the standard channel of the CRDs drops the field without a word.",
	Impact:  "no cookie is issued: every request may go to any pod",
	Fix:     "use the implementation's own policy, or one that supports sessionPersistence",
	Verify:  "stickytop get sessions {obj} --for 30s: states leave COOKIELESS",
	Sources: []string{"kubernetes-sigs/gateway-api#4258", "kubernetes-sigs/gateway-api#4876", "nginx/nginx-gateway-fabric#4515", "istio pilot/pkg/config/kube/gateway/backend_policies.go (sessionPersistence is not supported)", "istio/istio#55839", "traefik/traefik#11243"},
	check:   checkPersistence,
}

// gatewayControllers tell, by the start of GatewayClass spec.controllerName,
// who reads sessionPersistence, as far as is known.
var gatewayControllers = []struct {
	prefix, title string
	reads         bool // for certain
	unknown       bool // whether it does is not established
	instead       string
	use           func(*check, *Object, *Value) []edit // instead, for a rule of an HTTPRoute
}{
	{"gateway.envoyproxy.io/", "Envoy Gateway", true, false, "", nil},
	{"kgateway.dev/kgateway", "kgateway", true, false, "", nil},
	{"istio.io/gateway-controller", "Istio", false, false, "a DestinationRule with consistentHash. It pins nothing: a part of the sessions moves with each pod that comes or goes (C05)", istioInstead},
	{traefikGateway, "Traefik's Gateway provider", false, false, "an IngressRoute with sticky.cookie", traefikInstead},
	{"networking.gke.io/", "GKE", false, true, "a GCPBackendPolicy with sessionAffinity", gkeInstead},
	{"io.cilium/", "Cilium", false, false, "", nil},
	{nginxGateway, "NGINX Gateway Fabric", true, false, "", nil},
}

const traefikGateway = "traefik.io/gateway-controller"

// nginxGateway reads it with NGINX Plus. [nginx-gateway-fabric
// docs/proposals/session-persistence.md]
const nginxGateway = "gateway.nginx.org/nginx-gateway-controller"

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
	for _, p := range c.objects("XBackendTrafficPolicy") {
		if p.Has("spec", "sessionPersistence") {
			c.attached(p)
		}
	}
	for _, p := range c.objects("BackendLBPolicy") {
		c.hit(p, hit{title: "BackendLBPolicy was replaced by XBackendTrafficPolicy", severity: affinity.SeverityHigh, likely: true,
			evidence: []affinity.FindingEvidence{p.field("apiVersion")},
			fix:      "since Gateway API v1.3 it is XBackendTrafficPolicy, gateway.networking.x-k8s.io/v1alpha1; a route's sessionPersistence is read by more", patch: renamedPolicy(p)})
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
		if g.prefix == nginxGateway {
			c.hit(r, hit{title: g.title + " reads sessionPersistence with NGINX Plus only", severity: affinity.SeverityInfo, likely: true, evidence: evidence,
				impact: "with NGINX Plus and experimental features on, none; with open source NGINX no cookie is issued",
				fix:    "nothing with NGINX Plus; else tie clients by address, with an UpstreamSettingsPolicy of loadBalancingMethod: ip_hash, or serve the route by an implementation that has cookies"})
		}
		if !g.reads {
			h := hit{title: g.title + " does not read sessionPersistence", evidence: evidence, patch: operated(r, take(at...)),
				fix: "take it out: this implementation has no affinity by cookie; serve the route by one that has"}
			if g.unknown {
				h.title, h.severity, h.likely = g.title+" is not known to read sessionPersistence", affinity.SeverityMedium, true
			}
			if g.instead != "" {
				h.fix = "use " + g.instead
			}
			if g.use != nil {
				use := g.use(c, r, r.At(at[:len(at)-1]...))
				if g.prefix == traefikGateway && len(use) > 0 {
					h.patch = withoutRule(r, at[:len(at)-1])
					h.fix += ", in place of the rule, whose router would stay beside it"
				}
				h.patch = append(append(h.patch, use...), c.lastingOf(r)...)
			}
			c.hit(r, h)
		}
		return
	}
	c.hit(r, hit{title: "sessionPersistence is experimental, and this implementation is not known to read it", severity: affinity.SeverityMedium, likely: true, evidence: evidence,
		fix: "if a run shows no cookie, take it out and use the implementation's own policy, or one that supports sessionPersistence", patch: operated(r, take(at...))})
}

// attached looks at who serves the Services that a policy is for.
func (c *check) attached(p *Object) {
	at := []string{"spec", "sessionPersistence"}
	evidence := p.field(at...)
	for _, t := range p.Items("spec", "targetRefs") {
		if t.Str("kind") != "Service" {
			continue
		}
		for _, r := range c.look().backedBy[p.Namespace+"/"+t.Str("name")] {
			for n, parent := range r.Items("spec", "parentRefs") {
				gateway := c.named("Gateway", cmp.Or(parent.Str("namespace"), r.Namespace), parent.Str("name"))
				if gateway == nil {
					continue
				}
				class := c.named("GatewayClass", "", gateway.Str("spec", "gatewayClassName"))
				if class == nil {
					continue
				}
				for _, g := range gatewayControllers {
					if g.reads || !strings.HasPrefix(class.Str("spec", "controllerName"), g.prefix) {
						continue
					}
					h := hit{title: g.title + " does not read sessionPersistence of an XBackendTrafficPolicy", patch: patched(p, nest(nil, at...)),
						evidence: []affinity.FindingEvidence{evidence, r.noted("leads to service/"+affinity.Clean(t.Str("name"), 60), "spec", "parentRefs", strconv.Itoa(n), "name"), class.field("spec", "controllerName")},
						fix:      "take it out: this implementation has no affinity by cookie; serve the route by one that has"}
					if g.unknown {
						h.title, h.severity, h.likely = g.title+" is not known to read sessionPersistence of an XBackendTrafficPolicy", affinity.SeverityMedium, true
					}
					if g.instead != "" {
						h.fix = "use " + g.instead
					}
					if g.use != nil {
						for _, rule := range r.Items("spec", "rules") {
							h.patch = append(h.patch, g.use(c, r, rule)...)
						}
						h.patch = append(h.patch, c.lastingOf(r)...)
					}
					c.hit(p, h)
				}
			}
		}
	}
}

// istioHash lets Istio hash a cookie of its own for a Service: in the
// DestinationRule that it has, else in a new one.
func (c *check) istioHash(namespace, service string) []edit {
	e := istioCookie(namespace, service)
	for _, o := range c.look().hosts[service] {
		if ingress.IstioHostIn(o.Str("spec", "host"), o.Namespace, namespace) {
			at := []string{"spec", "trafficPolicy", "loadBalancer"}
			hash := e.made["spec"].(map[string]any)["trafficPolicy"].(map[string]any)["loadBalancer"].(map[string]any)
			if o.Has(append(at, "simple")...) { // one of the two
				hash["simple"] = nil
			}
			for _, other := range []string{"httpHeaderName", "httpQueryParameterName", "useSourceIp"} {
				if o.Has(append(at, "consistentHash", other)...) {
					hash["consistentHash"].(map[string]any)[other] = nil
				}
			}
			return patched(o, nest(hash, at...))
		}
	}
	return []edit{e}
}

// renamedPolicy is a BackendLBPolicy as the XBackendTrafficPolicy that took its
// place. [sigs.k8s.io/gateway-api CHANGELOG, v1.3.0]
func renamedPolicy(p *Object) []edit {
	gone := of(p)
	gone.deleted = true
	return []edit{{apiVersion: "gateway.networking.x-k8s.io/v1alpha1", kind: "XBackendTrafficPolicy", namespace: p.Namespace, name: p.Name,
		made: map[string]any{"spec": p.At("spec").plain()}}, gone}
}

// backends are the Services of a rule of an HTTPRoute, of its own namespace.
func backends(r *Object, rule *Value) (names []string) {
	for _, b := range rule.Items("backendRefs") {
		if kind := b.Str("kind"); (kind == "" || kind == "Service") && cmp.Or(b.Str("namespace"), r.Namespace) == r.Namespace && b.Str("name") != "" && !slices.Contains(names, b.Str("name")) {
			names = append(names, b.Str("name"))
		}
	}
	return names
}

func istioInstead(c *check, r *Object, rule *Value) (all []edit) {
	for _, name := range backends(r, rule) {
		all = append(all, c.istioHash(r.Namespace, name)...)
	}
	return all
}

func gkeInstead(_ *check, r *Object, rule *Value) (all []edit) {
	for _, name := range backends(r, rule) {
		all = append(all, edit{apiVersion: "networking.gke.io/v1", kind: "GCPBackendPolicy", namespace: r.Namespace, name: name,
			made: nest(map[string]any{"default": nest("GENERATED_COOKIE", "sessionAffinity", "type"), "targetRef": map[string]any{"group": "", "kind": "Service", "name": name}}, "spec")})
	}
	return all
}

// withoutRule takes a rule from an HTTPRoute, which goes with its last one.
func withoutRule(r *Object, at []string) []edit {
	if len(r.Items("spec", "rules")) > 1 {
		return operated(r, take(at...))
	}
	e := of(r)
	e.deleted = true
	return []edit{e}
}

// servesTLS is the tls of an IngressRoute that takes the place of an HTTPRoute:
// nil where a listener of its Gateways speaks HTTP.
func (c *check) servesTLS(r *Object) map[string]any {
	var tls map[string]any
	for _, parent := range r.Items("spec", "parentRefs") {
		ns := cmp.Or(parent.Str("namespace"), r.Namespace)
		gateway := c.named("Gateway", ns, parent.Str("name"))
		if gateway == nil {
			return nil
		}
		for _, l := range gateway.Items("spec", "listeners") {
			if section := parent.Str("sectionName"); section != "" && section != l.Str("name") {
				continue
			}
			if l.Str("protocol") != "HTTPS" {
				return nil
			}
			if tls == nil {
				tls = map[string]any{}
			}
			if secret := l.Str("tls", "certificateRefs", "0", "name"); secret != "" && ns == r.Namespace && cmp.Or(l.Str("tls", "certificateRefs", "0", "namespace"), ns) == ns {
				tls["secretName"] = secret
			}
		}
	}
	return tls
}

// traefikInstead is an IngressRoute with the paths of the rule, beside which the
// HTTPRoute keeps its others.
func traefikInstead(c *check, r *Object, rule *Value) []edit {
	tls := c.servesTLS(r)
	cookie := map[string]any{"name": cookieName(r.Name)}
	if tls != nil {
		cookie["secure"] = true
	}
	var services, routes []any
	for _, b := range rule.Items("backendRefs") {
		if port, ok := b.Int("port"); ok && b.Str("name") != "" {
			services = append(services, map[string]any{"name": b.Str("name"), "port": port, "sticky": map[string]any{"cookie": cookie}})
		}
	}
	var hosts []string
	for _, h := range r.At("spec").words("hostnames") {
		if strings.ContainsAny(h, "`*") {
			return nil
		}
		hosts = append(hosts, "Host(`"+h+"`)")
	}
	paths := rule.Items("matches")
	if len(paths) == 0 {
		paths = []*Value{{kind: kindMap}}
	}
	for _, m := range paths {
		path := cmp.Or(m.Str("path", "value"), "/")
		if m.Has("headers") || m.Has("queryParams") || m.Has("method") || strings.Contains(path, "`") {
			return nil
		}
		match := "PathPrefix(`" + path + "`)"
		switch m.Str("path", "type") {
		case "Exact":
			match = "Path(`" + path + "`)"
		case "RegularExpression":
			match = "PathRegexp(`" + path + "`)"
		}
		if len(hosts) > 0 {
			match = "(" + strings.Join(hosts, " || ") + ") && " + match
		}
		routes = append(routes, map[string]any{"kind": "Rule", "match": match, "services": services})
	}
	if len(services) == 0 {
		return nil
	}
	spec := map[string]any{"routes": routes}
	if tls != nil {
		spec["tls"] = tls
	}
	return []edit{{apiVersion: "traefik.io/v1alpha1", kind: "IngressRoute", namespace: r.Namespace, name: r.Name, made: map[string]any{"spec": spec}}}
}
