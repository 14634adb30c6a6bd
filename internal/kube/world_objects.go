package kube

import (
	"reflect"
	"slices"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// store is one resource's objects.
type store interface {
	put(*held)
	drop(key)
	keys() []key
	len() int
}

// table is a store that tells what changed: old is nil for a new object, now
// for one that is gone.
type table[T any] struct {
	of      map[key]*T
	changed func(k key, old, now *T)
}

func newTable[T any](changed func(k key, old, now *T)) *table[T] {
	return &table[T]{of: map[key]*T{}, changed: changed}
}

func (t *table[T]) len() int { return len(t.of) }

func (t *table[T]) keys() []key {
	out := make([]key, 0, len(t.of))
	for k := range t.of {
		out = append(out, k)
	}
	return out
}

func (t *table[T]) put(h *held) {
	now, ok := h.Value.(*T)
	if !ok {
		return
	}
	k := key{h.Namespace, h.Name}
	old := t.of[k]
	t.of[k] = now
	if old == nil || !reflect.DeepEqual(old, now) {
		t.changed(k, old, now)
	}
}

func (t *table[T]) drop(k key) {
	if old := t.of[k]; old != nil {
		delete(t.of, k)
		t.changed(k, old, nil)
	}
}

func (w *world) podChanged(k key, old, now *pod) {
	if now == nil {
		w.emit(affinity.PodGone{Ref: old.Ref})
		return
	}
	if old == nil || !slices.Equal(old.probes, now.probes) {
		w.stale = w.stale || len(now.probes) > 0 || old != nil
	}
	w.emit(affinity.PodChanged{Pod: now.Pod})
}

func (w *world) sliceChanged(k key, old, now *slice) {
	if old != nil {
		delete(w.byService[old.service], k)
		if len(w.byService[old.service]) == 0 {
			delete(w.byService, old.service)
		}
		w.touched[old.service] = true
	}
	if now == nil || now.service.Name == "" { // a slice of no Service
		return
	}
	if w.byService[now.service] == nil {
		w.byService[now.service] = map[key]*slice{}
	}
	w.byService[now.service][k] = now
	w.touched[now.service] = true
}

func (w *world) serviceChanged(k key, old, now *ingress.Service) {
	w.stale = true
	ref := affinity.ServiceRef{Namespace: k.namespace, Name: k.name}
	if now == nil {
		delete(w.policies, ref)
		// The State forgets the endpoints with their Service.
		delete(w.endpoints, ref)
		w.emit(affinity.ServiceGone{Ref: ref})
		w.edited(resServices, "service", "Service "+k.name, "deleted", w.behind(ref))
		return
	}
	w.touched[ref] = true
	if old != nil {
		w.edited(resServices, "service", "Service "+k.name, diffService(*old, *now), w.behind(ref))
	}
}

func (w *world) ingressChanged(k key, old, now *routeObject[ingress.Ingress]) {
	w.tellRouted(resIngresses, affinity.RouteIngress, k, changeOf(old, now, diffIngress))
}

func (w *world) ingressRouteChanged(k key, old, now *routeObject[ingress.IngressRoute]) {
	w.tellRouted(resIngressRoutes, affinity.RouteIngressRoute, k, changeOf(old, now, diffIngressRoute))
}

// tellRouted tells of a change to an object that routes are made of.
func (w *world) tellRouted(resource, kind string, k key, text string) {
	w.stale = true
	w.edited(resource, "ingress", kind+" "+k.name, text, w.routesOf(kind, k))
}

func changeOf[T any](old, now *routeObject[T], diff func(old, now T) string) string {
	switch {
	case now == nil:
		return "deleted"
	case old != nil:
		return diff(old.object, now.object)
	}
	return "created"
}

func (w *world) traefikChanged(k key, old, now *ingress.TraefikService) {
	w.stale = true
	if old != nil && now != nil {
		w.edited(resTraefikServices, "ingress", "TraefikService "+k.name, diffTraefikService(*old, *now), nil)
	}
}

// maxEditedRoutes bounds the lines that one edit may put on the timeline.
const maxEditedRoutes = 8

// edited tells of a change that somebody made. The first list is no news. The
// line is repeated for each route that it can explain moves on.
func (w *world) edited(resource, kind, subject, text string, routes []affinity.RouteID) {
	if text == "" || !w.synced[resource] {
		return
	}
	e := affinity.ClusterEvent{Kind: kind, Subject: subject, Text: text}
	if len(routes) == 0 || len(routes) > maxEditedRoutes {
		w.emit(e)
		return
	}
	for _, id := range routes {
		e.Route = id
		w.emit(e)
	}
}

func (w *world) routesOf(kind string, k key) (ids []affinity.RouteID) {
	for _, r := range w.routes {
		if r.Kind == kind && r.Namespace == k.namespace && r.Name == k.name {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// behind are the routes that lead to a Service.
func (w *world) behind(ref affinity.ServiceRef) (ids []affinity.RouteID) {
	for _, r := range w.routes {
		if slices.ContainsFunc(r.Backends(), func(b affinity.Backend) bool { return b.Service == ref }) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// readiness finds the HTTP readiness path behind each Service's port: that of
// the first pod in its slices which has one for the port that it is served on.
func (w *world) readiness() map[ingress.ServicePortKey]string {
	out := map[ingress.ServicePortKey]string{}
	for k, s := range w.services.of {
		ref := affinity.ServiceRef{Namespace: k.namespace, Name: k.name}
		for _, p := range s.Ports {
			if path := w.readinessOf(ref, p.Name); path != "" {
				out[ingress.ServicePortKey{Service: ref, Port: p.Port}] = path
			}
		}
	}
	return out
}

func (w *world) readinessOf(ref affinity.ServiceRef, port string) string {
	for _, e := range w.endpoints[ref] {
		x, ok := w.pods.of[key{e.Pod.Namespace, e.Pod.Name}]
		if e.PortName != port || !ok {
			continue
		}
		for _, r := range x.probes {
			if e.Addr == joinPort(e.IP, r.port) {
				return r.path
			}
		}
	}
	return ""
}
