package kube

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubestickytop/stickytop/internal/affinity"
)

func controllerService(namespace, name string, kind corev1.ServiceType, port, node int32, addresses ...string) *corev1.Service {
	set := labels.Set{"app.kubernetes.io/name": "traefik"}
	if strings.Contains(name, "nginx") {
		set = labels.Set{"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}
	}
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: set},
		Spec: corev1.ServiceSpec{Type: kind, Ports: []corev1.ServicePort{{Port: port, NodePort: node, Protocol: corev1.ProtocolTCP}}}}
	for _, a := range addresses {
		s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: a})
	}
	return s
}

// unlabelled is a load balancer without a chart's labels, which selects pods by
// their component; by nothing where that is "".
func unlabelled(name, component, address string) *corev1.Service {
	s := controllerService("edge", name, corev1.ServiceTypeLoadBalancer, 80, 30080, address)
	s.Labels = nil
	if component != "" {
		s.Spec.Selector = labels.Set{"app.kubernetes.io/component": component}
	}
	return s
}

func podOfController(app, component string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: app + "-1", Labels: labels.Set{"app.kubernetes.io/name": app, "app.kubernetes.io/component": component}}}
}

// Routes whose object has no address are reached by their controller's Service,
// and it is said whose the address is, or why there is none.
func TestDoors(t *testing.T) {
	const lb, node = corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort
	for _, tt := range []struct {
		name     string
		services []*corev1.Service
		pods     []*corev1.Pod
		faults   http.HandlerFunc
		at       string // requests that faults answer; "" for Services' lists
		kind     string // of the route; "" for an IngressRoute
		want     string // addresses
		from     string
		hint     string
	}{
		{name: "a load balancer", services: []*corev1.Service{controllerService("traefik", "traefik", lb, 80, 30080, "203.0.113.7", "2001:db8::7")},
			want: "203.0.113.7 2001:db8::7", from: "svc/traefik in traefik, its controller's"},
		{name: "an Ingress without a status too", kind: affinity.RouteIngress, services: []*corev1.Service{controllerService("traefik", "traefik", lb, 80, 30080, "203.0.113.7")},
			want: "203.0.113.7", from: "svc/traefik in traefik, its controller's"},
		{name: "two controllers may serve it", kind: affinity.RouteIngress, services: []*corev1.Service{controllerService("traefik", "traefik", lb, 80, 30080, "203.0.113.7"),
			controllerService("ingress-nginx", "ingress-nginx", lb, 80, 30081, "203.0.113.8")},
			hint: "Services of several controllers have one, svc/ingress-nginx in ingress-nginx, svc/traefik in traefik: --url says which"},
		{name: "not that of another controller", services: []*corev1.Service{controllerService("ingress-nginx", "ingress-nginx", lb, 80, 30081, "203.0.113.8")},
			hint: "no Service of traefik was found that has one"},
		{name: "a load balancer that is being made", services: []*corev1.Service{controllerService("traefik", "traefik", lb, 80, 30080)},
			hint: "svc/traefik in traefik, its controller's, waits for an address of its load balancer"},
		{name: "a node's port", services: []*corev1.Service{controllerService("traefik", "traefik", node, 80, 30080)},
			hint: "svc/traefik in traefik, its controller's, is of type NodePort: --url http://NODE:30080 asks a node of the cluster"},
		{name: "another port", services: []*corev1.Service{controllerService("traefik", "traefik", lb, 8000, 30080, "203.0.113.7")},
			hint: "svc/traefik in traefik, its controller's, does not listen on 80"},
		{name: "by the pods that it selects", services: []*corev1.Service{unlabelled("web", "controller", "203.0.113.7"), unlabelled("other", "dashboard", "203.0.113.8"), unlabelled("none", "", "203.0.113.9")},
			pods: []*corev1.Pod{podOfController("traefik", "controller")}, want: "203.0.113.7", from: "svc/web in edge, its controller's"},
		{name: "not by the pods of another controller", services: []*corev1.Service{unlabelled("web", "controller", "203.0.113.7")},
			pods: []*corev1.Pod{podOfController("nginx-ingress", "controller")}, hint: "no Service of traefik was found that has one"},
		{name: "its pods may not be listed", services: []*corev1.Service{unlabelled("web", "controller", "203.0.113.7")},
			pods: []*corev1.Pod{podOfController("traefik", "controller")}, faults: forbid("pods"), at: "pods list", hint: "that of its controller is not known: pods of other namespaces may not be listed"},
		{name: "nothing", hint: "no Service of traefik was found that has one"},
		{name: "may not be listed", services: []*corev1.Service{controllerService("traefik", "traefik", lb, 80, 30080, "203.0.113.7")}, faults: forbid("services"),
			hint: "that of its controller is not known: Services of other namespaces may not be listed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newAPIServer(t, withTraefik)
			chat(s)
			for _, x := range tt.services {
				s.put(x)
			}
			for _, x := range tt.pods {
				s.put(x)
			}
			if tt.faults != nil {
				s.fail(cmp.Or(tt.at, "services list"), tt.faults)
			}
			bare := testIngress("chat", "web", "chat.example.com", "web")
			bare.Status = networkingv1.IngressStatus{}
			s.put(bare)
			kind := tt.kind
			if kind == "" {
				kind = affinity.RouteIngressRoute
				s.put(ingressRoute("Host(`t.example.com`)"))
			}
			r := watchServer(t, s, chatOptions())
			var got affinity.Route
			e, _ := await(r, 0, "routes", func(e affinity.Routes) bool {
				i := slices.IndexFunc(e.Routes, func(x affinity.Route) bool { return x.Kind == kind })
				if i >= 0 {
					got = e.Routes[i]
				}
				return i >= 0 && (got.AddressFrom != "" || got.AddressHint != "")
			})
			if len(e.Routes) > 0 && (strings.Join(got.Addresses, " ") != tt.want || got.AddressFrom != tt.from || got.AddressHint != tt.hint) {
				t.Errorf("%q of %q, hint %q", got.Addresses, got.AddressFrom, got.AddressHint)
			}
			if noted := slices.ContainsFunc(got.Notes, func(n string) bool { return strings.Contains(n, "has no address in its status") }); noted != (tt.from != "") {
				t.Errorf("notes %q", got.Notes)
			}
		})
	}
}

// A status comes first, and nobody is asked for more.
func TestDoorsAreLeftAlone(t *testing.T) {
	s := newAPIServer(t)
	chat(s)
	s.put(controllerService("traefik", "traefik", corev1.ServiceTypeLoadBalancer, 80, 30080, "203.0.113.7"))
	r := watchServer(t, s, chatOptions())
	e, _ := await(r, 0, "routes", anyOf[affinity.Routes])
	if got := e.Routes[0]; strings.Join(got.Addresses, " ") != "203.0.113.10" || got.AddressFrom != "" {
		t.Errorf("%q of %q", got.Addresses, got.AddressFrom)
	}
	if n := s.seen("list services"); n != 1 {
		t.Errorf("Services were listed %d times", n)
	}
}
