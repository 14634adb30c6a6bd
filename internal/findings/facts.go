// Package findings holds opinions about stickiness: one file for each rule of
// the catalogue. A rule is a pure function over Facts, whatever they were read
// from, and says with which field of which object it came to its verdict.
//
// It does no I/O, starts no goroutine and reads no clock. Every text of the
// findings it returns is safe to print.
package findings

import (
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// Facts are the objects that rules judge, from a cluster or from files.
type Facts struct {
	Objects []*Object
	// Cluster reports whether the objects are a cluster's: what is not there
	// does not exist. In files it may be elsewhere.
	Cluster bool
	// Namespace is the one that is judged; "" for all. Objects of others are
	// there for what they decide about it.
	Namespace string
	// Unread are the kinds that could not be read, and why: "ConfigMap":
	// "get configmaps in kube-system is forbidden".
	Unread map[string]string
	// ControllersUnread is why it is not known which ingress controllers run in
	// other namespaces; "" where it is, and for files.
	ControllersUnread string
	// Settled are the controllers that cookies proved, of routes that several
	// may serve. For the others the likeliest is presumed, and what would not
	// hold for another is likely only.
	Settled map[affinity.RouteID]Settlement
	// Dataplane is what was seen to keep pins by address; where nothing was, the
	// objects may tell.
	Dataplane affinity.Dataplane
}

// Kinds are the kinds of objects that rules read; others may be left out.
var Kinds = append([]string{
	"Ingress", "IngressClass", "Service", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "HorizontalPodAutoscaler", "PodDisruptionBudget",
	"ConfigMap", "Namespace", "Node", "IngressRoute", "TraefikService", "VirtualService",
}, customNames()...)

// destinationRules are those that are judged: of their own namespace, or about a
// Service in it.
func (w *world) destinationRules() []*Object {
	if w.Namespace == "" {
		return w.objects("DestinationRule")
	}
	var all []*Object
	for _, o := range w.objects("DestinationRule") {
		if o.Namespace == w.Namespace || ingress.IstioHostIn(o.Str("spec", "host"), o.Namespace, w.Namespace) {
			all = append(all, o)
		}
	}
	return all
}

// services are the Services that are judged: not those of controllers in other
// namespaces.
func (w *world) services() []*Object {
	if w.Namespace == "" {
		return w.objects("Service")
	}
	var all []*Object
	for _, o := range w.objects("Service") {
		if o.Namespace == w.Namespace {
			all = append(all, o)
		}
	}
	return all
}

// world is Facts, indexed, and what follows from them.
type world struct {
	Facts
	kinds     map[string][]*Object
	byName    map[nameKey]*Object
	built     []affinity.Route  // as objects say, whoever serves them
	parsed    []ingress.Ingress // as objects("Ingress")
	servers   []ingress.Served  // of each of them
	ingresses []ingressFacts
	routes    []route
	unasked   map[affinity.RouteID]string // why they are sticky, of routes that nobody asked to be
	disputed  map[affinity.RouteID]string // what else asks for affinity, where it is not known which wins
	workloads []*workload
	byLabel   map[string][]*workload // "namespace key=value"
	selected  map[string][]*workload // by namespace and selector
	sameName  map[nameKey]int        // workloads of one name
	unjudged  *string                // of Result
	hpas      map[nameKey]*Object    // by their target
	proxies   []string               // "iptables", "ipvs", "nftables" of kube-proxy, another affinity.Mode…, several where nodes differ; none when unknown
	proxyFrom affinity.FindingEvidence
	budgets   map[string][]budget      // PodDisruptionBudgets by namespace; filled when asked
	hosts     map[string]*ingressFacts // by class and host; filled when asked
	settled   map[nameKey]Settlement   // by Ingress
	ran       map[nameKey]Settlement   // by Ingress: the one of its candidates that was seen to run
	lookup    *lookup
	asked     map[backend][]ingressFacts // of ingress-nginx; filled when asked
	supposed  int                        // which of the controllers that may serve a place this world supposes
	runs      *workload                  // of Traefik's provider, where there is none of ingress-nginx
	fits      int                        // most controllers that may serve an unsettled place
}

type nameKey struct{ kind, namespace, name string }

type ingressFacts struct {
	*Object
	ingress.Ingress
	served  ingress.Served
	settled bool // a cookie proved who serves it
}

// annotated reports whether the annotations of ingress-nginx are read.
func (i ingressFacts) annotated() bool {
	return i.served.By(nginxKey) || i.served.By(traefikNginxKey)
}

// route is a route with the objects it was read from.
type route struct {
	affinity.Route
	object  *Object // Ingress or IngressRoute
	service *Object // nil when it is unknown
	policy  affinity.Policy
	loads   []*workload // pods behind the Service
}

// sticky reports whether the ingress ties clients to pods with a cookie.
func (r *route) sticky() bool { return r.policy.Mechanism == affinity.MechanismCookie }

func (r *route) by(controller string) bool { return r.policy.Controller == controller }

// redirects reports whether ingress-nginx answers itself: no pod gets a request.
func (r *route) redirects() bool {
	return r.annotated() && (r.object.annotation(nginxPrefix+"permanent-redirect") != "" || r.object.annotation(nginxPrefix+"temporal-redirect") != "")
}

// annotated reports whether the annotations of ingress-nginx decide about r.
func (r *route) annotated() bool { return r.by(nginxKey) || r.by(traefikNginxKey) }

// setting is evidence about the cookie: an annotation of ingress-nginx where
// those decide, else where the policy is from.
func (r *route) setting(annotation string) affinity.FindingEvidence {
	if r.annotated() {
		return r.object.field(annotationPath(nginxPrefix + annotation)...)
	}
	return affinity.FindingEvidence{Object: r.object.ObjectRef, Field: "cookie " + r.policy.Cookie.Name, Source: "object", Text: r.policy.Why}
}

// ref names r's object: "ingress/web".
func (r *route) ref() string { return strings.ToLower(r.object.Kind) + "/" + r.Name }

func newWorld(f Facts) *world {
	w := &world{Facts: f, kinds: map[string][]*Object{}, byName: map[nameKey]*Object{}, byLabel: map[string][]*workload{}, hpas: map[nameKey]*Object{},
		selected: map[string][]*workload{}, sameName: map[nameKey]int{}, unjudged: new(string)}
	for _, o := range f.Objects {
		if !known(o) {
			continue
		}
		w.kinds[o.Kind] = append(w.kinds[o.Kind], o)
		w.byName[nameKey{o.Kind, o.Namespace, o.Name}] = o
	}
	for _, kind := range workloadKinds {
		for _, o := range w.kinds[kind] {
			w.addWorkload(o)
		}
	}
	for _, o := range w.kinds["HorizontalPodAutoscaler"] {
		w.hpas[nameKey{o.Str("spec", "scaleTargetRef", "kind"), o.Namespace, o.Str("spec", "scaleTargetRef", "name")}] = o
	}
	w.runs = running(w.workloads)
	w.readProxyMode()
	w.build()
	w.addRoutes()
	return w
}

var workloadKinds = []string{"Deployment", "StatefulSet", "DaemonSet"}

// known reports whether an object's group is the one its kind is read of: a
// Service is not only core's (Knative has one).
func known(o *Object) bool {
	if group, ok := groups[o.Kind]; ok {
		return slices.Contains(group, o.group())
	}
	_, ok := ingress.CustomKindOf(o.Kind, o.group())
	return ok
}

var groups = map[string][]string{
	"Ingress": {"networking.k8s.io", "extensions"}, "IngressClass": {"networking.k8s.io"}, "Service": {""},
	"Deployment": {"apps"}, "StatefulSet": {"apps"}, "DaemonSet": {"apps"}, "ReplicaSet": {"apps"},
	"HorizontalPodAutoscaler": {"autoscaling"}, "PodDisruptionBudget": {"policy"}, "ConfigMap": {""}, "Namespace": {""}, "Node": {""},
	"IngressRoute": {"traefik.io", "traefik.containo.us"}, "TraefikService": {"traefik.io", "traefik.containo.us"},
	"VirtualService": {"networking.istio.io"},
}

// objects are those of some kinds, in the order they were given.
func (w *world) objects(kinds ...string) []*Object {
	if len(kinds) == 1 {
		return w.kinds[kinds[0]]
	}
	var all []*Object
	for _, k := range kinds {
		all = append(all, w.kinds[k]...)
	}
	return all
}

func (w *world) named(kind, namespace, name string) *Object {
	return w.byName[nameKey{kind, namespace, name}]
}

// build reads the routes, of which several controllers may serve some.
func (w *world) build() {
	o := ingress.Objects{ClassesUnread: !w.Cluster || w.Unread["IngressClass"] != "", ServicesUnread: !w.Cluster || w.Unread["Service"] != "",
		NginxConfig: w.Configured(), Running: runs(w.runs)}
	o.Ingresses, o.Services = make([]ingress.Ingress, 0, len(w.objects("Ingress"))), make([]ingress.Service, 0, len(w.objects("Service")))
	for _, x := range w.objects("Ingress") {
		o.Ingresses = append(o.Ingresses, readIngress(x))
	}
	for _, x := range w.objects("Service") {
		o.Services = append(o.Services, readService(x))
	}
	for _, x := range w.objects("IngressClass") {
		o.Classes = append(o.Classes, ingress.Class{Name: x.Name, Controller: x.Str("spec", "controller"),
			Default: x.annotation("ingressclass.kubernetes.io/is-default-class") == "true"})
	}
	for _, x := range w.objects("IngressRoute") {
		o.IngressRoutes = append(o.IngressRoutes, readIngressRoute(x))
	}
	for _, x := range w.objects("TraefikService") {
		o.TraefikServices = append(o.TraefikServices, readTraefikService(x))
	}
	w.addCustom(&o)
	w.built, w.servers, w.parsed = ingress.Build(o), ingress.ServedBy(o), o.Ingresses
	w.sole(w.objects("Ingress"), w.servers)
}

// addRoutes has each route served by the controller that w supposes.
func (w *world) addRoutes() {
	w.settle(w.built)
	objects := w.objects("Ingress")
	w.ingresses = make([]ingressFacts, 0, len(objects))
	for i, by := range w.servers {
		by, settled := w.served(objects[i], by)
		w.ingresses = append(w.ingresses, ingressFacts{objects[i], w.parsed[i], by, settled})
	}
	w.routes = make([]route, 0, len(w.built))
	w.unasked, w.disputed = map[affinity.RouteID]string{}, map[affinity.RouteID]string{}
	for _, r := range w.built {
		x := route{Route: r, object: w.named(r.Kind, r.Namespace, r.Name), service: w.named("Service", r.Backend.Service.Namespace, r.Backend.Service.Name)}
		if l, ok := r.Layer(affinity.LayerIngress); ok {
			x.policy = l.Policy()
		}
		if x.object == nil || x.redirects() {
			continue
		}
		if x.service != nil {
			x.loads = w.behind(x.service)
		}
		if x.sticky() && x.policy.Unasked && !clientIP(x.service) {
			w.unasked[x.ID] = x.policy.Why
		}
		if x.policy.Disputed != "" {
			w.disputed[x.ID] = x.policy.Disputed
		}
		w.routes = append(w.routes, x)
	}
}

// stickyRoutes are the routes on which a cookie of a controller ties clients to
// pods; any controller's with "". Those that nobody asked to be come last.
func (w *world) stickyRoutes(controller string) []*route {
	var all, unasked []*route
	for i := range w.routes {
		switch r := &w.routes[i]; {
		case !r.sticky() || controller != "" && !r.by(controller):
		case w.unasked[r.ID] != "":
			unasked = append(unasked, r)
		default:
			all = append(all, r)
		}
	}
	return append(all, unasked...)
}

const (
	nginxKey        = "ingress-nginx"
	traefikNginxKey = "traefik-ingress-nginx"
	nginxPrefix     = "nginx.ingress.kubernetes.io/"
)

// clientIP reports whether a Service asks for affinity by client address.
func clientIP(s *Object) bool { return s != nil && s.Str("spec", "sessionAffinity") == "ClientIP" }

// controllerConfig returns the value that ingress-nginx' own ConfigMap sets; ok
// is false when no such ConfigMap was read.
func (w *world) controllerConfig(key string) (value string, from *Object, ok bool) {
	for _, o := range w.objects("ConfigMap") {
		if isNginxConfig(o) {
			return o.Str("data", key), o, true
		}
	}
	return "", nil, false
}

func isNginxConfig(o *Object) bool {
	return strings.Contains(o.Name, "nginx") && (strings.HasSuffix(o.Name, "controller") || o.Name == "nginx-configuration" || strings.Contains(o.Str("metadata", "labels", "app.kubernetes.io/name"), "ingress-nginx"))
}

// Configured is what routes depend on of ingress-nginx' own ConfigMap, or why
// it is not known.
func (f Facts) Configured() (c ingress.NginxConfig) {
	if o := f.NginxConfig(); o != nil {
		c.Name = affinity.Clean(o.Namespace+"/"+o.Name, 120)
		c.ReadTimeout = o.Str("data", "proxy-read-timeout")
		c.ServiceUpstream = o.Str("data", "service-upstream") == "true"
		return c
	}
	switch why := f.Unread["ConfigMap"]; {
	case why != "":
		c.Unread = affinity.Clean(why, 160)
	case f.Cluster:
		c.Unread = "none was found where ingress-nginx keeps it"
	default:
		c.Unread = "it is not among the objects"
	}
	return c
}

// NginxConfig returns ingress-nginx' own ConfigMap, or nil when it was not read.
func (f Facts) NginxConfig() *Object {
	for _, o := range f.Objects {
		if o.Kind == "ConfigMap" && isNginxConfig(o) {
			return o
		}
	}
	return nil
}
