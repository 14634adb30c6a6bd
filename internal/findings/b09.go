package findings

import (
	"fmt"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var b09 = Rule{
	ID: "B09", Title: "Several host names, one app, a cookie for each", Severity: affinity.SeverityLow,
	What:    "A cookie without Domain belongs to the host that set it. A client that changes from one host name to another gets another pod.",
	Impact:  "switching between the host names loses the pod",
	Fix:     "set the cookie's domain to what the hosts have in common, or redirect to one host",
	Verify:  "curl -sI each host: Set-Cookie has the common Domain",
	Sources: []string{"RFC 6265 section 5.3", "haproxy-ingress docs, session-cookie-domain", "OpenMS/streamlit-template#372"},
	check: func(c *check) {
		first := map[string]*route{}
		for _, r := range c.stickyRoutes("") {
			k := r.Namespace + "/" + r.Backend.Service.Name
			f := first[k]
			if f == nil {
				first[k] = r
				continue
			}
			if f.Host == r.Host || f.Host == "" || r.Host == "" || r.policy.Cookie.Domain != "" && f.policy.Cookie.Domain != "" {
				continue
			}
			h := hit{title: fmt.Sprintf("%s and %s lead to one app, with a cookie for each host", f.Host, r.Host), route: r.ID,
				evidence: []affinity.FindingEvidence{r.setting("session-cookie-domain"),
					{Object: f.object.ObjectRef, Field: "spec.rules[].host", Value: f.Host, Source: "object"}, {Object: r.object.ObjectRef, Field: "spec.rules[].host", Value: r.Host, Source: "object"}}}
			if parent := commonDomain(f.Host, r.Host); parent != "" && r.by(nginxKey) {
				h.patch = annotate(r.object, nginxPrefix+"session-cookie-domain", parent)
			} else {
				h.fix = "redirect to one host: these have no domain in common that a cookie could be for"
			}
			c.hit(r.object, h)
		}
	},
}

// commonDomain is the longest domain of two labels or more above both hosts.
func commonDomain(a, b string) string {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	n := 0
	for n < len(x) && n < len(y) && x[len(x)-1-n] == y[len(y)-1-n] {
		n++
	}
	if n < 2 {
		return ""
	}
	return strings.Join(x[len(x)-n:], ".")
}
