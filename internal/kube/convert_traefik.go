package kube

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

// The part of traefik.io/v1alpha1 that is read (traefik:
// pkg/provider/kubernetes/crd/traefikio/v1alpha1). Importing Traefik's own types
// would bring its whole module.
type (
	traefikRouteSpec struct {
		IngressClassName string    `json:"ingressClassName"`
		TLS              *struct{} `json:"tls"`
		Routes           []struct {
			Match       string           `json:"match"`
			Services    []traefikBackend `json:"services"`
			Middlewares []struct {
				Name      string `json:"name"`
				Namespace string `json:"namespace"`
			} `json:"middlewares"`
		} `json:"routes"`
	}
	traefikBackend struct {
		Kind       string              `json:"kind"`
		Namespace  string              `json:"namespace"`
		Name       string              `json:"name"`
		Port       *intstr.IntOrString `json:"port"`
		Scheme     string              `json:"scheme"`
		Strategy   string              `json:"strategy"`
		Weight     *int64              `json:"weight"`
		NativeLB   *bool               `json:"nativeLB"`
		NodePortLB bool                `json:"nodePortLB"`
		Sticky     *traefikSticky      `json:"sticky"`
	}
	traefikSticky struct {
		Cookie *struct {
			Name     string  `json:"name"`
			Secure   bool    `json:"secure"`
			HTTPOnly bool    `json:"httpOnly"`
			SameSite string  `json:"sameSite"`
			MaxAge   int64   `json:"maxAge"`
			Path     *string `json:"path"`
			Domain   string  `json:"domain"`
		} `json:"cookie"`
	}
	traefikServiceSpec struct {
		Weighted *struct {
			Services []traefikBackend `json:"services"`
			Sticky   *traefikSticky   `json:"sticky"`
		} `json:"weighted"`
		HighestRandomWeight *struct {
			Services []traefikBackend `json:"services"`
		} `json:"highestRandomWeight"`
		Mirroring *traefikBackend `json:"mirroring"`
		Failover  *struct {
			Service  traefikBackend `json:"service"`
			Fallback traefikBackend `json:"fallback"`
		} `json:"failover"`
	}
)

// maxMatch bounds a rule's text: real ones are a line.
const maxMatch = 4096

// spec decodes an object's spec. A spec of another shape than the CRD has makes
// the object unreadable, which is a route that is not shown.
func spec[T any](obj runtime.Object) (*unstructured.Unstructured, T, bool) {
	var out struct {
		Spec T `json:"spec"`
	}
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return nil, out.Spec, false
	}
	content := map[string]any{"spec": u.Object["spec"]}
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &out)
	return u, out.Spec, err == nil
}

func convertIngressRoute(obj runtime.Object) (any, bool) {
	u, s, ok := spec[traefikRouteSpec](obj)
	if !ok {
		return nil, false
	}
	out := ingress.IngressRoute{
		Namespace: name(u.GetNamespace()), Name: name(u.GetName()), Created: u.GetCreationTimestamp().Time,
		Annotations: annotations(u.GetAnnotations()), ClassName: name(s.IngressClassName), TLS: s.TLS != nil,
	}
	for _, r := range s.Routes {
		rule := ingress.IngressRouteRule{Match: affinity.Clean(r.Match, maxMatch), Services: traefikBackends(r.Services)}
		for _, m := range r.Middlewares {
			rule.Middlewares = append(rule.Middlewares, name(m.Name))
		}
		out.Routes = append(out.Routes, rule)
	}
	return &routeObject[ingress.IngressRoute]{out, u.GetLabels()}, true
}

func convertTraefikService(obj runtime.Object) (any, bool) {
	u, s, ok := spec[traefikServiceSpec](obj)
	if !ok {
		return nil, false
	}
	out := ingress.TraefikService{Namespace: name(u.GetNamespace()), Name: name(u.GetName())}
	switch {
	case s.Weighted != nil:
		out.Kind, out.Services, out.Sticky = "weighted", traefikBackends(s.Weighted.Services), traefikCookie(s.Weighted.Sticky)
	case s.HighestRandomWeight != nil:
		out.Kind, out.Services = "highestRandomWeight", traefikBackends(s.HighestRandomWeight.Services)
	case s.Mirroring != nil:
		out.Kind, out.Services = "mirroring", traefikBackends([]traefikBackend{*s.Mirroring})
	case s.Failover != nil:
		out.Kind, out.Services = "failover", traefikBackends([]traefikBackend{s.Failover.Service, s.Failover.Fallback})
	}
	return &out, true
}

func traefikBackends(in []traefikBackend) []ingress.TraefikBackend {
	var out []ingress.TraefikBackend
	for _, b := range in {
		x := ingress.TraefikBackend{
			Kind: name(b.Kind), Namespace: name(b.Namespace), Name: name(b.Name), Scheme: name(b.Scheme), Strategy: name(b.Strategy),
			NativeLB: b.NativeLB, NodePortLB: b.NodePortLB, Sticky: traefikCookie(b.Sticky),
		}
		if b.Port != nil {
			x.Port = name(b.Port.String())
		}
		if b.Weight != nil {
			w := int(*b.Weight)
			x.Weight = &w
		}
		out = append(out, x)
	}
	return out
}

func traefikCookie(s *traefikSticky) *ingress.TraefikCookie {
	if s == nil || s.Cookie == nil {
		return nil
	}
	c := s.Cookie
	out := &ingress.TraefikCookie{
		Name: name(c.Name), Secure: c.Secure, HTTPOnly: c.HTTPOnly, SameSite: name(c.SameSite), MaxAge: int(c.MaxAge), Domain: name(c.Domain),
	}
	if c.Path != nil {
		path := affinity.Clean(*c.Path, 1024)
		out.Path = &path
	}
	return out
}
