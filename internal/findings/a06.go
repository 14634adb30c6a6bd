package findings

import (
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var a06 = Rule{
	ID: "A06", Title: "service-upstream turns stickiness off", Severity: affinity.SeverityCritical,
	What:    "With service-upstream the only upstream is the Service's virtual IP. The cookie is issued and names that address; the node then picks a pod for each new connection. Often added for a mesh.",
	Impact:  "the cookie comes and goes, and the pod changes all the same",
	Fix:     "remove service-upstream from routes that must be sticky",
	Verify:  "stickytop get sessions {obj} --for 30s: the pod stays",
	Sources: []string{"ingress-nginx docs/user-guide/nginx-configuration/annotations.md, Service Upstream, Known Issues", "run-x/opta#617", "run-x/opta#914"},
	check: func(c *check) {
		const key = nginxPrefix + "service-upstream"
		value, config, _ := c.controllerConfig("service-upstream")
		for _, ing := range c.ingresses {
			if !ing.annotated() || strings.TrimSpace(ing.Annotations[nginxPrefix+"affinity"]) != "cookie" {
				continue
			}
			affine := ing.field(annotationPath(nginxPrefix + "affinity")...)
			switch own, set := ing.Annotations[key]; {
			case set && strings.EqualFold(own, "true"):
				c.hit(ing.Object, hit{title: "service-upstream: true disables the affinity beside it", evidence: []affinity.FindingEvidence{ing.field(annotationPath(key)...), affine}, patch: unannotate(ing.Object, key)})
			case !set && value == "true":
				c.hit(ing.Object, hit{title: "the controller's service-upstream: true disables this affinity", likely: true,
					evidence: []affinity.FindingEvidence{config.field("data", "service-upstream"), affine}, patch: annotate(ing.Object, key, "false")})
			}
		}
	},
}
