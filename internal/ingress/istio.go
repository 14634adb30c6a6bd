package ingress

import (
	"fmt"
	"strings"
	"time"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// This file is Istio: the consistent hash of a DestinationRule, which holds for
// whatever leads to the Service through an Envoy that istiod runs: an HTTPRoute,
// an Ingress. [istio/api networking/v1alpha3/destination_rule.proto; istio
// pilot/pkg/networking/core/cluster_traffic_policy.go, core/route/route.go,
// pilot/pkg/networking/util/util.go]

const (
	istioKey            = "istio"
	resDestinationRules = "destinationrules.networking.istio.io"
	istioPersistent     = "istio.io/persistent-session"
)

type (
	destinationRule struct {
		Spec struct {
			Host          string        `json:"host"`
			TrafficPolicy *istioTraffic `json:"trafficPolicy"`
			Subsets       []struct {
				Name          string        `json:"name"`
				TrafficPolicy *istioTraffic `json:"trafficPolicy"`
			} `json:"subsets"`
			WorkloadSelector *struct{} `json:"workloadSelector"`
		} `json:"spec"`
	}
	istioTraffic struct {
		LoadBalancer      *istioBalancer `json:"loadBalancer"`
		PortLevelSettings []struct {
			Port struct {
				Number int `json:"number"`
			} `json:"port"`
			LoadBalancer *istioBalancer `json:"loadBalancer"`
		} `json:"portLevelSettings"`
	}
	istioBalancer struct {
		Simple         string `json:"simple"`
		ConsistentHash *struct {
			HTTPHeaderName         string `json:"httpHeaderName"`
			HTTPQueryParameterName string `json:"httpQueryParameterName"`
			UseSourceIP            bool   `json:"useSourceIp"`
			HTTPCookie             *struct {
				Name       string  `json:"name"`
				Path       string  `json:"path"`
				TTL        *string `json:"ttl"`
				Attributes []struct {
					Name  string `json:"name"`
					Value string `json:"value"`
				} `json:"attributes"`
			} `json:"httpCookie"`
		} `json:"consistentHash"`
	}
)

type istio struct{}

func (istio) Key() string                   { return istioKey }
func (istio) Claims(controller string) bool { return controller == "istio.io/ingress-controller" }
func (istio) KnownAs(class string) bool     { return class == "istio" }
func (istio) Owns(string) bool              { return false }

func (istio) Read(w *World, places []*Place) []Reading {
	readings := make([]Reading, len(places))
	for i, p := range places {
		readings[i] = w.istio(p.ref(), p.Service, p.Port)
	}
	return readings
}

// readIstioGateway: Istio reads no sessionPersistence.
// [istio pilot/pkg/config/kube/gateway/backend_policies.go, 1.31-alpha]
func readIstioGateway(w *World, g gatewayPlace) Reading {
	s := w.services[g.service]
	port := ""
	for _, b := range g.rule.BackendRefs {
		if b.Name == g.service.Name {
			port = string(b.Port)
			break
		}
	}
	r := w.istio(g.service, s, portOf(s, port))
	if p, ok := w.persistence(g); ok {
		r.Notes = append(r.Notes, p.where+" is ignored: Istio does not read it; a DestinationRule is where it takes affinity from")
	}
	return r
}

// istio is what the mesh does for a Service.
func (w *World) istio(ref affinity.ServiceRef, s *Service, port *ServicePort) Reading {
	r := Reading{Policy: affinity.Policy{Controller: istioKey, Why: "no DestinationRule with a consistent hash for service " + ref.String()},
		Notes: w.unreadCustom(resDestinationRules)}
	if w.customUnread[resDestinationRules] {
		r.Policy.Mechanism, r.Policy.Why = affinity.MechanismUnknown, "DestinationRules can't be read"
	}
	c, rule, more := w.destinationRule(ref)
	r.Notes = append(r.Notes, more...)
	if rule != nil {
		r.Policy = rule.policy(c, port)
		for _, sub := range rule.Spec.Subsets {
			if sub.TrafficPolicy != nil && sub.TrafficPolicy.LoadBalancer != nil {
				r.Policy.Notes = append(r.Policy.Notes, fmt.Sprintf("subset %s has a loadBalancer of its own, which holds where a VirtualService names it", quote(sub.Name)))
				break
			}
		}
		if rule.Spec.WorkloadSelector != nil {
			r.Policy.Notes = append(r.Policy.Notes, "its workloadSelector, which is not read, may keep it from the gateway")
		}
	}
	if s == nil {
		return r
	}
	if label := s.Labels[istioPersistent]; label != "" {
		name, path, _ := strings.Cut(label, ":")
		r.Policy = affinity.Policy{Mechanism: affinity.MechanismUnknown, Controller: istioKey, Why: "label " + istioPersistent + " of service/" + s.Name,
			Notes: []string{fmt.Sprintf("where istiod runs with PILOT_ENABLE_PERSISTENT_SESSION_FILTER=true, off by default, cookie %s (path %s) names the pod, for the browser's session", quote(name), quote(rootIfEmpty(path)))}}
	}
	return r
}

// destinationRule finds the rule for a Service: one in its namespace before one
// elsewhere, which Istio applies where it exports it.
func (w *World) destinationRule(ref affinity.ServiceRef) (best *Custom, rule *destinationRule, notes []string) {
	var names []string
	for c, d := range customsUnder(w, resDestinationRules, destinationRuleKeys, ref.Name, "*") {
		if !istioHost(d.Spec.Host, c.Namespace, ref) {
			if suffixCovers(d.Spec.Host, ref.Name+"."+ref.Namespace+".svc.cluster.local") || d.Spec.Host == "*" {
				notes = append(notes, fmt.Sprintf("%s is for %s, and holds where no closer rule does", c.object("destinationrule"), quote(d.Spec.Host)))
			}
			continue
		}
		names = append(names, c.Namespace+"/"+c.Name)
		if best == nil || best.Namespace != ref.Namespace && c.Namespace == ref.Namespace {
			best, rule = c, d
		}
	}
	if len(names) > 1 {
		notes = append(notes, fmt.Sprintf("DestinationRules %s are for this Service; shown is %s", strings.Join(names[:min(len(names), 8)], ", "), best.Namespace+"/"+best.Name))
	}
	return best, rule, notes
}

// destinationRuleKeys: a rule is looked up by the first label of its host;
// every wildcard by "*".
func destinationRuleKeys(_ *Custom, d *destinationRule) []string {
	first, _, _ := strings.Cut(d.Spec.Host, ".")
	if strings.HasPrefix(first, "*") {
		first = "*"
	}
	return []string{first}
}

// istioHost reports whether a rule's host is that Service: a short name is in
// the rule's namespace.
func istioHost(host, namespace string, ref affinity.ServiceRef) bool {
	parts := strings.Split(host, ".")
	switch {
	case parts[0] != ref.Name:
		return false
	case len(parts) == 1:
		return namespace == ref.Namespace
	case len(parts) == 2:
		return parts[1] == ref.Namespace
	}
	return parts[1] == ref.Namespace && parts[2] == "svc"
}

// IstioHostIn reports whether a DestinationRule's host may be a Service of a
// namespace. rule is the rule's own namespace.
// [istio.io, DestinationRule: host]
func IstioHostIn(host, rule, namespace string) bool {
	parts := strings.Split(host, ".")
	if rest, wild := strings.CutPrefix(host, "*"); wild && strings.HasSuffix(".svc.cluster.local", rest) {
		return true // of every namespace
	}
	if len(parts) == 1 {
		return rule == namespace
	}
	return parts[1] == namespace && (len(parts) == 2 || parts[2] == "svc")
}

func (d *destinationRule) policy(c *Custom, port *ServicePort) affinity.Policy {
	at := c.object("destinationrule")
	p := affinity.Policy{Controller: istioKey, Why: "no consistentHash in " + at}
	t := d.Spec.TrafficPolicy
	if t == nil {
		return p
	}
	lb := t.LoadBalancer
	for _, s := range t.PortLevelSettings {
		if port != nil && s.Port.Number == port.Port { // it replaces what stands above
			lb, at = s.LoadBalancer, fmt.Sprintf("port %d of %s", s.Port.Number, at)
			p.Why = "no consistentHash for " + at
		}
	}
	if lb == nil || lb.ConsistentHash == nil {
		return p
	}
	hash := lb.ConsistentHash
	if hash.HTTPCookie == nil {
		p.Why, p.MovesSilently = "consistentHash of "+at+", not by a cookie", true
		if hash.UseSourceIP {
			p.Notes = []string{"the pod is chosen by the client's address: clients behind one address share a pod"}
		}
		return p
	}
	var ttl *time.Duration
	if hash.HTTPCookie.TTL != nil {
		d := gatewayDuration(*hash.HTTPCookie.TTL)
		ttl = &d
	}
	p = envoyHashCookie(hash.HTTPCookie.Name, hash.HTTPCookie.Path, ttl)
	p.Controller, p.Why = istioKey, "consistentHash.httpCookie of "+at
	for _, a := range hash.HTTPCookie.Attributes {
		envoyAttribute(&p.Cookie, a.Name, a.Value)
	}
	return p
}
