package findings

import (
	"fmt"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var b08 = Rule{
	ID: "B08", Title: "The affinity cookie has the name of an app's session cookie", Severity: affinity.SeverityCritical,
	What:    "The app sets a cookie of the same name at login and overwrites what the ingress put there. From then on the value names no pod.",
	Impact:  "clients lose their pod when they log in",
	Fix:     "give the affinity cookie a name of its own",
	Verify:  "stickytop get sessions {obj} -o wide --for 30s: the cookie decodes",
	Sources: []string{"kubernetes/ingress-nginx#2735", "kubernetes/ingress-nginx#2622", "istio/istio#16937", "istio/istio#17406"},
	check: func(c *check) {
		const key = nginxPrefix + "session-cookie-name"
		for _, r := range c.stickyRoutes("") {
			app := appCookie(r.policy.Cookie.Name)
			if app == "" || r.policy.Cookie.Application { // what hashes it writes none over it
				continue
			}
			h := hit{title: fmt.Sprintf("%s is the session cookie of %s", r.policy.Cookie.Name, app), route: r.ID,
				evidence: []affinity.FindingEvidence{{Object: r.object.ObjectRef, Field: "cookie name", Value: r.policy.Cookie.Name, Source: "object"}}}
			if r.object.annotation(key) != "" {
				h.evidence = []affinity.FindingEvidence{r.object.field(annotationPath(key)...)}
			}
			h.patch = c.cookieEdit(r, flagName, cookieName(r.Name))
			c.hit(r.object, h)
		}
		for _, o := range c.destinationRules() {
			at := []string{"spec", "trafficPolicy", "loadBalancer", "consistentHash", "httpCookie", "name"}
			ttl := []string{"spec", "trafficPolicy", "loadBalancer", "consistentHash", "httpCookie", "ttl"}
			if app := appCookie(o.Str(at...)); app != "" && o.Str(ttl...) != "" && o.Str(ttl...) != "0s" {
				c.hit(o, hit{title: fmt.Sprintf("%s is the session cookie of %s", o.Str(at...), app), evidence: []affinity.FindingEvidence{o.field(at...), o.field(ttl...)}, patch: patched(o, nest(cookieName(o.Name), at...))})
			}
		}
	},
}

// appCookie is what sets session cookies of this name; "" for an unknown one.
func appCookie(name string) string {
	switch strings.ToLower(name) {
	case "jsessionid":
		return "Java servlet containers"
	case "phpsessid":
		return "PHP"
	case "connect.sid":
		return "Express"
	case "asp.net_sessionid", ".aspnetcore.session":
		return "ASP.NET"
	case "sessionid":
		return "Django"
	case "laravel_session":
		return "Laravel"
	case "io":
		return "Socket.IO before version 3"
	}
	return ""
}
