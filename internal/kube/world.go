package kube

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// sourceRoutes is the Source of the Routes that a cluster gives.
const sourceRoutes = "kubernetes"

// patience is how long the first routes wait for every resource's first answer:
// routes built from half of the objects would be shown with notes about the
// missing half.
const patience = 2 * time.Second

// key names an object of one resource.
type key struct{ namespace, name string }

// world is what is known of the cluster, owned by Source.Run's goroutine. It
// does no I/O: changes in, events out.
type world struct {
	emit     func(affinity.Event)
	selector labels.Selector
	started  time.Time

	status map[string]affinity.SourceStatus
	synced map[string]bool // a complete list has arrived
	stores map[string]store

	ingresses     *table[routeObject[ingress.Ingress]]
	ingressRoutes *table[routeObject[ingress.IngressRoute]]
	traefik       *table[ingress.TraefikService]
	services      *table[ingress.Service]
	classes       *table[ingress.Class]
	pods          *table[pod]
	slices        *table[slice]
	custom        map[string]*table[routeObject[ingress.Custom]] // by resource

	byService map[affinity.ServiceRef]map[key]*slice
	endpoints map[affinity.ServiceRef][]affinity.Endpoint // as emitted
	policies  map[affinity.ServiceRef]affinity.Service    // as emitted
	touched   map[affinity.ServiceRef]bool                // to be merged or judged again
	routes    []affinity.Route                            // as emitted
	routed    bool                                        // routes were emitted, be it none
	routedTo  map[affinity.ServiceRef]bool                // the backends of routes

	learned learned
	doors   *doors // nil before they were looked for
	want    func() // asks for them; nil where nobody looks
	wanting bool   // a route has no address of its own

	stale   bool // routes are to be built again
	counted time.Time
	counts  bool // numbers of objects are to be told
}

func newWorld(emit func(affinity.Event), selector labels.Selector, watchers []*watcher) *world {
	w := &world{
		emit: emit, selector: selector, started: time.Now(),
		status: map[string]affinity.SourceStatus{}, synced: map[string]bool{},
		byService: map[affinity.ServiceRef]map[key]*slice{}, endpoints: map[affinity.ServiceRef][]affinity.Endpoint{},
		policies: map[affinity.ServiceRef]affinity.Service{}, touched: map[affinity.ServiceRef]bool{},
	}
	for _, x := range watchers {
		w.status[x.key()] = affinity.SourceStatus{Name: x.title(), Group: x.group, Cluster: x.cluster, Since: w.started, Unread: true}
	}
	w.ingresses = newTable(w.ingressChanged)
	w.ingressRoutes = newTable(w.ingressRouteChanged)
	w.traefik = newTable(w.traefikChanged)
	w.services = newTable(w.serviceChanged)
	w.classes = newTable(func(_ key, _, _ *ingress.Class) { w.stale = true })
	w.pods = newTable(w.podChanged)
	w.slices = newTable(w.sliceChanged)
	w.stores = map[string]store{
		resIngresses: w.ingresses, resIngressRoutes: w.ingressRoutes, resTraefikServices: w.traefik,
		resServices: w.services, resClasses: w.classes, resPods: w.pods, resSlices: w.slices,
	}
	w.addCustom()
	return w
}

// apply folds one change and emits what follows from it at once; routes follow
// with rebuild.
func (w *world) apply(c change, now time.Time) {
	if c.kind == changeStatus {
		w.applyStatus(c.resource, c.status, now)
		return
	}
	s := w.stores[c.resource]
	before := s.len()
	switch c.kind {
	case changeUpsert:
		s.put(c.object)
	case changeDelete:
		s.drop(key{c.object.Namespace, c.object.Name})
	case changeReplace:
		w.replace(s, c.objects)
		w.synced[c.resource] = true
	}
	w.counts = w.counts || s.len() != before
	for ref := range w.touched {
		w.settleService(ref)
	}
	clear(w.touched)
}

func (w *world) replace(s store, objects []*held) {
	here := make(map[key]bool, len(objects))
	for _, o := range objects {
		here[key{o.Namespace, o.Name}] = true
	}
	for _, k := range s.keys() {
		if !here[k] {
			s.drop(k)
		}
	}
	for _, o := range objects {
		s.put(o)
	}
}

func (w *world) applyStatus(resource string, s status, _ time.Time) {
	next := affinity.SourceStatus{Name: cmp.Or(w.status[resource].Name, resource), Group: w.status[resource].Group, Cluster: w.status[resource].Cluster, State: s.state, Since: s.since, Detail: s.detail, Retry: s.retry, Objects: w.stores[resource].len(),
		Unread: !w.synced[resource], Unreached: s.unreached}
	if s.state == affinity.SourceSyncing {
		next.Objects = s.listed
	}
	if was := w.status[resource]; was.State != next.State {
		w.stale = true // what is unread decides about notes
	}
	if s.state == affinity.SourceAbsent { // its objects went with their API
		w.replace(w.stores[resource], nil)
		w.synced[resource], next.Objects, next.Unread = false, 0, true
	}
	w.status[resource] = next
	w.emit(affinity.SourceChanged{Status: next})
}

// settleService emits a Service's endpoints and the Service itself, each if it
// differs from what was emitted last.
func (w *world) settleService(ref affinity.ServiceRef) {
	var all []*slice
	for _, s := range w.byService[ref] {
		all = append(all, s)
	}
	merged := mergeSlices(all)
	if old := w.endpoints[ref]; !slices.Equal(old, merged) {
		w.endpoints[ref] = merged
		if len(merged) == 0 {
			delete(w.endpoints, ref)
		}
		w.emit(affinity.EndpointsChanged{Service: ref, Endpoints: merged})
		w.stale = w.stale || !slices.EqualFunc(old, merged, func(a, b affinity.Endpoint) bool { return a.Addr == b.Addr && a.Pod == b.Pod })
	}
	w.judge(ref)
}

// judge emits a Service if its policy, which depends on the number of ready
// endpoints too, differs.
func (w *world) judge(ref affinity.ServiceRef) {
	s, ok := w.services.of[key{ref.Namespace, ref.Name}]
	if !ok {
		return
	}
	ready := 0
	for _, e := range w.endpoints[ref] {
		if e.Ready {
			ready++
		}
	}
	next := ingress.ServicePolicy(*s, ready)
	next.HasIngress = w.routedTo[ref]
	if old, had := w.policies[ref]; had && reflect.DeepEqual(old, next) {
		return
	}
	w.policies[ref] = next
	w.emit(affinity.ServiceChanged{Service: next})
}

// dirty reports whether rebuild has something to do.
func (w *world) dirty() bool { return w.stale || w.counts }

// rebuild builds the routes and emits them if they differ. It returns after how
// long it wants to be called again; zero when nothing is left to do.
func (w *world) rebuild(now time.Time) time.Duration {
	var again time.Duration
	if w.stale {
		if !w.settled(now) {
			again = cmp.Or(max(0, patience-now.Sub(w.started)), time.Minute) // or with the next change
		} else if w.stale = false; !w.rebuildRoutes(now) {
			w.stale, again = true, max(settle, patience-now.Sub(w.started)) // or with the doors
		}
	}
	return cmp.Or(again, w.tellCounts(now))
}

// rebuildRoutes reports whether it did: the first routes wait for the addresses
// of those that have none of their own.
func (w *world) rebuildRoutes(now time.Time) bool {
	routes := w.selected(ingress.Build(w.objects()))
	w.openDoors(routes)
	if w.wanting && w.doors == nil && w.want != nil && !w.routed && now.Sub(w.started) < patience {
		return false
	}
	if w.routed && reflect.DeepEqual(routes, w.routes) {
		return true
	}
	w.routes, w.routed = routes, true
	w.routedTo = make(map[affinity.ServiceRef]bool, len(routes))
	for _, r := range routes {
		for _, b := range r.Backends() {
			w.routedTo[b.Service] = true
		}
	}
	w.emit(affinity.Routes{Source: sourceRoutes, Routes: slices.Clone(routes)})
	for k := range w.services.of {
		w.judge(affinity.ServiceRef{Namespace: k.namespace, Name: k.name})
	}
	return true
}

// settled reports whether every resource has had its first answer, of whatever
// kind, or has had its time.
func (w *world) settled(now time.Time) bool {
	if w.routed {
		return true
	}
	if !w.synced[resIngresses] && !w.synced[resIngressRoutes] && !w.customSynced() && w.status[resIngresses].State != affinity.SourceForbidden {
		return false // that there are none cannot be told before one list has arrived
	}
	late := now.Sub(w.started) > patience
	for name, s := range w.status {
		if s.State == affinity.SourceSyncing && (!late || name == resIngresses || name == resServices) {
			return false
		}
	}
	return true
}

// tellCounts emits numbers of objects that changed, at most once a second.
func (w *world) tellCounts(now time.Time) time.Duration {
	if !w.counts {
		return 0
	}
	if left := time.Second - now.Sub(w.counted); left > 0 {
		return left
	}
	w.counts, w.counted = false, now
	for _, name := range slices.Sorted(maps.Keys(w.status)) {
		s := w.status[name]
		if n := w.stores[name].len(); n != s.Objects && s.State != affinity.SourceSyncing {
			s.Objects = n
			w.status[name] = s
			w.emit(affinity.SourceChanged{Status: s})
		}
	}
	return 0
}

// objects is the world as the pure core of policies reads it.
func (w *world) objects() ingress.Objects {
	o := ingress.Objects{
		Readiness:      w.readiness(),
		ClassesUnread:  !w.synced[resClasses],
		ServicesUnread: !w.synced[resServices],
		NginxConfig:    w.learned.nginxConfig,
		Running:        w.learned.running,
	}
	for _, x := range w.ingresses.of {
		o.Ingresses = append(o.Ingresses, x.object)
	}
	for _, x := range w.ingressRoutes.of {
		o.IngressRoutes = append(o.IngressRoutes, x.object)
	}
	for _, x := range w.services.of {
		o.Services = append(o.Services, *x)
	}
	for _, x := range w.classes.of {
		o.Classes = append(o.Classes, *x)
	}
	for _, x := range w.traefik.of {
		o.TraefikServices = append(o.TraefikServices, *x)
	}
	w.customObjects(&o)
	// Maps have no order, and equal worlds must give equal routes.
	slices.SortFunc(o.Ingresses, func(a, b ingress.Ingress) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(o.IngressRoutes, func(a, b ingress.IngressRoute) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(o.Classes, func(a, b ingress.Class) int { return cmp.Compare(a.Name, b.Name) })
	return o
}

// selected keeps the routes of objects that the label selector matches.
func (w *world) selected(routes []affinity.Route) []affinity.Route {
	if w.selector.Empty() {
		return routes
	}
	return slices.DeleteFunc(routes, func(r affinity.Route) bool {
		k := key{r.Namespace, r.Name}
		set := map[string]string{}
		if x, ok := w.ingresses.of[k]; ok && r.Kind == affinity.RouteIngress {
			set = x.labels
		} else if x, ok := w.ingressRoutes.of[k]; ok && r.Kind == affinity.RouteIngressRoute {
			set = x.labels
		} else if x := w.customOf(r.Kind, k); x != nil {
			set = x.labels
		}
		return !w.selector.Matches(labels.Set(set))
	})
}
