package ingress

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// This file is Gateway API: HTTPRoutes, and the Gateways and GatewayClasses
// that tell who serves them. [sigs.k8s.io/gateway-api apis/v1]

const (
	resHTTPRoutes              = "httproutes.gateway.networking.k8s.io"
	resGateways                = "gateways.gateway.networking.k8s.io"
	resGatewayClasses          = "gatewayclasses.gateway.networking.k8s.io"
	resBackendLBPolicies       = "backendlbpolicies.gateway.networking.k8s.io"
	resXBackendTrafficPolicies = "xbackendtrafficpolicies.gateway.networking.x-k8s.io"
	resEnvoyTrafficPolicies    = "backendtrafficpolicies.gateway.envoyproxy.io"
)

// The part of the API that is read.
type (
	httpRoute struct {
		Spec struct {
			ParentRefs []parentRef     `json:"parentRefs"`
			Hostnames  []string        `json:"hostnames"`
			Rules      []httpRouteRule `json:"rules"`
		} `json:"spec"`
		Status struct {
			Parents []struct {
				ParentRef      parentRef   `json:"parentRef"`
				ControllerName string      `json:"controllerName"`
				Conditions     []condition `json:"conditions"`
			} `json:"parents"`
		} `json:"status"`
	}
	condition struct {
		Type   string `json:"type"`
		Status string `json:"status"`
		Reason string `json:"reason"`
	}
	parentRef struct {
		Kind        string `json:"kind"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
		SectionName string `json:"sectionName"`
	}
	httpRouteRule struct {
		Name    string `json:"name"`
		Matches []struct {
			Path *struct {
				Type  string `json:"type"`
				Value string `json:"value"`
			} `json:"path"`
			Headers     []struct{} `json:"headers"`
			QueryParams []struct{} `json:"queryParams"`
			Method      string     `json:"method"`
		} `json:"matches"`
		Filters []struct {
			Type         string `json:"type"`
			ExtensionRef *struct {
				Group string `json:"group"`
				Kind  string `json:"kind"`
				Name  string `json:"name"`
			} `json:"extensionRef"`
		} `json:"filters"`
		BackendRefs        []backendRef        `json:"backendRefs"`
		SessionPersistence *sessionPersistence `json:"sessionPersistence"`
		Timeouts           *gatewayTimeouts    `json:"timeouts"`
	}
	backendRef struct {
		Group     string `json:"group"`
		Kind      string `json:"kind"`
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		Port      word   `json:"port"`
		Weight    *int   `json:"weight"`

		Filters []struct{} `json:"filters"`
	}
	gateway struct {
		Spec struct {
			GatewayClassName string     `json:"gatewayClassName"`
			Listeners        []listener `json:"listeners"`
		} `json:"spec"`
		Status struct {
			Addresses []struct {
				Value string `json:"value"`
			} `json:"addresses"`
		} `json:"status"`
	}
	listener struct {
		Name     string `json:"name"`
		Hostname string `json:"hostname"`
		Protocol string `json:"protocol"`
		Port     int    `json:"port"`
	}
	gatewayClass struct {
		Spec struct {
			ControllerName string `json:"controllerName"`
		} `json:"spec"`
	}
)

func (b backendRef) weight() int {
	if b.Weight == nil {
		return 1
	}
	return *b.Weight
}

// parent is a Gateway that an HTTPRoute hangs on.
type parent struct {
	namespace, name string
	gateway         *gateway // nil when it is not known
	listeners       []listener
	class           string
	controller      string // spec.controllerName; "" when unknown
	refused         string // why its controller does not serve the route; "" when it may
}

func (p parent) String() string { return p.namespace + "/" + p.name }

// parents follows an HTTPRoute's parentRefs. Who serves it is told by the
// Gateway's class, else by the status that its controller wrote.
func (w *World) parents(c *Custom, r *httpRoute) (all []parent, notes []string) {
	for _, ref := range r.Spec.ParentRefs {
		if ref.Kind != "" && ref.Kind != "Gateway" { // a Service: a mesh, GAMMA
			notes = append(notes, fmt.Sprintf("parent %s %s is not a Gateway: it is not read", quote(ref.Kind), quote(ref.Name)))
			continue
		}
		p := parent{namespace: orElse(ref.Namespace, c.Namespace), name: ref.Name}
		_, p.gateway = findCustom[gateway](w, resGateways, p.namespace, p.name)
		if p.gateway != nil {
			p.class = p.gateway.Spec.GatewayClassName
			for _, l := range p.gateway.Spec.Listeners {
				if ref.SectionName == "" || ref.SectionName == l.Name {
					p.listeners = append(p.listeners, l)
				}
			}
			if _, class := findCustom[gatewayClass](w, resGatewayClasses, "", p.class); class != nil {
				p.controller = class.Spec.ControllerName
			}
		}
		for _, s := range r.Status.Parents {
			if orElse(s.ParentRef.Namespace, c.Namespace) != p.namespace || s.ParentRef.Name != p.name || s.ParentRef.SectionName != ref.SectionName {
				continue
			}
			p.controller = orElse(p.controller, s.ControllerName)
			for _, cond := range s.Conditions {
				if cond.Type == "Accepted" && cond.Status == "False" {
					p.refused = orElse(cond.Reason, "Accepted is False")
				}
			}
		}
		if !slices.ContainsFunc(all, func(q parent) bool {
			return q.namespace == p.namespace && q.name == p.name && q.controller == p.controller
		}) {
			all = append(all, p)
		}
	}
	return all, notes
}

// gatewayPlace is one match of an HTTPRoute, as its controller gets it.
type gatewayPlace struct {
	object  *Custom
	route   *httpRoute
	index   int // of rule
	rule    *httpRouteRule
	match   string // the path as written, "" for none
	regexp  bool
	parent  parent
	service affinity.ServiceRef
	shares  sharing // that, and those that share its requests
}

func httpRoutes(w *World) []*customRoute {
	var all []*customRoute
	for c, r := range customs[httpRoute](w, resHTTPRoutes) {
		all = append(all, w.httpRoute(c, r)...)
	}
	return all
}

func (w *World) httpRoute(c *Custom, r *httpRoute) (all []*customRoute) {
	parents, notes := w.parents(c, r)
	var first parent
	var addresses []string
	var via []affinity.Via
	for i, p := range parents {
		if i == 0 {
			first = p
		}
		if p.controller == first.controller {
			via = append(via, affinity.Via{Kind: "gateway", Namespace: p.namespace, Name: p.name})
		}
		if p.gateway == nil {
			notes = append(notes, fmt.Sprintf("gateway %s is not known: addresses, TLS and host names are not, either", quote(p.String())))
			continue
		}
		if p.controller == first.controller {
			for _, a := range p.gateway.Status.Addresses {
				if !slices.Contains(addresses, a.Value) {
					addresses = append(addresses, a.Value)
				}
			}
		} else {
			notes = append(notes, fmt.Sprintf("it also hangs on gateway %s of another controller, %s, which is not shown", quote(p.String()), quote(p.controller)))
		}
	}
	switch {
	case len(parents) == 0:
		notes = append(notes, "it hangs on no Gateway: nothing serves it")
	case first.refused != "":
		notes = append(notes, fmt.Sprintf("gateway %s does not accept this route: %s", quote(first.String()), quote(first.refused)))
	}
	for i := range r.Spec.Rules {
		rule := &r.Spec.Rules[i]
		g := gatewayPlace{object: c, route: r, index: i, rule: rule, parent: first}
		more := g.backend()
		for _, host := range g.hosts() {
			for _, m := range g.paths() {
				if len(all) >= maxCustomRoutes {
					all[len(all)-1].notes = append(all[len(all)-1].notes, fmt.Sprintf("more than %d host names and paths: the rest is not read", maxCustomRoutes))
					return all
				}
				g := g
				g.match, g.regexp = m.Path, m.Type == "Regexp"
				m.Host, m.TLS, m.rewritten = host, g.tls(host), g.filtered("URLRewrite")
				f := w.newCustomRoute(c, affinity.RouteHTTPRoute, m, g.service, g.shares.first.port)
				f.class, f.addresses, f.via = first.class, addresses, via
				f.notes = slices.Concat(notes, more, m.notes, g.portNote(host, m.TLS))
				f.readings = g.idles(w.readGateway(g))
				f.notes = append(f.notes, w.unreadCustom(resGateways, resGatewayClasses, resBackendLBPolicies, resXBackendTrafficPolicies)...)
				if len(f.readings) == 0 {
					if len(g.shares.rest) > 0 {
						f.readings = []Reading{g.withBranches(w, Reading{Policy: affinity.Policy{Mechanism: affinity.MechanismUnknown, Choice: affinity.ChoiceUnknown, Why: unknownGateway(first)}}, func(*World, gatewayPlace) Reading { return Reading{} })}
					}
					f.notes = append(f.notes, unknownGateway(first))
					if p, ok := w.persistence(g); ok {
						f.notes = append(f.notes, p.where+" is set: whether it is done is not known")
					}
				}
				all = append(all, f)
			}
		}
	}
	return all
}

func unknownGateway(p parent) string {
	switch {
	case p.controller != "":
		return fmt.Sprintf("controller %s unknown: it is not one that is read here", quote(p.controller))
	case p.class != "":
		return fmt.Sprintf("controller of GatewayClass %s unknown", quote(p.class))
	}
	return "controller unknown: neither a GatewayClass nor the route's status tells it"
}

// backend picks the Service with the largest weight, the first of several.
func (g *gatewayPlace) backend() (notes []string) {
	var all []sharer
	beside := 0
	for i, b := range g.rule.BackendRefs {
		if b.Group != "" || b.Kind != "" && b.Kind != "Service" {
			notes = append(notes, fmt.Sprintf("the backend is a resource (%s), not a Service", quote(b.Kind+"/"+b.Name)))
			beside += max(0, b.weight())
			continue
		}
		all = append(all, sharer{ref: affinity.ServiceRef{Namespace: orElse(b.Namespace, g.object.Namespace), Name: b.Name}, port: string(b.Port), weight: b.weight(), at: i})
	}
	g.shares = share(all, beside)
	g.service = g.shares.first.ref
	switch {
	case g.filtered("RequestRedirect"):
		return append(notes, "the rule answers with a redirect: no backend gets the request")
	case len(g.rule.BackendRefs) == 0:
		return append(notes, "the rule has no backendRefs")
	}
	return append(notes, g.shares.notes...)
}

// withBranches adds the rule's other Services to a reading of its first, each
// with what the same controller does for it.
func (g gatewayPlace) withBranches(w *World, r Reading, read func(*World, gatewayPlace) Reading) Reading {
	r.Policy.Branches = w.branches(g.shares, g.object.object("httproute"), func(x sharer) Reading {
		g := g
		g.service = x.ref
		return read(w, g)
	})
	return r
}

func (g *gatewayPlace) filtered(kind string) bool {
	for _, f := range g.rule.Filters {
		if f.Type == kind {
			return true
		}
	}
	return false
}

// hosts are the route's host names, else its listeners'.
func (g *gatewayPlace) hosts() []string {
	if len(g.route.Spec.Hostnames) > 0 {
		return g.route.Spec.Hostnames
	}
	var all []string
	for _, l := range g.parent.listeners {
		if !slices.Contains(all, l.Hostname) {
			all = append(all, l.Hostname)
		}
	}
	if len(all) == 0 || slices.Contains(all, "") {
		return []string{""}
	}
	return all
}

// paths are the rule's matches; none stands for the prefix "/".
func (g *gatewayPlace) paths() []Place {
	var all []Place
	for _, m := range g.rule.Matches {
		p := Place{Path: "/", Type: "Prefix"}
		if m.Path != nil {
			p.Path = rootIfEmpty(m.Path.Value)
			switch m.Path.Type {
			case "Exact":
				p.Type = "Exact"
			case "RegularExpression":
				p.Type = "Regexp"
			}
		}
		if len(m.Headers) > 0 || len(m.QueryParams) > 0 || m.Method != "" {
			p.notes = []string{"the match has conditions that are not read: headers, query parameters or method"}
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		all = []Place{{Path: "/", Type: "Prefix"}}
	}
	return all
}

// listens are the listeners that serve a host.
func (g *gatewayPlace) listens(host string) []listener {
	var all []listener
	for _, l := range g.parent.listeners {
		if l.Hostname == "" || host == "" || l.Hostname == host || suffixCovers(l.Hostname, host) || suffixCovers(host, l.Hostname) {
			all = append(all, l)
		}
	}
	return all
}

// suffixCovers reports whether a wildcard of Gateway API, which unlike an
// Ingress' stands for any number of labels, covers host.
func suffixCovers(wildcard, host string) bool {
	return strings.HasPrefix(wildcard, "*.") && len(host) > len(wildcard)-1 && strings.HasSuffix(host, wildcard[1:])
}

func (g *gatewayPlace) tls(host string) bool {
	return slices.ContainsFunc(g.listens(host), func(l listener) bool { return l.Protocol == "HTTPS" || l.Protocol == "TLS" })
}

// portNote tells of listeners where nobody looks for one.
func (g *gatewayPlace) portNote(host string, tls bool) []string {
	var ports []string
	for _, l := range g.listens(host) {
		secure := l.Protocol == "HTTPS" || l.Protocol == "TLS"
		switch {
		case secure != tls:
		case l.Port == 443 && secure, l.Port == 80 && !secure:
			return nil
		default:
			ports = append(ports, itoa(l.Port))
		}
	}
	if len(ports) == 0 {
		return nil
	}
	return []string{"the listener's port is " + strings.Join(ports[:min(len(ports), 8)], ", ") + ": name it with --url"}
}
