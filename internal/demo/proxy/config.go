package proxy

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/kubestickytop/stickytop/internal/affinity"
	"github.com/kubestickytop/stickytop/internal/demo/apiserver"
)

// Controller is the IngressClass controller that the proxy answers to. Both
// its dialects do, as their originals.
const Controller = "k8s.io/ingress-nginx"

// catchAll is the host of rules that name none.
const catchAll = "_"

// config is what the objects of one revision say. It is never written again.
type config struct {
	revision uint64
	hosts    map[string][]*location // by host, "*.rest" or catchAll; as they are tried
	backends map[string]*backend
}

// backend is a Service's port as an Ingress names it.
type backend struct {
	name      string // "namespace-service-port", the salt of its cookies
	endpoints []endpoint
	affinity  *stickiness // nil: none
}

type endpoint struct {
	addr        string // "ip:port" of the pod
	pod         affinity.PodRef
	ready       bool
	serving     bool
	terminating bool
}

// readConfig reads everything that the Ingresses of store want.
func readConfig(store *apiserver.Store) *config {
	c := &config{revision: store.Revision(), hosts: map[string][]*location{}, backends: map[string]*backend{}}
	classes := ourClasses(store)
	ingresses := apiserver.List[*networkingv1.Ingress](store, "")
	slices.SortStableFunc(ingresses, func(a, b *networkingv1.Ingress) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	for _, ing := range ingresses {
		if isOurs(ing, classes) {
			c.add(store, ing)
		}
	}
	for host, locations := range c.hosts {
		c.hosts[host] = ordered(locations)
	}
	return c
}

func ourClasses(store *apiserver.Store) map[string]bool {
	ours := map[string]bool{}
	for _, class := range apiserver.List[*networkingv1.IngressClass](store, "") {
		if class.Spec.Controller == Controller {
			ours[class.Name] = true
		}
	}
	return ours
}

func isOurs(ing *networkingv1.Ingress, classes map[string]bool) bool {
	if name := ing.Spec.IngressClassName; name != nil {
		return classes[*name]
	}
	return ing.Annotations["kubernetes.io/ingress.class"] == "nginx"
}

func (c *config) add(store *apiserver.Store, ing *networkingv1.Ingress) {
	for _, rule := range ing.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		host := cmp.Or(strings.ToLower(rule.Host), catchAll)
		for _, path := range rule.HTTP.Paths {
			if path.Backend.Service == nil {
				continue
			}
			b := c.backend(store, ing.Namespace, *path.Backend.Service)
			l := newLocation(path, b)
			l.regex = truth(ing.Annotations[prefix+"use-regex"])
			c.hosts[host] = append(c.hosts[host], l)
			if wantsCookie(ing) {
				b.merge(ing, host, path.Path)
			}
		}
	}
}

// merge adds what ing wants to its backend, which other Ingresses may share:
// the mode is the first one's, the cookie the last one's, the places where it
// is set are everybody's.
func (b *backend) merge(ing *networkingv1.Ingress, host, path string) {
	if b.affinity == nil {
		b.affinity = &stickiness{
			persistent: ing.Annotations[prefix+"affinity-mode"] == "persistent",
			locations:  map[string]map[string]bool{},
		}
	}
	b.affinity.cookie = readCookie(ing)
	b.affinity.changeOnFailure = truth(ing.Annotations[prefix+"session-cookie-change-on-failure"])
	if b.affinity.locations[host] == nil {
		b.affinity.locations[host] = map[string]bool{}
	}
	b.affinity.locations[host][path] = true
}

func (c *config) backend(store *apiserver.Store, namespace string, ref networkingv1.IngressServiceBackend) *backend {
	port := ref.Port.Name
	if ref.Port.Number > 0 {
		port = strconv.Itoa(int(ref.Port.Number))
	}
	name := fmt.Sprintf("%s-%s-%s", namespace, ref.Name, port)
	if b := c.backends[name]; b != nil {
		return b
	}
	b := &backend{name: name, endpoints: endpointsOf(store, namespace, ref)}
	c.backends[name] = b
	return b
}

// endpointsOf returns the Service's endpoints whatever their conditions,
// sorted by address: none for a Service or port that does not exist.
func endpointsOf(store *apiserver.Store, namespace string, ref networkingv1.IngressServiceBackend) []endpoint {
	svc, found := apiserver.Get[*corev1.Service](store, namespace, ref.Name)
	if !found {
		return nil
	}
	i := slices.IndexFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool {
		return p.Port == ref.Port.Number || ref.Port.Name != "" && p.Name == ref.Port.Name
	})
	if i < 0 {
		return nil
	}
	var all []endpoint
	for _, slice := range apiserver.List[*discoveryv1.EndpointSlice](store, namespace) {
		if slice.Labels[discoveryv1.LabelServiceName] == ref.Name {
			all = append(all, endpointsIn(slice, svc.Spec.Ports[i].Name)...)
		}
	}
	slices.SortFunc(all, func(a, b endpoint) int { return cmp.Compare(a.addr, b.addr) })
	return slices.CompactFunc(all, func(a, b endpoint) bool { return a.addr == b.addr })
}

func endpointsIn(slice *discoveryv1.EndpointSlice, portName string) []endpoint {
	var all []endpoint
	for _, port := range slice.Ports {
		if port.Port == nil || value(port.Name, "") != portName {
			continue
		}
		for _, ep := range slice.Endpoints {
			if len(ep.Addresses) == 0 {
				continue
			}
			e := endpoint{
				addr:        net.JoinHostPort(ep.Addresses[0], strconv.Itoa(int(*port.Port))),
				ready:       value(ep.Conditions.Ready, true),
				serving:     value(ep.Conditions.Serving, value(ep.Conditions.Ready, true)),
				terminating: value(ep.Conditions.Terminating, false),
			}
			if ep.TargetRef != nil {
				e.pod = affinity.PodRef{Namespace: ep.TargetRef.Namespace, Name: ep.TargetRef.Name}
			}
			all = append(all, e)
		}
	}
	return all
}

// podAt returns the pod behind an address.
func (b *backend) podAt(addr string) affinity.PodRef {
	for _, e := range b.endpoints {
		if e.addr == addr {
			return e.pod
		}
	}
	return affinity.PodRef{}
}

// value returns *p, or what an absent field means.
func value[T any](p *T, absent T) T {
	if p == nil {
		return absent
	}
	return *p
}
