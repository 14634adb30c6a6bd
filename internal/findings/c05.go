package findings

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var c05 = Rule{
	ID: "C05", Title: "Affinity by hash moves with every change of the endpoints", Severity: affinity.SeverityHigh,
	What:    "Ring hash and Maglev (Contour's Cookie, Istio's consistentHash, Envoy Gateway's ConsistentHash, Kong's consistent-hashing, ingress-nginx' upstream-hash-by) compute the pod from the endpoints of the moment. There is no pin: when the endpoints change, some clients move, with nothing in the browser to show it.",
	Impact:  "a part of the sessions moves with each pod that comes or goes",
	Fix:     "use affinity that names the pod where the controller has it: sessionPersistence of Envoy Gateway, ingress-nginx' affinity: cookie with mode persistent, Istio's PERSISTENT_SESSION_LABEL",
	Verify:  "scale by one while stickytop runs on the route: no MOVED-SILENT",
	Sources: []string{"projectcontour/contour#3808", "projectcontour/contour#1530", "istio/istio#37910", "istio/istio#56268", "envoyproxy/gateway#7561", "nforgeio/neonKUBE#1017"},
	check: func(c *check) {
		for _, h := range c.hashed() {
			fix, patch := c.pinned(h)
			c.hit(h.object, hit{title: h.title + ": sessions move when pods come or go", evidence: []affinity.FindingEvidence{h.evidence}, fix: fix, patch: patch})
		}
	},
}

// pinned replaces a hash by affinity that names the pod; fix says how, where it
// is not the rule's.
func (c *check) pinned(h hashing) (fix string, edits []edit) {
	o := h.object
	switch o.Kind {
	case "Ingress":
		if i, ok := c.look().ingresses[o]; ok {
			return "use affinity: cookie with mode persistent", c.askIngress(c.ingresses[i], nginxKey)
		}
	case "DestinationRule":
		host, rest, _ := strings.Cut(o.Str("spec", "host"), ".")
		namespace, _, _ := strings.Cut(rest, ".")
		if host == "" || strings.HasPrefix(host, "*") {
			return "", nil
		}
		label := serviceEdit(cmp.Or(namespace, o.Namespace), host)
		label.fields = nest(cookieName(host), "metadata", "labels", "istio.io/persistent-session")
		istiod := edit{apiVersion: "apps/v1", kind: "Deployment", namespace: "istio-system", name: "istiod", fields: nest([]any{map[string]any{"name": "discovery",
			"env": []any{map[string]any{"name": "PILOT_ENABLE_PERSISTENT_SESSION_FILTER", "value": "true"}}}}, "spec", "template", "spec", "containers")}
		drop := of(o)
		drop.fields = nest(nil, "spec", "trafficPolicy", "loadBalancer", "consistentHash")
		return "let Istio's cookie name the pod: the label istio.io/persistent-session on the Service, with PILOT_ENABLE_PERSISTENT_SESSION_FILTER=true in istiod (off by default)",
			[]edit{label, istiod, drop}
	case "BackendTrafficPolicy":
		edits := patched(o, nest(nil, "spec", "loadBalancer"))
		for _, t := range append(slices.Clip(o.Items("spec", "targetRefs")), o.At("spec", "targetRef")) {
			route := c.named("HTTPRoute", o.Namespace, t.Str("name"))
			if t.Str("kind") != "HTTPRoute" || route == nil {
				continue
			}
			edits = append(edits, persistentRules(route)...)
			for _, r := range c.look().routes[route] {
				edits = append(edits, c.lasting(r, false)...)
			}
		}
		return "give the rules of the HTTPRoutes a sessionPersistence, whose cookie names the pod, and take the hash away", edits
	case "KongUpstreamPolicy":
		for i := range c.routes {
			if r := &c.routes[i]; len(edits) < maxSharing && r.service != nil && r.service.Namespace == o.Namespace && r.service.annotation("konghq.com/upstream-policy") == o.Name {
				for _, x := range r.loads {
					edits = append(edits, c.budgetPatch(x)...)
				}
			}
		}
		return "Kong has another affinity in its Enterprise version only, stickySessions: without it keep changes of the pods few (a PodDisruptionBudget, slow scale-downs), or serve the route by a controller whose cookie names the pod", edits
	case "HTTPProxy":
		for _, r := range c.look().routes[o] {
			for _, x := range r.loads {
				edits = append(edits, c.budgetPatch(x)...)
			}
		}
		return "Contour has no other affinity: keep changes of the pods few (a PodDisruptionBudget, slow scale-downs), or serve the route by a controller whose cookie names the pod", edits
	}
	return "", nil
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
	for _, o := range w.objects("KongUpstreamPolicy") {
		if o.Str("spec", "algorithm") == "consistent-hashing" && o.Has("spec", "hashOn") && !o.Has("spec", "stickySessions") {
			all = append(all, hashing{o, "Kong consistent-hashing", o.field("spec", "algorithm")})
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
