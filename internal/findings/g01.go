package findings

import (
	"cmp"
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
	Needs:   []string{"Namespace"},
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
				patch: c.skip(x, sticky)}
			if strings.Contains(why.Field, "istio") {
				h.patch = patched(x.Object, nest("", "spec", "template", "metadata", "annotations", "traffic.sidecar.istio.io/includeOutboundIPRanges"))
			}
			c.hit(x.Object, h)
		}
		for _, r := range sticky {
			for _, name := range []string{"configuration-snippet", "server-snippet"} {
				if key := nginxPrefix + name; strings.Contains(r.object.annotation(key), "l5d-dst-override") {
					c.hit(r.object, hit{title: "l5d-dst-override hands the choice of the pod to Linkerd", route: r.ID, evidence: []affinity.FindingEvidence{r.object.field(annotationPath(key)...)},
						fix: "take the header out of the snippet", patch: withoutLine(r.object, key, "l5d-dst-override")})
				}
			}
		}
	},
}

// skip keeps Linkerd's sidecar out of connections to the ports of the sticky
// routes' pods; where those are not known, out of the controller's pods.
func (c *check) skip(x *workload, sticky []*route) []edit {
	var ports []string
	for _, r := range sticky {
		n := c.podPort(r)
		if n == "" {
			return patched(x.Object, nest("disabled", "spec", "template", "metadata", "annotations", "linkerd.io/inject"))
		}
		if !slices.Contains(ports, n) {
			ports = append(ports, n)
		}
	}
	slices.Sort(ports)
	return patched(x.Object, nest(strings.Join(ports, ","), "spec", "template", "metadata", "annotations", "config.linkerd.io/skip-outbound-ports"))
}

// podPort is the number of the port of r's pods; "" when it is not known.
func (c *check) podPort(r *route) string {
	for _, p := range r.service.serviceItems() {
		if p.Str("name") != r.Backend.Port && p.Str("port") != r.Backend.Port {
			continue
		}
		target := cmp.Or(p.Str("targetPort"), p.Str("port"))
		if isNumber(target) {
			return target
		}
		for _, x := range r.loads {
			for _, cont := range x.containers() {
				for _, q := range cont.Items("ports") {
					if q.Str("name") == target {
						return q.Str("containerPort")
					}
				}
			}
		}
	}
	return ""
}

// serviceItems are the ports of a Service that may be nil.
func (o *Object) serviceItems() []*Value {
	if o == nil {
		return nil
	}
	return o.Items("spec", "ports")
}

// withoutLine takes the lines with a word out of an annotation.
func withoutLine(o *Object, key, word string) []edit {
	var b strings.Builder
	for line := range strings.Lines(o.annotation(key)) {
		if !strings.Contains(line, word) {
			b.WriteString(line)
		}
	}
	if strings.TrimSpace(b.String()) == "" {
		return unannotate(o, key)
	}
	return annotate(o, key, b.String())
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
