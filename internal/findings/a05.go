package findings

import (
	"fmt"
	"maps"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

var a05 = Rule{
	ID: "A05", Title: "One host, some paths sticky and others not", Severity: affinity.SeverityMedium,
	What:    "Paths on an Ingress without affinity are spread freely, also when another Ingress of the same host is sticky. Typical: /socket.io on a second Ingress.",
	Impact:  "requests of one client alternate between its pod and others",
	Fix:     "put the path on the Ingress that has the affinity, or repeat the affinity annotations",
	Verify:  "stickytop get sessions {obj} --for 30s: every route is STUCK",
	Sources: []string{"ingress-nginx docs/user-guide/nginx-configuration/annotations.md, Session Affinity", "kubernetes/ingress-nginx#1930", "kubernetes/ingress-nginx#2451"},
	check: func(c *check) {
		stickies := map[string][]*route{}
		for _, r := range c.stickyRoutes("") {
			if borrowed(r) {
				continue
			}
			stickies[r.Namespace+" "+r.Host] = append(stickies[r.Namespace+" "+r.Host], r)
		}
		for i := range c.routes {
			r := &c.routes[i]
			if r.policy.Mechanism != affinity.MechanismNone && !borrowed(r) || r.object.annotation(nginxPrefix+"canary") == "true" {
				continue
			}
			for _, s := range stickies[r.Namespace+" "+r.Host] {
				same := r.Backend.Service == s.Backend.Service || sameSelector(r.service, s.service)
				socket := pathOfSockets(r.Path)
				if !same && !socket || r.object == s.object {
					continue
				}
				h := hit{title: fmt.Sprintf("%s%s is not sticky, %s of %s is", r.Host, rootIfEmpty(r.Path), rootIfEmpty(s.Path), s.ref()), route: r.ID,
					evidence: []affinity.FindingEvidence{r.setting("affinity"), s.setting("affinity")}}
				if borrowed(r) {
					h.title = fmt.Sprintf("%s%s honours the cookie of ingress/%s and never issues it", r.Host, rootIfEmpty(r.Path), s.Name)
					h.impact = "clients that come here first have no cookie: each of their requests may go to another pod"
				}
				if socket {
					h.severity, h.likely = affinity.SeverityHigh, true
				}
				h.patch = c.repeat(r, s)
				c.hit(r.object, h)
				break
			}
		}
	},
}

// repeat asks for the affinity of s on r, too.
func (c *check) repeat(r, s *route) []edit {
	if r.object.Kind != "Ingress" || s.object.Kind != "Ingress" || !s.annotated() || !r.by(nginxKey) && !r.annotated() {
		return c.ask(r)
	}
	e := of(r.object)
	var path []edit
	if !pathMatch(rootIfEmpty(r.Path), s.policy.Cookie.Path) || s.object.annotation(nginxPrefix+"session-cookie-path") == "" { // else each issues one of its own Path
		e = e.set(nginxPrefix+"session-cookie-path", "/")
		path = everywhere(c.deciding(s), nginxPrefix+"session-cookie-path", "/")
	}
	own := s.object.Strings("metadata", "annotations")
	for _, name := range ingress.NginxAffinityAnnotations() {
		k := nginxPrefix + name
		if value, ok := own[k]; ok && (name == "affinity" || name == "affinity-mode" || strings.HasPrefix(name, "session-cookie-")) && (path == nil || name != "session-cookie-path") && r.object.annotation(k) != value {
			e = e.set(k, value)
		}
	}
	for _, name := range []string{"service-upstream", "ssl-passthrough", "upstream-hash-by"} {
		if r.object.annotation(nginxPrefix+name) != "" {
			e = e.unset(nginxPrefix + name)
		}
	}
	return append(append([]edit{e}, path...), c.lasting(r, true)...)
}

func rootIfEmpty(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

func pathOfSockets(path string) bool {
	for _, s := range []string{"socket.io", "sockjs", "signalr"} {
		if strings.Contains(strings.ToLower(path), s) {
			return true
		}
	}
	return false
}

func sameSelector(a, b *Object) bool {
	if a == nil || b == nil || a == b || a.Namespace != b.Namespace {
		return false
	}
	x := a.Strings("spec", "selector")
	return len(x) > 0 && maps.Equal(x, b.Strings("spec", "selector"))
}

// borrowed reports whether a route is sticky only because another Ingress of
// ingress-nginx asks for it on the same backend.
func borrowed(r *route) bool {
	return r.by(nginxKey) && r.object.Kind == "Ingress" && strings.TrimSpace(r.object.annotation(nginxPrefix+"affinity")) == "" && r.object.annotation(nginxPrefix+"canary") != "true"
}
