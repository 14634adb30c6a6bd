package findings

import (
	"fmt"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var h01 = Rule{
	ID: "H01", Title: "Sessions bounce between stable and canary", Severity: affinity.SeverityHigh,
	What:    "A canary takes a share of the requests. With affinity-canary-behavior: legacy, or without affinity on the primary, the share is of requests, not of clients.",
	Impact:  "a client alternates between the versions",
	Fix:     "set affinity: cookie on the primary and leave affinity-canary-behavior at sticky",
	Verify:  "stickytop get sessions {obj} --for 60s: no session changes sides",
	Sources: []string{"kubernetes/ingress-nginx#3717", "kubernetes/ingress-nginx#12444", "fluxcd/flagger#1339", "istio/istio#19630"},
	check: func(c *check) {
		for _, ing := range c.ingresses {
			weight := ing.Annotations[nginxPrefix+"canary-weight"]
			if !ing.served.By(nginxKey) || ing.Annotations[nginxPrefix+"canary"] != "true" {
				continue
			}
			const key = nginxPrefix + "affinity-canary-behavior"
			switch primary := c.primaryOf(ing); {
			case ing.Annotations[key] == "legacy":
				c.hit(ing.Object, hit{title: "legacy: the canary's answers carry no cookie, and its share is spread at random", evidence: []affinity.FindingEvidence{ing.field(annotationPath(key)...)}, patch: unannotate(ing.Object, key)})
			case primary != nil && weight != "" && weight != "0" && strings.TrimSpace(primary.Annotations[nginxPrefix+"affinity"]) != "cookie":
				c.hit(ing.Object, hit{title: fmt.Sprintf("%s %% of requests, not of clients, go to the canary", affinity.Clean(weight, 10)), severity: affinity.SeverityMedium,
					evidence: []affinity.FindingEvidence{ing.field(annotationPath(nginxPrefix + "canary-weight")...), primary.field(annotationPath(nginxPrefix + "affinity")...)}, patch: c.askIngress(*primary, nginxKey)})
			}
		}
	},
}

// primaryOf is an Ingress that serves a host of the canary's itself.
func (c *check) primaryOf(canary ingressFacts) *ingressFacts {
	if c.hosts == nil {
		c.hosts = map[string]*ingressFacts{}
		for i := range c.ingresses {
			p := &c.ingresses[i]
			if p.Annotations[nginxPrefix+"canary"] == "true" {
				continue
			}
			for _, r := range p.Rules {
				c.hosts[p.served.Class+" "+r.Host] = p
			}
		}
	}
	for _, r := range canary.Rules {
		if p := c.hosts[canary.served.Class+" "+r.Host]; p != nil {
			return p
		}
	}
	return nil
}
