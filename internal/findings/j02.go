package findings

import (
	"github.com/kubestickytop/stickytop/internal/affinity"
)

var j02 = Rule{
	ID: "J02", Title: "sessionAffinity on a headless Service", Severity: affinity.SeverityLow,
	What:    "sessionAffinity acts on the virtual IP of a Service. A headless Service has none: DNS gives the pods' addresses, and the client chooses.",
	Impact:  "the setting has no effect",
	Fix:     "remove sessionAffinity, or clusterIP: None if affinity is wanted",
	Verify:  "kubectl get {obj} -o jsonpath='{.spec.sessionAffinity}' prints None",
	Sources: []string{"Kubernetes documentation, Service, Headless Services"},
	check: func(c *check) {
		for _, s := range c.services() {
			if clientIP(s) && s.Str("spec", "clusterIP") == "None" {
				c.hit(s, hit{title: "sessionAffinity: ClientIP does nothing on a headless Service", evidence: []affinity.FindingEvidence{s.field("spec", "sessionAffinity"), s.field("spec", "clusterIP")}, patch: unpin(s)})
			}
		}
	},
}
