package ingress

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// nginx is kubernetes/ingress-nginx. What it does is read from its source at
// controller-v1.15.1: internal/ingress/controller/controller.go (backends and
// merging), internal/ingress/annotations/sessionaffinity/main.go (annotations)
// and rootfs/etc/nginx/lua/balancer/sticky*.lua (cookies); the last were also
// run and recorded, see testdata/ingress-nginx-sample.jsonl.
type nginx struct{}

const (
	nginxKey        = "ingress-nginx"
	nginxController = "k8s.io/ingress-nginx"
	nginxPrefix     = "nginx.ingress.kubernetes.io/"
	nginxCookie     = "INGRESSCOOKIE"
)

func (nginx) Key() string                   { return nginxKey }
func (nginx) Claims(controller string) bool { return controller == nginxController }
func (nginx) KnownAs(class string) bool     { return class == "nginx" || class == "ingress-nginx" }
func (nginx) Owns(annotation string) bool   { return strings.HasPrefix(annotation, nginxPrefix) }

// nginxBackendName is the backend's name, which is also the salt of its
// cookies: the port as the Ingress writes it, never resolved. [util.go upstreamName]
func nginxBackendName(p *Place) string {
	if port := p.Backend.Port(); p.Backend.Service != "" && port != "" {
		return p.Ingress.Namespace + "-" + p.Backend.Service + "-" + port
	}
	return p.Ingress.Namespace + "-INVALID"
}

func (nginx) Read(w *World, places []*Place) []Reading {
	m := mergeNginx(places)
	keys := newBackendKeys(m.names)
	readings := make([]Reading, len(places))
	for i, p := range places {
		b := m.backend(p)
		r := Reading{Setting: "service-upstream"}
		var byDefault bool
		if r.Upstream, byDefault = b.upstream(p, w.nginxConfig); byDefault {
			r.Setting += " of configmap " + w.nginxConfig.Name
		}
		var notes []string
		r.Policy, notes = m.read(p, b, keys)
		r.Policy = withNotes(r.Policy, notes...)
		r.Policy.Controller = nginxKey
		if !p.Default && !b.deleted {
			r.Policy.Branches = m.branches(p, b, keys)
		}
		m.passthrough(p, &r)
		r.Notes = append(r.Notes, aliasNotes(p)...)
		readings[i] = r
	}
	return readings
}

// upstream follows createUpstreams: the Ingress that names a backend first
// decides whether it is the ClusterIP, and the ConfigMap where that says
// nothing, which upstream reports. [annotations/serviceupstream/main.go]
func (b *nginxBackend) upstream(p *Place, c NginxConfig) (u Upstream, byDefault bool) {
	own, set := b.first.Annotations[nginxPrefix+"service-upstream"]
	switch {
	case p.Service != nil && p.Service.Type == "ExternalName":
		return UpstreamExternal, false
	case p.Service != nil && !hasVIP(p.Service):
	case set && isTrue(own):
		return UpstreamClusterIP, false
	case !set && c.ServiceUpstream:
		return UpstreamClusterIP, true
	}
	return UpstreamPods, false
}

// read is the policy of a place, and what its reader should know of canaries.
func (m *nginxMerge) read(p *Place, b *nginxBackend, keys backendKeys) (affinity.Policy, []string) {
	own := m.parsed[p.Ingress]
	switch {
	case p.Default:
		return none("spec.defaultBackend gets no affinity from ingress-nginx"), nil
	case b.deleted:
		return none("canary without a primary: ingress-nginx drops it"),
			[]string{fmt.Sprintf("ingress-nginx drops backend %s: it is a canary's, and not every path of it is another Ingress' too, with the same host and pathType", b.name)}
	case own.Canary && b.noServer:
		return m.canary(p, b, keys)
	case b.noServer:
		return none(fmt.Sprintf("backend %s was first made by the canary %s", b.name, objectOf(b.first))),
			[]string{fmt.Sprintf("ingress-nginx serves nothing here: %s already uses this Service and port as its canary", objectOf(b.first))}
	}
	var notes []string
	if own.Canary {
		notes = append(notes, fmt.Sprintf("not a canary: %s is older and serves this Service and port itself, so weight and headers do not count", objectOf(b.first)))
	}
	notes = append(notes, b.canaryNotes()...)
	if b.conf.Type != nginxTypeCookie {
		policy := none("no annotation " + nginxPrefix + "affinity")
		policy.TurnOn = nginxPrefix + "affinity=cookie " + nginxPrefix + "affinity-mode=persistent"
		policy.Notes = slices.Concat(own.Notes, b.hashNote(), b.balanceNote())
		policy.MovesSilently = b.hashNote() != nil
		return policy, notes
	}
	policy := m.cookie(p, b, keys)
	return withNotes(policy, b.mergeNotes(p)...), notes
}

// canary is the policy of a canary's own backend: the primary's, unless the
// canary says legacy.
func (m *nginxMerge) canary(p *Place, b *nginxBackend, keys backendKeys) (affinity.Policy, []string) {
	if b.primary == nil || !m.hosts[p.Host] {
		return none("canary without a primary: nothing else serves its host"),
			[]string{"canary of nothing: no other Ingress serves this host"}
	}
	of := objectOf(b.primary.first)
	if primary := m.primaries[p]; primary != nil { // several Ingresses may have its Service
		of = objectOf(primary.Ingress)
	}
	notes := []string{fmt.Sprintf("canary of %s (%s)", of, canaryShare(p.Ingress.Annotations))}
	switch {
	case b.legacy:
		return none("annotation " + nginxPrefix + "affinity-canary-behavior: legacy"),
			append(notes, "the canary's answers carry no cookie and are spread at random (affinity-canary-behavior: legacy)")
	case b.conf.Type != nginxTypeCookie:
		return none(fmt.Sprintf("canary of %s, which has no affinity", of)), notes
	}
	policy := m.cookie(p, b, keys)
	policy.Why = "copied from its primary, " + of
	return withNotes(policy, m.parsed[p.Ingress].Notes...), notes
}

// cookie is the policy of a backend with affinity: cookie at place p.
func (m *nginxMerge) cookie(p *Place, b *nginxBackend, keys backendKeys) affinity.Policy {
	spec := b.conf.Cookie
	if spec.Path == "" {
		spec.Path = rootIfEmpty(p.Path)
	}
	annotated := spec.Secure
	spec.Secure = spec.Secure || p.TLS
	policy := affinity.Policy{
		Mechanism: affinity.MechanismCookie, Mode: b.conf.mode(), Cookie: spec.CookieSpec, Timeout: max(0, spec.MaxAge),
		Renewal: affinity.RenewalSession, RepinsOnFailure: spec.ChangeOnFailure,
		Why: fmt.Sprintf("annotation %saffinity: cookie of %s", nginxPrefix, objectOf(b.from)),
	}
	if spec.HasAge {
		policy.Renewal = affinity.RenewalAbsolute
	}
	policy.Decoder = nginxDecoder(policy.Mode, b.name, b.partner(), keys, false)
	policy.MovesSilently = policy.Mode == nginxBalancedMode
	policy.Notes = slices.Clone(m.parsed[b.cookie].Notes)
	if b.from != b.cookie {
		policy.Notes = append(policy.Notes, m.parsed[b.from].Notes...)
	}
	return withNotes(policy, nginxCookieNotes(p, spec, annotated)...)
}

// nginxDecoder reads the cookies of a backend, whose partner is the other side
// of a canary pair; seen from that other side, by their second half alone.
func nginxDecoder(mode, backend, partner string, keys backendKeys, other bool) affinity.Decoder {
	if mode == nginxPersistentMode {
		return nginxPersistent{backend: backend, partner: partner, keys: keys, other: other}
	}
	return nginxBalanced{backend: backend, partner: partner, keys: keys, other: other}
}
