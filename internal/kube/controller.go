package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

// installations are where ingress controllers usually run: the labels of their
// charts and manifests, and the namespaces to look in when pods of all of them
// may not be listed.
var installations = []struct {
	controller string // key of internal/ingress's table
	selector   string
	namespaces []string
}{
	{"ingress-nginx", "app.kubernetes.io/name=ingress-nginx,app.kubernetes.io/component=controller", []string{"ingress-nginx", "kube-system", "default"}},
	{"ingress-nginx", "app.kubernetes.io/name=rke2-ingress-nginx,app.kubernetes.io/component=controller", []string{"kube-system"}},
	{"ingress-nginx", "name=nginx-ingress-microk8s", []string{"ingress"}},
	{"traefik", "app.kubernetes.io/name=traefik", []string{"traefik", "kube-system", "default"}},
	// [haproxytech/helm-charts kubernetes-ingress/templates/_helpers.tpl; haproxytech/kubernetes-ingress deploy/haproxy-ingress.yaml]
	{"haproxytech", "app.kubernetes.io/name=kubernetes-ingress", []string{"haproxy-controller", "default"}},
	{"haproxytech", "run=haproxy-ingress", []string{"haproxy-controller", "ingress-controller"}},
	{"haproxy-ingress", "app.kubernetes.io/name=haproxy-ingress", []string{"ingress-controller", "haproxy-ingress", "default"}},
	{"nginx-inc", "app.kubernetes.io/name=nginx-ingress", []string{"nginx-ingress", "default"}},
	{"nginx-inc", "app=nginx-ingress", []string{"nginx-ingress"}}, // [nginxinc/kubernetes-ingress deployments/deployment/nginx-ingress.yaml]
}

// ControllerOptions says which pod to forward to.
type ControllerOptions struct {
	// Target is "NAMESPACE/POD", "pod/POD", "svc/SERVICE" or
	// "NAMESPACE/svc/SERVICE"; "" looks for a controller's pod.
	Target    string
	Namespace string // for a Target without one, and first place to look in
	// Controllers are the keys of the controllers that the routes have,
	// likeliest first; others are tried after them.
	Controllers []string
	Version     string // for the User-Agent
}

// target is a parsed ControllerOptions.Target.
type target struct {
	namespace, kind, name string // kind: "pod" or "service"
}

func parseTarget(s, namespace string) (target, error) {
	parts := strings.Split(s, "/")
	word := func(s string) string {
		return map[string]string{"pod": "pod", "pods": "pod", "po": "pod", "svc": "service", "service": "service", "services": "service"}[s]
	}
	t := target{namespace: namespace, kind: "pod"}
	switch {
	case len(parts) == 1:
		t.name = parts[0]
	case len(parts) == 2 && word(parts[0]) != "":
		t.kind, t.name = word(parts[0]), parts[1]
	case len(parts) == 2:
		t.namespace, t.name = parts[0], parts[1]
	case len(parts) == 3 && word(parts[1]) != "":
		t.namespace, t.kind, t.name = parts[0], word(parts[1]), parts[2]
	}
	if t.name == "" || t.namespace == "" {
		return t, &Problem{What: fmt.Sprintf("%q does not name a controller's pod", affinity.Clean(s, maxName)), Hint: "write NAMESPACE/POD, or NAMESPACE/svc/SERVICE"}
	}
	return t, nil
}

// find returns the pod to forward to: ready, not terminating, the first by name.
func (d *ControllerDialer) find(ctx context.Context) (*corev1.Pod, error) {
	if d.opts.Target != "" {
		return d.findTarget(ctx)
	}
	order := slices.Clone(installations)
	rank := func(key string) int {
		if i := slices.Index(d.opts.Controllers, key); i >= 0 {
			return i
		}
		return len(d.opts.Controllers)
	}
	slices.SortStableFunc(order, func(a, b struct {
		controller string
		selector   string
		namespaces []string
	}) int {
		return cmp.Compare(rank(a.controller), rank(b.controller))
	})
	everywhere, idle := true, ""
	for _, in := range order {
		pods, err := d.podsOf(ctx, in.selector, in.namespaces, &everywhere)
		if err != nil {
			return nil, err
		}
		if p := best(pods); p != nil {
			return p, nil
		}
		if len(pods) > 0 {
			idle = in.controller + " has pods, but none is ready"
		}
	}
	return nil, noController(everywhere, idle)
}

func noController(everywhere bool, idle string) error {
	p := &Problem{What: "no ingress controller's pod found", Hint: "name it: --via-controller=NAMESPACE/POD, or NAMESPACE/svc/SERVICE"}
	switch {
	case idle != "":
		p.What = "no ingress controller's pod is ready: " + idle
	case !everywhere:
		p.What += ": pods of all namespaces may not be listed, and none is where controllers usually are"
	}
	return p
}

// podsOf lists the pods of a selector in all namespaces or, once that was
// forbidden, in the likely ones.
func (d *ControllerDialer) podsOf(ctx context.Context, selector string, likely []string, everywhere *bool) ([]corev1.Pod, error) {
	opts := metav1.ListOptions{LabelSelector: selector, Limit: pageSize}
	if *everywhere {
		list, err := d.clients.core.Pods("").List(ctx, opts)
		if err == nil {
			return list.Items, nil
		}
		if !apierrors.IsForbidden(err) {
			return nil, explain(err, d.clients.host, "look for the ingress controller's pod")
		}
		*everywhere = false
	}
	var all []corev1.Pod
	for _, ns := range append([]string{d.opts.Namespace}, likely...) {
		if ns == "" {
			continue
		}
		list, err := d.clients.core.Pods(ns).List(ctx, opts)
		if err != nil && !apierrors.IsForbidden(err) {
			return nil, explain(err, d.clients.host, "look for the ingress controller's pod")
		}
		if err == nil {
			all = append(all, list.Items...)
		}
	}
	return all, nil
}

func (d *ControllerDialer) findTarget(ctx context.Context) (*corev1.Pod, error) {
	t, err := parseTarget(d.opts.Target, d.opts.Namespace)
	if err != nil {
		return nil, err
	}
	if t.kind == "pod" {
		p, err := d.clients.core.Pods(t.namespace).Get(ctx, t.name, metav1.GetOptions{})
		if err != nil {
			return nil, d.notThere(err, t)
		}
		return p, nil
	}
	svc, err := d.clients.core.Services(t.namespace).Get(ctx, t.name, metav1.GetOptions{})
	if err != nil {
		return nil, d.notThere(err, t)
	}
	if len(svc.Spec.Selector) == 0 {
		return nil, &Problem{What: fmt.Sprintf("service %q has no selector, so no pod of it is known", name(t.name)), Hint: "name a pod: NAMESPACE/POD"}
	}
	opts := metav1.ListOptions{LabelSelector: labels.SelectorFromSet(svc.Spec.Selector).String(), Limit: pageSize}
	list, err := d.clients.core.Pods(t.namespace).List(ctx, opts)
	if err != nil {
		return nil, explain(err, d.clients.host, fmt.Sprintf("look for the pods of service %q", name(t.name)))
	}
	if p := best(list.Items); p != nil {
		return p, nil
	}
	return nil, &Problem{What: fmt.Sprintf("service %q in namespace %q has no ready pod", name(t.name), name(t.namespace))}
}

func (d *ControllerDialer) notThere(err error, t target) error {
	if apierrors.IsNotFound(err) {
		return &Problem{What: fmt.Sprintf("%s %q not found in namespace %q", t.kind, name(t.name), name(t.namespace)),
			Hint: "kubectl get pods -A shows what there is", Err: err}
	}
	return explain(err, d.clients.host, fmt.Sprintf("look for %s %q", t.kind, name(t.name)))
}

// best returns the first ready pod by namespace and name, or nil.
func best(pods []corev1.Pod) *corev1.Pod {
	var found *corev1.Pod
	for i := range pods {
		p := &pods[i]
		if !usable(p) {
			continue
		}
		if found == nil || cmp.Or(cmp.Compare(p.Namespace, found.Namespace), cmp.Compare(p.Name, found.Name)) < 0 {
			found = p
		}
	}
	return found
}

func usable(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && p.Status.Phase == corev1.PodRunning && conditionTrue(p, corev1.PodReady)
}

// portIn maps the port that a client asks for to the pod's own: through a
// Service in front of the pod, which is how clients outside reach it; else a
// container port of that number; else one whose name means it.
func portIn(p *corev1.Pod, services []corev1.Service, want int) int {
	for _, s := range services {
		if len(s.Spec.Selector) == 0 || !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(p.Labels)) {
			continue
		}
		for _, sp := range s.Spec.Ports {
			if int(sp.Port) != want || sp.Protocol == corev1.ProtocolUDP {
				continue
			}
			if sp.TargetPort.Type == intstr.String {
				if n := containerPort(p, 0, sp.TargetPort.StrVal); n > 0 {
					return n
				}
			} else if n := sp.TargetPort.IntValue(); n > 0 {
				return n
			} else {
				return want // targetPort defaults to port
			}
		}
	}
	if n := containerPort(p, want); n > 0 {
		return n
	}
	names := map[int][]string{80: {"http", "web"}, 443: {"https", "websecure"}}[want]
	if n := containerPort(p, 0, names...); n > 0 {
		return n
	}
	return want
}

// containerPort finds a TCP port by number or by one of names; 0 for none.
func containerPort(p *corev1.Pod, number int, names ...string) int {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Protocol == corev1.ProtocolUDP {
				continue
			}
			if int(port.ContainerPort) == number || port.Name != "" && slices.Contains(names, port.Name) {
				return int(port.ContainerPort)
			}
		}
	}
	return 0
}
