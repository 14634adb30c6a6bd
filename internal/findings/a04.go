package findings

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

var a04 = Rule{
	ID: "A04", Title: "Objects that share a Service overwrite each other's affinity", Severity: affinity.SeverityHigh,
	What:   "In ingress-nginx affinity belongs to the backend (namespace, Service, port), not to the Ingress. Of several Ingresses with the same backend the oldest that has an affinity decides type and mode, the youngest the cookie's name, path and lifetime. Traefik makes one service of a Service's port for all TraefikServices, and all rules of several services, that name it: the one that is built last decides about the cookie, and TraefikServices are built last, in no fixed order.",
	Impact: "a cookie gets a name, path or lifetime that its Ingress did not ask for, and an edit of one Ingress breaks the other",
	Fix:    "give both the same settings, serve both from one Ingress, or give the second one a Service of its own with the same selector",
	Verify: "stickytop get routes -o yaml: the notes of the route's policy name no merge",
	Sources: []string{"ingress-nginx internal/ingress/controller/controller.go, createUpstreams", "kubernetes/ingress-nginx#3168", "kubernetes/ingress-nginx#3383", "kubernetes/ingress-nginx#14042",
		"traefik v3.7.13 pkg/provider/kubernetes/crd/kubernetes.go addToConfig, kubernetes_http.go buildServicesLB"},
	check: func(c *check) {
		checkShared(c)
		checkSharedTraefik(c)
	},
}

func checkShared(c *check) {
	for b, all := range c.asking() {
		if len(all) < 2 {
			continue
		}
		slices.SortStableFunc(all, func(x, y ingressFacts) int {
			return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(y.Namespace+"/"+y.Name, x.Namespace+"/"+x.Name))
		})
		first, last := all[0], all[len(all)-1]
		for _, other := range all[1:] {
			keys := differing(first, other)
			if len(keys) == 0 {
				continue
			}
			h := hit{patch: same(first, other, keys), title: fmt.Sprintf("shares %s:%s with ingress/%s, with other settings", b.service, b.port, first.Name)}
			for _, k := range keys {
				h.evidence = append(h.evidence, other.field(annotationPath(k)...), first.field(annotationPath(k)...))
			}
			if first.Created.IsZero() {
				h.impact = "which of them wins is decided by the order in which they are created"
			} else {
				h.impact = fmt.Sprintf("effective: affinity and mode of ingress/%s, the cookie of ingress/%s", first.Name, last.Name)
			}
			c.hit(other.Object, h)
		}
	}
}

// same gives the second the settings of the first; both a Path that covers what
// either serves.
func same(first, second ingressFacts, keys []string) []edit {
	a, b := of(first.Object), of(second.Object)
	for _, k := range keys {
		value, set := first.Annotations[k]
		switch {
		case k == nginxPrefix+"session-cookie-path":
			a, b = a.set(k, "/"), b.set(k, "/")
		case set:
			b = b.set(k, value)
		default:
			b = b.unset(k)
		}
	}
	if secure := nginxPrefix + "session-cookie-secure"; strings.EqualFold(first.Annotations[nginxPrefix+"session-cookie-samesite"], "None") && first.Annotations[secure] != "true" {
		a, b = a.set(secure, "true"), b.set(secure, "true") // without it browsers refuse the cookie
	}
	if len(a.annotations) == 0 {
		return []edit{b}
	}
	return []edit{a, b}
}

// backend is what affinity belongs to in ingress-nginx.
type backend struct{ class, namespace, service, port string }

// asking are the Ingresses of ingress-nginx that ask for affinity, by what they
// ask it for.
func (w *world) asking() map[backend][]ingressFacts {
	if w.asked != nil {
		return w.asked
	}
	w.asked = map[backend][]ingressFacts{}
	for _, ing := range w.ingresses {
		if !ing.served.By(nginxKey) || ing.Annotations[nginxPrefix+"canary"] == "true" || strings.TrimSpace(ing.Annotations[nginxPrefix+"affinity"]) != "cookie" {
			continue
		}
		seen := map[backend]bool{}
		for _, r := range ing.Rules {
			for _, p := range r.Paths {
				b := backend{ing.served.Class, ing.Namespace, p.Backend.Service, p.Backend.Port()}
				if !seen[b] && b.service != "" {
					seen[b] = true
					w.asked[b] = append(w.asked[b], ing)
				}
			}
		}
	}
	return w.asked
}

// deciding are the objects whose annotations decide about a route's cookie: all
// that ask for the same backend, for the oldest and the youngest of them do.
func (c *check) deciding(r *route) (all []*Object) {
	if r.by(nginxKey) && r.object.Kind == "Ingress" {
		for _, ing := range c.asking()[backend{r.Class, r.Namespace, r.Backend.Service.Name, r.Backend.Port}] {
			all = append(all, ing.Object)
		}
	}
	if len(all) == 0 {
		return []*Object{r.object}
	}
	return all[:min(len(all), maxSharing)]
}

// maxSharing bounds the Ingresses of one backend that a fix is written for.
const maxSharing = 16

// everywhere sets an annotation on each of some objects; "" removes it.
func everywhere(all []*Object, key, value string) (edits []edit) {
	for _, o := range all {
		if value != "" {
			edits = append(edits, annotate(o, key, value)...)
		} else {
			edits = append(edits, unannotate(o, key)...)
		}
	}
	return edits
}

// differing are the annotations about affinity that are not the same on both.
func differing(a, b ingressFacts) []string {
	var keys []string
	for _, name := range ingress.NginxAffinityAnnotations() {
		k := nginxPrefix + name
		if (name == "affinity-mode" || strings.HasPrefix(name, "session-cookie-")) && a.Annotations[k] != b.Annotations[k] {
			keys = append(keys, k)
		}
	}
	return keys
}
