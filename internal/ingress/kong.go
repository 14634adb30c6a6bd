package ingress

import (
	"fmt"
	"strings"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// This file is Kong: a KongUpstreamPolicy that an annotation of the Service
// names. [Kong/kubernetes-ingress-controller docs/api-reference.md,
// internal/dataplane/kongstate/kongupstreampolicy.go, internal/annotations/annotations.go
// HasServiceUpstreamAnnotation; Kong
// kong/runloop/balancer/init.lua]

const (
	kongKey                = "kong"
	resKongUpstreamPolicy  = "kongupstreampolicies.configuration.konghq.com"
	kongUpstreamAnnotation = "konghq.com/upstream-policy"
)

type kongUpstreamPolicy struct {
	Spec struct {
		Algorithm string `json:"algorithm"`
		HashOn    *struct {
			Input      string `json:"input"`
			Header     string `json:"header"`
			Cookie     string `json:"cookie"`
			CookiePath string `json:"cookiePath"`
			QueryArg   string `json:"queryArg"`
			URICapture string `json:"uriCapture"`
		} `json:"hashOn"`
		StickySessions *struct {
			Cookie     string `json:"cookie"`
			CookiePath string `json:"cookiePath"`
		} `json:"stickySessions"`
	} `json:"spec"`
}

type kong struct{}

func (kong) Key() string { return kongKey }
func (kong) Claims(controller string) bool {
	return controller == "ingress-controllers.konghq.com/kong"
}
func (kong) KnownAs(class string) bool   { return class == "kong" }
func (kong) Owns(annotation string) bool { return strings.HasPrefix(annotation, "konghq.com/") }

func (kong) Read(w *World, places []*Place) []Reading {
	readings := make([]Reading, len(places))
	for i, p := range places {
		readings[i] = w.kong(p.Service)
	}
	return readings
}

// readKongGateway: the same policy, by the same annotation of the Service.
func readKongGateway(w *World, g gatewayPlace) Reading {
	r := w.kong(w.services[g.service])
	if p, ok := w.persistence(g); ok {
		r.Notes = append(r.Notes, p.where+": whether Kong does what it asks for is not established")
	}
	return r
}

func (w *World) kong(s *Service) Reading {
	r := Reading{Policy: affinity.Policy{Controller: kongKey, Why: "no annotation " + kongUpstreamAnnotation + " on the Service"}}
	if s == nil {
		r.Policy.Mechanism, r.Policy.Why = affinity.MechanismUnknown, "the Service, whose annotation tells, is not known"
		return r
	}
	if s.Type == "ExternalName" {
		r.Upstream = UpstreamExternal
	}
	if s.Annotations["ingress.kubernetes.io/service-upstream"] == "true" { // this text alone
		r.Upstream, r.Setting = UpstreamClusterIP, "ingress.kubernetes.io/service-upstream"
	}
	name := s.Annotations[kongUpstreamAnnotation]
	if name == "" {
		return r
	}
	at := fmt.Sprintf("kongupstreampolicy %s, which service/%s names", quote(name), s.Name)
	c, policy := findCustom[kongUpstreamPolicy](w, resKongUpstreamPolicy, s.Namespace, name)
	if c == nil {
		r.Policy.Mechanism, r.Policy.Why = affinity.MechanismUnknown, at+", is not known"
		r.Notes = append(r.Notes, w.unreadCustom(resKongUpstreamPolicy)...)
		return r
	}
	r.Policy = policy.read(at)
	return r
}

// read: a cookie to hash on is made once, when it is missing, and is a session
// cookie; its value is a random text.
func (k *kongUpstreamPolicy) read(at string) affinity.Policy {
	p := affinity.Policy{Controller: kongKey, Why: at}
	hash := k.Spec.HashOn
	switch {
	case k.Spec.StickySessions != nil && k.Spec.StickySessions.Cookie != "":
		p.Mechanism, p.Mode = affinity.MechanismCookie, "sticky-sessions"
		p.Cookie = affinity.CookieSpec{Name: k.Spec.StickySessions.Cookie, Path: k.Spec.StickySessions.CookiePath}
		p.Notes = []string{"stickySessions is Kong Enterprise's; what its cookie holds and how long it lives is not known"}
	case hash != nil && hash.Cookie != "" && k.Spec.Algorithm != "consistent-hashing":
		p.Why += fmt.Sprintf(": algorithm %s hashes nothing", quote(k.Spec.Algorithm))
	case hash != nil && hash.Cookie != "":
		p.Mechanism, p.Mode, p.Renewal, p.MovesSilently = affinity.MechanismCookie, "consistent-hashing", affinity.RenewalSession, true
		p.Cookie = affinity.CookieSpec{Name: hash.Cookie, Path: orElse(hash.CookiePath, "/"), HTTPOnly: true}
		p.Notes = []string{"the cookie is hashed over all pods: when one comes or goes, some clients move and keep their cookie",
			"Kong writes its SameSite attribute as Same-Site, which browsers do not know"}
	case k.Spec.Algorithm == "consistent-hashing" && hash != nil:
		p.MovesSilently = true
		p.Why += ": consistent-hashing, not by a cookie"
		p.Notes = []string{"the pod is chosen by a hash of the request, which is no session of Kong's own making"}
	}
	return p
}
