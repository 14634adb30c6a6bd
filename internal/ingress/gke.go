package ingress

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// This file is GKE: a BackendConfig that an annotation of the Service names,
// and for Gateways the policies GCPBackendPolicy and GCPSessionAffinityPolicy,
// and the GCPSessionAffinityFilter that a rule of an HTTPRoute names.
// [kubernetes/ingress-gce pkg/apis/backendconfig/v1/types.go,
// pkg/annotations/service.go; GoogleCloudPlatform/gke-gateway-api
// apis/networking/v1/gcpbackendpolicy_types.go: cookieTtlSec 0 is a session
// cookie; config/crd/networking.gke.io_gcpsessionaffinityfilters.yaml: the
// cookie GSSA, of 1 to 86400 s, names a host for as long as that is healthy]

const (
	gceKey                 = "gce"
	resBackendConfigs      = "backendconfigs.cloud.google.com"
	resGCPBackendPolicies  = "gcpbackendpolicies.networking.gke.io"
	resGCPSessionAffinity  = "gcpsessionaffinitypolicies.networking.gke.io"
	resGCPSessionFilters   = "gcpsessionaffinityfilters.networking.gke.io"
	gceConfigAnnotation    = "cloud.google.com/backend-config"
	gceOldConfigAnnotation = "beta.cloud.google.com/backend-config"
	gceNEGAnnotation       = "cloud.google.com/neg"
)

type (
	backendConfig struct {
		Spec struct {
			SessionAffinity *struct {
				AffinityType         string `json:"affinityType"`
				AffinityCookieTTLSec *int64 `json:"affinityCookieTtlSec"`
			} `json:"sessionAffinity"`
		} `json:"spec"`
	}
	gcpBackendPolicy struct {
		Spec struct {
			TargetRef targetRef `json:"targetRef"`
			Default   *struct {
				SessionAffinity *struct {
					Type         string `json:"type"`
					CookieTTLSec *int64 `json:"cookieTtlSec"`
				} `json:"sessionAffinity"`
			} `json:"default"`
		} `json:"spec"`
	}
	gcpSessionAffinityPolicy struct {
		Spec struct {
			TargetRef struct {
				targetRef
				Namespace string `json:"namespace"` // the policy's own when empty
			} `json:"targetRef"`
			StatefulGeneratedCookie *gcpStatefulCookie `json:"statefulGeneratedCookie"`
		} `json:"spec"`
	}
	gcpSessionAffinityFilter struct {
		Spec struct {
			StatefulGeneratedCookie *gcpStatefulCookie `json:"statefulGeneratedCookie"`
		} `json:"spec"`
	}
	gcpStatefulCookie struct {
		CookieTTLSeconds *int64 `json:"cookieTtlSeconds"`
	}
)

type gce struct{}

func (gce) Key() string               { return gceKey }
func (gce) Claims(string) bool        { return false } // GKE goes by the annotation of the class alone
func (gce) KnownAs(class string) bool { return class == "gce" || class == "gce-internal" }
func (gce) Owns(annotation string) bool {
	return strings.HasPrefix(annotation, "ingress.gcp.kubernetes.io/") || strings.HasPrefix(annotation, "networking.gke.io/")
}

func (g gce) Read(w *World, places []*Place) []Reading {
	readings := make([]Reading, len(places))
	for i, p := range places {
		readings[i] = g.read(w, p)
	}
	return readings
}

func (gce) read(w *World, p *Place) Reading {
	r := Reading{Policy: affinity.Policy{Controller: gceKey, Why: "no annotation " + gceConfigAnnotation + " on the Service"}}
	if p.Service == nil {
		r.Policy.Mechanism, r.Policy.Why = affinity.MechanismUnknown, "the Service, whose annotation tells, is not known"
		return r
	}
	if !strings.Contains(p.Service.Annotations[gceNEGAnnotation], `"ingress"`) {
		r.Upstream, r.Setting = UpstreamNodePort, "no annotation "+gceNEGAnnotation+" (GKE sets it on VPC-native clusters)"
	}
	text := orElse(p.Service.Annotations[gceConfigAnnotation], p.Service.Annotations[gceOldConfigAnnotation])
	if text == "" {
		return r
	}
	name, err := gceConfigName(text, p.Port)
	switch {
	case err != nil:
		r.Policy.Why = fmt.Sprintf("annotation %s of service/%s is not understood: %s", gceConfigAnnotation, p.Service.Name, quote(text))
		return r
	case name == "":
		r.Policy.Why = fmt.Sprintf("annotation %s of service/%s names no BackendConfig for this port", gceConfigAnnotation, p.Service.Name)
		return r
	}
	at := fmt.Sprintf("backendconfig %s, which service/%s names", quote(name), p.Service.Name)
	c, config := findCustom[backendConfig](w, resBackendConfigs, p.Service.Namespace, name)
	if c == nil {
		r.Policy.Mechanism, r.Policy.Why = affinity.MechanismUnknown, at+", is not known"
		r.Notes = append(r.Notes, w.unreadCustom(resBackendConfigs)...)
		return r
	}
	r.Policy.Why = at + ": no sessionAffinity"
	if s := config.Spec.SessionAffinity; s != nil {
		cookie := "GCLB"
		if p.class.name == "gce-internal" {
			cookie = "GCILB"
		}
		r.Policy = gcePolicy(s.AffinityType, s.AffinityCookieTTLSec, cookie)
		r.Policy.Why = at + ": affinityType " + affinity.Clean(s.AffinityType, 40)
		if cookie == "GCILB" && r.Policy.Mechanism == affinity.MechanismCookie {
			r.Policy.Notes = append(r.Policy.Notes, "that the internal load balancer's cookie is called GCILB is not confirmed")
		}
	}
	return r
}

// gceConfigName reads {"default": "name", "ports": {"80": "name", "http": "name"}}.
func gceConfigName(text string, port *ServicePort) (string, error) {
	var a struct {
		Default string            `json:"default"`
		Ports   map[string]string `json:"ports"`
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return "", err
	}
	if port != nil {
		for _, key := range []string{port.Name, itoa(port.Port)} {
			if name := a.Ports[key]; name != "" && key != "" {
				return name, nil
			}
		}
	}
	return a.Default, nil
}

// gcePolicy: what becomes of the cookie's age with further requests is not
// documented; without one it ends with the browser.
func gcePolicy(kind string, ttl *int64, cookie string) affinity.Policy {
	p := affinity.Policy{Controller: gceKey, Mode: affinity.Clean(kind, 40)}
	switch kind {
	case "GENERATED_COOKIE":
		p.Mechanism, p.Renewal, p.MovesSilently = affinity.MechanismCookie, affinity.RenewalSession, true
		p.Cookie = affinity.CookieSpec{Name: cookie, Path: "/", FlagsUnknown: true}
		p.Notes = []string{"Google's load balancer gives affinity as well as it can: it moves clients when backends come, go or are full"}
		if ttl != nil && *ttl > 0 {
			p.Timeout, p.Renewal = seconds(*ttl), affinity.RenewalUnknown
			p.Cookie.MaxAge, p.Cookie.HasAge = p.Timeout, true
		}
	case "CLIENT_IP":
		p.Mechanism = affinity.MechanismClientIP
		p.MovesSilently = true
		p.Notes = []string{"the load balancer hashes the client's address: there is no timer"}
	case "", "NONE":
	default:
		p.Mechanism = affinity.MechanismUnknown
		p.Notes = []string{fmt.Sprintf("%s is by something else than the generated cookie or the client's address", quote(kind))}
	}
	return p
}

// readGKEGateway: a GCPSessionAffinityPolicy or a GCPBackendPolicy for the
// Service, or the GCPSessionAffinityFilter of the rule. Which wins where several
// ask is not documented: neither in Google's "Configure Gateway resources using
// Policies" nor in the API's reference.
func readGKEGateway(w *World, g gatewayPlace) Reading {
	r := Reading{Policy: affinity.Policy{Why: "no GCPBackendPolicy, GCPSessionAffinityPolicy or GCPSessionAffinityFilter for it"},
		Notes: w.unreadCustom(resGCPBackendPolicies, resGCPSessionAffinity, resGCPSessionFilters)}
	if p, ok := w.persistence(g); ok {
		r.Notes = append(r.Notes, p.where+": whether GKE does what it asks for is not established")
	}
	of := func(namespace string, t targetRef) bool {
		return t.Kind == "Service" && namespace == g.service.Namespace && t.Name == g.service.Name ||
			t.Kind == "HTTPRoute" && namespace == g.object.Namespace && t.Name == g.object.Name
	}
	var asking []string // what asks for affinity, the one that is shown last
	for c, p := range customs[gcpBackendPolicy](w, resGCPBackendPolicies) {
		if of(c.Namespace, p.Spec.TargetRef) && p.Spec.Default != nil && p.Spec.Default.SessionAffinity != nil {
			s := p.Spec.Default.SessionAffinity
			r.Policy = gcePolicy(s.Type, s.CookieTTLSec, "GCLB")
			r.Policy.Why = fmt.Sprintf("sessionAffinity.type %s of %s", affinity.Clean(s.Type, 40), c.object("gcpbackendpolicy"))
			if s.Type != "" && s.Type != "NONE" {
				asking = append(asking, c.object("gcpbackendpolicy"))
			}
		}
	}
	for c, p := range customs[gcpSessionAffinityPolicy](w, resGCPSessionAffinity) {
		if of(orElse(p.Spec.TargetRef.Namespace, c.Namespace), p.Spec.TargetRef.targetRef) && p.Spec.StatefulGeneratedCookie != nil {
			asking = append(asking, c.object("gcpsessionaffinitypolicy"))
			r.Policy = gcpStatefulPolicy(p.Spec.StatefulGeneratedCookie, asking[len(asking)-1])
		}
	}
	for _, f := range g.rule.Filters {
		x := f.ExtensionRef
		if f.Type != "ExtensionRef" || x == nil || x.Group != "networking.gke.io" || x.Kind != "GCPSessionAffinityFilter" {
			continue
		}
		at := "gcpsessionaffinityfilter/" + affinity.Clean(x.Name, 253)
		_, filter := findCustom[gcpSessionAffinityFilter](w, resGCPSessionFilters, g.object.Namespace, x.Name)
		switch {
		case filter == nil:
			r.Policy = affinity.Policy{Mechanism: affinity.MechanismUnknown, Why: fmt.Sprintf("%s, which rule %d names, is not known", at, g.index)}
			asking = append(asking, at)
			continue
		case filter.Spec.StatefulGeneratedCookie == nil:
			r.Notes = append(r.Notes, at+" asks for no cookie")
			continue
		}
		r.Policy = gcpStatefulPolicy(filter.Spec.StatefulGeneratedCookie, at)
		asking = append(asking, at)
	}
	if n := len(asking) - 1; n > 0 {
		r.Policy.Disputed = strings.Join(asking[:min(n, 4)], ", ")
		r.Notes = append(r.Notes, fmt.Sprintf("%s asks for affinity too: which of them wins is not established, shown is %s", r.Policy.Disputed, asking[n]))
	}
	return r
}

// gcpStatefulPolicy: Google's data plane makes the cookie. How it writes the host
// into it, and when it sets it again, is not documented.
func gcpStatefulPolicy(s *gcpStatefulCookie, at string) affinity.Policy {
	p := affinity.Policy{Mechanism: affinity.MechanismCookie, Mode: "stateful", Cookie: affinity.CookieSpec{Name: "GSSA", FlagsUnknown: true}, Why: "statefulGeneratedCookie of " + at,
		Notes: []string{"the cookie names a host for as long as that is healthy; how it does is not documented"}}
	if n := s.CookieTTLSeconds; n != nil && *n > 0 && *n <= int64(365*24*time.Hour/time.Second) {
		p.Timeout = seconds(*n)
		p.Cookie.MaxAge, p.Cookie.HasAge = p.Timeout, true
	}
	return p
}
