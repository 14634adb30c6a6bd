package findings

import (
	"fmt"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var c07 = Rule{
	ID: "C07", Title: "A rollout moves every session, some several times", Severity: affinity.SeverityHigh,
	What:    "A rolling update replaces all pods, one step after the other. With affinity by hash each step is a change of the endpoints that moves sessions again.",
	Impact:  "sessions move more than once during one rollout",
	Fix:     "use mode persistent (each session moves once), and few, large steps: a higher maxSurge",
	Verify:  "kubectl rollout restart while stickytop runs on its ingress: one move for each session",
	Sources: []string{"nforgeio/neonKUBE#1017", "kubernetes/kubernetes#55603", "istio/istio#7878"},
	Needs:   []string{"Deployment", "StatefulSet", "DaemonSet"},
	check: func(c *check) {
		for _, r := range c.stickyRoutes(nginxKey) {
			if r.policy.Mode != "balanced" {
				continue
			}
			for _, x := range r.loads {
				n := c.replicas(x)
				if n < 2 {
					n = c.most(x)
				}
				more, fewer := x.surge(n)
				if n < 2 || x.Kind != "Deployment" || more+fewer == 0 || more >= n {
					continue
				}
				steps := (n + more + fewer - 1) / (more + fewer)
				c.hit(x.Object, hit{title: fmt.Sprintf("a rollout changes the hashed endpoints in %d steps or more", steps), likely: true, route: r.ID,
					evidence: []affinity.FindingEvidence{x.field("spec", "replicas"), x.noted(fmt.Sprintf("starts %d more, ends %d at a time", more, fewer), "spec", "strategy"), r.object.field(annotationPath(nginxPrefix + "affinity-mode")...)},
					patch:    c.persistent(r),
					impact:   fmt.Sprintf("each session moves at least once; about %.1f times with %d pods, every step moving what its new and lost pods hold", float64(steps)*(float64(more+fewer)/float64(n)+float64(more)/float64(n+more)), n)})
			}
		}
	},
}
