package kube

import (
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

const (
	maxAnnotations     = 256
	maxAnnotationValue = 4096 // bytes; longer ones are snippets, which nobody parses here
	lastApplied        = "kubectl.kubernetes.io/last-applied-configuration"
	defaultClass       = "ingressclass.kubernetes.io/is-default-class"
)

// routeObject is an Ingress with the labels that a selector asks for.
type routeObject[T any] struct {
	object T
	labels map[string]string
}

// annotations keeps what may be read. Values stay as written, since they are
// parsed; whoever shows one cleans it.
func annotations(in map[string]string) map[string]string {
	out := make(map[string]string, min(len(in), maxAnnotations))
	for k, v := range in {
		if k == lastApplied || len(k) > 2*maxName || len(out) >= maxAnnotations {
			continue
		}
		out[k] = v[:min(len(v), maxAnnotationValue)]
	}
	return out
}

func convertIngress(obj runtime.Object) (any, bool) {
	in, ok := obj.(*networkingv1.Ingress)
	if !ok {
		return nil, false
	}
	out := ingress.Ingress{
		Namespace: name(in.Namespace), Name: name(in.Name), Created: in.CreationTimestamp.Time, Annotations: annotations(in.Annotations),
	}
	if in.Spec.IngressClassName != nil {
		out.ClassName = name(*in.Spec.IngressClassName)
	}
	if in.Spec.DefaultBackend != nil {
		b := ingressBackend(*in.Spec.DefaultBackend)
		out.DefaultBackend = &b
	}
	for _, r := range in.Spec.Rules {
		out.Rules = append(out.Rules, ingressRule(r))
	}
	for _, t := range in.Spec.TLS {
		entry := ingress.TLS{}
		for _, h := range t.Hosts {
			entry.Hosts = append(entry.Hosts, name(h))
		}
		out.TLS = append(out.TLS, entry)
	}
	for _, a := range in.Status.LoadBalancer.Ingress {
		if a.IP != "" {
			out.Addresses = append(out.Addresses, name(a.IP))
		} else if a.Hostname != "" {
			out.Addresses = append(out.Addresses, name(a.Hostname))
		}
	}
	return &routeObject[ingress.Ingress]{out, in.Labels}, true
}

func ingressRule(r networkingv1.IngressRule) ingress.Rule {
	out := ingress.Rule{Host: name(r.Host)}
	if r.HTTP == nil {
		return out
	}
	for _, p := range r.HTTP.Paths {
		path := ingress.Path{Path: affinity.Clean(p.Path, 1024), Backend: ingressBackend(p.Backend)}
		if p.PathType != nil {
			path.Type = name(string(*p.PathType))
		}
		out.Paths = append(out.Paths, path)
	}
	return out
}

func ingressBackend(b networkingv1.IngressBackend) ingress.Backend {
	switch {
	case b.Service != nil:
		return ingress.Backend{Service: name(b.Service.Name), PortNumber: int(b.Service.Port.Number), PortName: name(b.Service.Port.Name)}
	case b.Resource != nil:
		return ingress.Backend{Resource: name(b.Resource.Kind) + "/" + name(b.Resource.Name)}
	}
	return ingress.Backend{}
}

func convertClass(obj runtime.Object) (any, bool) {
	c, ok := obj.(*networkingv1.IngressClass)
	if !ok {
		return nil, false
	}
	return &ingress.Class{Name: name(c.Name), Controller: name(c.Spec.Controller), Default: c.Annotations[defaultClass] == "true"}, true
}
