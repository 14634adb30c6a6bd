package ingress

import (
	"fmt"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// kubeProxy is the Controller of ClientIP policies.
const kubeProxy = "kube-proxy"

// DefaultClientIPTimeout is what the API server writes when sessionAffinity is
// ClientIP and no timeout is given: 3 h (k8s.io/api core/v1,
// DefaultClientIPServiceAffinitySeconds).
const DefaultClientIPTimeout = 10800 * time.Second

const (
	labelProxyName = "service.kubernetes.io/service-proxy-name"
	affinityIP     = "ClientIP"
)

func hasVIP(s *Service) bool {
	return s.ClusterIP != "" && s.ClusterIP != "None" && s.Type != "ExternalName"
}

// ServicePolicy returns a Service with its own layer of affinity, given how
// many endpoints of it are ready.
func ServicePolicy(s Service, readyEndpoints int) affinity.Service {
	out := affinity.Service{
		Ref: s.Ref(), Type: s.Type, ClusterIP: s.ClusterIP, Headless: s.ClusterIP == "None",
		Policy: clientIP(s),
	}
	if out.Type == "" {
		out.Type = "ClusterIP"
	}
	for _, p := range s.Ports {
		protocol := p.Protocol
		if protocol == "" {
			protocol = "TCP"
		}
		out.Ports = append(out.Ports, affinity.ServicePort{Name: p.Name, Port: p.Port, Protocol: protocol})
	}
	cleanPolicy(&out.Policy)
	switch {
	case out.Headless:
		out.NeedsNone = "headless: clients choose a pod themselves, by its DNS name"
	case readyEndpoints == 1:
		out.NeedsNone = "one replica"
	}
	return out
}

// clientIP reads spec.sessionAffinity. Which program programs the nodes is not
// in the objects; kube-proxy is presumed and said so.
func clientIP(s Service) affinity.Policy {
	if s.SessionAffinity != affinityIP {
		return affinity.Policy{Controller: kubeProxy, Why: "spec.sessionAffinity: None"}
	}
	switch {
	case s.Type == "ExternalName":
		return affinity.Policy{Why: "ExternalName: there is no virtual IP that sessionAffinity could act on",
			Notes: []string{"sessionAffinity: ClientIP has no effect on an ExternalName Service"}}
	case s.ClusterIP == "None":
		return affinity.Policy{Why: "headless: there is no virtual IP that sessionAffinity could act on",
			Notes: []string{"sessionAffinity: ClientIP has no effect on a headless Service"}}
	}
	p := affinity.Policy{
		Mechanism: affinity.MechanismClientIP, Controller: kubeProxy, Timeout: DefaultClientIPTimeout, Renewal: affinity.RenewalSliding,
		Why: "spec.sessionAffinity: ClientIP, timeout 10800 s by default",
		Notes: []string{
			"the timer of ClientIP as kube-proxy runs it: every new connection starts it again, requests on an open one do not; other programs (Cilium, Calico, Antrea) count differently",
			"the pin is one node's own: the same client through another node may get another pod",
		},
	}
	if s.AffinityTimeout > 0 {
		p.Timeout = seconds(int64(s.AffinityTimeout))
		p.Why = fmt.Sprintf("spec.sessionAffinity: ClientIP, timeoutSeconds: %d", s.AffinityTimeout)
	}
	if s.PublishNotReadyAddresses {
		p.KeepsTerminating = true
		p.Notes = append(p.Notes, "publishNotReadyAddresses: clients stay on pods that are not ready or terminating")
	}
	if name := s.Labels[labelProxyName]; name != "" {
		p.Controller = name
		p.Renewal = affinity.RenewalUnknown
		p.Notes = []string{fmt.Sprintf("label %s: kube-proxy leaves this Service to %s, whose timer is not known", labelProxyName, quote(name))}
	}
	return p
}

// serviceLayer is the Service's layer on a route whose ingress controller is
// read as r, by the name it is known by: "" when it is not known at all.
func serviceLayer(s Service, r Reading, name string) affinity.Layer {
	policy := clientIP(s)
	l := affinity.Layer{Where: affinity.LayerService, Object: "service/" + s.Name}
	if name == "" {
		l.Candidates = []affinity.Policy{withNotes(policy, "whether the controller connects to pods or to the Service is not known")}
		return l
	}
	switch r.Upstream {
	case UpstreamPods:
		l.Bypassed = name + " connects to pods, not to the Service"
	case UpstreamPassthrough:
		if policy.Mechanism == affinity.MechanismClientIP {
			policy = withNotes(policy, "counts where "+name+" passes TLS through, and is bypassed where it does not; the client address is then the ingress controller's, one for each of its replicas")
		}
	case UpstreamExternal:
		l.Bypassed = name + " connects to the external name " + quote(s.ExternalName)
	case UpstreamClusterIP, UpstreamNodePort:
		if policy.Mechanism == affinity.MechanismClientIP {
			policy = withNotes(policy, "the client address is the ingress controller's: all its clients share one pod for each of its replicas")
		}
	}
	l.Candidates = []affinity.Policy{policy}
	return l
}
