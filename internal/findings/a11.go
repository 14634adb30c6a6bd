package findings

import (
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var a11 = Rule{
	ID: "A11", Title: "ALB stickiness with instance targets", Severity: affinity.SeverityCritical,
	What:    "With target-type: instance the load balancer's cookie pins a node. kube-proxy then picks any pod of the Service for each new connection.",
	Impact:  "the cookie stays the same and the pod changes",
	Fix:     "set target-type: ip, so that targets are pods",
	Verify:  "stickytop get sessions {obj} --for 30s: the pod stays while the cookie rotates",
	Sources: []string{"kubernetes-sigs/aws-load-balancer-controller#895", "kubernetes-sigs/aws-load-balancer-controller#1313", "kubernetes-sigs/aws-load-balancer-controller#1614", "kubernetes-sigs/aws-load-balancer-controller#2494"},
	check: func(c *check) {
		for _, ing := range c.ingresses {
			value := ing.Annotations[albAttributes]
			if !strings.Contains(strings.ReplaceAll(value, " ", ""), "stickiness.enabled=true") || len(ing.served.Keys) > 0 && !ing.served.By("aws-alb") {
				continue
			}
			kind, set := ing.Annotations[albTargetType]
			if kind == "ip" {
				continue
			}
			c.hit(ing.Object, hit{title: "stickiness pins nodes, not pods", likely: !set,
				evidence: []affinity.FindingEvidence{ing.field(annotationPath(albAttributes)...), ing.noted("the controller's default is instance, unless it was started with --default-target-type=ip", annotationPath(albTargetType)...)},
				patch:    annotate(ing.Object, albTargetType, "ip")})
		}
	},
}

const (
	albAttributes = "alb.ingress.kubernetes.io/target-group-attributes"
	albTargetType = "alb.ingress.kubernetes.io/target-type"
)
