package findings

import (
	"fmt"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var c08 = Rule{
	ID: "C08", Title: "An autoscaler whose bounds cut sessions", Severity: affinity.SeverityHigh,
	What:    "A scale-down ends pods with all sessions they hold. minReplicas: 1 lets quiet hours put everybody on one pod; a short stabilization window makes every dip in load a scale-down (autoscaling/v2 waits 300 s by default, then may end all surplus pods at once).",
	Impact:  "sessions are cut whenever load falls",
	Fix:     "keep two pods or more, and scale down slowly: one pod at a time, after ten minutes",
	Verify:  "kubectl get {obj} -o jsonpath='{.spec.behavior.scaleDown}' shows the window and one pod at a time",
	Sources: []string{"Kubernetes documentation, Horizontal Pod Autoscaling, Configurable scaling behavior", "kubernetes/ingress-nginx#4093"},
	Needs:   []string{"HorizontalPodAutoscaler"},
	check: func(c *check) {
		for _, r := range c.stickyRoutes("") {
			for _, x := range r.loads {
				h := c.hpa(x)
				if h == nil {
					continue
				}
				patch := patched(h, map[string]any{"spec": map[string]any{"minReplicas": max(2, c.replicas(x)), "behavior": map[string]any{"scaleDown": map[string]any{
					"stabilizationWindowSeconds": 600, "policies": []any{map[string]any{"type": "Pods", "value": 1, "periodSeconds": 300}}}}}})
				window, set := h.Int("spec", "behavior", "scaleDown", "stabilizationWindowSeconds")
				at := []string{"spec", "behavior", "scaleDown", "stabilizationWindowSeconds"}
				if c.replicas(x) <= 1 && c.most(x) > 1 {
					c.hit(h, hit{title: "minReplicas 1: the last scale-down puts all sessions on one pod", severity: affinity.SeverityMedium, route: r.ID, evidence: []affinity.FindingEvidence{h.noted("1 when absent", "spec", "minReplicas")}, patch: patch})
				}
				if set && window < 60 {
					c.hit(h, hit{title: fmt.Sprintf("scales down after %d s of less load", window), route: r.ID, evidence: []affinity.FindingEvidence{h.field(at...)}, patch: patch})
				} else if !h.Has("spec", "behavior", "scaleDown", "policies") {
					c.hit(h, hit{title: "a scale-down may end all surplus pods at once", severity: affinity.SeverityLow, route: r.ID, evidence: []affinity.FindingEvidence{h.field("spec", "behavior", "scaleDown", "policies")}, patch: patch})
				}
			}
		}
	},
}
