package findings

import (
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var a07 = Rule{
	ID: "A07", Title: "The cookie is never issued on this place", Severity: affinity.SeverityMedium,
	What:    "ingress-nginx sets its cookie only where host and path of the request's location are those of an Ingress with affinity. A rule without path, and spec.defaultBackend, have none.",
	Impact:  "requests there get no cookie and may go to any pod",
	Fix:     "write path: / (and a host) in the rule",
	Verify:  "stickytop get sessions {obj} --for 30s: states leave COOKIELESS",
	Sources: []string{"ingress-nginx rootfs/etc/nginx/lua/balancer/sticky.lua, should_set_cookie", "kubernetes/ingress-nginx#1980", "kubernetes/ingress-nginx#1232"},
	check: func(c *check) {
		for _, ing := range c.ingresses {
			if !ing.served.By(nginxKey) || strings.TrimSpace(ing.Annotations[nginxPrefix+"affinity"]) != "cookie" {
				continue
			}
			for i, r := range ing.Rules {
				for j, p := range r.Paths {
					if p.Path == "" {
						at := []string{"spec", "rules", strconv.Itoa(i), "http", "paths", strconv.Itoa(j)}
						c.hit(ing.Object, hit{title: "no cookie on a rule without path", evidence: []affinity.FindingEvidence{ing.noted("has no path", at...)},
							patch: operated(ing.Object, put("/", append(slices.Clip(at), "path")...), put("Prefix", append(slices.Clip(at), "pathType")...))})
					}
				}
			}
			if ing.DefaultBackend != nil && len(ing.Rules) == 0 {
				c.hit(ing.Object, hit{title: "spec.defaultBackend gets no affinity", evidence: []affinity.FindingEvidence{ing.noted("the only backend", "spec", "defaultBackend")},
					fix: "write a rule with path: / instead of defaultBackend", patch: ruleInstead(ing.Object)})
			}
		}
	},
}

// ruleInstead is a rule for all that spec.defaultBackend serves.
func ruleInstead(o *Object) []edit {
	path := map[string]any{"path": "/", "pathType": "Prefix", "backend": o.At("spec", "defaultBackend").plain()}
	return patched(o, map[string]any{"spec": map[string]any{"defaultBackend": nil, "rules": []any{nest([]any{path}, "http", "paths")}}})
}
