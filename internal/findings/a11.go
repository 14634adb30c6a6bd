package findings

import (
	"encoding/json"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var a11 = Rule{
	ID: "A11", Title: "A cloud load balancer's stickiness pins nodes", Severity: affinity.SeverityCritical,
	What:    "With target-type: instance (AWS), or without network endpoint groups (GKE), the load balancer's cookie pins a node. kube-proxy then picks any pod of the Service for each new connection.",
	Impact:  "the cookie stays the same and the pod changes",
	Fix:     "let the targets be pods: target-type: ip (AWS), the annotation cloud.google.com/neg (GKE)",
	Verify:  "stickytop get sessions {obj} --for 30s: the pod stays while the cookie rotates",
	Sources: []string{"kubernetes-sigs/aws-load-balancer-controller#895", "kubernetes-sigs/aws-load-balancer-controller#1313", "kubernetes-sigs/aws-load-balancer-controller#1614", "kubernetes-sigs/aws-load-balancer-controller#2494", "kubernetes/ingress-gce#516", "GKE documentation, Container-native load balancing through Ingress"},
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
			c.hit(ing.Object, hit{title: "stickiness pins nodes, not pods", likely: !set, fix: "set target-type: ip, so that targets are pods",
				evidence: []affinity.FindingEvidence{ing.field(annotationPath(albAttributes)...), ing.noted("the controller's default is instance, unless it was started with --default-target-type=ip", annotationPath(albTargetType)...)},
				patch:    annotate(ing.Object, albTargetType, "ip")})
		}
		for i := range c.routes {
			c.nodesOfGKE(&c.routes[i])
		}
	},
}

// nodesOfGKE finds a Service of a GKE Ingress with affinity, whose backends are
// nodes. GKE writes the annotation into Services of VPC-native clusters itself:
// in a file it may be missing all the same.
func (c *check) nodesOfGKE(r *route) {
	const key = "cloud.google.com/neg"
	if !r.by("gce") || r.object.Kind != "Ingress" || r.service == nil || r.policy.Mechanism != affinity.MechanismCookie && r.policy.Mechanism != affinity.MechanismClientIP {
		return
	}
	text := r.service.annotation(key)
	var neg map[string]any
	if text != "" && json.Unmarshal([]byte(text), &neg) != nil {
		neg = nil
	}
	asked, said := neg["ingress"].(bool)
	nodes := r.service.Str("spec", "type") == "NodePort" || r.service.Str("spec", "type") == "LoadBalancer"
	if asked || !nodes && !said || r.service.annotation("cloud.google.com/neg-status") != "" {
		return // a Service without ports on the nodes can have nothing but endpoint groups
	}
	mended := map[string]any{}
	for k, v := range neg {
		mended[k] = v
	}
	mended["ingress"] = true
	h := hit{title: "the load balancer's affinity pins nodes, not pods", likely: !said, route: r.ID, fix: "ask for network endpoint groups, whose members are pods (it takes a VPC-native cluster)",
		evidence: []affinity.FindingEvidence{r.service.noted("without it the backends are nodes, unless GKE sets it, as on VPC-native clusters", annotationPath(key)...),
			{Object: r.service.ObjectRef, Field: "sessionAffinity", Source: "object", Text: r.policy.Why}}, patch: annotate(r.service, key, compact(mended))}
	if !said && !c.Cluster {
		h.severity = affinity.SeverityMedium
	}
	c.hit(r.service, h)
}

const (
	albAttributes = "alb.ingress.kubernetes.io/target-group-attributes"
	albTargetType = "alb.ingress.kubernetes.io/target-type"
)
