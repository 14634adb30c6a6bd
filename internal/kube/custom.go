package kube

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// customKinds are ingress.CustomKinds as kinds to watch.
func customKinds() []kind {
	var all []kind
	for _, k := range ingress.CustomKinds {
		all = append(all, kind{group: k.Group(), version: k.Version, name: k.Resource(), cluster: k.Cluster, wide: k.Wide, optional: true,
			custom: k.Kind, loss: k.Loss, pollLoss: "edits are seen up to 10s late"})
	}
	return all
}

// custom reads a kind of ingress.CustomKinds.
func (c *clients) custom(k kind, namespace string) resource {
	if k.cluster {
		namespace = ""
	}
	of := c.dynamic.Resource(k.gvr())
	r := resource{kind: k, convert: customConverter(k),
		installed: func(ctx context.Context) error { return c.installed(ctx, k) }}
	// A wide kind is tried in all namespaces, until that is forbidden.
	var narrow atomic.Bool
	narrow.Store(!k.wide)
	in := func() string {
		if narrow.Load() {
			return namespace
		}
		return ""
	}
	r.list = func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		list, err := of.Namespace(in()).List(ctx, o)
		if apierrors.IsForbidden(err) && namespace != "" && narrow.CompareAndSwap(false, true) {
			list, err = of.Namespace(namespace).List(ctx, o)
		}
		return list, err
	}
	r.watch = func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		return of.Namespace(in()).Watch(ctx, o)
	}
	return r
}

// customConverter keeps of an object what its kind reads.
func customConverter(k kind) convertFunc {
	i := slices.IndexFunc(ingress.CustomKinds, func(c ingress.CustomKind) bool { return c.Key == k.key() })
	if i < 0 {
		return func(runtime.Object) (any, bool) { return nil, false }
	}
	of := ingress.CustomKinds[i]
	return func(obj runtime.Object) (any, bool) {
		u, ok := obj.(*unstructured.Unstructured)
		if !ok {
			return nil, false
		}
		raw, err := json.Marshal(map[string]any{"spec": u.Object["spec"], "status": u.Object["status"]})
		if err != nil {
			return nil, false
		}
		parsed, err := of.Parse(raw)
		if err != nil {
			return nil, false
		}
		out := ingress.Custom{Key: of.Key, Namespace: name(u.GetNamespace()), Name: name(u.GetName()), Created: u.GetCreationTimestamp().Time,
			Annotations: annotations(u.GetAnnotations()), Parsed: parsed}
		return &routeObject[ingress.Custom]{out, u.GetLabels()}, true
	}
}

// addCustom makes the tables of custom kinds.
func (w *world) addCustom() {
	w.custom = map[string]*table[routeObject[ingress.Custom]]{}
	for _, k := range ingress.CustomKinds {
		t := newTable(func(at key, old, now *routeObject[ingress.Custom]) { w.customChanged(k, at, old, now) })
		w.custom[k.Key], w.stores[k.Key] = t, t
	}
}

// customChanged tells of an edit only that there was one: what it means shows
// on the routes.
func (w *world) customChanged(k ingress.CustomKind, at key, old, now *routeObject[ingress.Custom]) {
	w.stale = true
	text := "created"
	switch {
	case now == nil:
		text = "deleted"
	case old != nil && sameSpec(old.object, now.object):
		return // labels, or a status
	case old != nil:
		text = "changed"
	}
	var routes []affinity.RouteID
	if k.Route != "" {
		routes = w.routesOf(k.Route, at)
	}
	w.edited(k.Key, "ingress", k.Kind+" "+at.name, text, routes)
}

// sameSpec reports whether two versions of an object differ in nothing that
// people write. Controllers write statuses all the time.
func sameSpec(a, b ingress.Custom) bool {
	spec := func(c ingress.Custom) any {
		v := reflect.Indirect(reflect.ValueOf(c.Parsed))
		if v.Kind() != reflect.Struct {
			return nil
		}
		if f := v.FieldByName("Spec"); f.IsValid() {
			return f.Interface()
		}
		return nil
	}
	return reflect.DeepEqual(spec(a), spec(b)) && reflect.DeepEqual(a.Annotations, b.Annotations)
}

// customSynced reports whether a kind that gives routes has been listed.
func (w *world) customSynced() bool {
	return slices.ContainsFunc(ingress.CustomKinds, func(k ingress.CustomKind) bool { return k.Route != "" && w.synced[k.Key] })
}

// customObjects adds the custom objects, in an order that equal worlds share.
func (w *world) customObjects(o *ingress.Objects) {
	o.CustomUnread = map[string]bool{}
	for _, k := range ingress.CustomKinds {
		s := w.status[k.Key]
		if !w.synced[k.Key] && (s.State == affinity.SourceForbidden || s.State == affinity.SourceStale) {
			o.CustomUnread[k.Key] = true
		}
		keys := w.custom[k.Key].keys()
		slices.SortFunc(keys, func(a, b key) int {
			return strings.Compare(a.namespace+"/"+a.name, b.namespace+"/"+b.name)
		})
		for _, at := range keys {
			o.Custom = append(o.Custom, w.custom[k.Key].of[at].object)
		}
	}
}

// customOf finds the custom object that a route is of.
func (w *world) customOf(routeKind string, at key) *routeObject[ingress.Custom] {
	for _, k := range ingress.CustomKinds {
		if k.Route == routeKind && routeKind != "" {
			return w.custom[k.Key].of[at]
		}
	}
	return nil
}
