package findings

import (
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var g01 = Rule{
	ID: "G01", Title: "A mesh balances what the ingress controller has chosen", Severity: affinity.SeverityCritical,
	What:    "A sidecar of Linkerd or Istio in the controller's pods intercepts its connections and picks a pod again.",
	Impact:  "the cookie is set, and requests go to any pod",
	Fix:     "keep the sidecar out of the controller's outbound connections, or out of its pods",
	Verify:  "stickytop get sessions on a sticky route --for 30s: the pod stays",
	Sources: []string{"linkerd/linkerd2#11604", "linkerd/linkerd2#4956", "kubernetes/ingress-nginx#6019"},
	check: func(c *check) {
		sticky := c.stickyRoutes("")
		if len(sticky) == 0 || c.unasked[sticky[0].ID] != "" {
			return
		}
		for _, x := range c.workloads {
			if _, ok := controllerImage(x); !ok {
				continue
			}
			pod := []string{"spec", "template", "metadata"}
			at := func(kind, key string) []string { return append(slices.Clone(pod), kind, key) }
			var why affinity.FindingEvidence
			ns := c.named("Namespace", "", x.Namespace)
			switch {
			case x.Str(at("annotations", "linkerd.io/inject")...) == "enabled" || x.Str(at("annotations", "linkerd.io/inject")...) == "ingress":
				why = x.field(at("annotations", "linkerd.io/inject")...)
			case x.Str(at("labels", "sidecar.istio.io/inject")...) == "true":
				why = x.field(at("labels", "sidecar.istio.io/inject")...)
			case x.Str(at("annotations", "sidecar.istio.io/inject")...) == "true":
				why = x.field(at("annotations", "sidecar.istio.io/inject")...)
			case ns != nil && ns.Str("metadata", "labels", "istio-injection") == "enabled" && x.Str(at("labels", "sidecar.istio.io/inject")...) != "false" && x.Str(at("annotations", "sidecar.istio.io/inject")...) != "false":
				why = ns.field("metadata", "labels", "istio-injection")
			case ns != nil && ns.annotation("linkerd.io/inject") == "enabled" && x.Str(at("annotations", "linkerd.io/inject")...) != "disabled":
				why = ns.field(annotationPath("linkerd.io/inject")...)
			default:
				continue
			}
			if skipsOutbound(x) {
				continue
			}
			h := hit{title: "the ingress controller's pods have a sidecar that balances again", likely: true, evidence: []affinity.FindingEvidence{why, sticky[0].object.noted("asks for stickiness", "metadata", "annotations")},
				patch: "spec:\n  template:\n    metadata:\n      annotations:\n        config.linkerd.io/skip-outbound-ports: \"PORTS OF THE APPS\""}
			if strings.Contains(why.Field, "istio") {
				h.patch = "spec:\n  template:\n    metadata:\n      annotations:\n        traffic.sidecar.istio.io/includeOutboundIPRanges: \"\""
			}
			c.hit(x.Object, h)
		}
		for _, r := range sticky {
			for _, name := range []string{"configuration-snippet", "server-snippet"} {
				if key := nginxPrefix + name; strings.Contains(r.object.annotation(key), "l5d-dst-override") {
					c.hit(r.object, hit{title: "l5d-dst-override hands the choice of the pod to Linkerd", route: r.ID, evidence: []affinity.FindingEvidence{r.object.field(annotationPath(key)...)}})
				}
			}
		}
	},
}

// skipsOutbound reports whether the sidecar is told to leave outbound
// connections alone.
func skipsOutbound(x *workload) bool {
	a := x.Strings("spec", "template", "metadata", "annotations")
	if a["config.linkerd.io/skip-outbound-ports"] != "" || a["traffic.sidecar.istio.io/excludeOutboundPorts"] != "" || a["traffic.sidecar.istio.io/excludeOutboundIPRanges"] != "" {
		return true
	}
	ranges, set := a["traffic.sidecar.istio.io/includeOutboundIPRanges"]
	return set && ranges == ""
}

// controllerImage is the first container that runs ingress-nginx.
func controllerImage(x *workload) (int, bool) {
	for i, c := range x.containers() {
		image := c.Str("image")
		if strings.Contains(image, "ingress-nginx/controller") || strings.Contains(image, "nginx-ingress-controller") {
			return i, true
		}
	}
	return 0, false
}
