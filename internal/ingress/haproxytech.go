package ingress

import (
	"fmt"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// haproxytech is HAProxy Technologies' controller (haproxytech/
// kubernetes-ingress, v3.2 and before). Its annotations are looked for on the
// Service, then the Ingress, then in the controller's ConfigMap.
// [pkg/service/service.go New, pkg/annotations/service/cookie.go; the
// annotation of the Ingress is deprecated, documentation/annotations.md]
type haproxytech struct{}

const (
	haproxytechKey        = "haproxytech"
	haproxytechController = "haproxy.org/ingress-controller"
)

// haproxytechPrefixes are the spellings of one annotation's prefix, the first
// found counts. [pkg/annotations/validators/validations.go]
var haproxytechPrefixes = []string{"haproxy.org/", "ingress.kubernetes.io/", "haproxy.com/"}

func (haproxytech) Key() string { return haproxytechKey }
func (haproxytech) Claims(controller string) bool {
	return controller == haproxytechController || strings.HasPrefix(controller, haproxytechController+"/")
}
func (haproxytech) KnownAs(class string) bool { return class == "haproxy" }
func (haproxytech) Owns(annotation string) bool {
	return strings.HasPrefix(annotation, "haproxy.org/") || strings.HasPrefix(annotation, "haproxy.com/")
}
func (haproxytech) Decoders([]string) []affinity.Decoder { return nil }

func (h haproxytech) Read(w *World, places []*Place) []Reading {
	readings := make([]Reading, len(places))
	for i, p := range places {
		readings[i] = h.read(w, p)
	}
	return readings
}

func (haproxytech) read(w *World, p *Place) Reading {
	r := Reading{Policy: affinity.Policy{Controller: haproxytechKey, Why: "no annotation haproxy.org/cookie-persistence on the Service or the Ingress"}}
	if p.Service != nil && p.Service.Type == "ExternalName" {
		r.Upstream = UpstreamExternal
	}
	if p.Service == nil && w.servicesUnread {
		r.Notes = append(r.Notes, "Services can't be read, and their annotations come before the Ingress'")
	}
	get := func(name string) (string, string) { return layered(p, haproxytechPrefixes, name, true) }
	if value, at := get("cr-backend"); value != "" {
		r.Policy.Mechanism = affinity.MechanismUnknown
		r.Policy.Why = fmt.Sprintf("annotation %s: the Backend resource %s decides, and is not read", at, quote(value))
		return r
	}
	value, at := get("cookie-persistence")
	static, staticAt := get("cookie-persistence-no-dynamic")
	dynamicName, staticName := firstWord(value), firstWord(static)
	switch {
	case dynamicName != "" && staticName != "":
		r.Policy.Why = "cookie-persistence and cookie-persistence-no-dynamic exclude each other"
		r.Notes = append(r.Notes, fmt.Sprintf("%s and %s are both set: the controller reports an error and sets no cookie", at, staticAt))
	case dynamicName != "":
		r.Policy = haproxyPolicy(haproxytechKey, dynamicName)
		r.Policy.Mode, r.Policy.Decoder = "dynamic", newHAProxyDynamic(haproxytechCookieKey)
		r.Policy.Why = "annotation " + at
		r.Notes = append(r.Notes, deprecatedOnIngress(at)...)
	case staticName != "":
		r.Policy = haproxyPolicy(haproxytechKey, staticName)
		r.Policy.Mode, r.Policy.Decoder = "no-dynamic", newHAProxyStatic()
		r.Policy.Why = "annotation " + staticAt
		r.Policy.Notes = []string{"the cookie holds a server slot (SRV_n), which the objects do not tie to a pod"}
		r.Notes = append(r.Notes, deprecatedOnIngress(staticAt)...)
	default:
		r.Notes = append(r.Notes, "a cookie-persistence in the controller's ConfigMap would hold for all its routes, and is not read")
	}
	return r
}

func deprecatedOnIngress(at string) []string {
	if !strings.Contains(at, " of ingress/") {
		return nil
	}
	return []string{"cookie-persistence on an Ingress is deprecated, and versions after v3.2.11 may not read it: it belongs on the Service"}
}

func firstWord(s string) string {
	if f := strings.Fields(s); len(f) > 0 {
		return f[0]
	}
	return ""
}

// layered finds an annotation by name under any of the prefixes, the first
// prefix first, on the Service and on the Ingress. at tells where it stands.
func layered(p *Place, prefixes []string, name string, serviceFirst bool) (value, at string) {
	type object struct {
		annotations map[string]string
		name        string
	}
	objects := []object{{p.Ingress.Annotations, objectOf(p.Ingress)}}
	if p.Service != nil {
		objects = append(objects, object{p.Service.Annotations, "service/" + p.Service.Name})
		if serviceFirst {
			objects[0], objects[1] = objects[1], objects[0]
		}
	}
	for _, o := range objects {
		for _, prefix := range prefixes {
			if v, ok := o.annotations[prefix+name]; ok {
				return v, prefix + name + " of " + o.name
			}
		}
	}
	return "", ""
}

// haproxyPolicy is HAProxy's `cookie NAME insert indirect nocache`: a session
// cookie for "/", set when a server is chosen and again only when the request
// brought none that names a usable server. [haproxy src/http_ana.c; as recorded]
func haproxyPolicy(controller, name string) affinity.Policy {
	return affinity.Policy{
		Mechanism: affinity.MechanismCookie, Controller: controller, Renewal: affinity.RenewalSession,
		Cookie: affinity.CookieSpec{Name: name, Path: "/"},
	}
}
