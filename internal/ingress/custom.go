package ingress

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// Custom is an object of a custom resource that decides about routes.
type Custom struct {
	Key         string // of its CustomKind
	Namespace   string // "" when it is in none
	Name        string
	Created     time.Time
	Annotations map[string]string
	Parsed      any // what its CustomKind's New makes, filled
}

// CustomKind is a custom resource that is read where its API is installed. To
// add one, write its part of the API as a struct and a line in CustomKinds.
type CustomKind struct {
	// Key is resource and group, "httproutes.gateway.networking.k8s.io": two
	// groups may have resources of one name.
	Key           string
	Version, Kind string

	Cluster bool   // its objects are not in a namespace
	Wide    bool   // those of other namespaces matter, too, where they may be read
	Route   string // the affinity.Route.Kind that its objects give; "" for none
	Via     bool   // its objects are an affinity.Via of routes
	Loss    string // what is not known without it
	New     func() any
}

// CustomKinds are the custom resources that are read, besides Traefik's.
var CustomKinds = []CustomKind{
	{Key: resHTTPRoutes, Version: "v1", Kind: "HTTPRoute", Route: affinity.RouteHTTPRoute,
		Loss: "no HTTPRoutes", New: func() any { return new(httpRoute) }},
	{Key: resGateways, Version: "v1", Kind: "Gateway", Wide: true, Via: true,
		Loss: "addresses and TLS of HTTPRoutes unknown", New: func() any { return new(gateway) }},
	{Key: resGatewayClasses, Version: "v1", Kind: "GatewayClass", Cluster: true,
		Loss: "controllers of HTTPRoutes are taken from their status", New: func() any { return new(gatewayClass) }},
	{Key: resBackendLBPolicies, Version: "v1alpha2", Kind: "BackendLBPolicy",
		Loss: "sessionPersistence of BackendLBPolicies unknown", New: func() any { return new(persistencePolicy) }},
	{Key: resXBackendTrafficPolicies, Version: "v1alpha1", Kind: "XBackendTrafficPolicy",
		Loss: "sessionPersistence of XBackendTrafficPolicies unknown", New: func() any { return new(persistencePolicy) }},
	{Key: resEnvoyTrafficPolicies, Version: "v1alpha1", Kind: "BackendTrafficPolicy",
		Loss: "hashing by Envoy Gateway unknown", New: func() any { return new(envoyTrafficPolicy) }},
	{Key: resDestinationRules, Version: "v1", Kind: "DestinationRule", Wide: true,
		Loss: "hashing by Istio unknown", New: func() any { return new(destinationRule) }},
	{Key: resHTTPProxy, Version: "v1", Kind: "HTTPProxy", Route: affinity.RouteHTTPProxy,
		Loss: "no HTTPProxies", New: func() any { return new(httpProxy) }},
	{Key: resVirtualServers, Version: "v1", Kind: "VirtualServer", Route: affinity.RouteVirtualServer,
		Loss: "no VirtualServers", New: func() any { return new(virtualServer) }},
	{Key: resVirtualServerRoutes, Version: "v1", Kind: "VirtualServerRoute", Via: true,
		Loss: "routes that VirtualServers delegate unknown", New: func() any { return new(virtualServer) }},
	{Key: resOpenShiftRoutes, Version: "v1", Kind: "Route", Route: affinity.RouteOpenShift,
		Loss: "no Routes of OpenShift", New: func() any { return new(openshiftRoute) }},
	{Key: resKongUpstreamPolicy, Version: "v1beta1", Kind: "KongUpstreamPolicy",
		Loss: "hashing by Kong unknown", New: func() any { return new(kongUpstreamPolicy) }},
	{Key: resBackendConfigs, Version: "v1", Kind: "BackendConfig",
		Loss: "sessionAffinity of GKE Ingresses unknown", New: func() any { return new(backendConfig) }},
	{Key: resGCPBackendPolicies, Version: "v1", Kind: "GCPBackendPolicy",
		Loss: "sessionAffinity of GKE Gateways unknown", New: func() any { return new(gcpBackendPolicy) }},
	{Key: resGCPSessionAffinity, Version: "v1", Kind: "GCPSessionAffinityPolicy",
		Loss: "stateful session affinity of GKE Gateways unknown", New: func() any { return new(gcpSessionAffinityPolicy) }},
	{Key: resGCPSessionFilters, Version: "v1", Kind: "GCPSessionAffinityFilter",
		Loss: "stateful session affinity of rules of GKE Gateways unknown", New: func() any { return new(gcpSessionAffinityFilter) }},
}

// Resource is the resource's name in its group.
func (k CustomKind) Resource() string {
	resource, _, _ := strings.Cut(k.Key, ".")
	return resource
}

// Group is the API group.
func (k CustomKind) Group() string {
	_, group, _ := strings.Cut(k.Key, ".")
	return group
}

// CustomKindOf finds the kind of an object.
func CustomKindOf(kind, group string) (CustomKind, bool) {
	for _, k := range CustomKinds {
		if k.Kind == kind && k.Group() == group {
			return k, true
		}
	}
	return CustomKind{}, false
}

// Parse reads an object of the kind: its spec and status as JSON. An object of
// another shape than the API has is an error.
func (k CustomKind) Parse(raw []byte) (any, error) {
	out := k.New()
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, fmt.Errorf("%s: %w", k.Kind, err)
	}
	return out, nil
}

func (c *Custom) via(kind string) affinity.Via {
	return affinity.Via{Kind: lower(kind), Namespace: c.Namespace, Name: c.Name}
}

func (c *Custom) object(kind string) string { return kind + "/" + c.Name }

// customs returns the objects of a resource, in the order that Objects has.
func customs[T any](w *World, resource string) iter.Seq2[*Custom, *T] {
	return func(yield func(*Custom, *T) bool) {
		for _, c := range w.custom[resource] {
			if t, ok := c.Parsed.(*T); ok && !yield(c, t) {
				return
			}
		}
	}
}

// customsUnder returns the objects of a resource that have one of the keys
// asked for, in the order that Objects has. They are entered under their keys
// once, so that many routes may ask: a resource has one function that gives
// them.
func customsUnder[T any](w *World, resource string, keysOf func(*Custom, *T) []string, asked ...string) iter.Seq2[*Custom, *T] {
	index, ok := w.under[resource]
	if !ok {
		index = map[string][]int{}
		for i, c := range w.custom[resource] {
			if t, ok := c.Parsed.(*T); ok {
				for _, key := range keysOf(c, t) {
					index[key] = append(index[key], i)
				}
			}
		}
		w.under[resource] = index
	}
	var at []int
	for _, key := range asked {
		at = append(at, index[key]...)
	}
	slices.Sort(at)
	at = slices.Compact(at)
	return func(yield func(*Custom, *T) bool) {
		for _, i := range at {
			c := w.custom[resource][i]
			if !yield(c, c.Parsed.(*T)) {
				return
			}
		}
	}
}

// unreadCustom notes the kinds among resources whose API is there and whose
// objects could not be read: what they would have said is missing.
func (w *World) unreadCustom(resources ...string) (notes []string) {
	for _, k := range CustomKinds {
		if w.customUnread[k.Key] && slices.Contains(resources, k.Key) {
			notes = append(notes, fmt.Sprintf("%s can't be read: %s", k.Resource(), k.Loss))
		}
	}
	return notes
}

// findCustom returns one object of a resource.
func findCustom[T any](w *World, resource, namespace, name string) (*Custom, *T) {
	c := w.customByName[customName{resource, namespace, name}]
	if c == nil {
		return nil, nil
	}
	t, ok := c.Parsed.(*T)
	if !ok {
		return nil, nil
	}
	return c, t
}

type customName struct{ resource, namespace, name string }

// maxCustomRoutes bounds the routes of one object: more than the API lets one
// have (16 host names and 128 matches of an HTTPRoute).
const maxCustomRoutes = 2048

// customRoute is one host and path of a custom object, and the Service behind it.
type customRoute struct {
	of        *Custom
	kind      string // of the route
	class     string
	place     *Place // what finds a probe's path goes by it
	service   affinity.ServiceRef
	readings  []Reading // of each controller that may serve it; none when unknown
	addresses []string
	notes     []string
	via       []affinity.Via
}

// newCustomRoute finds the Service. port is its number or name.
func (w *World) newCustomRoute(of *Custom, kind string, p Place, service affinity.ServiceRef, port string) *customRoute {
	p.Ingress = &Ingress{Namespace: of.Namespace, Name: of.Name, Created: of.Created}
	p.Backend = Backend{Service: service.Name, PortName: port}
	p.Service = w.services[service]
	p.Port = portOf(p.Service, port)
	return &customRoute{of: of, kind: kind, place: &p, service: service}
}

// customRoutes are the routes of all custom resources.
func (w *World) customRoutes() []affinity.Route {
	var found []*customRoute
	for _, list := range []func(*World) []*customRoute{httpRoutes, contourRoutes, virtualServers, openshiftRoutes} {
		found = append(found, list(w)...)
	}
	places := make([]*Place, len(found))
	for i, f := range found {
		places[i] = f.place
	}
	s := newServed(places)
	routes := make([]affinity.Route, 0, len(found))
	for _, f := range found {
		routes = append(routes, w.assemble(f, s))
	}
	return routes
}

func (w *World) assemble(f *customRoute, s served) affinity.Route {
	p := f.place
	r := affinity.Route{
		ID:        affinity.RouteKey(f.kind, f.of.Namespace, f.of.Name, p.Host, p.Path),
		Kind:      f.kind,
		Namespace: f.of.Namespace, Name: f.of.Name, Host: p.Host, Path: p.Path, PathType: p.Type, TLS: p.TLS, Class: f.class,
		Backend: affinity.Backend{Service: f.service, Port: p.Backend.Port()}, Addresses: f.addresses,
	}
	if p.Port != nil {
		r.Backend.PortName = p.Port.Name
	}
	r.ProbePath, r.ProbeWhy = w.probe(p, s)
	r.Notes, r.Via = append(r.Notes, f.notes...), f.via
	switch {
	case f.service.Name == "" || w.servicesUnread:
	case p.Service == nil:
		r.Notes = append(r.Notes, fmt.Sprintf("unknown Service %s", f.service))
	case p.Port == nil:
		r.Notes = append(r.Notes, fmt.Sprintf("Service %s has no port %s", f.service, quote(p.Backend.Port())))
	}
	layer := affinity.Layer{Where: affinity.LayerIngress, Object: f.of.object(lower(f.kind))}
	var first Reading
	name := ""
	for i, reading := range f.readings {
		reading = reading.withUpstream()
		if i == 0 {
			first, name = reading, reading.Policy.Controller
		}
		layer.Candidates = append(layer.Candidates, reading.Policy)
		r.Notes = append(r.Notes, reading.Notes...)
	}
	r.Layers = []affinity.Layer{layer}
	if p.Service != nil {
		r.Layers = append(r.Layers, serviceLayer(*p.Service, first, name))
	}
	return r
}

// word is a number or a text in JSON, kept as text.
type word string

// UnmarshalJSON reads a JSON number, string or null.
func (t *word) UnmarshalJSON(raw []byte) error {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
	case string:
		*t = word(v)
	case float64:
		*t = word(strconv.FormatFloat(v, 'f', -1, 64))
	default:
		return fmt.Errorf("%.20s is neither a number nor a text", raw)
	}
	return nil
}
