package findings

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubestickytop/stickytop/internal/ingress"
)

// lookup is what fixes look up in a world, made when it is first asked for: a
// fix must not read all objects for each finding.
type lookup struct {
	ingresses map[*Object]int
	routes    map[*Object][]*route
	headless  map[string]*Object   // Services, by namespace and selector
	backedBy  map[string][]*Object // HTTPRoutes, by "namespace/name" of the Services that they lead to
	balancers map[string][]*Object // Services of type LoadBalancer of controllers, by their key
	hosts     map[string][]*Object // DestinationRules, by the first label of their host
	clouds    map[string]bool      // of the nodes: the start of spec.providerID
	kubeProxy *Object              // its ConfigMap
	nginx     *Object              // ingress-nginx' ConfigMap
	class     *Object              // an IngressClass to put a new Ingress in; nil for none
	key       string               // its controller
}

func (w *world) look() *lookup {
	if w.lookup != nil {
		return w.lookup
	}
	l := &lookup{ingresses: map[*Object]int{}, routes: map[*Object][]*route{}, headless: map[string]*Object{}, hosts: map[string][]*Object{}, balancers: map[string][]*Object{}, backedBy: map[string][]*Object{}, clouds: map[string]bool{}}
	w.lookup = l
	for i, ing := range w.ingresses {
		l.ingresses[ing.Object] = i
	}
	for i := range w.routes {
		r := &w.routes[i]
		l.routes[r.object] = append(l.routes[r.object], r)
	}
	for _, s := range w.objects("Service") {
		if s.Str("spec", "clusterIP") == "None" {
			l.headless[selectorKey(s)] = s
		}
		if s.Str("spec", "type") == "LoadBalancer" {
			if key := w.frontOf(s); key != "" {
				l.balancers[key] = append(l.balancers[key], s)
			}
		}
	}
	for _, o := range w.objects("DestinationRule") {
		host, _, _ := strings.Cut(o.Str("spec", "host"), ".")
		l.hosts[host] = append(l.hosts[host], o)
	}
	for _, o := range w.objects("HTTPRoute") {
		for _, rule := range o.Items("spec", "rules") {
			for _, name := range backends(o, rule) {
				if k := o.Namespace + "/" + name; !slices.Contains(l.backedBy[k], o) && len(l.backedBy[k]) < maxSharing {
					l.backedBy[k] = append(l.backedBy[k], o)
				}
			}
		}
	}
	for _, n := range w.objects("Node") {
		cloud, _, _ := strings.Cut(n.Str("spec", "providerID"), "://")
		l.clouds[cloud] = true
	}
	for _, o := range w.objects("ConfigMap") {
		if o.Name == "kube-proxy" && l.kubeProxy == nil {
			l.kubeProxy = o
		}
		if isNginxConfig(o) && l.nginx == nil {
			l.nginx = o
		}
	}
	for _, o := range w.objects("IngressClass") {
		if l.class == nil || o.annotation("ingressclass.kubernetes.io/is-default-class") == "true" {
			l.class = o
		}
	}
	l.key = nginxKey
	for _, x := range ingress.Controllers {
		if l.class != nil && x.Claims(l.class.Str("spec", "controller")) {
			l.key = x.Key()
			break
		}
	}
	return l
}

// selectorKey tells Services that select the same pods.
func selectorKey(s *Object) string {
	selector := s.Strings("spec", "selector")
	key := s.Namespace
	for _, k := range slices.Sorted(maps.Keys(selector)) {
		key += fmt.Sprintf(" %q=%q", k, selector[k])
	}
	return key
}

// className is that of the class to put a new Ingress in: ingress-nginx' usual
// one where none is known.
func (l *lookup) className() string {
	if l.class == nil {
		return "nginx"
	}
	return cmp.Or(l.class.Name, "nginx")
}
