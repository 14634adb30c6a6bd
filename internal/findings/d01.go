package findings

import (
	"github.com/kubestickytop/stickytop/internal/affinity"
)

var d01 = Rule{
	ID: "D01", Title: "Clients stay with a pod that fails", Severity: affinity.SeverityHigh,
	What:    "session-cookie-change-on-failure is false by default: ingress-nginx tries the cookie's pod again and again, and answers 502, while others are ready.",
	Impact:  "clients of a pod that fails get errors until it leaves the endpoints, or until they clear their cookies",
	Fix:     "set session-cookie-change-on-failure: true",
	Verify:  "stickytop {obj} while a pod fails: RE-PINNED, not FAILING",
	Sources: []string{"kubernetes/ingress-nginx#3288", "kubernetes/ingress-nginx#4035", "kubernetes/ingress-nginx#4048", "codecentric/helm-charts#319"},
	check: func(c *check) {
		const key = nginxPrefix + "session-cookie-change-on-failure"
		for _, r := range c.stickyRoutes(nginxKey) {
			if r.policy.RepinsOnFailure {
				continue
			}
			c.hit(r.object, hit{title: "change-on-failure is off: cookies of a failing pod keep failing", route: r.ID,
				evidence: []affinity.FindingEvidence{r.object.noted("false when absent", annotationPath(key)...)}, patch: everywhere(c.deciding(r), key, "true")})
		}
	},
}
