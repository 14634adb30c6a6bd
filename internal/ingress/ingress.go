// Package ingress knows ingress controllers: what stickiness each route has
// effectively, as its controller reads the objects, and which pod a controller's
// cookie names.
//
// It is pure: plain data in, affinity.Route and affinity.Decoded out; no I/O,
// no clock, no Kubernetes types.
package ingress

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Build returns every route of the objects: each host and path of each
// Ingress, its default backend, and each host and path of each IngressRoute,
// sorted by ID.
func Build(o Objects) []affinity.Route {
	w := newWorld(o)
	places := w.places(o.Ingresses)
	s := newServed(places)
	routes := make([]affinity.Route, 0, len(places))
	for i, read := range w.readAll(places) {
		routes = append(routes, w.route(places[i], read, s))
	}
	routes = append(routes, w.ingressRoutes(o.IngressRoutes)...)
	routes = append(routes, w.customRoutes()...)
	for i := range routes {
		clean(&routes[i])
	}
	unique(routes)
	slices.SortFunc(routes, func(a, b affinity.Route) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return routes
}

// candidate is what one controller that may serve a place makes of it.
type candidate struct {
	controller Controller
	reading    Reading
}

// readAll asks the controllers that may serve each place. Each sees all places
// of its class together, as settings merge across Ingresses.
func (w *World) readAll(places []*Place) [][]candidate {
	type group struct {
		key   string
		class string
	}
	members := map[group][]int{}
	var order []group
	by := map[string]Controller{}
	for i, p := range places {
		found, notes := w.candidates(p.class, w.meant(p.class, p.Ingress))
		p.notes = append(p.notes, notes...)
		for _, c := range found {
			g := group{c.Key(), p.class.name}
			if members[g] == nil {
				order = append(order, g)
			}
			members[g] = append(members[g], i)
			by[c.Key()] = c
		}
	}
	all := make([][]candidate, len(places))
	for _, c := range w.likeliest {
		for _, g := range order {
			if g.key != c.Key() {
				continue
			}
			theirs := make([]*Place, 0, len(members[g]))
			for _, i := range members[g] {
				theirs = append(theirs, places[i])
			}
			for n, r := range by[g.key].Read(w, theirs) {
				i := members[g][n]
				all[i] = append(all[i], candidate{c, r.withUpstream()})
			}
		}
	}
	for i, p := range places {
		if p.class.controller == "" {
			meant := w.meant(p.class, p.Ingress)
			slices.SortStableFunc(all[i], func(a, b candidate) int { return rank(a.controller, meant) - rank(b.controller, meant) })
		}
	}
	return all
}

// route assembles a place's route.
func (w *World) route(p *Place, read []candidate, s served) affinity.Route {
	r := affinity.Route{
		ID:        affinity.RouteKey(affinity.RouteIngress, p.Ingress.Namespace, p.Ingress.Name, p.Host, p.Path),
		Kind:      affinity.RouteIngress,
		Namespace: p.Ingress.Namespace, Name: p.Ingress.Name,
		Host: p.Host, Path: p.Path, PathType: p.Type,
		Class:     p.class.name,
		Backend:   affinity.Backend{Service: p.ref(), Port: p.Backend.Port()},
		TLS:       p.TLS,
		Addresses: p.Ingress.Addresses,
	}
	if p.Port != nil {
		r.Backend.PortName = p.Port.Name
	}
	if p.Default {
		r.ID += " (default backend)"
	}
	r.ProbePath, r.ProbeWhy = w.probe(p, s)
	r.Notes = append(r.Notes, p.notes...)
	r.Notes = append(r.Notes, w.backendNotes(p)...)
	keys := make([]string, len(read))
	for i, c := range read {
		keys[i] = c.controller.Key()
	}
	r.Contested = s.conflicts(p, keys)
	r.Notes = append(r.Notes, r.Contested...)
	r.Notes = append(r.Notes, foreign(p, read)...)
	layer := affinity.Layer{Where: affinity.LayerIngress, Object: "ingress/" + p.Ingress.Name}
	for i, c := range read {
		policy := w.idles(c.controller.Key(), p, s, c.reading.Policy)
		policy.Assumed = w.assumed(c.controller.Key(), p, policy)
		switch {
		case len(read) == 1 || anyCookie(read):
			layer.Candidates = append(layer.Candidates, policy)
		case i == 0: // all agree on none, and no cookie will tell which it is
			policy.Controller = ""
			layer.Candidates = append(layer.Candidates, policy)
		}
		for _, n := range c.reading.Notes {
			if !slices.Contains(r.Notes, n) {
				r.Notes = append(r.Notes, n)
			}
		}
	}
	var first Reading
	if len(read) > 0 {
		first = read[0].reading
	} else {
		layer.Candidates = unread(p.class)
	}
	r.Layers = append(r.Layers, layer)
	if p.Service != nil {
		r.Layers = append(r.Layers, serviceLayer(*p.Service, first, readers(read)))
	}
	return r
}

// readers names the controller that read a place: not one of several that
// could be it.
func readers(read []candidate) string {
	switch len(read) {
	case 0:
		return ""
	case 1:
		return read[0].reading.Policy.Controller
	}
	return "the ingress"
}

// anyCookie reports whether it matters which of several controllers serves a
// place: some would make it sticky.
func anyCookie(read []candidate) bool {
	return slices.ContainsFunc(read, func(c candidate) bool { return c.reading.Policy.Mechanism != affinity.MechanismNone })
}

// unread is the policy of a controller whose settings are not read: it is
// named, and nothing is claimed about it.
func unread(c classOf) []affinity.Policy {
	key, title := recognise(c)
	if key == "" {
		return nil
	}
	return []affinity.Policy{{Mechanism: affinity.MechanismUnknown, Controller: key, Why: "not read", Notes: []string{title + ": its affinity settings are not read yet"}}}
}

// backendNotes tells what is wrong with the Service a place names.
func (w *World) backendNotes(p *Place) []string {
	switch {
	case p.Backend.Service == "":
		return []string{fmt.Sprintf("the backend is a resource (%s), not a Service", quote(p.Backend.Resource))}
	case w.servicesUnread:
		return nil
	case p.Service == nil:
		return []string{fmt.Sprintf("unknown Service %s", p.ref())}
	case p.Backend.Port() == "":
		return []string{"the backend names no port"}
	case p.Port == nil:
		return []string{fmt.Sprintf("Service %s has no port %s", p.ref(), quote(p.Backend.Port()))}
	}
	return nil
}

// unique gives routes that ask for the same ID one of their own: one Ingress
// may write a path twice, with two path types.
func unique(routes []affinity.Route) {
	seen := make(map[affinity.RouteID]int, len(routes))
	for i := range routes {
		r := &routes[i]
		if seen[r.ID] == 0 {
			seen[r.ID] = 1
			continue
		}
		id := r.ID
		if r.PathType != "" {
			id += affinity.RouteID(" (" + r.PathType + ")")
		}
		for base := id; seen[id] > 0; {
			seen[base]++
			id = base + affinity.RouteID(fmt.Sprintf(" #%d", seen[base]))
		}
		seen[id] = 1
		r.ID = id
		if r.Kind == affinity.RouteIngress {
			r.Notes = append(r.Notes, "written more than once in this object")
		}
	}
}

func objectOf(i *Ingress) string { return "ingress/" + i.Name }

func rootIfEmpty(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// none is the policy of a layer that spreads requests freely.
func none(why string) affinity.Policy { return affinity.Policy{Why: why} }

func withNotes(p affinity.Policy, notes ...string) affinity.Policy {
	p.Notes = append(slices.Clip(p.Notes), notes...)
	return p
}

// withUpstream takes from a cookie policy what it is not worth when the proxy
// does not connect to pods: the cookie comes and goes, and names none.
func (r Reading) withUpstream() Reading {
	if r.Policy.Mechanism != affinity.MechanismCookie {
		return r
	}
	why := ""
	switch r.Upstream {
	case UpstreamPods, UpstreamPassthrough:
		return r
	case UpstreamClusterIP:
		why = r.Setting + ": the only upstream is the Service's ClusterIP, so the cookie holds no pod; the node picks one for each new connection"
	case UpstreamNodePort:
		why = r.Setting + ": the cookie holds a node, and the node picks a pod for each new connection"
	case UpstreamExternal:
		why = "ExternalName: the cookie holds an address that DNS gave, not a pod"
	}
	for i := range r.Policy.Branches {
		r.Policy.Branches[i].Decoder = nil
	}
	r.Policy.Decoder, r.Policy.MovesSilently = nil, r.Upstream != UpstreamExternal
	r.Policy = withNotes(r.Policy, why)
	return r
}
