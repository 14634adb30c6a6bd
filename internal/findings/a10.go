package findings

import (
	"strconv"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var a10 = Rule{
	ID: "A10", Title: "Contour strategy in the wrong place", Severity: affinity.SeverityCritical,
	What:    "A Contour HTTPProxy reads the strategy from routes[].loadBalancerPolicy.strategy. services[].strategy was IngressRoute's; the CRD drops it.",
	Impact:  "no cookie is issued: every request may go to any pod",
	Fix:     "set routes[].loadBalancerPolicy.strategy: Cookie",
	Verify:  "kubectl get {obj} -o jsonpath='{.spec.routes[*].loadBalancerPolicy.strategy}' prints Cookie",
	Sources: []string{"projectcontour/contour#2004"},
	check: func(c *check) {
		for _, o := range c.objects("HTTPProxy") {
			for i, r := range o.Items("spec", "routes") {
				at := func(rest ...string) []string { return append([]string{"spec", "routes", strconv.Itoa(i)}, rest...) }
				wrong := [][]string{at("strategy"), at("loadBalancerStrategy")}
				for j := range r.Items("services") {
					n := strconv.Itoa(j)
					wrong = append(wrong, at("services", n, "strategy"), at("services", n, "loadBalancerPolicy"), at("services", n, "loadBalancerStrategy"))
				}
				for _, path := range wrong {
					if o.Has(path...) {
						c.hit(o, hit{title: fieldPath(path) + " is not read", evidence: []affinity.FindingEvidence{o.field(path...), o.field(at("loadBalancerPolicy", "strategy")...)},
							patch: operated(o, put(map[string]any{"strategy": "Cookie"}, at("loadBalancerPolicy")...), take(path...))})
					}
				}
			}
		}
	},
}
