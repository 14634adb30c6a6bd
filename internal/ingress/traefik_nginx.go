package ingress

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// traefikNginx is Traefik's provider kubernetesIngressNGINX: it answers to
// ingress-nginx's own class and annotations, differently. Read from Traefik
// v3.7.13, pkg/provider/kubernetes/ingress-nginx/{annotations,build,translator}.go.
type traefikNginx struct{}

const traefikNginxKey = "traefik-ingress-nginx"

func (traefikNginx) Key() string                   { return traefikNginxKey }
func (traefikNginx) Claims(controller string) bool { return controller == nginxController }
func (traefikNginx) KnownAs(class string) bool     { return class == "nginx" }
func (traefikNginx) Owns(annotation string) bool   { return strings.HasPrefix(annotation, nginxPrefix) }

func (t traefikNginx) Read(_ *World, places []*Place) []Reading {
	primary := map[placeKey]*Place{}
	canary := map[placeKey]*Place{}
	for _, p := range places {
		switch {
		case p.Default:
		case p.isCanary():
			if canary[p.nsKey()] == nil {
				canary[p.nsKey()] = p
			}
		default:
			primary[p.nsKey()] = p
		}
	}
	readings := make([]Reading, len(places))
	for i, p := range places {
		readings[i] = t.read(p, primary[p.nsKey()], canary[p.nsKey()])
	}
	return readings
}

// nsKey is the key by which canaries find their primary: of their namespace
// only.
func (p *Place) nsKey() placeKey {
	k := p.key()
	k.host = p.Ingress.Namespace + "/" + k.host
	return k
}

func (t traefikNginx) read(p, primary, canary *Place) Reading {
	r := Reading{Policy: affinity.Policy{Controller: traefikNginxKey, KeepsTerminating: true}}
	owner := p
	if p.isCanary() && !p.Default {
		switch {
		case primary == nil:
			r.Policy.Why = "canary without a primary: Traefik drops it"
			return r
		case primary.Backend == p.Backend:
			r.Policy.Why = "canary on its primary's own Service and port: Traefik drops it"
			return r
		}
		owner = primary // its annotations are the ones that count
	}
	switch {
	case p.Default:
	case owner != p:
		r.Policy.Branches = []affinity.Branch{primaryBranch(owner, nil, "")}
	case canary != nil && canary.Backend != owner.Backend:
		r.Policy.Branches = []affinity.Branch{canaryBranch(canary, nil, "")}
	}
	branches := r.Policy.Branches
	get := func(key string) string { return owner.Ingress.Annotations[nginxPrefix+key] }
	if strings.EqualFold(get("service-upstream"), "true") {
		r.Upstream, r.Setting = UpstreamClusterIP, "service-upstream"
	}
	if p.Service != nil && p.Service.Type == "ExternalName" {
		r.Upstream = UpstreamExternal
	}
	switch {
	case p.TLS && p.Host != "" && !p.Default && isTrue(get("ssl-passthrough")):
		r.Policy.Why = "annotation " + nginxPrefix + "ssl-passthrough: TLS goes through Traefik unread, each connection to any pod of the path \"/\""
		return r
	case get("affinity") != nginxTypeCookie:
		r.Policy.Why = "no annotation " + nginxPrefix + "affinity: cookie"
		return r
	case p.Default && len(p.Ingress.Rules) == 0:
		r.Policy.Why = "an Ingress of a default backend alone gets no affinity from Traefik"
		return r
	case get("upstream-hash-by") != "":
		r.Policy.Why, r.Policy.MovesSilently = "annotation "+nginxPrefix+"upstream-hash-by", true
		r.Policy.Notes = []string{"affinity: cookie is ignored next to upstream-hash-by"}
		return r
	}
	service := traefikName(owner.Ingress.Namespace + "-" + owner.Ingress.Name + "-" + owner.Backend.Service + "-" + owner.Backend.Port())
	r.Policy = t.cookie(owner, service+"@kubernetesingressnginx")
	r.Policy.Branches = branches
	if len(branches) > 0 {
		main, other := []string{service}, []string{service + "-canary"}
		if owner != p {
			main, other = other, main
		}
		r.Policy.Child = main
		for i := range branches {
			branches[i].Decoder, branches[i].Cookie, branches[i].Child = traefikSticky{}, r.Policy.Cookie.Name, other
		}
		both := slices.Concat(main, other)
		r.Policy.Levels = []affinity.CookieLevel{{Object: objectOf(owner.Ingress), Cookie: r.Policy.Cookie, Decoder: traefikSticky{children: both}, Children: both}}
		r.Policy.Levels[0].Cookie.Name += "-wrr"
		r.Policy.Decoder = traefikSticky{children: []string{service, service + "-canary"}}
		r.Policy = withNotes(r.Policy, fmt.Sprintf("a second cookie, %s-wrr, holds the side of the canary", r.Policy.Cookie.Name))
	}
	return r
}

// cookie follows buildSticky. [translator.go]
func (traefikNginx) cookie(p *Place, service string) affinity.Policy {
	get := func(key string) (string, bool) { return p.Annotation(nginxPrefix + key) }
	c := TraefikCookie{Name: nginxCookie, HTTPOnly: true}
	if name, ok := get("session-cookie-name"); ok {
		c.Name = name
	}
	secure, _ := get("session-cookie-secure")
	c.Secure = strings.EqualFold(secure, "true")
	c.SameSite, _ = get("session-cookie-samesite")
	c.Domain, _ = get("session-cookie-domain")
	if path, ok := get("session-cookie-path"); ok {
		c.Path = &path
	}
	maxAge, _ := get("session-cookie-max-age")
	c.MaxAge, _ = strconv.Atoi(maxAge)
	policy := traefikPolicy(c, service)
	policy.Controller = traefikNginxKey
	policy.Why = fmt.Sprintf("annotation %saffinity: cookie of %s", nginxPrefix, objectOf(p.Ingress))
	expires, _ := get("session-cookie-expires")
	if n, _ := strconv.Atoi(expires); n > 0 && c.MaxAge == 0 {
		policy.Timeout = seconds(int64(n))
		policy.Cookie.MaxAge, policy.Cookie.HasAge, policy.Renewal = policy.Timeout, true, affinity.RenewalAbsolute
	}
	if mode, ok := get("affinity-mode"); ok && strings.TrimSpace(mode) != nginxPersistentMode {
		policy.Notes = append(policy.Notes, "affinity-mode is not read: sessions stay as with persistent")
	}
	for _, key := range []string{"session-cookie-change-on-failure", "session-cookie-conditional-samesite-none"} {
		if value, ok := get(key); ok && isTrue(value) {
			policy.Notes = append(policy.Notes, key+" is not read")
		}
	}
	return policy
}
