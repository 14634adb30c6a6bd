package ingress

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// This file is Traefik's provider for its own objects, IngressRoute and
// TraefikService. Read from Traefik v3.7.13, pkg/provider/kubernetes/crd/
// {kubernetes_http,name_builder}.go (its option safeNaming, off by default,
// names things otherwise).

const traefikCRD = "@kubernetescrd"

// ingressRoutes returns the routes of all IngressRoutes.
func (w *World) ingressRoutes(all []IngressRoute) []affinity.Route {
	type ruled struct {
		place *Place
		route *IngressRoute
		tree  *tree
		notes []string
	}
	var found []ruled
	var places []*Place
	for i := range all {
		ir := &all[i]
		// Its places look like an Ingress' to what finds a probe's path.
		stand := &Ingress{Namespace: ir.Namespace, Name: ir.Name, Created: ir.Created, Annotations: ir.Annotations}
		for _, rule := range ir.Routes {
			tree := w.resolve(ir, rule)
			alternatives, ok := parseMatch(rule.Match)
			for _, m := range alternatives {
				p := &Place{Ingress: stand, Host: m.host, Path: m.path, Type: m.kind, TLS: ir.TLS, rewritten: len(rule.Middlewares) > 0,
					Backend: Backend{Service: tree.leaf.Name, PortName: tree.leaf.Port}}
				p.Service = w.services[affinity.ServiceRef{Namespace: tree.leaf.Namespace, Name: tree.leaf.Name}]
				p.Port = portOf(p.Service, tree.leaf.Port)
				if p.Port == nil && p.Service != nil && tree.leaf.Port == "" && len(p.Service.Ports) == 1 {
					p.Port = &p.Service.Ports[0]
				}
				var notes []string
				if !ok || m.more {
					notes = append(notes, fmt.Sprintf("the rule has conditions that are not read: %s", quote(rule.Match)))
				}
				places = append(places, p)
				found = append(found, ruled{p, ir, tree, notes})
			}
		}
	}
	s := newServed(places)
	routes := make([]affinity.Route, 0, len(found))
	for _, f := range found {
		r := w.crdRoute(f.place, f.tree, s)
		r.Class = orElse(f.route.ClassName, f.route.Annotations[annotationClass])
		r.Notes = append(f.notes, r.Notes...)
		routes = append(routes, r)
	}
	return routes
}

func (w *World) crdRoute(p *Place, t *tree, s served) affinity.Route {
	r := affinity.Route{
		ID:        affinity.RouteKey(affinity.RouteIngressRoute, p.Ingress.Namespace, p.Ingress.Name, p.Host, p.Path),
		Kind:      affinity.RouteIngressRoute,
		Namespace: p.Ingress.Namespace, Name: p.Ingress.Name,
		Host: p.Host, Path: p.Path, PathType: p.Type, TLS: p.TLS,
		Backend: affinity.Backend{Service: affinity.ServiceRef{Namespace: t.leaf.Namespace, Name: t.leaf.Name}, Port: t.leaf.Port},
	}
	if p.Port != nil {
		r.Backend.PortName = p.Port.Name
	}
	r.ProbePath, r.ProbeWhy = w.probe(p, s)
	r.Notes, r.Via = append(r.Notes, t.notes...), t.via
	switch {
	case t.leaf.Name == "" || w.servicesUnread:
	case p.Service == nil:
		r.Notes = append(r.Notes, fmt.Sprintf("unknown Service %s", r.Backend.Service))
	case p.Port == nil:
		r.Notes = append(r.Notes, fmt.Sprintf("Service %s has no port %s", r.Backend.Service, quote(t.leaf.Port)))
	}
	reading := t.read(p.Service)
	r.Layers = []affinity.Layer{{Where: affinity.LayerIngress, Object: "ingressroute/" + p.Ingress.Name, Candidates: []affinity.Policy{w.idles(traefikKey, p, served{}, reading.Policy)}}}
	if p.Service != nil {
		r.Layers = append(r.Layers, serviceLayer(*p.Service, reading, reading.Policy.Controller))
	}
	return r
}

// tree is what a rule's services come down to.
type tree struct {
	leaf     TraefikBackend // the Service that most requests reach
	cookie   string         // qualified service name that names the leaf's cookie by default
	levels   []stickyLevel  // cookies that choose between services, outermost first
	children []string       // names of the services chosen from, as those cookies hash them
	leaves   []string       // all Services, "ns/name port (weight)"
	notes    []string
	via      []affinity.Via // the TraefikServices that requests may pass
}

type stickyLevel struct {
	object string
	policy affinity.Policy
}

// resolve follows a rule's services down to Kubernetes Services.
func (w *World) resolve(ir *IngressRoute, rule IngressRouteRule) *tree {
	t := &tree{}
	switch len(rule.Services) {
	case 0:
		t.notes = append(t.notes, "the rule has no services")
	case 1:
		t.single(w, rule.Services[0], ir.Namespace, routerName(ir.Namespace, ir.Name, rule.Match))
	default:
		t.weighted(w, rule.Services, ir.Namespace, 0)
	}
	if len(t.leaves) > 1 {
		t.notes = append(t.notes, fmt.Sprintf("requests are shared by %s; shown is the first with the largest weight", strings.Join(t.leaves, ", ")))
	}
	return t
}

// routerName is the name of a rule's router. [name_builder.go]
func routerName(namespace, name, match string) string {
	return traefikName(fmt.Sprintf("%s-%s-%.10x", namespace, name, sha256.Sum256([]byte(match))))
}

// single is a rule with one service. A Kubernetes Service is then named as the
// router is; a TraefikService is named after itself.
func (t *tree) single(w *World, b TraefikBackend, namespace, router string) {
	if b.Kind == "TraefikService" {
		t.traefikService(w, b, namespace, 0)
		return
	}
	t.pick(b, namespace, router+traefikCRD)
}

func (t *tree) pick(b TraefikBackend, namespace, cookie string) {
	b.Namespace = orElse(b.Namespace, namespace)
	t.leaves = append(t.leaves, fmt.Sprintf("%s/%s:%s (%d)", b.Namespace, b.Name, b.Port, weight(b)))
	if strings.Contains(b.Name, "@") {
		t.notes = append(t.notes, fmt.Sprintf("service %s is another provider's: it can't be read here", quote(b.Name)))
	}
	if t.leaf.Name == "" {
		t.leaf, t.cookie = b, cookie
	}
}

// maxTraefikDepth bounds TraefikServices that refer to TraefikServices, and
// maxTraefikLeaves what they unfold to.
const (
	maxTraefikDepth  = 8
	maxTraefikLeaves = 32
)

func (t *tree) traefikService(w *World, b TraefikBackend, namespace string, depth int) {
	ref := affinity.ServiceRef{Namespace: orElse(b.Namespace, namespace), Name: b.Name}
	s := w.traefik[ref]
	switch {
	case depth > maxTraefikDepth:
		t.notes = append(t.notes, "TraefikServices refer to each other too deeply")
		return
	case s == nil:
		t.notes = append(t.notes, fmt.Sprintf("unknown TraefikService %s", ref))
		return
	}
	if v := (affinity.Via{Kind: "traefikservice", Namespace: s.Namespace, Name: s.Name}); !slices.Contains(t.via, v) {
		t.via = append(t.via, v)
	}
	name := traefikName(s.Namespace + "-" + s.Name)
	if s.Sticky != nil && s.Kind == "weighted" {
		t.levels = append(t.levels, stickyLevel{"traefikservice/" + s.Name, traefikPolicy(*s.Sticky, name+traefikCRD)})
	}
	switch s.Kind {
	case "weighted":
		t.weighted(w, s.Services, s.Namespace, depth+1)
		return
	case "highestRandomWeight":
		t.notes = append(t.notes, fmt.Sprintf("TraefikService %s chooses a service by the client's address", ref))
		t.weighted(w, s.Services, s.Namespace, depth+1)
		return
	case "mirroring":
		t.notes = append(t.notes, fmt.Sprintf("TraefikService %s mirrors requests; the first service answers", ref))
	case "failover":
		t.notes = append(t.notes, fmt.Sprintf("TraefikService %s fails over; shown is the first choice", ref))
	}
	if len(s.Services) > 0 {
		t.child(w, s.Services[0], s.Namespace, depth+1)
	}
}

// weighted follows the services of a weighted round robin, heaviest first.
func (t *tree) weighted(w *World, services []TraefikBackend, namespace string, depth int) {
	sorted := slices.Clone(services)
	slices.SortStableFunc(sorted, func(a, b TraefikBackend) int { return weight(b) - weight(a) })
	for _, b := range sorted {
		if len(t.children) >= maxTraefikLeaves {
			t.notes = append(t.notes, fmt.Sprintf("more than %d services: the rest is not read", maxTraefikLeaves))
			return
		}
		t.children = append(t.children, childName(b, namespace))
		t.child(w, b, namespace, depth)
	}
}

func (t *tree) child(w *World, b TraefikBackend, namespace string, depth int) {
	if b.Kind == "TraefikService" {
		t.traefikService(w, b, namespace, depth)
		return
	}
	t.pick(b, namespace, childName(b, namespace)+traefikCRD)
}

// childName is the name of a service below another. [fullServiceName]
func childName(b TraefikBackend, namespace string) string {
	name := orElse(b.Namespace, namespace) + "-" + b.Name
	if b.Kind != "TraefikService" && b.Port != "" {
		name += "-" + b.Port
	}
	return traefikName(name)
}

// read is the policy of the level that chooses the pod or, where only an upper
// level is sticky, of that one.
func (t *tree) read(s *Service) Reading {
	r := Reading{Policy: affinity.Policy{Controller: traefikKey, KeepsTerminating: true, Why: "no sticky.cookie on the service"}}
	if s != nil {
		r.Upstream, r.Setting = traefikUpstream(s, t.leaf.NativeLB != nil && *t.leaf.NativeLB, t.leaf.NodePortLB)
	}
	switch {
	case t.leaf.Sticky != nil && t.leaf.Strategy == "hrw":
		r.Policy.Why, r.Policy.MovesSilently = "strategy: hrw", true
		r.Policy.Notes = []string{"sticky.cookie is ignored with strategy hrw, which goes by the client's address"}
	case t.leaf.Sticky != nil:
		r.Policy = traefikPolicy(*t.leaf.Sticky, t.cookie)
		r.Policy.Why = "sticky.cookie of service " + t.leaf.Name
		for _, l := range t.levels {
			r.Policy = withNotes(r.Policy, fmt.Sprintf("%s chooses the service by a cookie of its own, %s", l.object, l.policy.Cookie.Name))
		}
	case len(t.levels) > 0:
		l := t.levels[len(t.levels)-1]
		r.Policy = l.policy
		r.Policy.Why, r.Policy.MovesSilently = "weighted.sticky.cookie of "+l.object, true
		r.Policy = withNotes(r.Policy, "the cookie holds a service, not a pod: inside it, every request may go anywhere")
	}
	if r.Policy.Decoder != nil {
		r.Policy.Decoder = traefikSticky{children: t.children}
	}
	return r.withUpstream()
}

func weight(b TraefikBackend) int {
	if b.Weight == nil {
		return 1
	}
	return *b.Weight
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
