package ingress

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// manifest mirrors the parts of Kubernetes objects that Objects has, so that
// testdata can be what kubectl prints.
type manifest struct {
	Kind     string
	Metadata struct {
		Namespace, Name     string
		CreationTimestamp   time.Time
		Annotations, Labels map[string]string
	}
	Spec struct {
		Controller               string // IngressClass
		IngressClassName         string // Ingress, IngressRoute
		DefaultBackend           *backendManifest
		Rules                    []ruleManifest
		TLS                      any // Ingress: a list; IngressRoute: an object
		Type, ClusterIP          string
		ExternalName             string
		Ports                    []portManifest
		SessionAffinity          string
		PublishNotReadyAddresses bool
		SessionAffinityConfig    struct{ ClientIP struct{ TimeoutSeconds int } }
		Routes                   []struct {
			Match       string
			Services    []traefikManifest
			Middlewares []struct{ Name string }
		}
		Weighted, HighestRandomWeight *struct {
			Services []traefikManifest
			Sticky   *stickyManifest
		}
		Mirroring *traefikManifest
		Failover  *struct{ Service, Fallback traefikManifest }
	}
	Status struct {
		LoadBalancer struct {
			Ingress []struct{ IP, Hostname string }
		}
	}
}

type ruleManifest struct {
	Host string
	HTTP struct {
		Paths []struct {
			Path, PathType string
			Backend        backendManifest
		}
	}
}

type backendManifest struct {
	Service struct {
		Name string
		Port struct {
			Number int
			Name   string
		}
	}
	Resource struct{ Kind, Name string }
}

type portManifest struct {
	Name, Protocol string
	Port, NodePort int
	TargetPort     any
}

type traefikManifest struct {
	Kind, Namespace, Name, Scheme, Strategy string
	Port                                    any
	Weight                                  *int
	NativeLB                                *bool
	NodePortLB                              bool
	Sticky                                  *stickyManifest
}

type stickyManifest struct{ Cookie *TraefikCookie }

// load reads YAML documents into Objects.
func load(t *testing.T, text string) Objects {
	t.Helper()
	var o Objects
	for i, doc := range strings.Split(text, "\n---\n") {
		if c, ok := loadCustom(t, doc); ok {
			o.Custom = append(o.Custom, c)
			continue
		}
		var m manifest
		if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
			t.Fatalf("document %d: %v\n%s", i, err, doc)
		}
		if err := m.into(&o); err != nil {
			t.Fatalf("document %d: %v", i, err)
		}
	}
	return o
}

func (m manifest) into(o *Objects) error {
	namespace, name := orElse(m.Metadata.Namespace, "default"), m.Metadata.Name
	switch m.Kind {
	case "Ingress":
		o.Ingresses = append(o.Ingresses, m.ingress(namespace))
	case "IngressClass":
		o.Classes = append(o.Classes, Class{Name: name, Controller: m.Spec.Controller,
			Default: m.Metadata.Annotations["ingressclass.kubernetes.io/is-default-class"] == "true"})
	case "Service":
		o.Services = append(o.Services, m.service(namespace))
	case "IngressRoute":
		ir := IngressRoute{Namespace: namespace, Name: name, Created: m.Metadata.CreationTimestamp,
			Annotations: m.Metadata.Annotations, ClassName: m.Spec.IngressClassName, TLS: m.Spec.TLS != nil}
		for _, r := range m.Spec.Routes {
			rule := IngressRouteRule{Match: r.Match, Services: backends(r.Services)}
			for _, w := range r.Middlewares {
				rule.Middlewares = append(rule.Middlewares, w.Name)
			}
			ir.Routes = append(ir.Routes, rule)
		}
		o.IngressRoutes = append(o.IngressRoutes, ir)
	case "TraefikService":
		o.TraefikServices = append(o.TraefikServices, m.traefikService(namespace))
	default:
		return fmt.Errorf("kind %q", m.Kind)
	}
	return nil
}

func (m manifest) ingress(namespace string) Ingress {
	ing := Ingress{Namespace: namespace, Name: m.Metadata.Name, Created: m.Metadata.CreationTimestamp,
		Annotations: m.Metadata.Annotations, ClassName: m.Spec.IngressClassName}
	if m.Spec.DefaultBackend != nil {
		b := m.Spec.DefaultBackend.backend()
		ing.DefaultBackend = &b
	}
	for _, r := range m.Spec.Rules {
		rule := Rule{Host: r.Host}
		for _, p := range r.HTTP.Paths {
			rule.Paths = append(rule.Paths, Path{p.Path, p.PathType, p.Backend.backend()})
		}
		ing.Rules = append(ing.Rules, rule)
	}
	if list, ok := m.Spec.TLS.([]any); ok {
		for _, entry := range list {
			var tls TLS
			hosts, _ := entry.(map[string]any)["hosts"].([]any)
			for _, h := range hosts {
				tls.Hosts = append(tls.Hosts, h.(string))
			}
			ing.TLS = append(ing.TLS, tls)
		}
	}
	for _, a := range m.Status.LoadBalancer.Ingress {
		ing.Addresses = append(ing.Addresses, orElse(a.IP, a.Hostname))
	}
	return ing
}

func (b backendManifest) backend() Backend {
	out := Backend{Service: b.Service.Name, PortNumber: b.Service.Port.Number, PortName: b.Service.Port.Name}
	if b.Resource.Name != "" {
		out.Resource = b.Resource.Kind + "/" + b.Resource.Name
	}
	return out
}

func (m manifest) service(namespace string) Service {
	s := Service{Namespace: namespace, Name: m.Metadata.Name, Type: m.Spec.Type, ClusterIP: m.Spec.ClusterIP, ExternalName: m.Spec.ExternalName,
		Annotations: m.Metadata.Annotations, Labels: m.Metadata.Labels, SessionAffinity: m.Spec.SessionAffinity,
		AffinityTimeout: m.Spec.SessionAffinityConfig.ClientIP.TimeoutSeconds, PublishNotReadyAddresses: m.Spec.PublishNotReadyAddresses}
	for _, p := range m.Spec.Ports {
		s.Ports = append(s.Ports, ServicePort{p.Name, p.Port, text(p.TargetPort), p.NodePort, p.Protocol})
	}
	return s
}

func (m manifest) traefikService(namespace string) TraefikService {
	s := TraefikService{Namespace: namespace, Name: m.Metadata.Name}
	switch spec := m.Spec; {
	case spec.Weighted != nil:
		s.Kind, s.Services = "weighted", backends(spec.Weighted.Services)
		if spec.Weighted.Sticky != nil {
			s.Sticky = spec.Weighted.Sticky.Cookie
		}
	case spec.HighestRandomWeight != nil:
		s.Kind, s.Services = "highestRandomWeight", backends(spec.HighestRandomWeight.Services)
	case spec.Mirroring != nil:
		s.Kind, s.Services = "mirroring", backends([]traefikManifest{*spec.Mirroring})
	case spec.Failover != nil:
		s.Kind, s.Services = "failover", backends([]traefikManifest{spec.Failover.Service, spec.Failover.Fallback})
	}
	return s
}

func backends(all []traefikManifest) []TraefikBackend {
	var out []TraefikBackend
	for _, m := range all {
		b := TraefikBackend{Kind: m.Kind, Namespace: m.Namespace, Name: m.Name, Port: text(m.Port), Scheme: m.Scheme, Strategy: m.Strategy,
			Weight: m.Weight, NativeLB: m.NativeLB, NodePortLB: m.NodePortLB}
		if m.Sticky != nil {
			b.Sticky = m.Sticky.Cookie
		}
		out = append(out, b)
	}
	return out
}

// text prints a number or a name.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case float64:
		return strconv.Itoa(int(v))
	default:
		return fmt.Sprint(v)
	}
}
