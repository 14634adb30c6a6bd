package ingress

import (
	"fmt"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// sessionPersistence is GEP-1619's struct in both of its shapes. Up to Gateway
// API v1.6 it has sessionName, type and cookieConfig; after it a cookie or a
// header with names of their own. It is in the experimental channel only.
// [sigs.k8s.io/gateway-api apis/v1/shared_types.go, and main after v1.6.1]
type sessionPersistence struct {
	SessionName     string `json:"sessionName"`
	AbsoluteTimeout string `json:"absoluteTimeout"`
	IdleTimeout     string `json:"idleTimeout"` // removed in v1.6.0
	Type            string `json:"type"`        // "Cookie", "Header"; "" is Cookie
	CookieConfig    *struct {
		LifetimeType string `json:"lifetimeType"` // "Session", "Permanent"; "" is Session
	} `json:"cookieConfig"`

	Cookie *struct {
		Name         string  `json:"name"`
		Path         *string `json:"path"`
		LifetimeType string  `json:"lifetimeType"`
	} `json:"cookie"`
	Header *struct {
		Name string `json:"name"`
	} `json:"header"`
}

// persistencePolicy is a BackendLBPolicy (v1.1 and v1.2) or an
// XBackendTrafficPolicy (since v1.3): sessionPersistence for Services.
type persistencePolicy struct {
	Spec struct {
		TargetRefs         []targetRef         `json:"targetRefs"`
		SessionPersistence *sessionPersistence `json:"sessionPersistence"`
	} `json:"spec"`
}

type targetRef struct {
	Group       string `json:"group"`
	Kind        string `json:"kind"`
	Name        string `json:"name"`
	SectionName string `json:"sectionName"`
}

// persistence is a sessionPersistence, whatever its shape.
type persistence struct {
	name      string // "" when it is the controller's to choose
	path      *string
	header    bool
	permanent bool // the cookie outlives the browser
	absolute  time.Duration
	idle      time.Duration
	where     string // the object and field that say so
	attached  bool   // by a policy, not in the rule
}

func (s *sessionPersistence) normal() persistence {
	p := persistence{name: s.SessionName, header: s.Type == "Header", absolute: gatewayDuration(s.AbsoluteTimeout), idle: gatewayDuration(s.IdleTimeout)}
	if s.CookieConfig != nil {
		p.permanent = s.CookieConfig.LifetimeType == "Permanent"
	}
	switch {
	case s.Cookie != nil:
		p.name, p.path, p.permanent = orElse(s.Cookie.Name, p.name), s.Cookie.Path, p.permanent || s.Cookie.LifetimeType == "Permanent"
	case s.Header != nil:
		p.name, p.header = orElse(s.Header.Name, p.name), true
	}
	return p
}

// gatewayDuration reads a duration of GEP-2257, a subset of Go's.
func gatewayDuration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0
	}
	return d
}

// persistence finds the sessionPersistence that a rule has itself, else one
// that a policy attaches to its Service. A rule's comes first. [GEP-1619]
func (w *World) persistence(g gatewayPlace) (persistence, bool) {
	if s := g.rule.SessionPersistence; s != nil {
		p := s.normal()
		p.where = fmt.Sprintf("sessionPersistence of rule %d of httproute/%s", g.index, g.object.Name)
		return p, true
	}
	a, ok := w.attachedTo(g.service)
	if !ok {
		return persistence{}, false
	}
	p := a.policy.Spec.SessionPersistence.normal()
	p.where, p.attached = "sessionPersistence of "+a.of, true
	return p, true
}

// attachedPersistence is a policy that targets a Service.
type attachedPersistence struct {
	of     string // the policy's object
	policy *persistencePolicy
}

// attachedTo finds the policy for a Service: the first, of the newer kind first.
func (w *World) attachedTo(service affinity.ServiceRef) (attachedPersistence, bool) {
	if w.attached == nil {
		w.attached = map[affinity.ServiceRef]attachedPersistence{}
		for _, of := range []struct{ resource, kind string }{
			{resXBackendTrafficPolicies, "xbackendtrafficpolicy"}, {resBackendLBPolicies, "backendlbpolicy"},
		} {
			for c, policy := range customs[persistencePolicy](w, of.resource) {
				if policy.Spec.SessionPersistence == nil {
					continue
				}
				for _, t := range policy.Spec.TargetRefs {
					ref := affinity.ServiceRef{Namespace: c.Namespace, Name: t.Name}
					if _, has := w.attached[ref]; t.Kind == "Service" && !has {
						w.attached[ref] = attachedPersistence{c.object(of.kind), policy}
					}
				}
			}
		}
	}
	a, ok := w.attached[service]
	return a, ok
}

// gatewayController is an implementation of Gateway API.
type gatewayController struct {
	name string // GatewayClass spec.controllerName
	key  string
	read func(*World, gatewayPlace) Reading
	anew bool // it is known to choose the Service of each request anew
}

const nginxGatewayKey = "nginx-gateway-fabric"

// gatewayControllers are those whose HTTPRoutes are read.
var gatewayControllers = []gatewayController{
	{"gateway.envoyproxy.io/gatewayclass-controller", envoyGatewayKey, readEnvoyGateway, false},
	{"kgateway.dev/kgateway", "kgateway", readKgateway, false},
	{"gateway.nginx.org/nginx-gateway-controller", nginxGatewayKey, readNginxGateway, true},
	{"traefik.io/gateway-controller", traefikKey, readTraefikGateway, true},
	{"istio.io/gateway-controller", istioKey, readIstioGateway, false},
	{"konghq.com/kic-gateway-controller", kongKey, readKongGateway, false},
	{"networking.gke.io/gateway", gceKey, readGKEGateway, false},
	{"io.cilium/gateway-controller", "cilium", readCiliumGateway, false},
}

// readGateway asks the controller that serves a place. One that is not known
// here is told only when there is something that it may or may not do.
func (w *World) readGateway(g gatewayPlace) []Reading {
	for _, c := range gatewayControllers {
		if c.name == g.parent.controller {
			r := c.read(w, g)
			r.Policy.Controller = c.key
			if !c.anew && r.Policy.Mechanism != affinity.MechanismNone && r.Policy.Choice == affinity.ChoiceAnew {
				r.Policy.Choice = affinity.ChoiceUnknown
			}
			return []Reading{g.withBranches(w, r, c.read)}
		}
	}
	return nil
}

// notEstablished is the policy of a controller of which is not known whether it
// does what the objects ask for.
func notEstablished(p persistence, controller string) affinity.Policy {
	return affinity.Policy{Mechanism: affinity.MechanismUnknown, Why: p.where,
		Notes: []string{fmt.Sprintf("whether %s does what %s asks for is not established", controller, p.where)}}
}

// statefulSession is Envoy's stateful_session filter, which both Envoy
// implementations use: the cookie names the pod, and is set when another host
// is chosen than the one it names, so that its lifetime is absolute.
// [envoy source/extensions/http/stateful_session/cookie]
func statefulSession(p persistence, name string, ttl time.Duration) affinity.Policy {
	if p.header {
		return affinity.Policy{Mechanism: affinity.MechanismHeader, Mode: "stateful session", Why: p.where,
			Notes: []string{"the session is in the header " + quote(name) + ", which browsers do not send back by themselves"}}
	}
	out := affinity.Policy{Mechanism: affinity.MechanismCookie, Mode: "stateful session", Renewal: affinity.RenewalSession, Decoder: newEnvoyStateful(),
		Cookie: affinity.CookieSpec{Name: name, HTTPOnly: true}, Why: p.where}
	if ttl > 0 {
		out.Timeout, out.Renewal = ttl, affinity.RenewalAbsolute
		out.Cookie.MaxAge, out.Cookie.HasAge = ttl, true
	}
	return out
}

// idleNote tells what becomes of an idleTimeout.
func idleNote(p persistence) []string {
	if p.idle == 0 {
		return nil
	}
	return []string{fmt.Sprintf("idleTimeout %s: no implementation is known to honour it; Gateway API v1.6 removed it", p.idle)}
}

// readKgateway: HTTPRoute sessionPersistence becomes stateful_session.
// [kgateway internal/kgateway/krtcollections/builtin.go]
func readKgateway(w *World, g gatewayPlace) Reading {
	p, ok := w.persistence(g)
	switch {
	case !ok:
		return Reading{Policy: none("no sessionPersistence"), Notes: []string{"a BackendConfigPolicy of kgateway would be another place for it, and is not read"}}
	case p.attached:
		return Reading{Policy: notEstablished(p, "kgateway")}
	case p.header:
		return Reading{Policy: statefulSession(p, orElse(p.name, "x-session-persistence"), 0)}
	}
	var ttl time.Duration
	if p.permanent {
		ttl = p.absolute
		if ttl == 0 {
			ttl = 365 * 24 * time.Hour
		}
	}
	return Reading{Policy: withNotes(statefulSession(p, orElse(p.name, "sessionPersistence"), ttl), idleNote(p)...)}
}

// readNginxGateway: the `sticky cookie` of NGINX Plus, written on every
// response, so that its lifetime slides; always Secure and HttpOnly.
// [nginx-gateway-fabric internal/controller/state/graph/route_common.go,
// docs/proposals/session-persistence.md]
func readNginxGateway(w *World, g gatewayPlace) Reading {
	p, ok := w.persistence(g)
	switch {
	case !ok:
		return Reading{Policy: none("no sessionPersistence")}
	case p.attached:
		return Reading{Policy: notEstablished(p, "NGINX Gateway Fabric")}
	case p.header:
		policy := none(p.where)
		return Reading{Policy: withNotes(policy, "NGINX Gateway Fabric takes type Cookie only")}
	case p.name == "":
		policy := none(p.where)
		return Reading{Policy: withNotes(policy, "NGINX Gateway Fabric wants a sessionName")}
	}
	policy := nginxStickyPolicy("", p.name)
	policy.Why = p.where
	policy.Cookie.Secure, policy.Cookie.HTTPOnly = true, true
	if p.permanent && p.absolute > 0 {
		slidingAge(&policy, p.absolute)
	}
	if len(g.rule.Matches) <= 1 && !g.regexp {
		policy.Cookie.Path = rootIfEmpty(g.match)
	}
	policy.Notes = append(policy.Notes, "only with NGINX Plus and experimental features on; open source NGINX Gateway Fabric ignores sessionPersistence")
	return Reading{Policy: withNotes(policy, idleNote(p)...)}
}

// readTraefikGateway: Traefik v3.7.13 has no session persistence in its
// Gateway provider, pkg/provider/kubernetes/gateway.
func readTraefikGateway(w *World, g gatewayPlace) Reading {
	r := Reading{Policy: affinity.Policy{KeepsTerminating: true, Why: "Traefik's Gateway provider has no session persistence"}}
	if p, ok := w.persistence(g); ok {
		r.Notes = append(r.Notes, p.where+" is ignored: Traefik's Gateway provider has no session persistence (v3.7)")
	}
	return r
}

// readCiliumGateway: releases to 1.20 ignore sessionPersistence; that after
// them has it. [cilium#48029]
func readCiliumGateway(w *World, g gatewayPlace) Reading {
	p, ok := w.persistence(g)
	if !ok {
		return Reading{Policy: none("no sessionPersistence")}
	}
	policy := notEstablished(p, "Cilium")
	return Reading{Policy: withNotes(policy, "Cilium to 1.20 ignores sessionPersistence, versions after it may have it: which runs is not in these objects")}
}

func lower(s string) string { return strings.ToLower(s) }
