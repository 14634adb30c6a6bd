package ingress

import (
	"fmt"
	"slices"
	"strings"
)

// placeKey is what two Ingresses may not both have.
type placeKey struct{ host, path, kind string }

// key normalises what controllers take for the same place.
func (p *Place) key() placeKey {
	kind := p.Type
	if kind == "" {
		kind = "ImplementationSpecific"
	}
	return placeKey{p.Host, rootIfEmpty(p.Path), kind}
}

// served indexes which places answer for a host.
type served struct {
	byKey  map[placeKey][]*Place
	byHost map[string][]*Place
}

func newServed(places []*Place) served {
	s := served{map[placeKey][]*Place{}, map[string][]*Place{}}
	for _, p := range places {
		if !p.Default {
			s.byKey[p.key()] = append(s.byKey[p.key()], p)
		}
		s.byHost[p.Host] = append(s.byHost[p.Host], p)
	}
	return s
}

// conflicts notes other Ingresses of the same class that claim the place. The
// oldest keeps it; a canary shares it on purpose.
func (s served) conflicts(p *Place) []string {
	if p.Default || p.isCanary() {
		return nil
	}
	var older, younger []string
	before := true
	for _, q := range s.byKey[p.key()] {
		switch {
		case q == p:
			before = false
		case q.Ingress == p.Ingress || q.isCanary() || q.class.name != p.class.name:
		case before:
			older = append(older, nameFrom(q, p))
		default:
			younger = append(younger, nameFrom(q, p))
		}
	}
	var notes []string
	if len(older) > 0 {
		notes = append(notes, fmt.Sprintf("%s is older and claims the same host and path: requests go there", strings.Join(slices.Compact(older), ", ")))
	}
	if len(younger) > 0 {
		notes = append(notes, fmt.Sprintf("%s claims the same host and path; this one is older and keeps it", strings.Join(slices.Compact(younger), ", ")))
	}
	return notes
}

// isCanary is true for the annotation that ingress-nginx and Traefik's provider
// for its annotations share.
func (p *Place) isCanary() bool { return isTrue(p.Ingress.Annotations[nginxPrefix+"canary"]) }

// primary is the Ingress whose place the canary p shares; nil where there is
// none.
func (s served) primary(p *Place) *Place {
	for _, q := range s.byKey[p.key()] {
		if !q.isCanary() && q.class.name == p.class.name {
			return q
		}
	}
	return nil
}

// nameFrom names q's Ingress for a note on p.
func nameFrom(q, p *Place) string {
	if q.Ingress.Namespace != p.Ingress.Namespace {
		return "ingress/" + q.Ingress.Namespace + "/" + q.Ingress.Name
	}
	return "ingress/" + q.Ingress.Name
}

// affinityAnnotations are the keys by which controllers are asked for
// stickiness, and whose they are.
var affinityAnnotations = []struct{ key, controller, title string }{
	{nginxPrefix + "affinity", nginxKey, "ingress-nginx"},
	{"nginx.org/sticky-cookie-services", "nginx-inc", "the F5 NGINX Ingress Controller"},
	{"nginx.com/sticky-cookie-services", "nginx-inc", "the F5 NGINX Ingress Controller"},
	{"haproxy.org/cookie-persistence", "haproxytech", "the HAProxy Kubernetes Ingress Controller"},
	{"haproxy-ingress.github.io/affinity", "haproxy-ingress", "HAProxy Ingress"},
	{"ingress.kubernetes.io/affinity", "haproxy-ingress", "HAProxy Ingress"},
	{"alb.ingress.kubernetes.io/target-group-attributes", "aws-alb", "the AWS Load Balancer Controller"},
	{"appgw.ingress.kubernetes.io/cookie-based-affinity", "azure-agic", "Azure Application Gateway"},
}

// foreign notes affinity annotations on a place that no controller which may
// serve it reads.
func foreign(p *Place, read []candidate) []string {
	server, title := recognise(p.class)
	if len(read) > 0 {
		server, title = read[0].controller.Key(), read[0].controller.Key()
	}
	if server == "" {
		return nil
	}
	var notes []string
	for _, a := range affinityAnnotations {
		if _, ok := p.Annotation(a.key); !ok || a.controller == server {
			continue
		}
		if !slices.ContainsFunc(read, func(c candidate) bool { return c.controller.Owns(a.key) }) {
			notes = append(notes, fmt.Sprintf("annotation %s is ignored: it is for %s, and this class is served by %s", a.key, a.title, title))
		}
	}
	return notes
}
