package findings

import (
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var c05 = Rule{
	ID: "C05", Title: "Affinity by hash moves with every change of the endpoints", Severity: affinity.SeverityHigh,
	What:    "Ring hash and Maglev (Contour's Cookie, Istio's consistentHash, Envoy Gateway's ConsistentHash, ingress-nginx' upstream-hash-by) compute the pod from the endpoints of the moment. There is no pin: when the endpoints change, some clients move, with nothing in the browser to show it.",
	Impact:  "a part of the sessions moves with each pod that comes or goes",
	Fix:     "use affinity that names the pod where the controller has it: sessionPersistence of Envoy Gateway, ingress-nginx' affinity: cookie with mode persistent, Istio's PERSISTENT_SESSION_LABEL",
	Verify:  "scale by one while stickytop runs on the route: no MOVED-SILENT",
	Sources: []string{"projectcontour/contour#3808", "projectcontour/contour#1530", "istio/istio#37910", "istio/istio#56268", "envoyproxy/gateway#7561", "nforgeio/neonKUBE#1017"},
	check: func(c *check) {
		for _, h := range c.hashed() {
			c.hit(h.object, hit{title: h.title + ": sessions move when pods come or go", evidence: []affinity.FindingEvidence{h.evidence}})
		}
	},
}

type hashing struct {
	object   *Object
	title    string
	evidence affinity.FindingEvidence
}

// hashed are the objects that ask for affinity by hash.
func (w *world) hashed() []hashing {
	var all []hashing
	for _, o := range w.objects("HTTPProxy") {
		for i, r := range o.Items("spec", "routes") {
			if s := r.Str("loadBalancerPolicy", "strategy"); s == "Cookie" || s == "RequestHash" {
				all = append(all, hashing{o, "Contour " + s, o.field("spec", "routes", strconv.Itoa(i), "loadBalancerPolicy", "strategy")})
			}
		}
	}
	for _, o := range w.destinationRules() {
		if at := []string{"spec", "trafficPolicy", "loadBalancer", "consistentHash"}; o.Has(at...) {
			all = append(all, hashing{o, "Istio consistentHash", o.field(at...)})
		}
	}
	for _, o := range w.objects("BackendTrafficPolicy") {
		if o.Str("spec", "loadBalancer", "type") == "ConsistentHash" {
			all = append(all, hashing{o, "Envoy Gateway ConsistentHash", o.field("spec", "loadBalancer", "type")})
		}
	}
	for _, ing := range w.ingresses {
		const key = nginxPrefix + "upstream-hash-by"
		if ing.annotated() && ing.Annotations[key] != "" && strings.TrimSpace(ing.Annotations[nginxPrefix+"affinity"]) != "cookie" {
			all = append(all, hashing{ing.Object, "upstream-hash-by", ing.field(annotationPath(key)...)})
		}
	}
	return all
}
