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
	reading := t.read(w, p.Service)
	r.Layers = []affinity.Layer{{Where: affinity.LayerIngress, Object: "ingressroute/" + p.Ingress.Name, Candidates: []affinity.Policy{w.idles(traefikKey, p, served{}, reading.Policy)}}}
	if p.Service != nil {
		r.Layers = append(r.Layers, serviceLayer(*p.Service, reading, reading.Policy.Controller))
	}
	return r
}

// tree is what a rule's services come down to.
type tree struct {
	traefikLeaf                // the Service that most requests reach
	all         []traefikLeaf  // all of them, that one too
	levels      []*stickyLevel // cookies that choose between services, outermost first
	children    []string       // names of the services chosen from, as those cookies hash them
	notes       []string
	via         []affinity.Via // the TraefikServices that requests may pass

	at traefikLeaf // where the walk is: leaf and cookie are not yet known
}

// traefikLeaf is a Service of a rule.
type traefikLeaf struct {
	leaf   TraefikBackend
	cookie string // qualified service name that names its cookie by default
	object string // that shares requests out to it, and which
	share  string
	path   []string // names of the services that lead to it
	spare  bool     // only where another fails
}

func (l traefikLeaf) ref() affinity.ServiceRef {
	return affinity.ServiceRef{Namespace: l.leaf.Namespace, Name: l.leaf.Name}
}

type stickyLevel struct {
	object   string
	policy   affinity.Policy
	children []string // what its cookie may name
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
		t.at.object = "ingressroute/" + ir.Name
		t.weighted(w, rule.Services, ir.Namespace, 0, nil)
	}
	if len(t.all) > 0 {
		t.traefikLeaf = t.all[0]
	}
	if len(t.all) > 1 {
		var names []string
		for _, l := range t.all {
			if l.share != "" {
				names = append(names, fmt.Sprintf("%s:%s (%s)", l.ref(), l.leaf.Port, l.share))
			}
		}
		if len(names) > 1 {
			t.notes = append(t.notes, "requests are shared by "+strings.Join(names, ", "))
		}
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
	t.all = append(t.all, traefikLeaf{b, cookie, t.at.object, t.at.share, slices.Clone(t.at.path), t.at.spare})
	if strings.Contains(b.Name, "@") {
		t.notes = append(t.notes, fmt.Sprintf("service %s is another provider's: it can't be read here", quote(b.Name)))
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
		t.note("TraefikServices refer to each other too deeply")
		return
	case s == nil:
		t.note(fmt.Sprintf("unknown TraefikService %s", ref))
		return
	}
	if v := (affinity.Via{Kind: "traefikservice", Namespace: s.Namespace, Name: s.Name}); !slices.Contains(t.via, v) {
		t.via = append(t.via, v)
	}
	name := traefikName(s.Namespace + "-" + s.Name)
	var level *stickyLevel
	if s.Sticky != nil && s.Kind == "weighted" {
		level = &stickyLevel{object: "traefikservice/" + s.Name, policy: traefikPolicy(*s.Sticky, name+traefikCRD)}
		t.levels = append(t.levels, level)
	}
	switch s.Kind {
	case "weighted", "highestRandomWeight":
		if s.Kind != "weighted" {
			t.note(fmt.Sprintf("TraefikService %s chooses a service by the client's address", ref))
		}
		outer := t.at
		t.at.object = "traefikservice/" + s.Name
		t.weighted(w, s.Services, s.Namespace, depth+1, level)
		t.at = outer
		return
	case "mirroring":
		t.note(fmt.Sprintf("TraefikService %s mirrors requests; the first service answers", ref))
	case "failover":
		t.note(fmt.Sprintf("TraefikService %s fails over: its fallback answers while the first choice fails its health check, or for answers that its errors.status names", ref))
	}
	if len(s.Services) > 0 {
		t.child(w, s.Services[0], s.Namespace, depth+1)
	}
	if s.Kind == "failover" && len(s.Services) > 1 && s.Services[1].Name != "" && len(t.all) < maxTraefikLeaves {
		outer := t.at
		t.at.object, t.at.spare = "traefikservice/"+s.Name, true
		t.at.share = "fallback"
		if outer.share != "" {
			t.at.share += " of " + outer.share
		}
		t.child(w, s.Services[1], s.Namespace, depth+1)
		t.at = outer
	}
}

// note adds a note once: a service may be met on several ways.
func (t *tree) note(text string) {
	if !slices.Contains(t.notes, text) {
		t.notes = append(t.notes, text)
	}
}

// weighted follows the services of a weighted round robin, heaviest first. One
// without a weight above zero gets nothing. [loadbalancer/wrr Add]
func (t *tree) weighted(w *World, services []TraefikBackend, namespace string, depth int, level *stickyLevel) {
	sorted := slices.DeleteFunc(slices.Clone(services), func(b TraefikBackend) bool { return weight(b) <= 0 })
	if len(sorted) == 0 {
		if len(services) == 0 {
			return
		}
		t.notes = append(t.notes, "no service has a weight: Traefik answers 503")
		sorted = services[:1]
	}
	slices.SortStableFunc(sorted, func(a, b TraefikBackend) int { return weight(b) - weight(a) })
	total, outer := 0, t.at
	for _, b := range sorted {
		total += weight(b)
	}
	for _, b := range sorted {
		if len(t.children) >= maxTraefikLeaves {
			t.notes = append(t.notes, fmt.Sprintf("more than %d services: the rest is not read", maxTraefikLeaves))
			return
		}
		name := childName(b, namespace)
		t.children = append(t.children, name)
		if level != nil {
			level.children = append(level.children, name)
		}
		t.at.share = fmt.Sprintf("weight %d/%d", weight(b), total)
		if outer.share != "" {
			t.at.share += " of " + outer.share
		}
		t.at.path = append(slices.Clip(outer.path), name)
		t.child(w, b, namespace, depth)
		t.at = outer
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
func (t *tree) read(w *World, s *Service) Reading {
	r := Reading{Policy: affinity.Policy{Controller: traefikKey, KeepsTerminating: true, Why: "no sticky.cookie on the service"}}
	if s != nil {
		r.Upstream, r.Setting = traefikUpstream(s, t.leaf.NativeLB != nil && *t.leaf.NativeLB, t.leaf.NodePortLB)
	}
	levels := t.levels
	switch own := t.sticky(); {
	case t.leaf.Sticky != nil && own == nil:
		r.Policy.Why, r.Policy.MovesSilently = "strategy: hrw", true
		r.Policy.Notes = []string{"sticky.cookie is ignored with strategy hrw, which goes by the client's address"}
	case own != nil:
		r.Policy = *own
		r.Policy.Why = "sticky.cookie of service " + t.leaf.Name
		for _, l := range t.levels {
			r.Policy = withNotes(r.Policy, fmt.Sprintf("%s chooses the service by a cookie of its own, %s", l.object, l.policy.Cookie.Name))
		}
	case len(levels) > 0:
		l := levels[len(levels)-1]
		levels = levels[:len(levels)-1]
		r.Policy = l.policy
		r.Policy.Why, r.Policy.MovesSilently = "weighted.sticky.cookie of "+l.object, true
		r.Policy = withNotes(r.Policy, "the cookie holds a service, not a pod: inside it, every request may go anywhere")
	}
	if r.Policy.Decoder != nil {
		r.Policy.Decoder = traefikSticky{children: t.children}
	}
	for _, l := range levels {
		r.Policy.Levels = append(r.Policy.Levels, affinity.CookieLevel{Object: l.object, Cookie: l.policy.Cookie, Decoder: traefikSticky{children: l.children}, Children: l.children})
	}
	r = r.withUpstream()
	r.Policy.Branches, r.Policy.Child = t.branches(w, r.Policy)
	return r
}

// sticky is the policy of a Service's own cookie; nil where it has none that counts.
func (l traefikLeaf) sticky() *affinity.Policy {
	if l.leaf.Sticky == nil || l.leaf.Strategy == "hrw" {
		return nil
	}
	p := traefikPolicy(*l.leaf.Sticky, l.cookie)
	return &p
}

// branches are the other Services of the rule, and what the first is called by
// the levels above. One has its own cookie or, as has the first, that of a level.
func (t *tree) branches(w *World, of affinity.Policy) (all []affinity.Branch, child []string) {
	for i, l := range t.all {
		b := w.branch(sharer{ref: l.ref(), port: l.leaf.Port}, l.object, l.share)
		b.Child, b.Fallback = l.path, l.spare
		s := w.services[l.ref()]
		same := func(x affinity.Branch) bool { return x.Backend == b.Backend }
		if i == 0 || l.ref() == t.ref() && l.leaf.Port == t.leaf.Port {
			child = append(child, l.path...)
			continue
		}
		if old := slices.IndexFunc(all, same); old >= 0 {
			all[old].Child = append(all[old].Child, l.path...)
			continue
		}
		upstream := UpstreamPods
		if s != nil {
			upstream, _ = traefikUpstream(s, l.leaf.NativeLB != nil && *l.leaf.NativeLB, l.leaf.NodePortLB)
		}
		switch own := l.sticky(); {
		case own != nil:
			b.Cookie = own.Cookie.Name
			if upstream == UpstreamPods {
				b.Decoder = own.Decoder
			}
		case len(t.levels) > 0 && t.sticky() == nil:
			b.Cookie = of.Cookie.Name
		}
		all = append(all, b)
	}
	return all, child
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
