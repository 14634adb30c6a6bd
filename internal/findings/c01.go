package findings

import (
	"fmt"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var c01 = Rule{
	ID: "C01", Title: "Scaling up moves sessions (mode balanced)", Severity: affinity.SeverityHigh,
	What:    "affinity-mode balanced, the default of ingress-nginx, hashes the cookie over the endpoints. When their number changes, the same cookie leads elsewhere, and no new one is sent.",
	Impact:  "sessions move silently with every change of the number of pods",
	Fix:     "set affinity-mode: persistent",
	Verify:  "scale by one while stickytop {obj} runs: no MOVED-SILENT",
	Sources: []string{"ingress-nginx rootfs/etc/nginx/lua/balancer/sticky_balanced.lua", "kubernetes/ingress-nginx#4475", "kubernetes/ingress-nginx#3384", "kubernetes/ingress-nginx#5944", "kubernetes/ingress-nginx#4513"},
	check: func(c *check) {
		const key = nginxPrefix + "affinity-mode"
		for _, r := range c.stickyRoutes(nginxKey) {
			if r.policy.Mode != "balanced" {
				continue
			}
			h := hit{title: "mode balanced: a scale-up moves sessions, silently", route: r.ID, evidence: []affinity.FindingEvidence{r.object.field(annotationPath(key)...)}, patch: c.persistent(r)}
			switch x := firstOf(r.loads); {
			case x == nil:
				h.likely = true
			case c.most(x) <= 1:
				continue
			default:
				n := c.replicas(x)
				h.impact = fmt.Sprintf("%d→%d pods moves about 1 session in %d, with the cookie unchanged", n, n+1, n+1)
				if hpa := c.hpa(x); hpa != nil {
					h.evidence = append(h.evidence, hpa.field("spec", "minReplicas"), hpa.field("spec", "maxReplicas"))
				} else {
					h.evidence = append(h.evidence, x.field("spec", "replicas"))
				}
			}
			c.hit(r.object, h)
		}
	},
}

// persistent ties cookies to pods, and keeps those that end at a time few: then
// the sessions of one that ends move.
func (c *check) persistent(r *route) []edit {
	edits := everywhere(c.deciding(r), nginxPrefix+"affinity-mode", "persistent")
	for _, x := range r.loads {
		edits = append(edits, c.budgetPatch(x)...)
	}
	return edits
}

func firstOf(all []*workload) *workload {
	if len(all) == 0 {
		return nil
	}
	return all[0]
}
