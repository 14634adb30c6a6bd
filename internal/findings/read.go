package findings

import (
	"strconv"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/ingress"
)

func created(o *Object) time.Time {
	t, _ := time.Parse(time.RFC3339, o.Str("metadata", "creationTimestamp"))
	return t
}

func readIngress(o *Object) ingress.Ingress {
	out := ingress.Ingress{Namespace: o.Namespace, Name: o.Name, Created: created(o), Annotations: o.Strings("metadata", "annotations"),
		ClassName: o.Str("spec", "ingressClassName")}
	if d := o.At("spec", "defaultBackend"); d != nil {
		b := readBackend(d)
		out.DefaultBackend = &b
	}
	for _, r := range o.Items("spec", "rules") {
		rule := ingress.Rule{Host: r.Str("host")}
		for _, p := range r.Items("http", "paths") {
			rule.Paths = append(rule.Paths, ingress.Path{Path: affinity.Clean(p.Str("path"), 1024), Type: p.Str("pathType"), Backend: readBackend(p.At("backend"))})
		}
		out.Rules = append(out.Rules, rule)
	}
	for _, t := range o.Items("spec", "tls") {
		out.TLS = append(out.TLS, ingress.TLS{Hosts: t.words("hosts")})
	}
	return out
}

// readBackend reads a backend of networking.k8s.io/v1, and of the v1beta1 that
// old charts still render.
func readBackend(v *Value) ingress.Backend {
	if r := v.At("resource"); r != nil {
		return ingress.Backend{Resource: r.Str("kind") + "/" + r.Str("name")}
	}
	b := ingress.Backend{Service: v.Str("service", "name"), PortName: v.Str("service", "port", "name")}
	b.PortNumber, _ = v.Int("service", "port", "number")
	if b.Service == "" {
		b.Service, b.PortName = v.Str("serviceName"), v.Str("servicePort")
		if n, err := strconv.Atoi(b.PortName); err == nil {
			b.PortNumber, b.PortName = n, ""
		}
	}
	return b
}

func readService(o *Object) ingress.Service {
	s := ingress.Service{Namespace: o.Namespace, Name: o.Name, Type: o.Str("spec", "type"), ClusterIP: o.Str("spec", "clusterIP"),
		ExternalName: o.Str("spec", "externalName"), Annotations: o.Strings("metadata", "annotations"), Labels: o.Strings("metadata", "labels"),
		SessionAffinity: o.Str("spec", "sessionAffinity"), PublishNotReadyAddresses: o.Bool("spec", "publishNotReadyAddresses")}
	if s.ClusterIP == "" && s.Type != "ExternalName" {
		s.ClusterIP = "<assigned>" // by the API server, when the object is created
	}
	s.AffinityTimeout, _ = o.Int("spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds")
	for _, p := range o.Items("spec", "ports") {
		port := ingress.ServicePort{Name: p.Str("name"), TargetPort: p.Str("targetPort"), Protocol: p.Str("protocol")}
		port.Port, _ = p.Int("port")
		port.NodePort, _ = p.Int("nodePort")
		s.Ports = append(s.Ports, port)
	}
	return s
}

func readIngressRoute(o *Object) ingress.IngressRoute {
	out := ingress.IngressRoute{Namespace: o.Namespace, Name: o.Name, Created: created(o), Annotations: o.Strings("metadata", "annotations"),
		ClassName: o.Str("spec", "ingressClassName"), TLS: o.Has("spec", "tls")}
	for _, r := range o.Items("spec", "routes") {
		rule := ingress.IngressRouteRule{Match: affinity.Clean(r.Str("match"), 4096)}
		for _, s := range r.Items("services") {
			rule.Services = append(rule.Services, readTraefikBackend(s))
		}
		for _, m := range r.Items("middlewares") {
			rule.Middlewares = append(rule.Middlewares, m.Str("name"))
		}
		out.Routes = append(out.Routes, rule)
	}
	return out
}

func readTraefikBackend(v *Value) ingress.TraefikBackend {
	b := ingress.TraefikBackend{Kind: v.Str("kind"), Namespace: v.Str("namespace"), Name: v.Str("name"), Port: v.Str("port"),
		Scheme: v.Str("scheme"), Strategy: v.Str("strategy"), NodePortLB: v.Bool("nodePortLB"), Sticky: readTraefikCookie(v.At("sticky", "cookie"))}
	if n, ok := v.Int("weight"); ok {
		b.Weight = &n
	}
	if v.Has("nativeLB") {
		native := v.Bool("nativeLB")
		b.NativeLB = &native
	}
	return b
}

func readTraefikCookie(v *Value) *ingress.TraefikCookie {
	if v == nil {
		return nil
	}
	c := &ingress.TraefikCookie{Name: v.Str("name"), Secure: v.Bool("secure"), HTTPOnly: v.Bool("httpOnly"), SameSite: v.Str("sameSite"), Domain: v.Str("domain")}
	c.MaxAge, _ = v.Int("maxAge")
	if v.Has("path") {
		path := v.Str("path")
		c.Path = &path
	}
	return c
}

func readTraefikService(o *Object) ingress.TraefikService {
	t := ingress.TraefikService{Namespace: o.Namespace, Name: o.Name}
	add := func(kind string, all ...*Value) {
		t.Kind = kind
		for _, s := range all {
			t.Services = append(t.Services, readTraefikBackend(s))
		}
	}
	switch spec := o.At("spec"); {
	case spec.Has("weighted"):
		add("weighted", spec.Items("weighted", "services")...)
		t.Sticky = readTraefikCookie(spec.At("weighted", "sticky", "cookie"))
	case spec.Has("highestRandomWeight"):
		add("highestRandomWeight", spec.Items("highestRandomWeight", "services")...)
	case spec.Has("mirroring"):
		add("mirroring", spec.At("mirroring"))
	case spec.Has("failover"):
		add("failover", spec.At("failover", "service"), spec.At("failover", "fallback"))
	}
	return t
}

// quote makes a word safe to paste into a shell: names of linted files can be
// anything.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%+") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
