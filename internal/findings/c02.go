package findings

import (
	"fmt"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var c02 = Rule{
	ID: "C02", Title: "Mode persistent does not outlive its pod", Severity: affinity.SeverityHigh,
	What:    "The cookie of mode persistent is a digest of the pod's address. A replaced pod has another address: its clients are given any pod, and parallel requests may each get a different one until a new cookie has settled.",
	Impact:  "every eviction, node drain and rollout moves the sessions of the pods it replaces",
	Fix:     "keep session state outside the pods; a PodDisruptionBudget and a rollout that starts pods before it ends others keep the moves few",
	Verify:  "delete one pod while stickytop {obj} runs: ORPHAN, then RE-PINNED, of its sessions only",
	Sources: []string{"ingress-nginx rootfs/etc/nginx/lua/balancer/sticky_persistent.lua", "kubernetes/ingress-nginx#7960"},
	Needs:   []string{"PodDisruptionBudget", "Deployment", "StatefulSet", "DaemonSet"},
	check: func(c *check) {
		for _, r := range c.stickyRoutes(nginxKey) {
			if r.policy.Mode != "persistent" {
				continue
			}
			x := firstOf(r.loads)
			if x == nil || c.Unread["PodDisruptionBudget"] != "" {
				continue
			}
			h := hit{title: "persistent still re-pins when a pod is replaced", route: r.ID,
				evidence: []affinity.FindingEvidence{r.object.field(annotationPath(nginxPrefix + "affinity-mode")...)}}
			_, fewer := x.surge(c.replicas(x))
			p := c.pdb(x)
			if p != nil && fewer <= 1 {
				h.severity = affinity.SeverityInfo
				h.evidence = append(h.evidence, p.noted("covers the pods", "spec", "selector"))
			} else if c.most(x) <= 1 { // a budget for one pod would stop drains
				h.severity = affinity.SeverityInfo
				h.evidence = append(h.evidence, x.noted("one pod", "spec", "replicas"))
			} else {
				if p == nil {
					h.evidence = append(h.evidence, x.noted("no PodDisruptionBudget covers its pods", "spec", "template", "metadata", "labels"))
				} else {
					h.evidence = append(h.evidence, p.noted("covers the pods, of evictions alone", "spec", "selector"))
				}
				if recreates := x.Str("spec", "strategy", "type") == "Recreate"; recreates || fewer > 1 {
					at := ifElse(recreates, "type", "rollingUpdate")
					h.evidence = append(h.evidence, x.noted(fmt.Sprintf("a rollout ends %d pods at a time", fewer), "spec", "strategy", at))
				}
				h.patch = c.budgetPatch(x)
			}
			c.hit(r.object, h)
		}
	},
}

// budgetPatch lets few pods of x end at a time: with a PodDisruptionBudget, and
// in a rollout.
func (c *check) budgetPatch(x *workload) (edits []edit) {
	if c.most(x) <= 1 {
		return nil
	}
	if labels := x.Strings("spec", "selector", "matchLabels"); c.pdb(x) == nil && len(labels) > 0 {
		match := map[string]any{}
		for k, v := range labels {
			match[k] = v
		}
		edits = append(edits, edit{apiVersion: "policy/v1", kind: "PodDisruptionBudget", namespace: x.Namespace, name: x.Name,
			made: nest(map[string]any{"maxUnavailable": 1, "selector": map[string]any{"matchLabels": match}}, "spec")})
	}
	if _, fewer := x.surge(c.replicas(x)); fewer > 1 {
		edits = append(edits, patched(x.Object, nest(map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxUnavailable": 1}}, "spec", "strategy"))...)
	}
	return edits
}
