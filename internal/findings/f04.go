package findings

import (
	"fmt"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var f04 = Rule{
	ID: "F04", Title: "The ClientIP timeout is not what the YAML says", Severity: affinity.SeverityMedium,
	What:    "timeoutSeconds must be 1 to 86400. In IPVS mode a connection in TIME_WAIT (120 s) keeps the entry alive, so that less than about two minutes is never seen.",
	Impact:  "clients stay longer than configured, or the object is refused",
	Fix:     "set 120 or more, at most 86400",
	Verify:  "kubectl get {obj} -o jsonpath='{.spec.sessionAffinityConfig.clientIP.timeoutSeconds}'",
	Sources: []string{"kubernetes/kubernetes#89358", "kubernetes/kubernetes#35677", "kubernetes pkg/apis/core/validation/validation.go"},
	check: func(c *check) {
		at := []string{"spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"}
		for _, s := range c.objects("Service") {
			if !clientIP(s) || !s.Has(at...) {
				continue
			}
			n, ok := s.Int(at...)
			switch {
			case !ok || n < 1 || n > 86400:
				c.hit(s, hit{title: "timeoutSeconds is out of range: the API server refuses the Service", severity: affinity.SeverityHigh, evidence: []affinity.FindingEvidence{s.field(at...)}})
			case n < 120 && c.proxyMode == "ipvs":
				c.hit(s, hit{title: fmt.Sprintf("%d s are two minutes or more in IPVS mode", n), evidence: []affinity.FindingEvidence{s.field(at...), c.proxyFrom.noted("mode ipvs", "data", "config.conf")}})
			case n < 120 && c.proxyMode == "":
				c.notChecked(s, "whether kube-proxy runs in IPVS mode, where timeouts below 120 s are longer, is not among the objects")
			}
		}
	},
}
