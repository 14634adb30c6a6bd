package ingress

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// This file is OpenShift's router: its Route, and an Ingress, which becomes
// Routes. [openshift/router images/router/haproxy/conf/haproxy-config.template,
// pkg/router/template/router.go; openshift/api route/v1/types.go]

const (
	openshiftKey       = "openshift"
	resOpenShiftRoutes = "routes.route.openshift.io"

	openshiftPrefix = "haproxy.router.openshift.io/"
	openshiftName   = "router.openshift.io/cookie_name"
	openshiftSite   = "router.openshift.io/cookie-same-site"
)

type openshiftRoute struct {
	Spec struct {
		Host string `json:"host"`
		Path string `json:"path"`
		To   struct {
			Kind   string `json:"kind"`
			Name   string `json:"name"`
			Weight *int   `json:"weight"`
		} `json:"to"`
		AlternateBackends []struct {
			Kind   string `json:"kind"`
			Name   string `json:"name"`
			Weight *int   `json:"weight"`
		} `json:"alternateBackends"`
		Port *struct {
			TargetPort word `json:"targetPort"`
		} `json:"port"`
		TLS *struct {
			Termination                   string `json:"termination"`
			InsecureEdgeTerminationPolicy string `json:"insecureEdgeTerminationPolicy"`
		} `json:"tls"`
		WildcardPolicy string `json:"wildcardPolicy"`
	} `json:"spec"`
	Status struct {
		Ingress []struct {
			Host                    string      `json:"host"`
			RouterCanonicalHostname string      `json:"routerCanonicalHostname"`
			Conditions              []condition `json:"conditions"`
		} `json:"ingress"`
	} `json:"status"`
}

type openshiftIngress struct{}

func (openshiftIngress) Key() string { return openshiftKey }
func (openshiftIngress) Claims(controller string) bool {
	return strings.HasPrefix(controller, "openshift.io/ingress-to-route")
}
func (openshiftIngress) KnownAs(class string) bool { return class == "openshift-default" }
func (openshiftIngress) Owns(annotation string) bool {
	return strings.HasPrefix(annotation, openshiftPrefix) || strings.HasPrefix(annotation, "router.openshift.io/")
}

// Read: the Route that an Ingress becomes has the Ingress' annotations and a
// name of its own, which the default cookie's name is made of.
// [openshift/route-controller-manager pkg/route/ingress/ingress.go
// tlsConfigForIngress, tlsEnabled, terminationPolicyForIngress]
func (openshiftIngress) Read(_ *World, places []*Place) []Reading {
	readings := make([]Reading, len(places))
	for i, p := range places {
		const insecure = "Redirect" // beside any TLS
		termination := ""
		switch said := p.Ingress.Annotations["route.openshift.io/termination"]; {
		case said == "edge" || said == "reencrypt" || said == "passthrough": // also without spec.tls
			termination = said
		case p.TLS:
			termination = "edge"
		}
		readings[i].Policy = openshiftPolicy(p.Ingress.Annotations, termination, insecure, p.Backend.Service, "")
		if readings[i].Policy.Mechanism == affinity.MechanismCookie && readings[i].Policy.Cookie.Name == "" {
			readings[i].Notes = []string{"the cookie's name is made of that of the Route which the Ingress becomes: the Route itself tells it"}
		}
	}
	return readings
}

// openshiftPolicy: a cookie by default, except where TLS passes through.
func openshiftPolicy(annotations map[string]string, termination, insecure, service, name string) affinity.Policy {
	none := affinity.Policy{Controller: openshiftKey}
	switch {
	case termination == "passthrough":
		none.Why = "tls.termination: passthrough"
		return withNotes(none, "TLS passes through: the router sees no cookie and goes by the client's address (balance source)")
	case isTrue(annotations[openshiftPrefix+"disable_cookies"]):
		none.Why = "annotation " + openshiftPrefix + "disable_cookies"
		return none
	}
	p := haproxyPolicy(openshiftKey, orElse(annotations[openshiftName], name))
	p.Decoder, p.Cookie.HTTPOnly = newOpenShift(service), true
	p.Why = "the router's default: every Route has a cookie"
	p.Unasked = !asksOpenShift(annotations)
	if annotations[openshiftName] != "" {
		p.Why = "annotation " + openshiftName
	} else if name != "" {
		p.Notes = append(p.Notes, "the cookie's name is the router's default: its variable ROUTER_COOKIE_NAME, which is not read, may set another")
	}
	if (termination == "edge" || termination == "reencrypt") && insecure != "Allow" {
		p.Cookie.Secure, p.Cookie.SameSite = true, "None"
		if site := annotations[openshiftSite]; site == "Lax" || site == "Strict" || site == "None" {
			p.Cookie.SameSite = site
		}
	}
	return p
}

// asksOpenShift reports whether annotations speak of the cookie, which all
// Routes have.
func asksOpenShift(annotations map[string]string) bool {
	for _, key := range []string{openshiftName, openshiftSite, openshiftPrefix + "disable_cookies"} {
		if _, ok := annotations[key]; ok {
			return true
		}
	}
	return false
}

func openshiftRoutes(w *World) (all []*customRoute) {
	for c, r := range customs[openshiftRoute](w, resOpenShiftRoutes) {
		all = append(all, w.openshiftRoute(c, r))
	}
	return all
}

func (w *World) openshiftRoute(c *Custom, r *openshiftRoute) *customRoute {
	p := Place{Host: r.Spec.Host, Path: rootIfEmpty(r.Spec.Path), Type: "Prefix", TLS: r.Spec.TLS != nil}
	if _, rewrites := c.Annotations[openshiftPrefix+"rewrite-target"]; rewrites {
		p.rewritten = true
	}
	all := w.routeSharers(c, r)
	shares := share(all, 0)
	for _, x := range all {
		if x.weight <= 0 && x != shares.first {
			shares.rest = append(shares.rest, x)
		}
	}
	service := shares.first.ref
	f := w.newCustomRoute(c, affinity.RouteOpenShift, p, service, shares.first.port)
	termination, insecure := "", ""
	if r.Spec.TLS != nil {
		termination, insecure = r.Spec.TLS.Termination, r.Spec.TLS.InsecureEdgeTerminationPolicy
	}
	if r.Spec.To.Kind != "" && r.Spec.To.Kind != "Service" {
		f.notes = append(f.notes, fmt.Sprintf("the backend is a %s, not a Service", quote(r.Spec.To.Kind)))
	}
	if r.Spec.WildcardPolicy == "Subdomain" {
		f.notes = append(f.notes, "wildcardPolicy Subdomain: every host beside this one is served, too")
	}
	f.notes = append(f.notes, shares.notes...)
	for _, in := range r.Status.Ingress {
		if in.RouterCanonicalHostname != "" && !slices.Contains(f.addresses, in.RouterCanonicalHostname) {
			f.addresses = append(f.addresses, in.RouterCanonicalHostname)
		}
		for _, cond := range in.Conditions {
			if cond.Type == "Admitted" && cond.Status == "False" {
				f.notes = append(f.notes, fmt.Sprintf("a router does not admit this route: %s", quote(cond.Reason)))
			}
		}
	}
	policy := func(x sharer) Reading {
		return Reading{Policy: openshiftPolicy(c.Annotations, termination, insecure, x.ref.Name, openshiftRoutingKey(c.Namespace, c.Name))}
	}
	reading := policy(shares.first)
	reading.Policy.Branches = w.branches(shares, c.object("route"), policy)
	if reading.Policy.Mechanism == affinity.MechanismCookie {
		reading.Policy.Choice = affinity.ChoiceByPin
	}
	f.readings = []Reading{reading}
	return f
}

// routeSharers are the Services of a Route: the pods of all of them are servers of
// one HAProxy backend, and the cookie names one of these. One of weight 0 keeps
// the clients that it has, and gets no new ones.
// [haproxy-config.template, backend; pkg/router/template/router.go calculateServiceWeights]
func (w *World) routeSharers(c *Custom, r *openshiftRoute) (all []sharer) {
	target := ""
	if r.Spec.Port != nil {
		target = string(r.Spec.Port.TargetPort)
	}
	add := func(name string, weight *int) {
		x := sharer{ref: affinity.ServiceRef{Namespace: c.Namespace, Name: name}, weight: 100}
		if weight != nil {
			x.weight = *weight
		}
		x.port = w.targetPort(x.ref, target)
		all = append(all, x)
	}
	add(r.Spec.To.Name, r.Spec.To.Weight)
	for _, b := range r.Spec.AlternateBackends {
		if b.Kind == "" || b.Kind == "Service" {
			add(b.Name, b.Weight)
		}
	}
	return all
}

// targetPort finds the Service's port that leads to a port of its pods: by the
// name of an endpoint's port, which is the Service port's, or by its number. A
// Route without one goes to all ports; the first is shown.
func (w *World) targetPort(ref affinity.ServiceRef, target string) string {
	s := w.services[ref]
	if s == nil {
		return target
	}
	for _, p := range s.Ports {
		if target == "" || p.Name == target || p.TargetPort == target || p.TargetPort == "" && strconv.Itoa(p.Port) == target {
			return strconv.Itoa(p.Port)
		}
	}
	return target
}
