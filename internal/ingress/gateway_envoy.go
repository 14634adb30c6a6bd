package ingress

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// This file is Envoy Gateway: sessionPersistence of HTTPRoutes, and its own
// BackendTrafficPolicy. [envoyproxy/gateway v1.9 internal/gatewayapi/route.go,
// internal/xds/translator/session_persistence.go, api/v1alpha1/loadbalancer_types.go]

const envoyGatewayKey = "envoy-gateway"

type envoyTrafficPolicy struct {
	Spec struct {
		TargetRef       *targetRef  `json:"targetRef"`
		TargetRefs      []targetRef `json:"targetRefs"`
		TargetSelectors []struct{}  `json:"targetSelectors"`
		LoadBalancer    *struct {
			Type           string `json:"type"`
			ConsistentHash *struct {
				Type   string `json:"type"`
				Cookie *struct {
					Name       string            `json:"name"`
					TTL        *string           `json:"ttl"`
					Attributes map[string]string `json:"attributes"`
				} `json:"cookie"`
			} `json:"consistentHash"`
		} `json:"loadBalancer"`
	} `json:"spec"`
}

func readEnvoyGateway(w *World, g gatewayPlace) Reading {
	balancing, notes := w.envoyHash(g)
	notes = append(notes, w.unreadCustom(resEnvoyTrafficPolicies)...)
	p, ok := w.persistence(g)
	switch {
	case ok && p.attached:
		return Reading{Policy: notEstablished(p, "Envoy Gateway"), Notes: notes}
	case !ok && balancing != nil:
		return Reading{Policy: *balancing, Notes: notes}
	case !ok:
		return Reading{Policy: none("no sessionPersistence, and no BackendTrafficPolicy with a consistent hash"), Notes: notes}
	}
	name := orElse(p.name, fmt.Sprintf("httproute-%s-%s-rule-%d", g.object.Namespace, g.object.Name, g.index))
	var ttl time.Duration
	if p.permanent {
		ttl = p.absolute
	}
	policy := statefulSession(p, name, ttl)
	if !slices.ContainsFunc(g.rule.BackendRefs, func(b backendRef) bool { return len(b.Filters) > 0 }) {
		policy.Choice = affinity.ChoiceByPin
	}
	if policy.Mechanism == affinity.MechanismCookie {
		policy.Cookie.Path = g.envoyPath()
		if p.path != nil {
			policy.Notes = append(policy.Notes, fmt.Sprintf("cookie.path %s is of a newer Gateway API; Envoy Gateway v1.9 takes the match's path", quote(*p.path)))
		}
		if p.permanent && p.absolute == 0 {
			policy.Notes = append(policy.Notes, "lifetimeType Permanent without absoluteTimeout: the cookie is a session cookie")
		}
		if !p.permanent && p.absolute > 0 {
			policy.Notes = append(policy.Notes, "absoluteTimeout has no effect with lifetimeType Session: the cookie ends with the browser")
		}
	}
	if balancing != nil {
		policy.Notes = append(policy.Notes, balancing.Why+" chooses the pod of a new session only")
	}
	return Reading{Policy: withNotes(policy, idleNote(p)...), Notes: notes}
}

// envoyPath is the cookie's Path: the match's, of a regular expression the
// segments before the first with an asterisk.
func (g gatewayPlace) envoyPath() string {
	if !g.regexp {
		return rootIfEmpty(g.match)
	}
	var kept []string
	for _, segment := range strings.Split(g.match, "/") {
		if strings.Contains(segment, "*") {
			break
		}
		kept = append(kept, segment)
	}
	return rootIfEmpty(strings.Join(kept, "/"))
}

func (p *envoyTrafficPolicy) targets() []targetRef {
	if p.Spec.TargetRef != nil {
		return append([]targetRef{*p.Spec.TargetRef}, p.Spec.TargetRefs...)
	}
	return p.Spec.TargetRefs
}

// envoyPolicyKeys: a policy is looked up by its targets; one that chooses them
// by labels, by its namespace.
func envoyPolicyKeys(c *Custom, p *envoyTrafficPolicy) []string {
	var keys []string
	for _, t := range p.targets() {
		keys = append(keys, targetKey(t.Kind, c.Namespace, t.Name))
	}
	if len(p.Spec.TargetSelectors) > 0 {
		keys = append(keys, targetKey("", c.Namespace, ""))
	}
	return keys
}

func targetKey(kind, namespace, name string) string { return kind + "/" + namespace + "/" + name }

// envoyHash finds the consistent hash of a BackendTrafficPolicy: one that
// targets the rule, the HTTPRoute or its Gateway, the closest first.
func (w *World) envoyHash(g gatewayPlace) (*affinity.Policy, []string) {
	var best *affinity.Policy
	var notes []string
	rank := 0
	for c, policy := range customsUnder(w, resEnvoyTrafficPolicies, envoyPolicyKeys,
		targetKey("HTTPRoute", g.object.Namespace, g.object.Name), targetKey("Gateway", g.parent.namespace, g.parent.name), targetKey("", g.object.Namespace, "")) {
		targets := policy.targets()
		if len(policy.Spec.TargetSelectors) > 0 && c.Namespace == g.object.Namespace {
			notes = append(notes, c.object("backendtrafficpolicy")+" chooses its targets by labels, which are not read: it may hold for this route")
		}
		for _, t := range targets {
			closeness := 0
			switch {
			case t.Kind == "HTTPRoute" && c.Namespace == g.object.Namespace && t.Name == g.object.Name && t.SectionName == "":
				closeness = 3
			case t.Kind == "HTTPRoute" && c.Namespace == g.object.Namespace && t.Name == g.object.Name && t.SectionName == g.rule.Name:
				closeness = 4
			case t.Kind == "Gateway" && c.Namespace == g.parent.namespace && t.Name == g.parent.name && t.SectionName != "":
				notes = append(notes, c.object("backendtrafficpolicy")+" holds for one listener of the gateway only, and is not read")
			case t.Kind == "Gateway" && c.Namespace == g.parent.namespace && t.Name == g.parent.name:
				closeness = 1
			}
			if closeness > rank {
				rank, best = closeness, policy.hash(c)
			}
		}
	}
	return best, notes
}

// hash is the policy of a hash by cookie: Envoy sets the cookie once, when it
// is missing and has a ttl, and never again. The target is a hash of its value
// over the pods, so that their number moves clients without a word.
// [envoy source/common/http/hash_policy.cc]
func (p *envoyTrafficPolicy) hash(c *Custom) *affinity.Policy {
	why := c.object("backendtrafficpolicy")
	lb := p.Spec.LoadBalancer
	if lb == nil || lb.Type != "ConsistentHash" || lb.ConsistentHash == nil {
		return nil
	}
	if cookie := lb.ConsistentHash.Cookie; lb.ConsistentHash.Type == "Cookie" && cookie != nil {
		var ttl *time.Duration
		if cookie.TTL != nil {
			d := gatewayDuration(*cookie.TTL)
			ttl = &d
		}
		out := envoyHashCookie(cookie.Name, "", ttl)
		out.Why = "consistentHash by cookie of " + why
		for key, value := range cookie.Attributes {
			envoyAttribute(&out.Cookie, key, value)
		}
		return &out
	}
	out := affinity.Policy{MovesSilently: true, Why: fmt.Sprintf("consistentHash by %s of %s", quote(lb.ConsistentHash.Type), why)}
	if lb.ConsistentHash.Type == "SourceIP" {
		out.Notes = []string{"the pod is chosen by the client's address: clients behind one address share a pod"}
	}
	return &out
}

// envoyHashCookie is the policy of a hash by cookie in Envoy. ttl nil: Envoy
// never makes the cookie.
func envoyHashCookie(name, path string, ttl *time.Duration) affinity.Policy {
	p := affinity.Policy{Mechanism: affinity.MechanismCookie, Mode: "consistent hash", MovesSilently: true,
		Cookie: affinity.CookieSpec{Name: name, Path: path}, Renewal: affinity.RenewalSession,
		Notes: []string{"the cookie is hashed over all pods: when one comes or goes, some clients move and keep their cookie"}}
	switch {
	case ttl == nil:
		p.Renewal = affinity.RenewalUnknown
		p.Cookie.FlagsUnknown, p.Cookie.Application = true, true
		p.Notes = append(p.Notes, "no ttl: Envoy does not make the cookie, the application has to; without it requests go anywhere")
	case *ttl > 0:
		p.Timeout, p.Renewal = *ttl, affinity.RenewalAbsolute
		p.Cookie.MaxAge, p.Cookie.HasAge = *ttl, true
	}
	return p
}

func envoyAttribute(c *affinity.CookieSpec, key, value string) {
	switch strings.ToLower(key) {
	case "samesite":
		c.SameSite = value
	case "secure":
		c.Secure = true
	case "httponly":
		c.HTTPOnly = true
	case "path":
		c.Path = value
	case "domain":
		c.Domain = value
	}
}
