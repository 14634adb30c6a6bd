package findings

import (
	"fmt"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var b10 = Rule{
	ID: "B10", Title: "The cookie ends at a fixed time, however active the client is", Severity: affinity.SeverityHigh,
	What:    "ingress-nginx and Traefik send their cookie only when they choose a pod. Max-Age and Expires are never renewed: they count from the first answer, not from the last.",
	Impact:  "long visits are moved to another pod in the middle",
	Fix:     "omit max-age and expires, so that the cookie lasts as long as the browser, or set more than your longest session",
	Verify:  "stickytop {obj}: the fuse of a session shows no deadline",
	Sources: []string{"ingress-nginx rootfs/etc/nginx/lua/balancer/sticky.lua", "kubernetes/ingress-nginx#9154", "kubernetes/ingress-nginx#10044", "traefik/traefik#13485"},
	check: func(c *check) {
		for _, r := range c.stickyRoutes("") {
			cookie := r.policy.Cookie
			if !cookie.HasAge && cookie.MaxAge == 0 || cookie.MaxAge >= 7*24*time.Hour || cookie.MaxAge > 0 && r.policy.Renewal != affinity.RenewalAbsolute {
				continue
			}
			h := hit{route: r.ID, evidence: c.lifetimeEvidence(r)}
			h.patch = c.cookieEdit(r, flagAge, "")
			if cookie.MaxAge <= 0 {
				h.title, h.severity, h.impact = "the cookie's lifetime is over when it arrives", affinity.SeverityCritical, "clients drop the cookie at once: every request may go to any pod"
				c.hit(r.object, h)
				continue
			}
			h.title = fmt.Sprintf("cookie max-age %s is absolute, not renewed", span(cookie.MaxAge))
			h.impact = weigh(cookie.MaxAge)
			switch {
			case cookie.MaxAge >= 24*time.Hour:
				h.severity = affinity.SeverityInfo
			case cookie.MaxAge >= visits[len(visits)-1]:
				h.severity = affinity.SeverityLow
			}
			c.hit(r.object, h)
		}
	},
}

func (c *check) lifetimeEvidence(r *route) []affinity.FindingEvidence {
	var out []affinity.FindingEvidence
	for _, name := range []string{"session-cookie-max-age", "session-cookie-expires"} {
		if e := r.object.field(annotationPath(nginxPrefix + name)...); e.Value != "" {
			out = append(out, e)
		}
	}
	if len(out) == 0 {
		out = append(out, affinity.FindingEvidence{Object: r.object.ObjectRef, Field: "cookie max-age", Value: r.policy.Cookie.MaxAge.String(), Source: "object", Text: r.policy.Why})
	}
	return out
}

// visits are what lifetimes are set against, the longest last.
var visits = []time.Duration{30 * time.Minute, 3 * time.Hour, 6 * time.Hour}

// weigh sets a lifetime against visits.
func weigh(age time.Duration) string {
	var parts []string
	for _, visit := range visits {
		switch cuts := int((visit - 1) / age); {
		case cuts == 0 && visit == age:
			parts = append(parts, "one of "+span(visit)+" just lasts")
		case cuts == 0:
			parts = append(parts, "one of "+span(visit)+" lasts")
		case cuts == 1:
			parts = append(parts, "one of "+span(visit)+" is moved once")
		default:
			parts = append(parts, fmt.Sprintf("one of %s is moved %d times", span(visit), cuts))
		}
	}
	return "counted from the first answer, of visits on a new cookie: " + strings.Join(parts, ", ")
}

// span prints a duration in whole units: "3h", "30 min", "90 s".
func span(d time.Duration) string {
	switch {
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}
