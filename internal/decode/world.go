package decode

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// Cluster returns the Scopes of a snapshot: every port of every Service, with
// the policies of the routes to it, and the backends of routes whose Service
// is no more. A backend that is not zero leaves the others out.
func Cluster(s *affinity.Snapshot, only affinity.Backend) []ingress.Scope {
	var all []ingress.Scope
	known := map[affinity.ServiceRef]bool{}
	leads, lost := leadsOf(s.Routes)
	for _, svc := range s.Services {
		known[svc.Ref] = true
		for _, p := range svc.Ports {
			b := affinity.Backend{Service: svc.Ref, Port: strconv.Itoa(p.Port), PortName: p.Name}
			if !wanted(only, b) {
				continue
			}
			scope := ingress.Scope{Backend: b, Names: names(b), Set: affinity.EndpointSet{Current: s.RouteEndpoints(affinity.Route{Backend: b})}}
			for _, l := range leads[svc.Ref] {
				if l.to.Port == b.Port || l.to.Port == b.PortName || l.to.Port == "" && len(svc.Ports) == 1 {
					scope.Policies = append(scope.Policies, l.policies...)
				}
			}
			all = append(all, scope)
		}
	}
	for _, b := range lost {
		if !known[b.Service] && wanted(only, b) {
			scope := ingress.Scope{Backend: b, Names: names(b)}
			for _, l := range leads[b.Service] {
				if l.to == b {
					scope.Policies = append(scope.Policies, l.policies...)
				}
			}
			all = append(all, scope)
		}
	}
	return all
}

// lead is a backend that requests of a route reach, and the policies that its
// cookies there are of.
type lead struct {
	to       affinity.Backend
	policies []affinity.Policy
}

// leadsOf returns what the routes lead to, by Service: their own backends, and
// those of the branches of each policy that may be in force. order has each once.
func leadsOf(routes []affinity.Route) (leads map[affinity.ServiceRef][]lead, order []affinity.Backend) {
	leads, seen := map[affinity.ServiceRef][]lead{}, map[affinity.Backend]bool{}
	add := func(to affinity.Backend, policies ...affinity.Policy) {
		if to.Service.Name == "" {
			return
		}
		leads[to.Service] = append(leads[to.Service], lead{to, policies})
		if !seen[to] {
			seen[to], order = true, append(order, to)
		}
	}
	for _, r := range routes {
		layer, _ := r.Layer(affinity.LayerIngress)
		add(r.Backend, layer.Candidates...)
		for _, p := range layer.Candidates {
			for _, b := range p.Branches {
				there := p
				there.Mechanism, there.Cookie, there.Decoder, there.Branches = affinity.MechanismNone, affinity.CookieSpec{}, b.Decoder, nil
				if b.Cookie != "" {
					there.Mechanism, there.Cookie.Name = affinity.MechanismCookie, b.Cookie
				}
				add(b.Backend, there)
			}
		}
	}
	return leads, order
}

func wanted(only, b affinity.Backend) bool {
	return only == (affinity.Backend{}) || only.Service == b.Service && (only.Port == b.Port || only.Port == b.PortName)
}

// names are what a backend can be called: with its port's number or name.
func names(b affinity.Backend) []string {
	var all []string
	for _, port := range []string{b.Port, b.PortName} {
		if port != "" {
			all = append(all, b.Service.Namespace+"-"+b.Service.Name+"-"+port)
		}
	}
	return all
}

// Given returns the one Scope of endpoints that the user gave. Where the backend
// names its port, it names theirs, too.
func Given(g Endpoints, b affinity.Backend) ingress.Scope {
	endpoints := g.All
	if _, err := strconv.Atoi(b.Port); err != nil {
		endpoints = slices.Clone(endpoints)
		for i := range endpoints {
			endpoints[i].PortName = cmp.Or(endpoints[i].PortName, b.Port)
		}
	}
	s := ingress.Scope{Backend: b, Set: affinity.EndpointSet{Current: endpoints}, Servers: g.Servers}
	if b.Service.Name != "" {
		s.Names = names(b)
	}
	return s
}

// ParseBackend reads namespace/service:port.
func ParseBackend(text string) (affinity.Backend, error) {
	namespace, rest, ok := strings.Cut(text, "/")
	service, port, ported := strings.Cut(rest, ":")
	if !ok || !ported || namespace == "" || service == "" || port == "" || strings.ContainsAny(rest, "/ ") {
		return affinity.Backend{}, fmt.Errorf("%q: want NAMESPACE/SERVICE:PORT, the port as the Ingress writes it", affinity.Clean(text, 120))
	}
	return affinity.Backend{Service: affinity.ServiceRef{Namespace: namespace, Name: service}, Port: port}, nil
}

// maxEndpoints bounds what a command line can give.
const maxEndpoints = 5000

// Endpoints are what a command line gives.
type Endpoints struct {
	All     []affinity.Endpoint // one for each address
	Servers []ingress.Server    // those that were given as URLs
}

// ParseEndpoints reads ip:port or URLs, each with "POD=" before it where the
// format needs the pod's name.
func ParseEndpoints(texts []string) (Endpoints, error) {
	var g Endpoints
	if len(texts) > maxEndpoints {
		return g, fmt.Errorf("%d endpoints, at most %d", len(texts), maxEndpoints)
	}
	for _, text := range texts {
		e, server, err := parseEndpoint(strings.TrimSpace(text))
		if err != nil {
			return Endpoints{}, fmt.Errorf("%q: %w", affinity.Clean(text, 120), err)
		}
		if !slices.ContainsFunc(g.All, func(x affinity.Endpoint) bool { return x.Addr == e.Addr }) {
			g.All = append(g.All, e)
		}
		if server != "" {
			g.Servers = append(g.Servers, ingress.Server{URL: server, Addr: e.Addr})
		}
	}
	return g, nil
}

// parseEndpoint also returns the URL, as it was written, of one.
func parseEndpoint(text string) (e affinity.Endpoint, server string, err error) {
	e = affinity.Endpoint{Ready: true, Serving: true}
	if pod, rest, ok := strings.Cut(text, "="); ok && !strings.Contains(pod, "/") {
		e.Pod.Name, text = affinity.Clean(pod, 253), rest
	}
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" {
			return e, "", errors.New("want SCHEME://HOST[:PORT]")
		}
		port := u.Port()
		if port == "" {
			port = map[bool]string{true: "443", false: "80"}[u.Scheme == "https"]
		}
		e.IP, e.Addr = u.Hostname(), net.JoinHostPort(u.Hostname(), port)
		return e, text, nil
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return e, "", errors.New("want IP:PORT (IPv6 in brackets) or a URL")
	}
	e.IP, e.Addr = a.Addr().String(), a.String()
	return e, "", nil
}
