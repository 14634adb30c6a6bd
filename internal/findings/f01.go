package findings

import (
	"fmt"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var f01 = Rule{
	ID: "F01", Title: "sessionAffinity: ClientIP is bypassed by the ingress", Severity: affinity.SeverityInfo,
	What:    "Ingress controllers connect to the pods that the EndpointSlices name. What the Service says about affinity never meets that traffic; it counts for clients inside the cluster, and for NodePort and LoadBalancer.",
	Shown:   "sessions through the ingress got ten answers or more while the tables of a node (--kernel) hold no pin of an ingress pod. It is likely: other nodes may not be read.",
	Impact:  "the two timers are unrelated: the cookie's is absolute, the Service's slides with each new connection, and neither extends the other",
	Fix:     "nothing to do if the cookie is what you rely on; remove ClientIP if nobody reaches the Service directly",
	Verify:  "stickytop {obj}: the ClientIP layer is drawn as not in the path",
	Sources: []string{"SolaceProducts/solace-broker-mcp#358", "kubernetes-retired/contrib#829", "kubernetes/ingress-gce#60", "mcp-hangar/mcp-hangar#877"},
	check: func(c *check) {
		for i := range c.routes {
			r := &c.routes[i]
			l, ok := r.Layer(affinity.LayerService)
			if !ok || l.Bypassed == "" || l.Policy().Mechanism != affinity.MechanismClientIP || r.service == nil {
				continue
			}
			timeout := l.Policy().Timeout
			h := hit{route: r.ID, evidence: []affinity.FindingEvidence{r.service.field("spec", "sessionAffinity"), r.service.noted("10800 when absent", "spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds")}}
			seconds := int(timeout / time.Second)
			switch age := r.policy.Cookie.MaxAge; {
			case !r.sticky() && (r.policy.Mechanism != affinity.MechanismNone || !c.enough(r)):
				continue
			case !r.sticky():
				h.title = fmt.Sprintf("ClientIP %d s is the only affinity, and %s bypasses it", seconds, r.ref())
				h.severity, h.likely = affinity.SeverityHigh, true
				h.impact = "requests through the ingress may go to any pod, though the Service asks for affinity"
				h.fix = "ask the ingress controller for a cookie"
				h.patch = c.ask(r)
			case age > 0 && age != timeout:
				h.title = fmt.Sprintf("ClientIP %d s is bypassed by the ingress, whose cookie lasts %d s", seconds, int(age/time.Second))
				h.evidence = append(h.evidence, c.lifetimeEvidence(r)...)
			default:
				h.title = fmt.Sprintf("ClientIP %d s is bypassed by ingress traffic", seconds)
				if age == timeout && age > 0 {
					h.impact = fmt.Sprintf("two numbers that look like one guarantee: the cookie's %d s are absolute, the Service's slide, and do not stack", seconds)
				}
			}
			c.hit(r.service, h)
		}
	},
}

// enough reports whether more than one pod may be behind r, as far as is known.
func (c *check) enough(r *route) bool {
	x := firstOf(r.loads)
	return x == nil || c.most(x) > 1
}
