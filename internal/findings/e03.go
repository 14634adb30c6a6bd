package findings

import (
	"maps"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var e03 = Rule{
	ID: "E03", Title: "Many clients share one address", Severity: affinity.SeverityHigh,
	What:    "ClientIP affinity goes by the address from which a connection reaches the node, not by X-Forwarded-For. kube-proxy's own masquerading comes later and does no harm; a proxy in front does: all its clients are one client.",
	Shown:   "the tables of a node (--kernel) hold the address of an ingress pod (certain) or, likely and for one of them, of a node itself.",
	Impact:  "everybody lands on one pod",
	Fix:     "use a cookie on the ingress instead of ClientIP, or a load balancer that keeps the client's address",
	Verify:  "two clients from different networks reach different pods",
	Sources: []string{"kubernetes pkg/proxy/iptables/proxier.go (affinity is evaluated before the masquerade)", "kubernetes/kubernetes#43958", "kubernetes/kubernetes#36415", "kubernetes/kubernetes#55603", "socketio/socket.io#3044"},
	check: func(c *check) {
		for i := range c.routes {
			r := &c.routes[i]
			l, ok := r.Layer(affinity.LayerService)
			if !ok || l.Bypassed != "" || !clientIP(r.service) || !onClusterIP(r) {
				continue
			}
			if r.object.annotation(nginxPrefix+"ssl-passthrough") == "true" {
				c.hit(r.service, hit{title: "where the ingress passes TLS through, every client has the ingress controller's address", likely: true, route: r.ID,
					evidence: []affinity.FindingEvidence{r.service.field("spec", "sessionAffinity"), r.object.field(annotationPath(nginxPrefix + "ssl-passthrough")...)},
					fix:      "let the ingress end TLS, with a cookie: remove ssl-passthrough", patch: c.ask(r)})
				continue
			}
			c.hit(r.service, hit{title: "every client of the ingress has the ingress controller's address", severity: affinity.SeverityCritical, route: r.ID,
				evidence: []affinity.FindingEvidence{r.service.field("spec", "sessionAffinity"), r.object.noted("connects to the Service, not to pods", annotationPath(nginxPrefix+"service-upstream")...)},
				fix:      "let the ingress connect to pods, with a cookie: remove service-upstream (or nativeLB)", patch: c.toPods(r)})
		}
		for _, s := range c.services() {
			if !clientIP(s) || s.Str("spec", "type") != "LoadBalancer" {
				continue
			}
			for _, key := range proxyingBalancers {
				if v := s.annotation(key.name); v != "" && (key.value == "" || strings.Contains(v, key.value)) {
					c.hit(s, hit{title: "the load balancer proxies: its clients are one address", likely: true,
						evidence: []affinity.FindingEvidence{s.field("spec", "sessionAffinity"), s.field(annotationPath(key.name)...)}, fix: key.fix(), patch: key.mend(s)})
					break
				}
			}
		}
	},
}

// proxyingBalancers are annotations of load balancers that end the client's
// connection and open their own.
var proxyingBalancers = []proxying{
	{"service.beta.kubernetes.io/aws-load-balancer-backend-protocol", "http"},
	{"service.beta.kubernetes.io/aws-load-balancer-proxy-protocol", ""},
	{"service.beta.kubernetes.io/do-loadbalancer-protocol", "http"},
	{"service.beta.kubernetes.io/do-loadbalancer-enable-proxy-protocol", "true"},
	{"loadbalancer.openstack.org/proxy-protocol", "true"},
	{"load-balancer.hetzner.cloud/uses-proxyprotocol", "true"},
}

type proxying struct{ name, value string }

// keeps reports whether the balancer has another kind, which keeps the client's
// address: AWS' Network Load Balancer with its nodes as targets.
// [AWS documentation, "Target groups for your Network Load Balancers", Client IP preservation]
func (p proxying) keeps() bool { return strings.Contains(p.name, "/aws-load-balancer-") }

func (p proxying) fix() string {
	if p.keeps() {
		return "use a Network Load Balancer, which keeps the client's address (AWS makes a new load balancer, with another name), or a cookie on an ingress instead of ClientIP"
	}
	return "use a cookie on an ingress; ClientIP with this load balancer puts everybody on one pod, and is better removed"
}

func (p proxying) mend(s *Object) []edit {
	if !p.keeps() {
		return unpin(s)
	}
	e := of(s).set("service.beta.kubernetes.io/aws-load-balancer-type", "nlb")
	for _, q := range proxyingBalancers {
		if q.keeps() && s.annotation(q.name) != "" {
			e = e.unset(q.name)
		}
	}
	return []edit{e}
}

// toPods lets the controller of r connect to pods, and asks it for a cookie.
func (c *check) toPods(r *route) []edit {
	edits := c.ask(r)
	if r.by("traefik") && r.object.Kind == "Ingress" && r.service != nil {
		for _, key := range slices.Sorted(maps.Keys(r.service.Strings("metadata", "annotations"))) {
			if strings.EqualFold(key, traefikPrefix+"service.nativelb") {
				edits = append(edits, unannotate(r.service, key)...)
			}
		}
	}
	if r.object.Kind == "IngressRoute" {
		for _, at := range traefikServices(r) {
			if at = append(at, "nativeLB"); r.object.Has(at...) {
				edits = append(edits, operated(r.object, take(at...))...)
			}
		}
	}
	return edits
}

// onClusterIP reports whether the controller of r connects to the Service's
// virtual address.
func onClusterIP(r *route) bool {
	return r.policy.Controller == nginxKey || r.policy.Controller == "traefik-ingress-nginx" || r.policy.Controller == "" && r.object.annotation(nginxPrefix+"service-upstream") == "true" || strings.HasPrefix(r.policy.Controller, "traefik")
}
