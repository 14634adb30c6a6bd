package findings

import (
	"fmt"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var c03 = Rule{
	ID: "C03", Title: "Pods end before their sessions do", Severity: affinity.SeverityHigh,
	What:    "A pod that is asked to end leaves the endpoints at once, and is killed after terminationGracePeriodSeconds, 30 by default. Without a preStop hook that waits, requests on their way and open connections are cut.",
	Impact:  "every rollout, scale-down and node drain cuts the sessions of the pods it ends",
	Fix:     "wait in preStop until clients have left, and give the pod the time for it",
	Verify:  "delete one pod while stickytop runs on its ingress: no FAILING",
	Sources: []string{"Kubernetes documentation, Pod Lifecycle, Termination of Pods", "nginx/kubernetes-ingress#267", "kubernetes/ingress-nginx#13484", "emissary-ingress/emissary#1473", "kubernetes/kubernetes#140018"},
	check: func(c *check) {
		for _, r := range c.stickyRoutes("") {
			for _, x := range r.loads {
				grace, stop := x.grace(), x.hasPreStop()
				if grace >= 5*time.Minute || stop && grace >= time.Minute {
					continue
				}
				n := c.replicas(x)
				more, fewer := x.surge(n)
				h := hit{title: fmt.Sprintf("pods behind a sticky route have %s to end", span(grace)), route: r.ID,
					evidence: []affinity.FindingEvidence{x.noted("30 s when absent", "spec", "template", "spec", "terminationGracePeriodSeconds"), x.noted(ifElse(stop, "set", "no container has one"), "spec", "template", "spec", "containers", "0", "lifecycle", "preStop"),
						x.noted(fmt.Sprintf("a rollout starts %d more and ends %d of %d at a time", more, fewer, n), "spec", "strategy")},
					patch: "spec:\n  template:\n    spec:\n      terminationGracePeriodSeconds: 300\n      containers:\n      - name: " + fmt.Sprintf("%q", firstContainer(x)) + "\n        lifecycle:\n          preStop:\n            sleep: {seconds: 240}"}
				if stop || grace > 30*time.Second || c.most(x) <= 1 { // one pod: there is nothing that affinity chooses between
					h.severity = affinity.SeverityMedium
				}
				if age := r.policy.Cookie.MaxAge; age > 0 {
					h.impact = fmt.Sprintf("a session may live %s by its cookie, and has %s when its pod ends", span(age), span(grace))
				}
				c.hit(x.Object, h)
			}
		}
	},
}

func firstContainer(x *workload) string {
	if all := x.containers(); len(all) > 0 {
		return all[0].Str("name")
	}
	return ""
}

func ifElse(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}
