package findings

import (
	"fmt"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var b01 = Rule{
	ID: "B01", Title: "The cookie's Path is a pattern", Severity: affinity.SeverityCritical,
	What:    "Without session-cookie-path ingress-nginx takes the path of the rule as the cookie's Path, regular expression or not. No browser matches one.",
	Impact:  "the cookie is issued and never comes back: every request may go to any pod",
	Fix:     "set session-cookie-path",
	Verify:  "stickytop get sessions {obj} --for 30s: states leave NOT-RETURNED",
	Sources: []string{"kubernetes/ingress-nginx#8961", "kubernetes/ingress-nginx#3362", "kubernetes/ingress-nginx#4130"},
	check: func(c *check) {
		for _, r := range c.stickyRoutes(nginxKey) {
			const key = nginxPrefix + "session-cookie-path"
			if !strings.ContainsAny(r.Path, patternChars) || r.policy.Cookie.Path != r.Path || r.PathType == "Exact" {
				continue
			}
			c.hit(r.object, hit{title: fmt.Sprintf("the cookie gets Path=%s, which no client matches", affinity.Clean(r.Path, 60)), route: r.ID,
				evidence: []affinity.FindingEvidence{{Object: r.object.ObjectRef, Field: "spec.rules[].http.paths[].path", Value: r.Path, Source: "object"}, r.object.field(annotationPath(key)...)},
				patch:    c.cookieEdit(r, flagPath, "/")})
		}
	},
}
