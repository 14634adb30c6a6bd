package kube

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// door is a Service that a controller is reached by.
type door struct {
	controller string // as in installations
	ref        affinity.ServiceRef
	kind       string   // spec.type
	addresses  []string // of status.loadBalancer, else spec.externalIPs
	ports      map[int]int
}

// doors are those of all controllers that installations tells apart.
type doors struct {
	all    []door
	unread string // why there may be more; "" where all were looked through
}

// doorsAgain is how often they are looked for while a route has no address of
// its own: a cloud takes a while to make a load balancer.
const doorsAgain = 30 * time.Second

// maxDoors bounds what a hint names.
const maxDoors = 3

// findDoors looks for the Services of controllers once one is wanted, and again
// as long as they are, until ctx ends.
func (s *Source) findDoors(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wanted:
		}
		found := s.listDoors(ctx)
		select {
		case <-ctx.Done():
			return
		case s.found <- found:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(doorsAgain):
		}
	}
}

// listDoors lists Services by the labels of charts, then those that select the
// pods of controllers that no load balancer was found for.
func (s *Source) listDoors(ctx context.Context) doors {
	ctx, cancel := context.WithTimeout(ctx, s.clients.pageTimeout)
	defer cancel()
	var out doors
	look := reach{own: s.namespace}
	for _, in := range installations {
		if !strings.Contains(in.selector, "/name=") {
			continue // of a pod's labels alone
		}
		out.failed("Services", look.list(in.namespaces, func(ns string) error {
			list, err := s.clients.core.Services(ns).List(ctx, metav1.ListOptions{LabelSelector: in.selector, Limit: pageSize})
			if err != nil {
				return err
			}
			for i := range list.Items {
				out.add(in.controller, &list.Items[i])
			}
			return nil
		}))
	}
	look = reach{own: s.namespace}
	services := map[string][]corev1.Service{} // of a namespace
	for _, in := range installations {
		if slices.ContainsFunc(out.all, func(d door) bool { return d.controller == in.controller && len(d.addresses) > 0 }) {
			continue
		}
		out.failed("pods", look.list(in.namespaces, func(ns string) error {
			pods, err := s.clients.core.Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: in.selector, Limit: pageSize})
			if err != nil {
				return err
			}
			for _, p := range pods.Items {
				if _, known := services[p.Namespace]; !known {
					list, err := s.clients.core.Services(p.Namespace).List(ctx, metav1.ListOptions{Limit: pageSize})
					out.failed("Services", err)
					services[p.Namespace] = nil
					if err == nil {
						services[p.Namespace] = list.Items
					}
				}
				for i := range services[p.Namespace] {
					x := &services[p.Namespace][i]
					if len(x.Spec.Selector) > 0 && labels.SelectorFromSet(x.Spec.Selector).Matches(labels.Set(p.Labels)) {
						out.add(in.controller, x)
					}
				}
			}
			return nil
		}))
	}
	return out
}

// reach is where objects may be listed: in all namespaces, until that turns out
// to be forbidden.
type reach struct {
	own    string // namespace that is watched
	narrow bool
}

// list calls do with "" or, where that is forbidden, with the namespaces that are
// given and one's own. It returns the last error.
func (r *reach) list(namespaces []string, do func(namespace string) error) error {
	if !r.narrow {
		err := do("")
		if !apierrors.IsForbidden(err) {
			return err
		}
		r.narrow = true
	}
	var failed error
	for _, ns := range append(slices.Clone(namespaces), r.own) {
		if ns == "" {
			continue
		}
		if err := do(ns); err != nil {
			failed = err
		}
	}
	return failed
}

// failed keeps the first reason why there may be more.
func (d *doors) failed(what string, err error) {
	switch {
	case err == nil || d.unread != "":
	case apierrors.IsForbidden(err):
		d.unread = what + " of other namespaces may not be listed"
	default:
		d.unread = plain(err)
	}
}

func (d *doors) add(controller string, s *corev1.Service) {
	ref := affinity.ServiceRef{Namespace: name(s.Namespace), Name: name(s.Name)}
	if slices.ContainsFunc(d.all, func(x door) bool { return x.ref == ref }) || s.Spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	x := door{controller: controller, ref: ref, kind: name(string(s.Spec.Type)), ports: map[int]int{}}
	for _, a := range s.Status.LoadBalancer.Ingress {
		if text := name(a.IP); text != "" {
			x.addresses = append(x.addresses, text)
		} else if text := name(a.Hostname); text != "" {
			x.addresses = append(x.addresses, text)
		}
	}
	if len(x.addresses) == 0 {
		for _, ip := range s.Spec.ExternalIPs {
			x.addresses = append(x.addresses, name(ip))
		}
	}
	for _, p := range s.Spec.Ports {
		if p.Protocol == "" || p.Protocol == corev1.ProtocolTCP {
			x.ports[int(p.Port)] = int(p.NodePort)
		}
	}
	d.all = append(d.all, x)
}

func (d doors) equal(o doors) bool {
	return d.unread == o.unread && slices.EqualFunc(d.all, o.all, func(a, b door) bool {
		return a.controller == b.controller && a.ref == b.ref && a.kind == b.kind && slices.Equal(a.addresses, b.addresses) && fmt.Sprint(a.ports) == fmt.Sprint(b.ports)
	})
}

// enter builds the routes again where the doors have changed.
func (w *world) enter(d doors) {
	w.stale = w.stale || w.doors == nil || !w.doors.equal(d)
	w.doors = &d
	if w.wanting {
		w.want()
	}
}

// openDoors gives the routes that have no address of their own that of their
// controller's Service, or says why there is none.
func (w *world) openDoors(routes []affinity.Route) {
	w.wanting = false
	for i := range routes {
		r := &routes[i]
		if len(r.Addresses) > 0 || r.Kind != affinity.RouteIngress && r.Kind != affinity.RouteIngressRoute {
			continue
		}
		controllers := w.controllersOf(*r)
		if len(controllers) == 0 {
			continue
		}
		w.wanting = true
		if w.doors == nil {
			continue
		}
		r.Addresses, r.AddressFrom, r.AddressHint = w.doors.of(controllers, r.TLS)
		if r.AddressFrom != "" {
			r.Notes = append(r.Notes, fmt.Sprintf("%s/%s has no address in its status: it is reached at that of %s", strings.ToLower(r.Kind), r.Name, r.AddressFrom))
		}
	}
	if w.wanting && w.want != nil {
		w.want()
	}
}

// controllersOf are those of installations that may serve r: the one that runs,
// where that is known.
func (w *world) controllersOf(r affinity.Route) []string {
	layer, ok := r.Layer(affinity.LayerIngress)
	if !ok {
		return nil
	}
	candidates := layer.Candidates
	if w.learned.running.Key != "" || layer.Proof != "" {
		candidates = []affinity.Policy{layer.Policy()}
	}
	var keys []string
	for _, c := range candidates {
		key := c.Controller
		if strings.HasPrefix(key, "traefik") { // its provider for nginx' annotations is the same program
			key = "traefik"
		}
		known := false
		for _, in := range installations {
			known = known || in.controller == key
		}
		if known && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// of returns the addresses by which one of controllers is reached, where one
// Service alone may be meant, and whose they are; else what to try, "" when
// nothing is known.
func (d doors) of(controllers []string, tls bool) (addresses []string, from, hint string) {
	port := 80
	if tls {
		port = 443
	}
	var open, shut []door
	for _, x := range d.all {
		node, has := x.ports[port]
		switch {
		case !slices.Contains(controllers, x.controller):
		case len(x.addresses) > 0 && has:
			open = append(open, x)
		case has && (x.kind == string(corev1.ServiceTypeLoadBalancer) || node > 0), len(x.addresses) > 0:
			shut = append(shut, x)
		}
	}
	switch {
	case len(open) == 1:
		return slices.Clone(open[0].addresses), open[0].text() + ", its controller's", ""
	case len(open) > 1:
		return nil, "", "Services of several controllers have one, " + named(open) + ": --url says which"
	case len(shut) == 1:
		return nil, "", shut[0].shut(port)
	case len(shut) > 1:
		return nil, "", "neither have the Services of controllers, " + named(shut)
	}
	if d.unread != "" {
		return nil, "", "that of its controller is not known: " + d.unread
	}
	return nil, "", "no Service of " + strings.Join(controllers, " or ") + " was found that has one"
}

func (x door) text() string { return "svc/" + x.ref.Name + " in " + x.ref.Namespace }

// shut says why a Service is no way in, and what is.
func (x door) shut(port int) string {
	node, has := x.ports[port]
	switch {
	case !has:
		return fmt.Sprintf("%s, its controller's, does not listen on %d", x.text(), port)
	case node > 0 && x.kind == string(corev1.ServiceTypeNodePort):
		return fmt.Sprintf("%s, its controller's, is of type NodePort: --url %s://NODE:%s asks a node of the cluster", x.text(), map[int]string{80: "http", 443: "https"}[port], strconv.Itoa(node))
	}
	return x.text() + ", its controller's, waits for an address of its load balancer"
}

func named(all []door) string {
	var out []string
	for _, x := range all[:min(len(all), maxDoors)] {
		out = append(out, x.text())
	}
	if more := len(all) - maxDoors; more > 0 {
		out = append(out, fmt.Sprintf("%d more", more))
	}
	return strings.Join(out, ", ")
}
