package findings

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// traefikClaim is where an object of Traefik's makes a Traefik service of a
// Kubernetes Service. Below a TraefikService, and in a rule of several services,
// that is called namespace-service-port, whoever asks for it.
type traefikClaim struct {
	object  *Object
	at      []string // of the reference
	backend backend
	sticky  string // what it asks for
	hashed  bool   // its strategy goes by the client's address, whatever it asks for
}

// checkSharedTraefik: the definition that is built last is the service's. Traefik
// builds the rules of IngressRoutes, then TraefikServices, both in no fixed order,
// the references of one object as they stand. Its option safeNaming, off by
// default, names a service after who asks for it.
// [pkg/provider/kubernetes/crd/kubernetes_http.go buildServicesLB,
// kubernetes.go addToConfig, client.go GetTraefikServices; v3.7.13]
func checkSharedTraefik(c *check) {
	byService := map[backend][]traefikClaim{}
	var order []backend
	for _, x := range c.traefikClaims() {
		if byService[x.backend] == nil {
			order = append(order, x.backend)
		}
		byService[x.backend] = append(byService[x.backend], x)
	}
	for _, b := range order {
		all := byService[b]
		first := all[0]
		for _, other := range all[1:] {
			if other.sticky == first.sticky {
				continue
			}
			h := hit{likely: true, fix: "give both the same sticky.cookie, or one of them a Service of its own with the same selector",
				title:    fmt.Sprintf("shares %s:%s with %s, with another sticky.cookie", b.service, b.port, first.object.ObjectRef),
				evidence: []affinity.FindingEvidence{other.object.field(append(slices.Clip(other.at), "sticky", "cookie", "name")...), first.object.field(append(slices.Clip(first.at), "sticky", "cookie", "name")...)}}
			h.patch = alike(first, other)
			switch {
			case other.object == first.object:
				h.title = fmt.Sprintf("names %s:%s twice, with different sticky.cookies", b.service, b.port)
				h.impact = "Traefik makes one service of them: the last one's cookie is that of both"
			case other.object.Kind != first.object.Kind:
				h.impact = fmt.Sprintf("Traefik makes one service of them, and builds TraefikServices last: the cookie is that of %s for both", other.object.ObjectRef)
			case other.object.Kind == "TraefikService":
				h.impact = "Traefik makes one service of them, and which one's cookie it has may change whenever Traefik reads its objects: the cookie's name changes, and all clients are pinned anew"
			default:
				h.impact = "Traefik makes one service of them, and which rule's cookie it has may change whenever Traefik reads its objects: all clients are pinned anew"
			}
			c.hit(other.object, h)
		}
	}
}

// alike gives the second the cookie of the first or, where that has none, the
// first that of the second; nothing where a strategy has to change.
func alike(first, second traefikClaim) []edit {
	if first.hashed || second.hashed {
		return nil
	}
	if first.sticky == "" {
		first, second = second, first
	}
	value := first.object.At(append(slices.Clip(first.at), "sticky")...).plain()
	return operated(second.object, put(value, append(slices.Clip(second.at), "sticky")...))
}

// traefikClaims are all of them, those of IngressRoutes first.
func (w *world) traefikClaims() (all []traefikClaim) {
	add := func(o *Object, v *Value, at ...string) {
		b := readTraefikBackend(v)
		if v == nil || b.Kind != "" && b.Kind != "Service" || b.Name == "" || strings.Contains(b.Name, "@") {
			return
		}
		x := traefikClaim{object: o, at: at, backend: backend{namespace: b.Namespace, service: b.Name, port: b.Port}, sticky: stickyText(b), hashed: b.Strategy == "hrw"}
		if x.backend.namespace == "" {
			x.backend.namespace = o.Namespace
		}
		all = append(all, x)
	}
	each := func(o *Object, at ...string) {
		for i, v := range o.At(at...).Items() {
			add(o, v, append(slices.Clip(at), strconv.Itoa(i))...)
		}
	}
	for _, o := range w.objects("IngressRoute") {
		for i, rule := range o.Items("spec", "routes") {
			if len(rule.Items("services")) > 1 { // a single one is called as its router
				each(o, "spec", "routes", strconv.Itoa(i), "services")
			}
		}
	}
	for _, o := range w.objects("TraefikService") {
		each(o, "spec", "weighted", "services")
		each(o, "spec", "highestRandomWeight", "services")
		add(o, o.At("spec", "mirroring"), "spec", "mirroring")
		each(o, "spec", "mirroring", "mirrors")
		add(o, o.At("spec", "failover", "service"), "spec", "failover", "service")
		add(o, o.At("spec", "failover", "fallback"), "spec", "failover", "fallback")
	}
	return all
}

// stickyText is what a reference asks for, to compare; "" for no cookie.
func stickyText(b ingress.TraefikBackend) string {
	if b.Sticky == nil || b.Strategy == "hrw" {
		return ""
	}
	s, path := *b.Sticky, "/"
	if s.Path != nil {
		path = *s.Path
	}
	s.Path = nil
	return fmt.Sprintf("%+v %s", s, path)
}
