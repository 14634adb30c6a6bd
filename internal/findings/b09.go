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
			parent := commonDomain(f.Host, r.Host)
			if parent != "" {
				h.patch = append(c.cookieEdit(r, flagDomain, parent), c.cookieEdit(f, flagDomain, parent)...)
			}
			if parent == "" {
				h.fix, h.patch = "redirect to one host: these have no domain in common that a cookie could be for (the patch leads to its first page)", redirect(r, f.Host)
			}
			c.hit(r.object, h)
		}
	},
}

// redirect sends a host of an Ingress of ingress-nginx to another: its rules give
// way to an Ingress that answers with the redirect. Its validation of annotations
// may refuse the variable that would keep the path.
// [internal/ingress/annotations/parser/validators.go, URLIsValidRegex]
func redirect(r *route, to string) []edit {
	if r.object.Kind != "Ingress" || !r.by(nginxKey) {
		return nil
	}
	var kept []any
	for _, rule := range r.object.Items("spec", "rules") {
		if rule.Str("host") != r.Host {
			kept = append(kept, rule.plain())
		}
	}
	scheme := ifElse(r.TLS, "https", "http")
	spec := map[string]any{"rules": []any{map[string]any{"host": r.Host, "http": map[string]any{"paths": []any{map[string]any{"path": "/", "pathType": "Prefix",
		"backend": r.backendAt()}}}}}}
	if class := r.object.Str("spec", "ingressClassName"); class != "" {
		spec["ingressClassName"] = class
	}
	away := edit{apiVersion: r.object.APIVersion, kind: "Ingress", namespace: r.Namespace, name: r.Name + "-redirect", made: map[string]any{"spec": spec}}
	e := of(r.object)
	e.fields, e.deleted = nest(kept, "spec", "rules"), len(kept) == 0
	if e.deleted {
		e.fields = nil
	}
	away.made = merged(away.made, nest(map[string]any{nginxPrefix + "permanent-redirect": scheme + "://" + to}, "metadata", "annotations"))
	return []edit{e, away}
}

// backendAt is the backend of a route as its Ingress has it.
func (r *route) backendAt() any {
	for _, rule := range r.object.Items("spec", "rules") {
		for _, p := range rule.Items("http", "paths") {
			if rule.Str("host") == r.Host {
				return p.At("backend").plain()
			}
		}
	}
	return nil
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
