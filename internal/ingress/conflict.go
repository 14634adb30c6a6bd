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
	claims map[claimKey]*claims
	byHost map[string][]*Place
}

// claimKey is what one Ingress of a class keeps, canaries aside.
type claimKey struct {
	placeKey
	class string
}

// claims are the Ingresses that want one place, oldest first. Those of one name,
// which files can repeat, stand together.
type claims struct {
	first *Place
	names []*Place         // the first place of each name
	at    map[*Ingress]int // in names
	last  []*Ingress       // the last Ingress of each name
}

func newServed(places []*Place) served {
	s := served{map[claimKey]*claims{}, map[string][]*Place{}}
	for _, p := range places {
		s.byHost[p.Host] = append(s.byHost[p.Host], p)
		if p.Default || p.isCanary() {
			continue
		}
		key := claimKey{p.key(), p.class.name}
		if s.claims[key] == nil {
			s.claims[key] = &claims{first: p, at: map[*Ingress]int{}}
		}
		s.claims[key].add(p)
	}
	return s
}

func (c *claims) add(p *Place) {
	if _, ok := c.at[p.Ingress]; ok {
		return
	}
	last := len(c.names) - 1
	if last >= 0 && c.names[last].Ingress.Name == p.Ingress.Name && c.names[last].Ingress.Namespace == p.Ingress.Namespace {
		c.at[p.Ingress], c.last[last] = last, p.Ingress
		return
	}
	c.at[p.Ingress] = len(c.names)
	c.names, c.last = append(c.names, p), append(c.last, p.Ingress)
}

// maxNamed bounds the Ingresses that a note names.
const maxNamed = 8

// list names those of c.names[from:to] for a note on p.
func (c *claims) list(from, to int, p *Place) string {
	var names []string
	for _, q := range c.names[from:min(to, from+maxNamed)] {
		names = append(names, nameFrom(q, p))
	}
	text := strings.Join(names, ", ")
	if more := to - from - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// conflicts notes other Ingresses of the same class that claim the place, which
// the controllers of these keys may serve. Of ingress-nginx the oldest keeps it
// (internal/ingress/controller/controller.go, getBackendServers); of others the
// order is not known to be fixed, and Traefik was seen to change it with a
// restart. A canary shares it on purpose.
func (s served) conflicts(p *Place, keys []string) []string {
	if p.Default || p.isCanary() {
		return nil
	}
	c := s.claims[claimKey{p.key(), p.class.name}]
	if c == nil {
		return nil
	}
	at := c.at[p.Ingress]
	older, younger := at, at+1
	if c.names[at].Ingress != p.Ingress { // another one has its name
		older++
	}
	if c.last[at] != p.Ingress {
		younger--
	}
	const apart = "; give each a host or path of its own"
	if len(keys) == 0 || slices.ContainsFunc(keys, func(key string) bool { return key != nginxKey }) {
		var others []string
		if older > 0 {
			others = append(others, c.list(0, older, p))
		}
		if younger < len(c.names) {
			others = append(others, c.list(younger, len(c.names), p))
		}
		if len(others) == 0 {
			return nil
		}
		verb := "claims"
		if older+len(c.names)-younger > 1 {
			verb = "claim"
		}
		return []string{strings.Join(others, ", ") + " " + verb + " the same host and path: " + c.order(p, keys) + apart}
	}
	var notes []string
	if older > 0 {
		notes = append(notes, fmt.Sprintf("%s is older and claims the same host and path: ingress-nginx sends requests there%s", c.list(0, older, p), apart))
	}
	if younger < len(c.names) {
		notes = append(notes, fmt.Sprintf("%s claims the same host and path; this one is older, and ingress-nginx sends requests here%s", c.list(younger, len(c.names), p), apart))
	}
	return notes
}

// order says what is known of which of the claims is served.
func (c *claims) order(p *Place, keys []string) string {
	oldest := "this one"
	if c.at[p.Ingress] > 0 {
		oldest = nameFrom(c.names[0], p)
	}
	traefik := slices.ContainsFunc(keys, func(key string) bool { return key == traefikNginxKey || key == traefikKey })
	switch {
	case traefik && slices.Contains(keys, nginxKey):
		return "ingress-nginx sends requests to the oldest, " + oldest + "; which Traefik serves is not fixed, and can change when it restarts"
	case traefik:
		return "which of them Traefik serves is not fixed, and can change when it restarts"
	case slices.Contains(keys, nginxKey):
		return "ingress-nginx sends requests to the oldest, " + oldest + "; of another controller it is not known"
	}
	return "which of them is served is up to the controller"
}

// isCanary is true for the annotation that ingress-nginx and Traefik's provider
// for its annotations share.
func (p *Place) isCanary() bool { return isTrue(p.Ingress.Annotations[nginxPrefix+"canary"]) }

// primary is the Ingress whose place the canary p shares; nil where there is
// none.
func (s served) primary(p *Place) *Place {
	if c := s.claims[claimKey{p.key(), p.class.name}]; c != nil {
		return c.first
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
