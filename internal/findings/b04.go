package findings

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

var b04 = Rule{
	ID: "B04", Title: "SameSite keeps cross-site clients from returning the cookie", Severity: affinity.SeverityHigh,
	What:    "ingress-nginx takes session-cookie-samesite in any case, its Lua only writes None, Lax and Strict, and drops the attribute otherwise. Browsers read a cookie without SameSite as Lax: frames and requests from other sites do not bring it.",
	Impact:  "clients embedded in, or calling from, another site go to any pod",
	Fix:     "write None, Lax or Strict, exactly; None with Secure for cross-site clients",
	Verify:  "curl -sI the host: Set-Cookie ends as configured",
	Sources: []string{"kubernetes/ingress-nginx#4949", "kubernetes/ingress-nginx#4878", "kubernetes/ingress-nginx#10634", "lua-resty-cookie lib/resty/cookie.lua", "jcmoraisjr/haproxy-ingress#707"},
	Shown:   "a session's affinity cookie is not sent back because of SameSite, and a later request is refused with code 1 by another pod.",
	check: func(c *check) {
		const key = nginxPrefix + "session-cookie-samesite"
		for _, r := range c.stickyRoutes("") {
			value := strings.TrimSpace(r.object.annotation(key))
			cookie := r.policy.Cookie
			if cookie.FlagsUnknown {
				continue
			}
			nginx := r.by(nginxKey)
			cors := strings.TrimSpace(r.object.annotation(nginxPrefix+"enable-cors")) == "true"
			switch proper := properSameSite(value); {
			case nginx && value != "" && proper != value:
				c.hit(r.object, hit{title: fmt.Sprintf("SameSite %q is dropped from the cookie", affinity.Clean(value, 30)), route: r.ID,
					evidence: []affinity.FindingEvidence{r.object.field(annotationPath(key)...)}, patch: c.sameSite(r, cmp.Or(proper, "Lax"))})
			case cors && cookie.SameSite != "None":
				c.hit(r.object, hit{title: "CORS is on, and the cookie is not for other sites", severity: affinity.SeverityMedium, likely: true, route: r.ID,
					evidence: []affinity.FindingEvidence{r.object.field(annotationPath(nginxPrefix + "enable-cors")...), r.object.field(annotationPath(key)...)},
					fix:      "if clients are on another site, set SameSite=None and Secure; another origin of the same site needs nothing" + withCertificate(r), patch: c.sameSite(r, "None")})
			case r.by("openshift") && r.object.annotation(openshiftSameSite) != "" && cookie.SameSite == "":
				site := r.object.annotation(openshiftSameSite)
				h := hit{title: "cookie-same-site is for TLS alone: the cookie has no SameSite, browsers take Lax", severity: affinity.SeverityMedium, route: r.ID,
					evidence: []affinity.FindingEvidence{r.object.field(annotationPath(openshiftSameSite)...), r.object.field("spec", "tls")},
					fix:      "let the router end TLS and redirect HTTP to it, or take the annotation away"}
				if site != "None" && site != "Strict" {
					h.severity = affinity.SeverityInfo
				}
				if r.object.Kind == "Route" {
					h.patch = patched(r.object, nest(map[string]any{"termination": cmp.Or(r.object.Str("spec", "tls", "termination"), "edge"), "insecureEdgeTerminationPolicy": "Redirect"}, "spec", "tls"))
				}
				c.hit(r.object, h)
			case r.TLS && cookie.SameSite == "":
				h := hit{title: "the cookie of a TLS host says no SameSite: browsers take Lax", severity: affinity.SeverityLow, route: r.ID,
					evidence: []affinity.FindingEvidence{c.tlsOf(r)}, fix: "say Lax, or None with Secure for frames on other sites"}
				if nginx {
					h.evidence = append(h.evidence, r.object.field(annotationPath(key)...))
				}
				if h.patch = c.cookieEdit(r, flagSameSite, "Lax"); len(h.patch) == 0 {
					h.fix = noSetting
				}
				c.hit(r.object, h)
			}
		}
	},
}

// openshiftSameSite is read of routes whose TLS the router ends, and that take
// no HTTP. [openshift/router images/router/haproxy/conf/haproxy-config.template]
const openshiftSameSite = "router.openshift.io/cookie-same-site"

// sameSite sets SameSite and, with None, what that needs: Secure, and TLS where
// nothing speaks it.
func (c *check) sameSite(r *route, value string) []edit {
	edits := c.cookieEdit(r, flagSameSite, value)
	if value != "None" || len(edits) == 0 {
		return edits
	}
	if !r.policy.Cookie.Secure {
		edits = append(edits, c.cookieEdit(r, flagSecure, "true")...)
	}
	if !r.TLS && endsTLSBefore(r.object) == "" {
		edits = append(edits, withTLS(r.object)...)
	}
	return edits
}

func withCertificate(r *route) string {
	if r.TLS || endsTLSBefore(r.object) != "" {
		return ""
	}
	return ". Secure needs TLS, which nothing here speaks: the certificate belongs in the Secret that the patch names"
}

func properSameSite(value string) string {
	for _, p := range []string{"None", "Lax", "Strict"} {
		if strings.EqualFold(p, value) {
			return p
		}
	}
	return ""
}
